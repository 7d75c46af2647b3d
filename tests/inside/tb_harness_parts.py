# SPDX-License-Identifier: Apache-2.0
"""Benches of the small components in ``harness_parts``; run inside the simulator."""

import numpy as np

from zoetrope.sim.inside.bench import Bench, bench_test


def operands(bench, count):
    """Pairs to add, and their sums."""
    pairs = bench.rng.integers(0, 1 << 16, (count, 2), dtype=np.uint16)
    return pairs, pairs[:, 0] + pairs[:, 1]


@bench_test()
async def sums(bench: Bench):
    bench.set("bug", bench.config.code)
    pairs, expected = operands(bench, 100)
    bench.send("i", pairs)
    got = await bench.collect("o", len(expected))
    bench.compare(got, expected, unit="sums", describe=lambda i: f"{pairs[i, 0]} + {pairs[i, 1]}")
    bench.measure(latency=("i", 0, "o", 0), interval="o")
    bench.equal("operands taken", bench.get("count"), len(pairs))
