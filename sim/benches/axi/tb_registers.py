# SPDX-License-Identifier: Apache-2.0
"""Bench of the register file: random traffic on all registers and beside them, AW and W in any order, the fields' ports."""

import numpy as np

from zoetrope.golden.axi.registers import SLVERR, RegisterFile
from zoetrope.hw.axi.registers import WORD_BYTES, describe
from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.packing import pack


@bench_test()
async def traffic(bench):
    """Rounds of many writes, of what hardware sets, and of many reads; every field's port after each."""
    model = Model(bench)
    for _ in range(6):
        await model.drive()
        addresses = some_addresses(bench, 12)
        data = bench.rng.integers(0, 1 << 32, len(addresses))
        strobes = np.where(bench.rng.random(len(addresses)) < 0.5, 15, bench.rng.integers(0, 16, len(addresses)))
        await model.write(addresses, data, strobes)
        model.compare_ports()
        await model.read(some_addresses(bench, 12))


@bench_test(stalls=("none",))
async def either_first(bench):
    """A write happens when both AW and W are there, however late the second comes."""
    model = Model(bench)
    address, width = first_field(bench.config, "rw")
    for first, second in (("i_aw", "i_w"), ("i_w", "i_aw")):
        value = int(bench.rng.integers(0, 1 << min(width, 31)))
        rows = model.write_rows([address], [value], [15])
        bench.send(first, rows[first])
        await bench.cycles(20)
        bench.equal("responses before the write", len(bench.transfers("o_b")), model.answered)
        bench.send(second, rows[second])
        await model.answers([(address, value, 15)])
        model.compare_ports()
        await model.read([address])


@bench_test(stalls=("none",))
async def pulses(bench):
    """Each pulse is there for one cycle for each write of 1, and for no other write."""
    model = Model(bench)
    for name, register in describe(bench.config.registers).items():
        for field, f in register["fields"].items():
            if f["access"] != "pulse":
                continue
            port = model.ports[name, field]
            for value, expected in ((1 << f["bit"], [1]), (0, []), (1 << f["bit"], [1])):
                rows = model.write_rows([register["offset"]], [value], [15])
                bench.send("i_aw", rows["i_aw"])
                bench.send("i_w", rows["i_w"])
                seen = []
                for _ in range(10):
                    await bench.cycles(1)
                    seen.append(bench.get(port))
                bench.equal(f"cycles of {port}", [value for value in seen if value], expected)
                await model.answers([(register["offset"], value, 15)])
    await model.read(some_addresses(bench, 4))


@bench_test(stalls=("none",))
async def set_and_clear_at_once(bench):
    """What hardware sets while software clears stays set."""
    model = Model(bench)
    for (name, field), port in model.ports.items():
        if model.access[name, field] != "w1c":
            continue
        offset = describe(bench.config.registers)[name]["offset"]
        bench.set(f"{port}_set", 1)
        await bench.cycles(2)
        await model.write([offset], [0xFFFFFFFF], [15])
        bench.set(f"{port}_set", 0)
        await bench.cycles(2)
        model.file.set(name, field, 1)
        await model.read([offset])
        await model.write([offset], [0xFFFFFFFF], [15])
        await model.read([offset])
        model.compare_ports()
    await model.read(some_addresses(bench, 4))


@bench_test(stalls=("none",))
async def throughput(bench):
    model = Model(bench)
    address, _ = first_field(bench.config, "rw")
    await model.write([address] * 9, range(9), [15] * 9)
    writes = bench.transfers("o_b")
    bench.equal("cycles from AW to B", int(writes[0] - bench.transfers("i_aw")[0]), 2)
    bench.equal("cycles from write to write", int(writes[-1] - writes[0]), 2 * 8)
    await model.read([address] * 9)
    bench.measure(latency=("i_ar", 0, "o_r", 0), interval="o_r")


class Model:
    """The golden beside the block: the same writes and reads, and the ports of its fields."""

    def __init__(self, bench):
        self._bench = bench
        self.file = RegisterFile(describe(bench.config.registers))
        self.ports = {(r.name, f.name): r.port(f) for r in bench.config.registers for f in r.fields}
        self.access = {(r.name, f.name): f.access for r in bench.config.registers for f in r.fields}
        self._widths = {(r.name, f.name): f.width for r in bench.config.registers for f in r.fields}
        self.answered = 0
        for key, access in self.access.items():
            if access == "ro":
                self.file.values[key] = 0

    async def drive(self):
        """What hardware has to say: ``ro`` fields change for good, random bits of ``w1c`` fields are set once."""
        bench = self._bench
        values = {key: int(bench.rng.integers(0, 1 << width)) for key, width in self._widths.items()}
        for key, access in self.access.items():
            if access == "ro":
                bench.set(self.ports[key], values[key])
                self.file.values[key] = values[key]
            elif access == "w1c":
                bench.set(f"{self.ports[key]}_set", values[key])
                self.file.set(*key, values[key])
        await bench.cycles(1)
        for key in [key for key, access in self.access.items() if access == "w1c"]:
            bench.set(f"{self.ports[key]}_set", 0)
        await bench.cycles(2)

    async def write(self, addresses, data, strobes):
        rows = self.write_rows(addresses, data, strobes)
        self._bench.send("i_aw", rows["i_aw"])
        self._bench.send("i_w", rows["i_w"])
        await self.answers(list(zip(addresses, data, strobes)))

    def write_rows(self, addresses, data, strobes):
        aw = pack(np.array(addresses), widths=[self._bench.config.address_bits])
        return {"i_aw": aw, "i_w": pack(np.array(data), np.array(strobes), widths=[32, 4])}

    async def answers(self, writes):
        """The responses of writes that were sent, each (address, data, strobes)."""
        got = await self._bench.collect("o_b", len(writes))
        expected = [self.file.write(int(a), int(d), int(s)) for a, d, s in writes]
        self.answered += len(writes)
        self._bench.compare(got, np.array(expected, np.uint8), unit="responses", describe=lambda i: hex(writes[i][0]))

    async def read(self, addresses):
        self._bench.send("i_ar", pack(np.array(addresses), widths=[self._bench.config.address_bits]))
        got = await self._bench.collect("o_r", len(addresses))
        data, responses = zip(*(self.file.read(int(address)) for address in addresses))
        expected = pack(np.array(data, np.uint64), np.array(responses), widths=[32, 2])
        self._bench.compare(got, expected, unit="reads", describe=lambda i: hex(addresses[i]))

    def compare_ports(self):
        for key, port in self.ports.items():
            if self.access[key] in ("rw", "w1c") and self._bench.get(port) != self.file.values[key]:
                raise BenchError(f"{port}: {self._bench.get(port):#x}, expected {self.file.values[key]:#x}")


def some_addresses(bench, count):
    """Of registers, mostly, with any low bits, and of none."""
    c = bench.config
    used = [r.offset for r in c.registers]
    file = RegisterFile(describe(c.registers))
    unused = [a for a in range(0, 1 << min(c.address_bits, 12), WORD_BYTES) if file.read(a)[1] == SLVERR] or used
    pick = np.where(bench.rng.random(count) < 0.8, bench.rng.choice(used, count), bench.rng.choice(unused, count))
    return (pick + bench.rng.integers(0, WORD_BYTES, count)).tolist()


def first_field(c, access):
    """(address, width) of the first field of an access."""
    return next((r.offset, f.width) for r in c.registers for f in r.fields if f.access == access)
