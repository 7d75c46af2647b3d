# SPDX-License-Identifier: Apache-2.0
"""First-in first-out queues of words in an SRAM: for a writer that knows of its own whether there is room, and as a stream.

``amaranth.lib.fifo`` has its memory inside, where no flow could put a macro in its place; for queues of a few narrow words
it serves.
"""

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
        _queue(m, self.config, self.w_en, self.w_data, self.o)
        return m


class StreamFifo(FullyPipelined):
    """The same queue between two streams: it counts its words itself, and takes one where there is room.

    Members
    -------
    i : In(stream), taken while less than ``depth`` words are in the memory; does not depend on ``o`` within a cycle
    o : Out(stream)

    Latency: 2 cycles. Initiation interval: 1. Backpressure: yes.
    """

    def __init__(self, *, config):
        self.config = config
        words = stream.Signature(config.width)
        super().__init__({"i": In(words), "o": Out(words)})

    @property
    def latency(self):
        return 2

    def elaborate(self, platform):
        m = Module()
        write = Signal()
        level = _queue(m, self.config, write, self.i.payload, self.o)
        m.d.comb += [self.i.ready.eq(level != self.config.depth), write.eq(self.i.valid & self.i.ready)]
        return m


def _queue(m, c, w_en, w_data, o):
    """Memory, pointers and output of a queue. Returns the number of words in the memory."""
    sram = Sram(config=SramConfig(depth=c.depth, width=c.width))
    m.submodules.sram = emit_once(sram)
    w_word = Signal(range(max(2, c.depth)))
    r_word = Signal(range(max(2, c.depth)))
    level = Signal(range(c.depth + 1))
    shown = Signal()
    read = Signal()
    m.d.comb += [
        read.eq(level.any() & (~shown | o.ready)),
        sram.w_en.eq(w_en),
        sram.w_addr.eq(w_word),
        sram.w_data.eq(w_data),
        sram.r_en[0].eq(read),
        sram.r_addr[0].eq(r_word),
        o.payload.eq(sram.r_data[0]),
        o.valid.eq(shown),
    ]
    for step, word in ((w_en, w_word), (read, r_word)):
        with m.If(step):
            m.d.sync += word.eq(Mux(word == c.depth - 1, 0, word + 1))
    with m.If(w_en & ~read):
        m.d.sync += level.eq(level + 1)
    with m.Elif(read & ~w_en):
        m.d.sync += level.eq(level - 1)
    with m.If(read):
        m.d.sync += shown.eq(1)
    with m.Elif(o.ready):
        m.d.sync += shown.eq(0)
    return level
