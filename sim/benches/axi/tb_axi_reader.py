# SPDX-License-Identifier: Apache-2.0
"""Bench of the AXI4 reader: commands of every kind, errors of the slave, a memory that answers late, throughput."""

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.axi import ARENA, Read, labelled_commands, last_beats, random_commands, throughput_cases

#: Cycles from AR to R of the memory that answers only when it was asked: what a bench needs to see AR and to answer.
REACTION = 2


@bench_test()
async def commands(bench):
    """The corners in the middle of the address space, refused ones among them."""
    c = bench.config
    base = 5 << (c.address_bits - 4)
    await check(bench, Read(c, bench.rng, labelled_commands(c, base), base))


@bench_test()
async def errors(bench):
    """Random commands at the end of the address space, one beat in thirty with SLVERR or DECERR."""
    c = bench.config
    base = (1 << c.address_bits) - ARENA
    cases = random_commands(bench.rng, c, base, 40, longest=2 * c.burst + 1)
    await check(bench, Read(c, bench.rng, cases, base, failing=0.03))


@bench_test(stalls=("none",))
async def reset_within_a_burst(bench):
    """A reset while bursts are begun and words are in the buffer leaves nothing of them."""
    c = bench.config
    case = [("", 0, 2 * c.burst * c.elements)]
    traffic = Read(c, bench.rng, case * 2, 0)
    bench.send("i_command", traffic.i_command)
    bench.send("i_r", traffic.i_r[: c.burst + 1])
    await bench.cycles(c.burst + 8)
    await bench.reset()
    await check(bench, Read(c, bench.rng, case, 0))


@bench_test(stalls=("none",))
async def throughput(bench):
    """Against words that are there when they are asked for: W + 3 cycles from the command to the last word."""
    c, unit = bench.config, bench.component
    for address, words in throughput_cases(c):
        await bench.reset()
        await check(bench, Read(c, bench.rng, [("", address, words * c.elements)], 0))
        took = bench.transfers("o_data")[-1] - bench.transfers("i_command")[0]
        if unit.initiation_interval == 1:
            bench.equal(f"cycles of {words} words", took, words + 3)
    await bench.reset()
    await check(bench, Read(c, bench.rng, [("", 4096 * k, c.burst * c.elements) for k in range(2)], 0))
    bench.equal("cycles from a command to AR", int(bench.transfers("o_ar")[0] - bench.transfers("i_command")[0]), 2)
    if unit.initiation_interval == 1:
        gaps = int(bench.transfers("o_data")[-1] - bench.transfers("o_data")[0]) - (2 * c.burst - 1)
        bench.equal("cycles without a word between two commands", gaps, 0)
    await bench.reset()
    period = c.outstanding * c.burst
    await check(bench, Read(c, bench.rng, [("", 0, (2 * period + 1) * c.elements)], 0))
    bench.measure(latency=("i_r", 0, "o_data", 0), interval=("o_data", 0, 2 * period))


@bench_test(stalls=("none",))
async def late_memory(bench):
    """Each burst's words come only after its AR: as many cycles more as the memory takes, and once."""
    c, unit = bench.config, bench.component
    words = 6 * c.burst
    traffic = Read(c, bench.rng, [("", 0, words * c.elements)], 0)
    bench.send("i_command", traffic.i_command)
    asked = answered = 0
    beats = [0, *(last_beats(traffic.bursts) + 1).tolist()]
    while answered < len(traffic.bursts):
        await bench.cycles(1)
        asked = len(bench.transfers("o_ar"))
        if asked > answered:
            bench.send("i_r", traffic.i_r[beats[answered] : beats[asked]])
            answered = asked
    await compare(bench, traffic)
    took = bench.transfers("o_data")[-1] - bench.transfers("i_command")[0]
    if (c.outstanding - 1) * c.burst >= unit.round_trip + REACTION:
        bench.equal("cycles", took, words + 3 + REACTION)
    else:
        bench.equal("is slower than the bus", took > words + 3 + REACTION, True)


async def check(bench, traffic):
    bench.send("i_command", traffic.i_command)
    if len(traffic.i_r):
        bench.send("i_r", traffic.i_r)
    await compare(bench, traffic)


async def compare(bench, traffic):
    for stream in ("o_status", "o_data", "o_ar"):
        expected = getattr(traffic, stream)
        got = await bench.collect(stream, len(expected), more=stream != "o_ar")
        bench.compare(got, expected, unit=stream[2:], describe=lambda i, s=stream: traffic.names[s][i])
