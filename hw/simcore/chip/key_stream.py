"""K on its way from memory into an array: tokens in words of L channels, in FP16 or as codes (SIMPICKER V-A).

::

    i_data (words of B channels) --> finite? --> (o_encode ~~quantization unit~~> i_codes) --> words of L --> queue --> o

The queue holds a key tile, so that K of the next one is there before its scores are begun: memory gives B channels a cycle,
the array takes L.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, INT8
from zoetrope.hw.memory.word_fifo import WordFifo, WordFifoConfig
from zoetrope.hw.simcore.chip.simcore_config import SimcoreConfig, counted
from zoetrope.hw.simcore.chip.value_buffer import encode


@dataclass(frozen=True)
class KeyStreamConfig:
    machine: SimcoreConfig = field(metadata={"doc": "the machine's"})
    codes: bool = field(metadata={"doc": "K goes through a quantization unit"})

    @property
    def weight(self):
        return INT8 if self.codes else FP16.layout

    @property
    def o_layout(self):
        return data.ArrayLayout(self.weight, self.machine.load_lanes)


class KeyStream(wiring.Component):
    """Words of B channels become words of L; a token begins with a new word. Latency: 3 cycles, and that of the codes.

    Memory: keys x channels, rounded up to L, of 16 or 8 bits.

    Members
    -------
    head : In, channels and words of a token
    i_data : In(stream), the AXI reader's
    o_encode, i_codes : Out, In(streams), to and from the quantization unit; with ``codes``
    o : Out(stream of L weights); what is behind the last channel is 0
    not_finite : Out(1), a NaN or an infinity came
    """

    def __init__(self, *, config: KeyStreamConfig):
        self.config = config
        c = config.machine
        outside = {
            "o_encode": Out(stream.Signature(c.quantization.i_layout)),
            "i_codes": In(stream.Signature(c.quantization.o_layout)),
        }
        super().__init__(
            {
                "head": In(c.head_layout),
                "i_data": In(stream.Signature(c.axi.data_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "not_finite": Out(1),
                **(outside if config.codes else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, head = self.config.machine, self.head
        word = Signal(range(max(2, c.max_words)))
        last = Signal()
        taken = Signal()
        values = data.View(data.ArrayLayout(FP16.layout, c.lanes), self.i_data.payload.data)
        kept, wrong = counted(m, values, head.channels, last, c.lanes, "k")
        m.d.comb += [last.eq(word + 1 == head.words), taken.eq(self.i_data.valid & self.i_data.ready)]
        with m.If(taken):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), self.not_finite.eq(self.not_finite | wrong)]
        if self.config.codes:
            encode(m, c, self.o_encode.payload, kept, head, last)
            m.d.comb += [self.o_encode.valid.eq(self.i_data.valid), self.i_data.ready.eq(self.o_encode.ready)]
            codes = self.i_codes
            self._join(m, Value.cast(codes.payload.codes), codes.payload.last, codes.valid, codes.ready)
        else:
            self._join(m, Value.cast(kept), last, self.i_data.valid, self.i_data.ready)
        return m

    def _join(self, m, part, last, valid, ready):
        """Parts to whole words: the last part of a word, or of a token, is not kept but goes with those before."""
        c = self.config.machine
        parts = c.load_lanes // c.lanes
        held = Signal(self.config.o_layout.size, reset_less=True)
        full = Signal()
        at = Signal(range(max(2, parts)))
        whole = Signal(len(held))
        before = Signal(len(held))
        width = len(part)
        depth = c.keys * c.channel_words
        queue = WordFifo(config=WordFifoConfig(depth=depth, width=len(held)))
        m.submodules.queue = emit_once(queue)
        level = Signal(range(depth + 2))
        put = Signal()
        take = Signal()
        m.d.comb += [
            put.eq(full & (level != depth)),
            ready.eq(~full | put),
            before.eq(Mux(at == 0, 0, held)),
            whole.eq(before | (part << (at * width))),
            queue.w_data.eq(held),
            queue.w_en.eq(put),
            Value.cast(self.o.payload).eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
            take.eq(queue.o.valid & queue.o.ready),
        ]
        m.d.sync += level.eq(level + put - take)
        with m.If(ready):
            m.d.sync += full.eq(valid & (last | (at == parts - 1)))
            with m.If(valid):
                m.d.sync += [held.eq(whole), at.eq(Mux(last | (at == parts - 1), 0, at + 1))]
