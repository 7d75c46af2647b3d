"""A first-in first-out queue of words in an SRAM, for a writer that knows of its own whether there is room."""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class WordFifoConfig:
    depth: int = field(metadata={"doc": "words"})
    width: int = field(metadata={"doc": "bits a word"})


class WordFifo(FullyPipelined):
    """A queue of ``depth`` words in one memory, and one more in the memory's output register.

    ``amaranth.lib.fifo`` has its memory inside, where no flow could put a macro in its place; for queues of a few narrow
    words it serves.

    Members
    -------
    w_en : In(1), a word is written; it is for the writer not to write more than ``depth`` that were not yet taken
    w_data : In
    o : Out(stream)

    Latency: 2 cycles from ``w_en``. Initiation interval: 1. Backpressure: none, see ``w_en``.
    """

    latency = 2

    def __init__(self, *, config):
        self.config = config
        super().__init__({"w_en": In(1), "w_data": In(config.width), "o": Out(stream.Signature(config.width))})

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=c.depth, width=c.width))
        m.submodules.sram = emit_once(sram)
        w_word = Signal(range(max(2, c.depth)))
        r_word = Signal(range(max(2, c.depth)))
        level = Signal(range(c.depth + 1))
        shown = Signal()
        read = Signal()
        m.d.comb += [
            read.eq(level.any() & (~shown | self.o.ready)),
            sram.w_en.eq(self.w_en),
            sram.w_addr.eq(w_word),
            sram.w_data.eq(self.w_data),
            sram.r_en[0].eq(read),
            sram.r_addr[0].eq(r_word),
            self.o.payload.eq(sram.r_data[0]),
            self.o.valid.eq(shown),
        ]
        for step, word in ((self.w_en, w_word), (read, r_word)):
            with m.If(step):
                m.d.sync += word.eq(Mux(word == c.depth - 1, 0, word + 1))
        with m.If(self.w_en & ~read):
            m.d.sync += level.eq(level + 1)
        with m.Elif(read & ~self.w_en):
            m.d.sync += level.eq(level - 1)
        with m.If(read):
            m.d.sync += shown.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += shown.eq(0)
        return m
