"""Bench of comparison: every pair of corner codes, random ones, equal ones."""

import numpy as np

from zoetrope.golden.arith.float_compare import float_compare
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corner_pairs, random_pairs
from zoetrope.sim.stimulus.operators import check_rows, golden_format


@bench_test()
async def corners(bench):
    a, b, names = corner_pairs(golden_format(bench.config.fmt))
    await check_rows(bench, *operands_and_results(a, b, golden_format(bench.config.fmt)), names.__getitem__)


@bench_test()
async def random(bench):
    a, b = ordered_pairs(bench.rng, golden_format(bench.config.fmt), 2000)
    rows, expected = operands_and_results(a, b, golden_format(bench.config.fmt))
    await check_rows(bench, rows, expected, lambda i: f"{a[i]:#x} against {b[i]:#x}")


def ordered_pairs(rng, fmt, count):
    """Random pairs; in a quarter of them the second is the first, its neighbour or its negative."""
    a, b = random_pairs(rng, fmt, count)
    near = a + rng.integers(0, 2, count, dtype=np.uint64) ^ rng.integers(0, 2, count, dtype=np.uint64) << np.uint64(
        fmt.width - 1
    )
    return a, np.where(rng.integers(0, 4, count) == 0, near & np.uint64((1 << fmt.width) - 1), b)


def operands_and_results(a, b, fmt):
    """Payload rows of both streams."""
    rows = pack(a, b, widths=[fmt.width] * 2)
    return rows, pack(*float_compare(a, b, fmt), widths=[1, 1, fmt.width, fmt.width])
