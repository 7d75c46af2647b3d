# SPDX-License-Identifier: Apache-2.0
"""Bench of floating-point multiplication: every pair of corner codes, then random ones."""

import numpy as np

from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corner_pairs, random_pairs
from zoetrope.sim.stimulus.operators import check_rows, golden_format


@bench_test()
async def corners(bench):
    a, b, names = corner_pairs(golden_format(bench.config.operand), golden_format(bench.config.b))
    await products(bench, a, b, names.__getitem__)


@bench_test()
async def random(bench):
    a, b = random_pairs(bench.rng, golden_format(bench.config.operand), 2000, golden_format(bench.config.b))
    await products(bench, a, b, lambda i: f"{a[i]:#x} * {b[i]:#x}")


async def products(bench, a, b, describe):
    operand, factor, product = (
        golden_format(fmt) for fmt in (bench.config.operand, bench.config.b, bench.config.product)
    )
    a, b = (x.astype(np.uint16 if fmt.width == 16 else np.uint32) for x, fmt in ((a, operand), (b, factor)))
    expected = float_multiply(a, b, operand, product, factor)
    await check_rows(bench, pack(a, b, widths=[operand.width, factor.width]), expected, describe)
