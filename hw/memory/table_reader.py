# SPDX-License-Identifier: Apache-2.0
"""A table read through a memory's read port as a stream, entry after entry: from the index buffer to who traverses it."""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class TableReaderConfig:
    depth: int = field(metadata={"doc": "entries of the memory"})
    width: int = field(metadata={"doc": "bits of an entry"})

    def __post_init__(self):
        checks.at_least(self, 1, "depth", "width")

    @property
    def address_bits(self):
        return max(1, ceil_log2(self.depth))


class TableReader(FullyPipelined):
    """For each count n that comes in, the entries 0 to n - 1 of a memory, in order, one a cycle.

    A count above ``depth`` means ``depth``: nothing outside of the memory is read. Counts follow each other without a gap.
    An entry that is not taken at once is kept in a register: the memory's port may be lent to another meanwhile, as that of
    the index buffer is.

    Members
    -------
    i : In(stream of a count)
    r_en, r_addr : Out, to the read port
    r_ready : In(1), it reads in this cycle; always 1 for a port of its own
    r_data : In, its data, in the cycle after the read
    o : Out(stream of entries)

    Latency: 2 cycles from a count to its first entry. Initiation interval: 1 cycle an entry, while the port is free.
    Backpressure: yes.
    """

    latency = 2

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(range(config.depth + 1))),
                "r_en": Out(1),
                "r_addr": Out(config.address_bits),
                "r_ready": In(1),
                "r_data": In(config.width),
                "o": Out(stream.Signature(config.width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        # s1: the entry being read.  s2: the entry that was read, fresh from the memory or kept.
        s1_valid = Signal()
        s1_address = Signal(c.address_bits, reset_less=True)
        s1_left = Signal(range(c.depth), reset_less=True)
        s1_last = Signal()
        s2_valid = Signal()
        s2_fresh = Signal()
        s2_kept = Signal(c.width, reset_less=True)
        advance = Signal()
        read = Signal()
        m.d.comb += [
            advance.eq(~s2_valid | self.o.ready),
            s1_last.eq((s1_left == 0) | (s1_address == c.depth - 1)),
            self.r_en.eq(advance & s1_valid),
            self.r_addr.eq(s1_address),
            read.eq(self.r_en & self.r_ready),
            self.i.ready.eq(~s1_valid | (read & s1_last)),
            self.o.valid.eq(s2_valid),
            self.o.payload.eq(Mux(s2_fresh, self.r_data, s2_kept)),
        ]
        m.d.sync += s2_fresh.eq(read)
        with m.If(s2_fresh):
            m.d.sync += s2_kept.eq(self.r_data)
        with m.If(advance):
            m.d.sync += s2_valid.eq(read)
        with m.If(self.i.ready):
            m.d.sync += [
                s1_valid.eq(self.i.valid & self.i.payload.any()),
                s1_address.eq(0),
                s1_left.eq(self.i.payload - 1),
            ]
        with m.Elif(read):
            m.d.sync += [s1_address.eq(s1_address + 1), s1_left.eq(s1_left - 1)]
        return m
