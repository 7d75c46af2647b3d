"""Parts of the harness's own tests: a stream adder, right and broken in one way each, and a few shapes of port."""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

#: Ways in which ``Adder`` can be wrong.
BUGS = ("none", "changes", "drops", "waits", "sulks", "loses", "repeats", "late", "wrong", "slow")


@dataclass(frozen=True)
class AdderConfig:
    """``width`` of the operands in bits; ``bug``, one of ``BUGS``."""

    width: int = 16
    bug: str = "none"


class Adder(wiring.Component):
    """``o = i.a + i.b`` in two stages with a shared advance. Latency 2, initiation interval 1."""

    def __init__(self, *, config):
        self.config = config
        pair = data.StructLayout({"a": config.width, "b": config.width})
        super().__init__({"i": In(stream.Signature(pair)), "o": Out(stream.Signature(config.width)), "count": Out(16)})

    @property
    def latency(self):
        return 3 if self.config.bug == "late" else 2

    @property
    def initiation_interval(self):
        return 2 if self.config.bug == "slow" else 1

    def elaborate(self, platform):
        m = Module()
        bug = self.config.bug
        s0_valid, s0_sum, s1_valid, s1_sum = Signal(), Signal(self.config.width), Signal(), Signal(self.config.width)
        advance, taken = Signal(), Signal(16)
        m.d.comb += [
            advance.eq((self.o.ready & self.o.valid) | ~s1_valid),
            self.i.ready.eq(advance),
            self.count.eq(taken),
        ]
        m.d.comb += [self.o.valid.eq(s1_valid), self.o.payload.eq(s1_sum)]
        with m.If(advance):
            m.d.sync += [s0_valid.eq(self.i.valid), s1_valid.eq(s0_valid), s1_sum.eq(s0_sum)]
            m.d.sync += s0_sum.eq(self.i.payload.a + self.i.payload.b + (taken == 37 if bug == "wrong" else 0))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += taken.eq(taken + 1)
        if bug == "changes":
            m.d.comb += self.o.payload.eq(s1_sum + (s0_valid & ~self.o.ready & taken[4]))
        elif bug == "drops":
            clock = Signal(4)
            m.d.sync += clock.eq(clock + 1)
            m.d.comb += self.o.valid.eq(s1_valid & (clock != 0))
        elif bug == "waits":
            m.d.comb += self.o.valid.eq(s1_valid & self.o.ready)
        elif bug == "sulks":
            m.d.comb += self.o.valid.eq(s1_valid & (self.o.ready | ~taken[5]))
        elif bug == "loses":
            with m.If(advance & (taken == 37)):
                m.d.sync += s0_valid.eq(0)
        elif bug == "repeats":
            again = Signal()
            with m.If(advance & ~s0_valid & (taken == 100) & ~again):
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
