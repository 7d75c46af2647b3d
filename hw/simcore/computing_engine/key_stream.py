# SPDX-License-Identifier: Apache-2.0
"""K on its way from memory into an array: tokens in words of L channels, in FP16 or as codes (SIMPICKER V-A).

::

    i_data (words of B channels) --> finite? --> (o_encode ~~quantization unit~~> i_codes) --> words of L --> queue --> o

The queue holds a key tile, so that K of the next one is there before its scores are begun: memory gives B channels a cycle,
the array takes L.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, INT8
from zoetrope.hw.memory.word_fifo import StreamFifo, WordFifoConfig
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.computing_engine.tokens import encode, token_words
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class KeyStreamConfig:
    lanes: int = field(default=8, metadata={"doc": "B, elements of a word of memory; a power of two"})
    load_lanes: int = field(default=16, metadata={"doc": "L, elements of a word of operands; a power of two from B on"})
    max_channels: int = field(default=64, metadata={"doc": "most channels of K, d"})
    max_tokens: int = field(default=128, metadata={"doc": "most tokens of a key tile: the queue holds one"})
    codes: bool = field(default=False, metadata={"doc": "K goes through a quantization unit"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.power_of_two(self, "load_lanes", least=self.lanes, why="a word of operands is made of words of memory")
        checks.at_least(self, 1, "max_channels", "max_tokens")
        checks.one_of(self, (False, True), "codes")

    @property
    def max_words(self):
        """Words of memory of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def queue(self):
        """A key tile."""
        words = self.max_tokens * -(-self.max_channels // self.load_lanes)
        return WordFifoConfig(depth=words, width=self.o_layout.size)

    @property
    def head_layout(self):
        return data.StructLayout({"channels": range(self.max_channels + 1), "words": range(self.max_words + 1)})

    @property
    def o_layout(self):
        return data.ArrayLayout(INT8 if self.codes else FP16.layout, self.load_lanes)


class KeyStream(FullyPipelined):
    """Words of B channels become words of L; a token begins with a new word.

    Parameters
    ----------
    config : KeyStreamConfig

    Members
    -------
    head : In, ``channels`` and ``words`` of a token; stable while there are any
    i_data : In(stream of words of B), the AXI reader's
    o_encode, i_codes : Out, In(streams), the quantization unit's second pass; with ``codes``
    o : Out(stream of L weights); what is behind the last channel is +0, or code 0
    not_finite : Out(1), since reset a NaN or an infinity came

    Latency: 3 cycles from the last word of B to its word of L, and that of the codes. Initiation interval: 1 cycle a word of
    B. Backpressure: yes; ``i_data.ready`` does not depend on ``o`` within a cycle, with ``codes`` it is ``o_encode``'s.
    Memory: max_tokens x max_channels, rounded up to L, of 16 or 8 bits.
    Golden: ``golden.memory.words.words``.
    """

    def __init__(self, *, config):
        self.config = config
        outside = {
            "o_encode": Out(stream.Signature(layouts.encode_layout(config.lanes))),
            "i_codes": In(stream.Signature(layouts.codes_layout(config.lanes))),
        }
        super().__init__(
            {
                "head": In(config.head_layout),
                "i_data": In(stream.Signature(layouts.word_layout(config.lanes))),
                "o": Out(stream.Signature(config.o_layout)),
                "not_finite": Out(1),
                **(outside if config.codes else {}),
            }
        )

    @property
    def latency(self):
        """From the last word of B of a word of L, or its codes, to that."""
        return 1 + StreamFifo(config=self.config.queue).latency

    def elaborate(self, platform):
        m = Module()
        c, head, i = self.config, self.head, self.i_data
        token = token_words(m, i, head, self.not_finite, lanes=c.lanes, words=c.max_words, name="k")
        if c.codes:
            encode(m, self.o_encode.payload, token, head.channels, c.lanes)
            m.d.comb += [self.o_encode.valid.eq(i.valid), i.ready.eq(self.o_encode.ready)]
            codes = self.i_codes
            self._gather(m, Value.cast(codes.payload.codes), codes.payload.last, codes.valid, codes.ready)
        else:
            self._gather(m, Value.cast(token.values), token.last, i.valid, i.ready)
        return m

    def _gather(self, m, part, last, valid, ready):
        """Parts to whole words: the last part of a word, or of a token, goes with those before."""
        c = self.config
        parts = c.load_lanes // c.lanes
        queue = StreamFifo(config=c.queue)
        m.submodules.queue = emit_once(queue)
        held = Signal(c.queue.width, reset_less=True)
        full = Signal()
        at = Signal(range(max(2, parts)))
        before = Signal(len(held))
        ends = Signal()
        m.d.comb += [
            before.eq(Mux(at == 0, 0, held)),
            ends.eq(last | (at == parts - 1)),
            ready.eq(~full | queue.i.ready),
            queue.i.payload.eq(held),
            queue.i.valid.eq(full),
            Value.cast(self.o.payload).eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
        ]
        with m.If(ready):
            m.d.sync += full.eq(valid & ends)
            with m.If(valid):
                m.d.sync += [held.eq(before | (part << (at * len(part)))), at.eq(Mux(ends, 0, at + 1))]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": KeyStreamConfig(),
    "codes": KeyStreamConfig(lanes=4, load_lanes=8, max_channels=13, max_tokens=6, codes=True),
    "single": KeyStreamConfig(lanes=1, load_lanes=1, max_channels=3, max_tokens=2),
    "wide": KeyStreamConfig(lanes=2, load_lanes=8, max_channels=11, max_tokens=5),
}
