# SPDX-License-Identifier: Apache-2.0
"""Bench of conversion to floating point: corner and random codes, or integers, of the source."""

import numpy as np

from zoetrope.golden.arith.float_convert import float_convert, integer_convert
from zoetrope.hw.arith.float_convert import Integer
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, integers, normal, random_codes, random_integers
from zoetrope.sim.stimulus.operators import check_rows, golden_format


@bench_test()
async def values(bench):
    c = bench.config
    if isinstance(c.source, Integer):
        codes = random_integers(bench.rng, c.source, 2000)
        expected = integer_convert(integers(codes, c.source), golden_format(c.target))
    else:
        source = golden_format(c.source)
        codes = np.concatenate(
            [np.array(list(corners(source).values()), np.uint64), random_codes(bench.rng, source, 2000)]
        )
        codes = codes if c.subnormals else normal(codes, source)
        expected = float_convert(codes, source, golden_format(c.target))
    await check_rows(bench, pack(codes, widths=[c.source.width]), expected, lambda i: f"{codes[i]:#x}")
