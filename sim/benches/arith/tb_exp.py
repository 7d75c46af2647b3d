# SPDX-License-Identifier: Apache-2.0
"""Bench of the exponential: corner codes, random codes, and random arguments of a softmax."""

import numpy as np

from zoetrope.golden.arith.exp import exp
from zoetrope.golden.formats import FP16, fp16, fp32
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes
from zoetrope.sim.stimulus.operators import check_rows, golden_format


@bench_test()
async def values(bench):
    source, target = golden_format(bench.config.source), golden_format(bench.config.target)
    encode = fp16 if source == FP16 else fp32
    scores = encode(-bench.rng.exponential(6.0, 2000))
    codes = np.concatenate([list(corners(source).values()), random_codes(bench.rng, source, 1000), scores])
    codes = codes.astype(np.uint64)
    expected = exp(codes, source, target)
    await check_rows(bench, pack(codes, widths=[source.width]), expected, lambda i: f"exp({codes[i]:#x})")
