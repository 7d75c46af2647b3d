# SPDX-License-Identifier: Apache-2.0
"""The LUT buffer (SIMPICKER IV-B): the shared 128 KiB product table, read slice by slice.

::

    product generator --(after reset)--> | 1,024 slices | --row of W entries a cycle--> o
    i (fraction) ----------------------> | address      |
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.pe.local_table import check_copy_width
from zoetrope.hw.pe.product_table import FRACTIONS, ProductGenerator, ProductGeneratorConfig, find_reading
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class LutBufferConfig:
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    copy_width: int = field(default=8, metadata={"doc": "W, entries read a cycle; a power of two"})

    def __post_init__(self):
        check_copy_width(self)

    @property
    def beats(self):
        """C, cycles in which a slice is read."""
        return find_reading(self.reading).entries // self.copy_width


class LutBuffer(FullyPipelined):
    """Returns, for each fraction that comes in, the C = entries / W rows of its slice, in order, one a cycle.

    Filled after reset by ``ProductGenerator`` (65,536 cycles for ``odd16``, 131,072 for ``byte128``); no request is taken
    before ``filled``. Requests follow each other without a gap: the next is taken while the last row of a slice is read.

    Parameters
    ----------
    config : LutBufferConfig

    Members
    -------
    i : In(stream of 10 bits), fraction of the operand
    o : Out(stream of W entries), rows of the slice, lowest index first
    filled : Out(1), the table is complete

    Latency: 2 cycles from a request to its first row. Initiation interval: 1 cycle a row, C a slice. Backpressure: yes.
    Golden: ``golden.pe.lut_multiplier.product_table``.
    """

    latency = 2

    def __init__(self, *, config):
        self.config = config
        reading = self._reading = find_reading(config.reading)
        super().__init__(
            {
                "i": In(stream.Signature(10)),
                "o": Out(stream.Signature(data.ArrayLayout(reading.entry_bits, config.copy_width))),
                "filled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, reading = self.config, self._reading
        m.submodules.generator = generator = ProductGenerator(config=ProductGeneratorConfig(reading=c.reading))
        sram = Sram(
            config=SramConfig(
                depth=FRACTIONS * c.beats, width=c.copy_width * reading.entry_bits, granularity=reading.entry_bits
            )
        )
        m.submodules.sram = emit_once(sram)
        pick_bits = c.copy_width.bit_length() - 1
        m.d.comb += [
            sram.w_en.eq(generator.valid << generator.index[:pick_bits]),
            sram.w_addr.eq(Cat(generator.index[pick_bits:], generator.fraction)),
            sram.w_data.eq(generator.entry.replicate(c.copy_width)),
            self.filled.eq(generator.done),
        ]

        # s1: the request being read and the beat it is at.  s2: the row in the memory's output register.
        s1_fraction = Signal(10, reset_less=True)
        s1_valid = Signal()
        s1_beat = Signal(range(max(2, c.beats)))
        s1_last = Signal()
        s2_valid = Signal()
        advance = Signal()
        m.d.comb += [
            advance.eq(~s2_valid | self.o.ready),
            s1_last.eq(s1_beat == c.beats - 1),
            self.i.ready.eq(generator.done & (~s1_valid | (advance & s1_last))),
            sram.r_en[0].eq(advance & s1_valid),
            sram.r_addr[0].eq(Cat(s1_beat[: c.beats.bit_length() - 1], s1_fraction)),
            self.o.valid.eq(s2_valid),
            self.o.payload.eq(sram.r_data[0]),
        ]
        with m.If(advance):
            m.d.sync += s2_valid.eq(s1_valid)
            with m.If(s1_valid):
                m.d.sync += s1_beat.eq(Mux(s1_last, 0, s1_beat + 1))
        with m.If(self.i.ready):
            m.d.sync += s1_valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += s1_fraction.eq(self.i.payload)
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": LutBufferConfig(),
    "narrow": LutBufferConfig(copy_width=1),
    "whole": LutBufferConfig(copy_width=64),
    "byte128": LutBufferConfig(reading="byte128", copy_width=16),
}
