# SPDX-License-Identifier: Apache-2.0
"""Bench of the reciprocal: corner codes and random ones."""

import numpy as np

from zoetrope.golden.arith.reciprocal import reciprocal
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes
from zoetrope.sim.stimulus.operators import check_rows, golden_format


@bench_test()
async def values(bench):
    fmt = golden_format(bench.config.fmt)
    codes = np.concatenate([np.array(list(corners(fmt).values()), np.uint64), random_codes(bench.rng, fmt, 3000)])
    await check_rows(bench, pack(codes, widths=[fmt.width]), reciprocal(codes, fmt), lambda i: f"1 / {codes[i]:#x}")
