# SPDX-License-Identifier: Apache-2.0
"""The on-chip memory: golden by the rules of AXI, benches, and the masters of this library on it."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from benches import vectors

from zoetrope.golden.axi import axi_ram
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.axi.axi_ram import AxiRam, AxiRamConfig
from zoetrope.hw.axi.axi_reader import AxiReader
from zoetrope.hw.axi.axi_writer import AxiWriter
from zoetrope.hw.catalogue import find
from zoetrope.hw.emit import emit_once
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.axi import command_rows, data_rows


@pytest.mark.parametrize("preset", find("axi_ram").presets)
def test_rtl(preset):
    assert vectors("axi_ram", preset) > 100


def test_golden_byte_by_byte():
    """Against the rules, applied to one byte after the other."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        word = int(rng.choice([4, 16, 64]))
        memory = rng.integers(0, 256, word * int(rng.integers(1, 200)), dtype=np.uint8)
        address, count = int(rng.integers(0, 2 * len(memory))), int(rng.integers(1, 40))
        words, strobes = rng.integers(0, 256, (count, word), dtype=np.uint8), rng.random((count, word)) < 0.5
        got, responses = axi_ram.read(memory, address, count, word)
        after, response = axi_ram.write(memory, address, words, strobes, word)
        wanted, expected = memory.copy(), []
        start = address // word * word
        crosses = len({(start + k * word) // 4096 for k in range(count)}) > 1
        for k in range(count):
            place = start + k * word
            expected.append(2 if crosses else 0 if place < len(memory) else 3)
            for lane in range(word):
                here = expected[-1] == 0
                assert got[k, lane] == (memory[place + lane] if here else 0)
                if here and strobes[k, lane]:
                    wanted[place + lane] = words[k, lane]
        assert responses.tolist() == expected and response == max(expected)
        np.testing.assert_array_equal(after, wanted)


@dataclass(frozen=True)
class JoinedConfig:
    bus: AxiConfig
    memory: AxiRamConfig


class Joined(wiring.Component):
    """Reader, writer and memory, without a pin between them."""

    def __init__(self, *, config):
        self.config = config
        self._parts = {"read": AxiReader(config=config.bus), "write": AxiWriter(config=config.bus)}
        names = {"read": ("i_command", "o_data", "o_status"), "write": ("i_command", "i_data", "o_status")}
        self._streams = {f"{n[:2]}{way}{n[1:]}": (way, n) for way, all_names in names.items() for n in all_names}
        super().__init__({name: self._parts[way].signature.members[n] for name, (way, n) in self._streams.items()})

    def elaborate(self, platform):
        m = Module()
        ram = AxiRam(config=self.config.memory)
        m.submodules.ram = emit_once(ram)
        for way, part in self._parts.items():
            m.submodules[way] = emit_once(part)
        for name, (way, inner) in self._streams.items():
            connect(m, flipped(getattr(self, name)), getattr(self._parts[way], inner))
        reader, writer = self._parts["read"], self._parts["write"]
        for source, sink in ((reader.o_ar, ram.i_ar), (ram.o_r, reader.i_r), (writer.o_aw, ram.i_aw)):
            connect(m, source, sink)
        connect(m, writer.o_w, ram.i_w)
        connect(m, ram.o_b, writer.i_b)
        return m


def test_masters_of_this_library_on_it():
    """Thousands of words out and back; a word a cycle, as both say; a command beyond the memory ends with DECERR."""
    bus = AxiConfig(data_bits=32, granularity=1, burst=8, outstanding=3)
    config = JoinedConfig(bus, AxiRamConfig(data_bits=32, depth=2500))
    native = Native.build(Joined(config=config), "joined")
    rng = np.random.default_rng(2)
    memory = rng.integers(0, 256, config.memory.size, dtype=np.uint8)
    everything = [("", 0, config.memory.size)]
    packet = data_rows(memory.reshape(-1, 4), np.arange(2500) == 2499)
    write = {"i_write_command": command_rows(bus, everything), "i_write_data": packet}
    got, cycles, _ = native.streams(write, {"o_write_status": 1})
    assert got["o_write_status"].ravel().tolist() == [0]
    # The first W waits a cycle for its AW, and B comes one behind the last W.
    assert cycles["o_write_status"][0] - cycles["i_write_command"][0] == 2500 + 3 + 1 + 1

    starts = (4 * rng.integers(0, 2400, 200)).tolist()
    cases = [("", start, int(rng.integers(1, min(300, config.memory.size - start)))) for start in starts]
    words = [-(-length // 4) for _, _, length in cases]
    read = {"i_read_command": command_rows(bus, cases)}
    got, cycles, _ = native.streams(read, {"o_read_data": sum(words), "o_read_status": len(cases)})
    assert not got["o_read_status"].any()
    expected = np.zeros((0, 4), np.uint8)
    for (_, start, length), count in zip(cases, words):
        part = np.zeros(4 * count, np.uint8)
        part[:length] = memory[start : start + length]
        expected = np.concatenate([expected, part.reshape(-1, 4)])
    np.testing.assert_array_equal(got["o_read_data"][:, :4], expected)

    got, cycles, _ = native.streams(
        {"i_read_command": command_rows(bus, everything)}, {"o_read_data": 2500, "o_read_status": 1}
    )
    assert cycles["o_read_data"][-1] - cycles["i_read_command"][0] == 2500 + 3 + 3
    np.testing.assert_array_equal(got["o_read_data"][:, :4].ravel(), memory)

    beyond = [("", config.memory.size - 8, 16)]
    got, *_ = native.streams({"i_read_command": command_rows(bus, beyond)}, {"o_read_data": 4, "o_read_status": 1})
    assert got["o_read_status"].ravel().tolist() == [5]
    assert got["o_read_data"][:, :4].ravel().tolist() == [*memory[-8:], *bytes(8)]


def test_the_host_is_not_held_up_by_the_bus():
    """A bus that reads without a pause loses a cycle for each byte of the host, and no word."""
    c = AxiRamConfig(data_bits=32, depth=64)
    native = Native.build(AxiRam(config=c), "axi_ram")
    rng = np.random.default_rng(3)
    memory = rng.integers(0, 256, c.size, dtype=np.uint8)
    places = np.arange(c.size)
    writes = pack(places, memory, np.ones(c.size, int), widths=[32, 8, 1])
    got, cycles, _ = native.streams({"i_host": writes}, {"o_host": c.size})
    assert not got["o_host"].any()
    reads = pack(places, 0 * places, 0 * places, widths=[32, 8, 1])
    bursts = pack([0] * 40, [63] * 40, widths=[32, 8])
    got, cycles, _ = native.streams({"i_host": reads, "i_ar": bursts}, {"o_host": c.size, "o_r": 40 * 64})
    np.testing.assert_array_equal(got["o_host"][:, 0], memory)
    np.testing.assert_array_equal(got["o_r"][:, :4].ravel(), np.tile(memory, 40))
    lost = int(cycles["o_r"][-1] - cycles["o_r"][0]) + 1 - 40 * 64
    assert 0 < lost <= c.size
    assert np.all(np.diff(cycles["o_host"]) <= 5)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"data_bits": 48}, "data_bits must be one of 32, 64, 128, 256, 512, not 48"),
        ({"address_bits": 12}, "address_bits must be 13 to 64, not 12"),
        ({"depth": 0}, "depth must be 1 to 268435456, not 0"),
        ({"address_bits": 13, "depth": 513}, "depth must be 1 to 512, not 513"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AxiRamConfig(**config)
