# SPDX-License-Identifier: Apache-2.0
"""Bench of floating-point addition: every pair of corner codes, then random ones."""

import numpy as np

from zoetrope.golden import formats
from zoetrope.golden.arith.float_add import float_add
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corner_pairs, random_pairs, running_sums
from zoetrope.sim.stimulus.operators import check_rows


@bench_test()
async def pairs(bench):
    c = bench.config
    a, b = getattr(formats, c.a.name), getattr(formats, c.b.name)
    corners = np.stack(corner_pairs(a, b)[:2], axis=1)
    operands = np.concatenate([corners, np.stack(random_pairs(bench.rng, a, 2000, b), axis=1)])
    if not c.subnormals:
        operands = running_sums(operands, a, b)
    x, y = operands.T
    rows = pack(x, y, widths=[a.width, b.width])
    await check_rows(bench, rows, float_add(x, y, a, b), describe=lambda i: f"{x[i]:#x} + {y[i]:#x}")
