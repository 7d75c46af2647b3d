# SPDX-License-Identifier: Apache-2.0
"""Bench of comparison: every pair of corner codes, random ones, equal ones."""

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.codes import corner_pairs, ordered_pairs
from zoetrope.sim.stimulus.operators import check_rows, golden_format, operands_and_results


@bench_test()
async def corners(bench):
    a, b, names = corner_pairs(golden_format(bench.config.fmt))
    await check_rows(bench, *operands_and_results(a, b, golden_format(bench.config.fmt)), names.__getitem__)


@bench_test()
async def random(bench):
    a, b = ordered_pairs(bench.rng, golden_format(bench.config.fmt), 2000)
    rows, expected = operands_and_results(a, b, golden_format(bench.config.fmt))
    await check_rows(bench, rows, expected, lambda i: f"{a[i]:#x} against {b[i]:#x}")
