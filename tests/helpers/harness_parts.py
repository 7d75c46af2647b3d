# SPDX-License-Identifier: Apache-2.0
"""Parts of the harness's own tests: a stream adder, right and broken in one way each, and a few shapes of port."""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

#: Ways in which ``Adder`` can be wrong.
BUGS = ("none", "changes", "drops", "waits", "sulks", "loses", "repeats", "wrong", "late", "slow")


@dataclass(frozen=True)
class AdderConfig:
    """``bug``, one of ``BUGS``, is what a bench sets the port of that name to."""

    bug: str = "none"

    @property
    def code(self):
        return BUGS.index(self.bug)


class Adder(wiring.Component):
    """``o = i.a + i.b`` in two stages with a shared advance. Latency 2, initiation interval 1.

    All bugs are in one design, chosen by a port, so that there is one build of it.
    """

    def __init__(self, *, config):
        self.config = config
        pair = data.StructLayout({"a": 16, "b": 16})
        ports = {"i": In(stream.Signature(pair)), "o": Out(stream.Signature(16)), "bug": In(4), "count": Out(16)}
        super().__init__(ports)

    @property
    def latency(self):
        return 3 if self.config.bug == "late" else 2

    @property
    def initiation_interval(self):
        return 2 if self.config.bug == "slow" else 1

    def elaborate(self, platform):
        m = Module()
        s0_valid, s0_sum, s1_valid, s1_sum = Signal(), Signal(16), Signal(), Signal(16)
        advance, time, again = Signal(), Signal(4), Signal()
        buggy = {bug: self.bug == code for code, bug in enumerate(BUGS)}
        m.d.sync += time.eq(time + 1)
        m.d.comb += [
            advance.eq((self.o.ready & self.o.valid) | ~s1_valid),
            self.i.ready.eq(advance),
            self.o.valid.eq(s1_valid),
            self.o.payload.eq(s1_sum),
        ]
        with m.If(advance):
            m.d.sync += [s0_valid.eq(self.i.valid), s1_valid.eq(s0_valid), s1_sum.eq(s0_sum)]
            m.d.sync += s0_sum.eq(self.i.payload.a + self.i.payload.b + (buggy["wrong"] & (self.count == 37)))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self.count.eq(self.count + 1)

        with m.If(buggy["changes"]):
            m.d.comb += self.o.payload.eq(s1_sum + (s0_valid & ~self.o.ready & self.count[4]))
        with m.If(buggy["drops"]):
            m.d.comb += self.o.valid.eq(s1_valid & (time != 0))
        with m.If(buggy["waits"]):
            m.d.comb += self.o.valid.eq(s1_valid & self.o.ready)
        with m.If(buggy["sulks"]):
            m.d.comb += self.o.valid.eq(s1_valid & (self.o.ready | ~self.count[5]))
        with m.If(buggy["loses"] & advance & (self.count == 37)):
            m.d.sync += s0_valid.eq(0)
        with m.If(buggy["repeats"] & advance & ~s0_valid & (self.count == 100) & ~again):
            m.d.sync += [s1_valid.eq(1), again.eq(1)]
        return m


@dataclass(frozen=True)
class ReverseConfig:
    """``lanes`` of 16 bits."""

    lanes: int = 8


class Reverse(wiring.Component):
    """Combinational: ``o`` has the lanes of ``i`` in reverse order."""

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(16 * config.lanes), "o": Out(16 * config.lanes)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Cat(self.i.word_select(k, 16) for k in reversed(range(self.config.lanes))))
        return m
