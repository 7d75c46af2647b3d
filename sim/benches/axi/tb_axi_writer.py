# SPDX-License-Identifier: Apache-2.0
"""Bench of the AXI4 writer: commands of every kind, packets too short and too long, errors of the slave, throughput."""

import numpy as np

from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.stimulus.axi import (
    ARENA,
    Write,
    apply,
    labelled_commands,
    random_commands,
    split_w,
    throughput_cases,
    w_rows,
)


@bench_test()
async def commands(bench):
    """The corners in the middle of the address space, refused ones among them."""
    c = bench.config
    base = 5 << (c.address_bits - 4)
    await check(bench, Write(c, bench.rng, labelled_commands(c, base), base), base)


@bench_test()
async def errors(bench):
    """Random commands at the end of the address space, errors of the slave, packets of the wrong length."""
    c = bench.config
    base = (1 << c.address_bits) - ARENA
    cases = random_commands(bench.rng, c, base, 40, longest=2 * c.burst + 1)
    await check(bench, Write(c, bench.rng, cases, base, failing=0.15, misframed=0.25), base)


@bench_test(stalls=("none",))
async def reset_within_a_burst(bench):
    """A reset while bursts are begun and half a packet has come leaves nothing of them."""
    c = bench.config
    case = [("", 0, 2 * c.burst * c.elements)]
    traffic = Write(c, bench.rng, case * 2, 0)
    bench.send("i_command", traffic.i_command)
    bench.send("i_data", traffic.i_data[: c.burst + 1])
    await bench.cycles(c.burst + 8)
    await bench.reset()
    await check(bench, Write(c, bench.rng, case, 0), 0)


@bench_test(stalls=("none",))
async def throughput(bench):
    """Against a slave that takes everything and answers at once: W + 3 cycles from the command to the status."""
    c, unit = bench.config, bench.component
    for address, words in throughput_cases(c):
        await bench.reset()
        await check(bench, Write(c, bench.rng, [("", address, words * c.elements)], 0), 0)
        took = bench.transfers("o_status")[-1] - bench.transfers("i_command")[0]
        if unit.initiation_interval == 1:
            bench.equal(f"cycles of {words} words", took, words + 3)
    await bench.reset()
    await check(bench, Write(c, bench.rng, [("", 4096 * k, c.burst * c.elements) for k in range(2)], 0), 0)
    bench.equal("cycles from a command to AW", int(bench.transfers("o_aw")[0] - bench.transfers("i_command")[0]), 2)
    if unit.initiation_interval == 1:
        gaps = int(bench.transfers("o_w")[-1] - bench.transfers("o_w")[0]) - (2 * c.burst - 1)
        bench.equal("cycles without a word between two commands", gaps, 0)
    await bench.reset()
    period = c.outstanding * c.burst
    await check(bench, Write(c, bench.rng, [("", 0, (2 * period + 1) * c.elements)], 0), 0)
    bench.measure(latency=("i_data", 0, "o_w", 0), interval=("o_w", 0, 2 * period))


async def check(bench, traffic, base):
    """Every AW, W and status, and the memory that these leave."""
    c = bench.config
    for stream in ("i_command", "i_data", "i_b"):
        if len(getattr(traffic, stream)):
            bench.send(stream, getattr(traffic, stream))
    for stream in ("o_status", "o_w", "o_aw"):
        expected = getattr(traffic, stream)
        got = await bench.collect(stream, len(expected), more=stream != "o_aw")
        if stream == "o_w":
            w, got = got, w_rows(*split_w(c, got))
        bench.compare(got, expected, unit=stream[2:], describe=lambda i, s=stream: traffic.names[s][i])
    after = apply(c, traffic.memory, base, traffic.bursts, w)
    if wrong := np.flatnonzero(after != traffic.after).tolist():
        raise BenchError(f"memory: {len(wrong)} bytes differ, the first at {base + wrong[0]:#x}")
