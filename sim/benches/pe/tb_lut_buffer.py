# SPDX-License-Identifier: Apache-2.0
"""Bench of the LUT buffer: the generated table, slice by slice, equal to ``golden.pe.lut_multiplier.product_table``."""

import numpy as np

from zoetrope.golden.pe.lut_multiplier import product_table
from zoetrope.sim.inside.bench import bench_test


@bench_test()
async def slices(bench):
    """Random slices, the first and the last of the table, and the same slice twice in a row."""
    fractions = np.concatenate([[0, 1023, 1023, 1], bench.rng.integers(0, 1024, 60)])
    await bench.until("filled")
    await check_slices(bench, fractions)


@bench_test(stalls=("none",))
async def table(bench):
    """Every entry that the generator wrote."""
    await bench.until("filled")
    await check_slices(bench, np.arange(1024))


async def check_slices(bench, fractions):
    c = bench.config
    expected = product_table(c.reading)[fractions].reshape(len(fractions) * c.beats, c.copy_width)
    bench.send("i", fractions)
    got = await bench.collect("o", len(expected))
    bench.compare(got, expected, unit="rows", describe=lambda i: f"slice {fractions[i // c.beats]}, row {i % c.beats}")
    bench.measure(latency=("i", 0, "o", 0), interval=("o", 0, c.beats * len(fractions) - 1))
