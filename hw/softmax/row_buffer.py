# SPDX-License-Identifier: Apache-2.0
"""A row of words between two passes over it: written in order, read in order, each word's place free again at once."""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig


@dataclass(frozen=True)
class RowBufferConfig:
    depth: int = field(metadata={"doc": "words"})
    width: int = field(metadata={"doc": "bits a word"})


class RowBuffer(wiring.Component):
    """A circular memory of words that are written and read in order, and the room that is left in it.

    Members
    -------
    room : Out(1), a word can be reserved
    reserve : In(1), a word will be written
    write : In(1), the word reserved first is written
    w_data : In
    read : In(1), the next word is read, and its place is free
    r_data : Out, one cycle later, until the next is read
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "room": Out(1),
                "reserve": In(1),
                "write": In(1),
                "w_data": In(config.width),
                "read": In(1),
                "r_data": Out(config.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=c.depth, width=c.width))
        m.submodules.sram = emit_once(sram)
        w_word = Signal(range(c.depth))
        r_word = Signal(range(c.depth))
        free = Signal(range(c.depth + 1), init=c.depth)
        for step, word in ((self.write, w_word), (self.read, r_word)):
            with m.If(step):
                m.d.sync += word.eq(Mux(word == c.depth - 1, 0, word + 1))
        with m.If(self.reserve & ~self.read):
            m.d.sync += free.eq(free - 1)
        with m.Elif(self.read & ~self.reserve):
            m.d.sync += free.eq(free + 1)
        m.d.comb += [
            self.room.eq(free.any()),
            sram.w_en.eq(self.write),
            sram.w_addr.eq(w_word),
            sram.w_data.eq(self.w_data),
            sram.r_en[0].eq(self.read),
            sram.r_addr[0].eq(r_word),
            self.r_data.eq(sram.r_data[0]),
        ]
        return m
