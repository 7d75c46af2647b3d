# SPDX-License-Identifier: Apache-2.0
"""Bench of the AXI4 master on its pins: the memory is cocotbext-axi's, each of its channels holding up at random.

It checks 4 KiB, WLAST and the number of beats; that valid and payloads stay is checked on the channels as streams, in the
benches of the reader and of the writer.
"""

import logging

import numpy as np
from cocotbext.axi import AxiBus, AxiRam, AxiSlave

from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.stimulus.axi import ARENA, Read, Write, labelled_commands, pauses, random_commands

BASE = 0x1000

#: Cycles that the model of the memory takes from AR to R, and from the last W to B.
ANSWER = 2


@bench_test()
async def reads_and_writes(bench):
    """Both at once, each in an arena of its own; then the bytes of the memory that should have changed, and all others."""
    c = bench.config
    ram = AxiRam(pins(bench), bench.dut.clk, size=4 * ARENA)
    hold_up(bench, ram)
    reads, writes = (labelled_commands(c, base) for base in (BASE, BASE + ARENA))
    reads += random_commands(bench.rng, c, BASE, 12)
    writes += random_commands(bench.rng, c, BASE + ARENA, 12)
    read = Read(c, bench.rng, reads, BASE)
    write = Write(c, bench.rng, writes, BASE + ARENA, misframed=0.1)
    everything = bench.rng.integers(0, 256, 4 * ARENA, dtype=np.uint8)
    everything[BASE : BASE + 2 * ARENA] = np.concatenate([read.memory, write.memory])
    ram.write(0, everything.tobytes())
    await check(bench, read, write)
    everything[BASE + ARENA : BASE + 2 * ARENA] = write.after
    got = np.frombuffer(ram.read(0, 4 * ARENA), np.uint8)
    if wrong := np.flatnonzero(got != everything).tolist():
        raise BenchError(f"memory: {len(wrong)} bytes differ, the first at {wrong[0]:#x}")


@bench_test(stalls=("none", "both"))
async def failing_slave(bench):
    """A slave without memory in one page: the commands that touch it end with SLVERR, those around them are right."""
    c = bench.config
    target = Holed(bench.rng.integers(0, 256, 4 * ARENA, dtype=np.uint8), range(BASE + 4096, BASE + 8192))
    hold_up(bench, AxiSlave(pins(bench), bench.dut.clk, target=target))
    cases, causes = [], []
    for page in (0, 1, 2, 1, 3):
        for words in (1, 2 * c.burst):
            cases.append((f"{words} words of page {page}", BASE + 4096 * page, words * c.elements))
            causes.append(4 if page == 1 else 0)
    read = Read(c, bench.rng, cases, BASE)
    write = Write(c, bench.rng, cases, BASE)
    read.statuses[:] = write.statuses[:] = causes
    send(bench, read, write)
    for stream, expected in (("o_read_status", read.statuses), ("o_write_status", write.statuses)):
        got = await bench.collect(stream, len(cases), more=True)
        bench.compare(got, expected, unit="statuses", describe=lambda i: cases[i][0])
    await bench.collect("o_read_data", len(read.o_data))


@bench_test(stalls=("none",))
async def throughput(bench):
    """A memory that takes and gives a word a cycle is kept at that, both ways at once."""
    c = bench.config
    ram = AxiRam(pins(bench), bench.dut.clk, size=4 * ARENA)
    words = min(8 * c.burst, ARENA // c.word_bytes)
    read = Read(c, bench.rng, [("", 0, words * c.elements)], 0)
    write = Write(c, bench.rng, [("", ARENA, words * c.elements)], ARENA)
    ram.write(0, read.memory.tobytes())
    await check(bench, read, write)
    if (c.outstanding - 1) * c.burst >= 3 + ANSWER:
        bench.measure(interval="o_read_data")
        for way in ("read_data", "write_status"):
            took = bench.transfers(f"o_{way}")[-1] - bench.transfers(f"i_{way.partition('_')[0]}_command")[0]
            bench.equal(f"cycles from the command to {way}", int(took), words + 3 + ANSWER)


class Holed:
    """A memory that fails where it has none."""

    def __init__(self, data, hole):
        self._data, self._hole = data, hole

    async def read(self, address, length):
        if address in self._hole:
            raise ValueError("no memory here")
        return self._data[address : address + length].tobytes()

    async def write(self, address, data):
        if address in self._hole:
            raise ValueError("no memory here")


def pins(bench):
    """The bus of the model, which would log every burst."""
    logging.getLogger(f"cocotb.{bench.dut._name}").setLevel(logging.WARNING)
    return AxiBus.from_prefix(bench.dut, "m_axi")


def hold_up(bench, slave):
    """The bench's stall pattern on the pins: ``sink`` for what the slave takes, ``source`` for what it gives."""
    seeds = iter(bench.rng.integers(0, 1 << 32, 5))  # drawn under every pattern, so that the rest is the same
    for side, channels in (
        ("sink", (slave.write_if.aw_channel, slave.write_if.w_channel, slave.read_if.ar_channel)),
        ("source", (slave.write_if.b_channel, slave.read_if.r_channel)),
    ):
        for channel in channels:
            rng = np.random.default_rng(next(seeds))
            if bench.stall in (side, "both"):
                channel.set_pause_generator(pauses(rng))


def send(bench, read, write):
    bench.send("i_read_command", read.i_command)
    bench.send("i_write_command", write.i_command)
    bench.send("i_write_data", write.i_data)


async def check(bench, read, write):
    send(bench, read, write)
    for stream, traffic, name in (
        ("o_read_status", read, "o_status"),
        ("o_read_data", read, "o_data"),
        ("o_write_status", write, "o_status"),
    ):
        expected, names = getattr(traffic, name), traffic.names[name]
        got = await bench.collect(stream, len(expected), more=stream != "o_write_status")
        bench.compare(got, expected, unit=stream[2:], describe=lambda i, names=names: names[i])
