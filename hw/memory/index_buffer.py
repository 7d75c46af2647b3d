# SPDX-License-Identifier: Apache-2.0
"""Index buffer (SIMPICKER IV-C): for each token of a clip the index of the token whose results it takes.

``table[i] = i`` for a token that is kept, ``table[i] = table[match]`` for one that repeats another: what it repeats has an
entry already, and that entry is a *root*, a kept token. So a chain of matches is cut short as it is written, and
recovery is one look-up::

    i: match --> read table[match] --> write table[count] --> o: root
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class IndexBufferConfig:
    depth: int = field(default=9362, metadata={"doc": "entries, one a token"})
    tag_bits: int = field(default=0, metadata={"doc": "bits that pass beside an entry and are not stored"})

    def __post_init__(self):
        checks.at_least(self, 1, "depth")
        checks.at_least(self, 0, "tag_bits")

    @property
    def index_bits(self):
        """Bits of an entry."""
        return max(1, ceil_log2(self.depth))

    @property
    def bits(self):
        """Of the table: ``depth * ceil(log2(depth))``."""
        return self.depth * self.index_bits

    @property
    def i_layout(self):
        return data.StructLayout({"match": self.index_bits, "tag": self.tag_bits})

    @property
    def o_layout(self):
        return data.StructLayout({"root": self.index_bits, "kept": 1, "tag": self.tag_bits})


class IndexBuffer(FullyPipelined):
    """A table of ``depth`` entries, written in order from 0, each resolved to its root as it is written.

    Size: ``depth * ceil(log2(depth))`` bits; that a token is kept is not stored, its entry is its own index. The paper's
    16 KB hold 9,362 entries of 14 bits, that is 6 frames of 30 x 45 tokens, or 94 of 9 x 11; its own largest case, 35,100
    tokens, takes 16 bits each, 70.2 KB.

    Parameters
    ----------
    config : IndexBufferConfig

    Members
    -------
    clear : In(1), the next entry is number 0; to be raised when nothing is under way
    i : In(stream of ``match``, the index of the token repeated, or its own for a kept token; ``tag``)
    o : Out(stream of ``root``, the entry as written; ``kept``; ``tag``)
    error : Out(1), since ``clear`` or reset a match was not an entry before its own, or there were more than ``depth``
    r_en, r_addr : In, an entry that has left ``o`` is read, if ``r_ready``
    r_ready : Out(1), the read port is free: no entry is offered on ``i``, and none waits to leave ``o``
    r_data : Out, in the cycle after the read

    Latency: 1 cycle. Initiation interval: 1; an entry that repeats the one written in this cycle takes it on its way.
    Backpressure: yes. Errors: a match that is not before its own entry is written as kept; an entry beyond ``depth``
    comes out as kept and is not stored. Golden: ``golden.memory.index_buffer.resolve``.

    Rejected: resolution when the table is read, one read for every link of a chain, as many as there are frames; a bit
    "kept" in each entry, 1/14 more memory for a comparison; a second read port, a macro of up to twice the area, where
    entries come once in tens of cycles and leave the one port free.
    """

    latency = 1

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "clear": In(1),
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "error": Out(1),
                "r_en": In(1),
                "r_addr": In(config.index_bits),
                "r_ready": Out(1),
                "r_data": Out(config.index_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        table = Sram(config=SramConfig(depth=c.depth, width=c.index_bits))
        m.submodules.table = emit_once(table)

        count = Signal(range(c.depth + 1))
        full = Signal()
        take = Signal()
        advance = Signal()
        own = Signal(c.index_bits)
        match = self.i.payload.match
        before = Signal()
        m.d.comb += [
            full.eq(count == c.depth),
            own.eq(count),
            before.eq((match < count) & ~full),
            take.eq(self.i.valid & advance),
            self.i.ready.eq(advance),
            self.r_ready.eq(advance & ~self.i.valid),
            table.r_en[0].eq(take | (self.r_en & self.r_ready)),
            table.r_addr[0].eq(Mux(self.i.valid, match, self.r_addr)),
            self.r_data.eq(table.r_data[0]),
        ]

        # s1: the entry of the match is there, or was written while it was read.
        s1_valid = Signal()
        s1_own = Signal(c.index_bits, reset_less=True)
        s1_repeats = Signal(reset_less=True)
        s1_forward = Signal(reset_less=True)
        s1_store = Signal(reset_less=True)
        s1_tag = Signal(c.tag_bits, reset_less=True)
        s1_written = Signal(c.index_bits, reset_less=True)
        root = Signal(c.index_bits)
        write = Signal()
        m.d.comb += [
            advance.eq(~s1_valid | self.o.ready),
            root.eq(Mux(s1_repeats, Mux(s1_forward, s1_written, table.r_data[0]), s1_own)),
            write.eq(s1_valid & self.o.ready),
            table.w_en.eq(write & s1_store),
            table.w_addr.eq(s1_own),
            table.w_data.eq(root),
            self.o.valid.eq(s1_valid),
            self.o.payload.root.eq(root),
            self.o.payload.kept.eq(~s1_repeats),
            self.o.payload.tag.eq(s1_tag),
        ]
        with m.If(advance):
            m.d.sync += s1_valid.eq(self.i.valid)
        with m.If(take):
            m.d.sync += [
                count.eq(count + ~full),
                s1_own.eq(own),
                s1_repeats.eq(before),
                s1_forward.eq(write & (match == s1_own)),
                s1_written.eq(root),
                s1_store.eq(~full),
                s1_tag.eq(self.i.payload.tag),
                self.error.eq(self.error | full | (match > count)),
            ]
        with m.If(self.clear):
            m.d.sync += [count.eq(0), self.error.eq(0)]
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": IndexBufferConfig(),
    "small": IndexBufferConfig(depth=37, tag_bits=5),
    "single": IndexBufferConfig(depth=1),
}
