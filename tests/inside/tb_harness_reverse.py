# SPDX-License-Identifier: Apache-2.0
"""Bench of the combinational ``Reverse``."""

import numpy as np

from zoetrope.sim.inside.bench import bench_test


@bench_test(stalls=("none",))
async def lanes(bench):
    rows = bench.rng.integers(0, 1 << 16, (51, bench.config.lanes), dtype=np.uint16)
    rows[-1] = 0x1234
    got = []
    for row in rows:
        bench.set("i", int.from_bytes(row.tobytes(), "little"))
        await bench.cycles(1)
        got.append(np.frombuffer(bench.get("o").to_bytes(rows.shape[1] * 2, "little"), np.uint16))
    bench.compare(np.array(got), rows[:, ::-1], unit="rows")
