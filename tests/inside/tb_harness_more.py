# SPDX-License-Identifier: Apache-2.0
"""Benches of the right adder that use the rest of the bench's interface and hold."""

import numpy as np
from tb_harness_parts import operands

from zoetrope.sim.inside.bench import bench_test


@bench_test(stalls=("none", "both"), size=[1, 7])
async def in_parts(bench, size):
    """Collected in two parts, sent in two, by rows and by integers, with a reset in between."""
    pairs, expected = operands(bench, 2 * size)
    codes = [int(a) | int(b) << 16 for a, b in pairs]
    bench.send("i", pairs[:size])
    bench.send("i", codes[size:])
    got = [await bench.collect("o", size, more=True), await bench.collect("o", size)]
    bench.compare(np.concatenate(got), expected)
    assert np.all(np.diff(bench.transfers("o")) > 0)
    bench.send("i", pairs)
    await bench.cycles(20)
    await bench.reset()
    bench.equal("operands after reset", (bench.get("count"), len(bench.transfers("i"))), (0, 0))
    bench.send("i", pairs)
    bench.compare(await bench.collect("o", 2 * size), expected)


@bench_test(stalls=("none",))
async def waits_for_a_port(bench):
    pairs, expected = operands(bench, 1)
    bench.send("i", pairs)
    await bench.until("count")
    assert bench.cycle < 10
    bench.compare(await bench.collect("o", 1), expected)


@bench_test(stalls=("none",))
async def harness_tensors(bench):
    """Takes its operands from the run's tensors, and drops what it does not want."""
    pairs = bench.tensors["pairs"]
    bench.send("i", pairs)
    bench.compare(await bench.collect("o", 5, more=True), pairs[:5].sum(axis=1, dtype=np.uint16))
    bench.abandon("o")
    bench.measure(busy=len(pairs), latency=("i", 4, "o", 4))
