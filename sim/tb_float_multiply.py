"""Bench of floating-point multiplication: every pair of corner codes, then random ones."""

import numpy as np

from golden.float_multiply import float_multiply
from sim.bench import bench_test
from sim.operators import check_rows, golden_format
from sim.packing import pack
from sim.stimulus import corner_pairs, random_pairs


@bench_test()
async def corners(bench):
    a, b, names = corner_pairs(golden_format(bench.config.operand))
    await products(bench, a, b, names.__getitem__)


@bench_test()
async def random(bench):
    a, b = random_pairs(bench.rng, golden_format(bench.config.operand), 2000)
    await products(bench, a, b, lambda i: f"{a[i]:#x} * {b[i]:#x}")


async def products(bench, a, b, describe):
    operand, product = golden_format(bench.config.operand), golden_format(bench.config.product)
    code = np.uint16 if operand.width == 16 else np.uint32
    expected = float_multiply(a.astype(code), b.astype(code), operand, product)
    await check_rows(bench, pack(a, b, widths=[operand.width] * 2), expected, describe)
