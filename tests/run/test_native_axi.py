# SPDX-License-Identifier: Apache-2.0
"""The native memory and register master: answers, latency, errors, pauses, and every breach of the protocol found."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from simcore_parts import Copier, CopierConfig

from zoetrope.hw.axi.channels import lite_pins, master_pins
from zoetrope.sim.run.native import Native, NativeError
from zoetrope.sim.run.native_axi import AxiMemory, BusError, Lite

_BASE = 0x1000


class Wires(wiring.Component):
    """The pins of a master and of a slave without either: ``x_arvalid`` is what ``m_axi_arvalid`` shows, and so on."""

    def __init__(self, *, config):
        self.config = config
        pins = master_pins("m_axi", 16, 32) | lite_pins("s_axi", 12, 32)
        self.outputs = [name for name, member in pins.items() if member.flow == Out]
        super().__init__(pins | {f"x_{name}": In(pins[name].shape) for name in self.outputs})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [getattr(self, name).eq(getattr(self, f"x_{name}")) for name in self.outputs]
        return m


@pytest.fixture(scope="module")
def wires():
    return Native.build(Wires(config=None), "wires")


class Master:
    """A memory on the wires, and hands on the pins."""

    def __init__(self, native, size=256, **options):
        self.native = native
        for name in native._ports:
            if name.startswith("x_"):
                native.set(name, 0)
        self.memory = AxiMemory(native, size, base=_BASE, **options)
        self.memory.data[:] = np.arange(size)
        self.set(arsize=2, arburst=1, awsize=2, awburst=1)

    def set(self, **pins):
        for name, value in pins.items():
            self.native.set(f"x_m_axi_{name}", value)

    def get(self, name):
        return self.native.get(f"m_axi_{name}")

    def cycles(self, count=1):
        return self.memory.run(limit=count)

    def ask(self, address, beats=1):
        self.set(araddr=address, arlen=beats - 1, arvalid=1)
        self.cycles()
        self.set(arvalid=0)

    def words(self, beats, limit=2000):
        """(data, resp, last) of each word, and the cycle in which it came, from the one behind that of AR on."""
        self.set(rready=1)
        found = []
        for cycle in range(limit):
            self.cycles()
            if self.get("rvalid"):
                found.append((self.get("rdata"), self.get("rresp"), self.get("rlast"), cycle))
            if len(found) == beats:
                return found
        raise AssertionError(f"{len(found)} of {beats} words")

    def give(self, address, words, strobes=0xF, last=None):
        self.set(awaddr=address, awlen=len(words) - 1, awvalid=1)
        self.cycles()
        self.set(awvalid=0, wvalid=1, wstrb=strobes)
        for k, word in enumerate(words):
            self.set(wdata=word, wlast=k == (len(words) - 1 if last is None else last))
            self.cycles()
        self.set(wvalid=0)


def word(at):
    return int.from_bytes(bytes((at + k) % 256 for k in range(4)), "little")


@pytest.mark.parametrize("latency", [1, 2, 7])
def test_words_come_in_order_after_the_latency(wires, latency):
    master = Master(wires, latency=latency)
    master.ask(_BASE + 8, 3)
    # `words` sees the pins behind the edge: a word shown at `cycle` was driven in that cycle.
    found = master.words(3)
    assert [w[:3] for w in found] == [(word(8), 0, 0), (word(12), 0, 0), (word(16), 0, 1)]
    assert [w[3] for w in found] == [latency - 1, latency, latency + 1]
    assert master.memory.counts["words_read"] == 3 and master.memory.counts["bursts_read"] == 1


def test_writes_by_strobe_and_their_response(wires):
    master = Master(wires, latency=3)
    master.give(_BASE + 4, [0xAABBCCDD, 0x11223344], strobes=0b0110)
    assert master.memory.read(_BASE + 4, 8) == bytes([4, 0xCC, 0xBB, 7, 8, 0x33, 0x22, 11])
    waited = 0
    while not master.get("bvalid"):
        master.cycles()
        waited += 1
    assert waited == 3 and master.get("bresp") == 0
    assert master.memory.counts["words_written"] == 2


def test_places_without_memory_and_places_that_fail(wires):
    master = Master(wires)
    master.memory.fail(reads=range(_BASE + 8, _BASE + 12), writes=range(_BASE + 16, _BASE + 20))
    master.ask(_BASE + 4, 3)
    assert [w[:2] for w in master.words(3)] == [(word(4), 0), (0, 2), (word(12), 0)]
    master.set(rready=0)
    for address, response in ((_BASE + 12, 2), (_BASE + 256, 3), (_BASE - 4, 3), (_BASE + 20, 0)):
        before = master.memory.data.copy()
        master.give(address, [0x55555555] * (2 if response == 2 else 1))
        master.set(bready=1)
        while not master.get("bvalid"):
            master.cycles()
        assert master.get("bresp") == response
        master.cycles()
        changed = np.flatnonzero(before != master.memory.data)
        assert len(changed) == {0: 4, 2: 4, 3: 0}[response] and not set(changed) & set(range(16, 20))
        master.set(bready=0)


def test_pauses_change_when_and_not_what(wires):
    spans = []
    for seed in (None, 1, 2):
        master = Master(wires, seed=seed)
        master.set(araddr=_BASE, arlen=31, arvalid=1)
        while not master.memory.counts["bursts_read"]:
            master.cycles()
        master.set(arvalid=0)
        found = master.words(32)
        assert [w[0] for w in found] == [word(4 * k) for k in range(32)]
        spans.append(found[-1][3] - found[0][3])
    assert spans[0] == 31 and len(set(spans)) == 3


def test_every_breach_of_the_protocol_is_found(wires):
    def breach(act, message, size=8192, **options):
        master = Master(wires, size=size, bursts=1, **options)
        with pytest.raises(NativeError, match=message):
            act(master)
            master.cycles(4)

    def fall(master):
        master.ask(_BASE)  # there is room for one
        master.set(arvalid=1)
        master.cycles()
        master.set(arvalid=0)

    def change(master):
        master.ask(_BASE)
        master.set(arvalid=1)
        master.cycles()
        master.set(araddr=_BASE + 4)

    breach(fall, "AR: valid fell before the transfer, at cycle 2")
    breach(change, "AR: the payload changed while valid and not ready, at cycle 2")
    breach(lambda m: m.ask(_BASE + 4092, 2), "AR: a burst crosses 4 KiB, at cycle 0")
    breach(lambda m: m.give(_BASE + 4092, [1, 2]), "AW: a burst crosses 4 KiB")
    breach(lambda m: (m.set(arsize=1), m.ask(_BASE)), "AR: a burst that is no INCR of whole words")
    breach(lambda m: (m.set(arburst=0), m.ask(_BASE)), "AR: a burst that is no INCR of whole words")
    breach(lambda m: m.ask(_BASE + 2), "AR: a burst that begins within a word")
    breach(lambda m: m.give(_BASE, [1, 2, 3], last=1), "W: WLAST is not with the last beat")
    breach(lambda m: m.give(_BASE, [1, 2, 3], last=3), "W: WLAST is not with the last beat")
    Master(wires, bursts=1).ask(_BASE + 4, 2)


def test_impossible_memories_and_places_are_refused(wires):
    for options, message in (
        ({"size": 6}, "size and base must be multiples of a word of 4 bytes, not 6"),
        ({"size": 0}, "size must be at least 4, not 0"),
        ({"size": 8, "latency": 0}, "latency must be at least 1, not 0"),
        ({"size": 8, "bursts": 0}, "bursts must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            AxiMemory(wires, **options)
    with pytest.raises(ValueError, match="the memory has 256 bytes from 0x1000 on, not 2 from 0x10ff on"):
        Master(wires).memory.read(_BASE + 255, 2)
    with pytest.raises(ValueError, match="there is no port 'm_axis_awaddr'"):
        AxiMemory(wires, 8, prefix="m_axis")


def test_a_register_that_does_not_answer(wires):
    with pytest.raises(BusError, match="read of register 0x4: no response within 10 cycles"):
        Lite(wires, limit=10).read(4)


def test_registers():
    native = Native.build(Copier(config=CopierConfig()), "copier")
    registers = Lite(native)
    registers.write(0x040, 0x12345678)
    assert registers.read(0x040) == 0x12345678
    with pytest.raises(BusError, match="write to register 0x400: SLVERR"):
        registers.write(0x400, 1)
    with pytest.raises(BusError, match="read of register 0x400: SLVERR"):
        registers.read(0x400)
    with pytest.raises(NativeError, match="irq is still 0 after 10 cycles"):
        AxiMemory(native, 64).run(until="irq", limit=10)


def test_a_run_tells_how_far_it_is(wires):
    """And goes on as if nobody had been told."""
    told = []
    memory = Master(wires).memory
    before = memory.counts["cycles"]
    assert memory.run(limit=(1 << 17) + 5, told=told.append) == (1 << 17) + 5 == memory.counts["cycles"] - before
    assert told == [1 << 16, 1 << 17, (1 << 17) + 5]
    assert memory.run(limit=0, told=told.append) == 0 and len(told) == 3
