# SPDX-License-Identifier: Apache-2.0
"""Bench of ``power_parts.Store``: a hundred words written, and read twice."""

import numpy as np

from zoetrope.sim.inside.bench import bench_test


@bench_test(stalls=("none",))
async def words(bench):
    addresses = np.arange(100)
    values = addresses * 641 % 65536
    bench.send("i", values | addresses << 16 | 1 << 23)
    bench.send("i", np.tile(addresses << 16, 2))
    bench.compare(await bench.collect("o", 200), np.tile(values, 2).astype(np.uint16))
