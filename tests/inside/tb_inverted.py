# SPDX-License-Identifier: Apache-2.0
"""Bench of ``power_parts.Inverted``."""

from power_parts import ROWS

from zoetrope.sim.inside.bench import bench_test


@bench_test(stalls=("none", "sink"))
async def rows(bench):
    bench.send("i", ROWS)
    bench.compare(await bench.collect("o", len(ROWS)), ROWS ^ 15)
