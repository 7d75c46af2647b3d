# SPDX-License-Identifier: Apache-2.0
"""Bench of the register file on its pins: cocotbext-axi's master and the driver, register by register."""

import numpy as np
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from zoetrope.golden.axi.registers import OKAY, RegisterFile
from zoetrope.hw.axi.registers import describe
from zoetrope.sim.host.driver import AsyncDriver
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.axi import pauses


@bench_test(stalls=("none", "both"))
async def words(bench):
    """Random words and bytes of words to every register, and what is read of each."""
    master = master_of(bench)
    c = bench.config
    file = RegisterFile(describe(c.registers))
    got, expected, names = [], [], []
    for r in c.registers * 4:
        if all(f.access == "ro" for f in r.fields):
            continue
        first, size = sorted(bench.rng.choice(5, 2, replace=False).tolist())
        size -= first
        data = bench.rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        response = (await master.write(r.offset + first, data)).resp
        word = int.from_bytes(data, "little") << 8 * first
        strobes = ((1 << size) - 1) << first
        got.append((int(response), int.from_bytes((await master.read(r.offset, 4)).data, "little")))
        expected.append((file.write(r.offset, word, strobes), file.read(r.offset)[0]))
        names.append(r.name)
    bench.compare(np.array(got, np.uint64), np.array(expected, np.uint64), unit="words", describe=lambda i: names[i])
    unmapped = max(r.offset for r in c.registers) + 4
    bench.equal("response of no register", int((await master.read(unmapped, 4)).resp), file.read(unmapped)[1])
    bench.equal("response of no register", int((await master.write(unmapped, bytes(4))).resp), file.write(unmapped, 0))


@bench_test(stalls=("none", "both"))
async def driver(bench):
    """Fields by name: each is written alone, those beside it stay."""
    master = master_of(bench)
    description = describe(bench.config.registers)
    names = AsyncDriver(description, Transport(bench, master))
    values = {
        f"{name}.{field}": f["reset"]
        for name, r in description.items()
        for field, f in r["fields"].items()
        if f["access"] == "rw"
    }
    widths = {f"{name}.{field}": f["width"] for name, r in description.items() for field, f in r["fields"].items()}
    got, expected = [], []
    for name in bench.rng.permutation(list(values) * 3).tolist():
        values[name] = int(bench.rng.integers(0, 1 << widths[name]))
        await names.write(name, values[name])
        got.append([await names.read(other) for other in values])
        expected.append(list(values.values()))
    bench.compare(np.array(got, np.uint64), np.array(expected, np.uint64), unit="fields")


def master_of(bench):
    """The bus, each of its channels holding up at random under stalls."""
    master = AxiLiteMaster(AxiLiteBus.from_prefix(bench.dut, "s_axil"), bench.dut.clk)
    write, read = master.write_if, master.read_if
    channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
    for channel, seed in zip(channels, bench.rng.integers(0, 1 << 32, len(channels))):
        if bench.stall == "both":
            channel.set_pause_generator(pauses(np.random.default_rng(seed)))
    return master


class Transport:
    """The master as the driver wants it."""

    def __init__(self, bench, master):
        self._bench, self._master = bench, master

    async def read(self, address):
        answer = await self._master.read(address, 4)
        self._bench.equal(f"response to a read of {address:#x}", int(answer.resp), OKAY)
        return int.from_bytes(answer.data, "little")

    async def write(self, address, value):
        answer = await self._master.write(address, value.to_bytes(4, "little"))
        self._bench.equal(f"response to a write to {address:#x}", int(answer.resp), OKAY)
