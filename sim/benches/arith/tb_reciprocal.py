"""Bench of the reciprocal: corner codes and random ones."""

import numpy as np

from golden.reciprocal import reciprocal
from sim.bench import bench_test
from sim.operators import check_rows, golden_format
from sim.packing import pack
from sim.stimulus import corners, random_codes


@bench_test()
async def values(bench):
    fmt = golden_format(bench.config.fmt)
    codes = np.concatenate([np.array(list(corners(fmt).values()), np.uint64), random_codes(bench.rng, fmt, 3000)])
    await check_rows(bench, pack(codes, widths=[fmt.width]), reciprocal(codes, fmt), lambda i: f"1 / {codes[i]:#x}")
