# SPDX-License-Identifier: Apache-2.0
"""Bench of the slice generator: every slice, and a few in an odd order, equal to
``golden.pe.lut_multiplier.product_table``.
"""

import numpy as np

from zoetrope.sim.benches.pe.tb_lut_buffer import check_slices
from zoetrope.sim.inside.bench import bench_test


@bench_test()
async def slices(bench):
    """Random slices, the first and the last of the table, and the same slice twice in a row."""
    fractions = np.concatenate([[0, 1023, 1023, 1], bench.rng.integers(0, 1024, 60)])
    await check_slices(bench, fractions)


@bench_test(stalls=("none",))
async def table(bench):
    """Every entry that the generator makes."""
    await check_slices(bench, np.arange(1024))
