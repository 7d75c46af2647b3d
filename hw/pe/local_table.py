# SPDX-License-Identifier: Apache-2.0
"""The local table of a LUT multiplier (SIMPICKER IV-B, Fig. 5): one slice being read while the next is copied in.

::

    copy_data (W entries) --> | bank 0 | bank 1 | --row--> | mux W:1 | --> entry
                                one memory, the bank is the address MSB
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.pe.product_table import find_reading
from zoetrope.hw.stream import FullyPipelined


def check_copy_width(config):
    """Whether ``config``'s ``copy_width`` divides a slice of its ``reading``."""
    checks.power_of_two(config, "copy_width", most=find_reading(config.reading).entries)


@dataclass(frozen=True)
class LocalTableConfig:
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    copy_width: int = field(default=8, metadata={"doc": "W, entries copied a cycle; a power of two"})
    read_ports: int = field(default=1, metadata={"doc": "multipliers that read it"})

    def __post_init__(self):
        check_copy_width(self)
        checks.at_least(self, 1, "read_ports")

    @property
    def beats(self):
        """C, cycles of the copy of one slice."""
        return find_reading(self.reading).entries // self.copy_width


class LocalTable(FullyPipelined):
    """Two slices of the product table: ``entry = table[bank][index]`` one cycle after ``en``.

    The memory is ``copy_width`` entries wide and the entry is picked behind it: W = 64 is a register file with a 64:1
    multiplexer, W = 1 a narrow memory whose copy takes 64 cycles. Two memories with a multiplexer instead of a bank bit
    were the alternative: the same storage and twice the read registers.

    Parameters
    ----------
    config : LocalTableConfig

    Members
    -------
    copy_en, copy_bank, copy_beat, copy_data : In, beat ``copy_beat`` (0 to C - 1) of a slice, W entries, lowest index first
    en, bank, index : In per read port, a look-up
    entry : Out per read port, its result, held until the next look-up

    Latency: 1 cycle. Initiation interval: 1.
    Limits: reading an entry in the cycle in which its row is copied is undefined; the two sides use different banks.
    Golden: ``golden.pe.lut_multiplier.product_table``.
    """

    latency = 1

    def __init__(self, *, config):
        self.config = config
        reading = self._reading = find_reading(config.reading)
        ports = config.read_ports
        super().__init__(
            {
                "copy_en": In(1),
                "copy_bank": In(1),
                "copy_beat": In(range(max(2, config.beats))),
                "copy_data": In(data.ArrayLayout(reading.entry_bits, config.copy_width)),
                "en": In(1).array(ports),
                "bank": In(1).array(ports),
                "index": In(reading.index_bits).array(ports),
                "entry": Out(reading.entry_bits).array(ports),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, reading = self.config, self._reading
        sram = Sram(
            config=SramConfig(depth=2 * c.beats, width=c.copy_width * reading.entry_bits, read_ports=c.read_ports)
        )
        m.submodules.sram = emit_once(sram)
        beat_bits, pick_bits = c.beats.bit_length() - 1, c.copy_width.bit_length() - 1
        m.d.comb += [
            sram.w_en.eq(self.copy_en),
            sram.w_addr.eq(Cat(self.copy_beat[:beat_bits], self.copy_bank)),
            sram.w_data.eq(self.copy_data),
        ]
        for k in range(c.read_ports):
            m.d.comb += [
                sram.r_en[k].eq(self.en[k]),
                sram.r_addr[k].eq(Cat(self.index[k][pick_bits:], self.bank[k])),
            ]
            if not pick_bits:
                m.d.comb += self.entry[k].eq(sram.r_data[k])
                continue
            pick = Signal(pick_bits, name=f"s1_pick_{k}", reset_less=True)
            with m.If(self.en[k]):
                m.d.sync += pick.eq(self.index[k][:pick_bits])
            m.d.comb += self.entry[k].eq(_pick(m, sram.r_data[k], pick, reading.entry_bits, f"pick_{k}"))
        return m


def _pick(m, row, index, width, name):
    """Entry ``index`` of ``row``: a tree of two-way multiplexers, one named level per index bit."""
    for level in reversed(range(len(index))):
        half = Signal(width << level, name=f"{name}_{level}")
        m.d.comb += half.eq(Mux(index[level], row[width << level :], row[: width << level]))
        row = half
    return row


#: Config of each preset; the first is the default.
PRESETS = {
    "default": LocalTableConfig(),
    "narrow": LocalTableConfig(copy_width=1),
    "whole": LocalTableConfig(copy_width=64),
    "shared": LocalTableConfig(read_ports=8),
    "byte128": LocalTableConfig(reading="byte128", copy_width=16),
}
