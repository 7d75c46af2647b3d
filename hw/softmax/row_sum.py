# SPDX-License-Identifier: Apache-2.0
"""The sum of a row that comes a word a cycle, by one tree of adders, one ring of running sums, and one tree in time."""

from dataclasses import dataclass, field

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.arith.float_add import FloatAdd, FloatAddConfig
from zoetrope.hw.formats import FP32
from zoetrope.hw.stream import delayed, operator


@dataclass(frozen=True)
class RowSumConfig:
    lanes: int = field(metadata={"doc": "addends a word; a power of two"})
    add: FloatAddConfig = field(metadata={"doc": "of every adder; its stages are the running sums of a row"})


class RowSum(wiring.Component):
    """The sum of all words of a row, one word a cycle, rows without a gap::

        word --> tree of lanes - 1 adders --> running sums: one adder --> pairs: log2(stages) adders --> total
                                                   ^--------------|

    The adder of the running sums is a ring of as many sums as it has stages, and moves with the words: word w meets the sum
    of word w - stages. When a row is over its sums leave the ring one by one, pushed out by the next row's words or, before
    that comes, by nothing. In the middle of a row the ring waits for words; it never holds up a row for good, since there
    is always room for ``stages`` words of the next.

    Rejected: running sums in every lane, and a tree behind them: the same depth, lanes - 1 more adders.

    Members
    -------
    valid, last : In(1), a word; it is the last of its row
    word : In(lanes FP32), none negative but for -0, which no exponential is
    done : Out(1), a row is summed
    total : Out(FP32)

    Latency: stages * (log2 lanes + 1 + log2 stages, rounded up). Initiation interval: 1.
    Golden: ``golden.softmax.sfu.total``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "word": In(data.ArrayLayout(FP32.layout, config.lanes)),
                "done": Out(1),
                "total": Out(FP32.layout),
            }
        )

    @property
    def latency(self):
        stages = self.config.add.stages
        return stages * (ceil_log2(self.config.lanes) + 1 + ceil_log2(stages))

    def elaborate(self, platform):
        m = Module()
        stages, always = self.config.add.stages, Const(1, 1)
        values = [self.word[k].as_value() for k in range(self.config.lanes)]
        level = 0
        while len(values) > 1:
            pairs = zip(values[0::2], values[1::2])
            values = [self._sum(m, f"tree_{level}_{k}", a, b, always) for k, (a, b) in enumerate(pairs)]
            level += 1
        valid = delayed(m, always, self.valid, stages * level, "tree_valid")[-1]
        last = delayed(m, always, self.last, stages * level, "tree_last", reset_less=True)[-1]

        # The ring: ``age`` counts the words of a row up to all that it holds, from then on each meets a sum ``again``.
        inside = Signal()
        advance = Signal()
        age = Signal(range(max(2, stages)))
        full = Signal()
        again = Signal()
        before = Signal(32, name="ring_before")
        after = Signal(32, name="ring_after")
        m.d.comb += [advance.eq(valid | ~inside), full.eq(age == stages - 1), before.eq(after & again.replicate(32))]
        with m.If(valid):
            m.d.sync += [inside.eq(~last), again.eq(full & ~last), age.eq(Mux(last, 0, age + ~full))]
        m.d.comb += after.eq(self._sum(m, "ring", values[0], before, advance))
        ring_valid = delayed(m, advance, valid, stages, "ring_valid")[-1]
        ring_last = delayed(m, advance, last, stages, "ring_last", reset_less=True)[-1]
        done = Signal(name="ring_done")
        m.d.comb += done.eq(ring_valid & advance & ~again)

        # Pairs of what leaves the ring; an odd one is added to nothing.
        last = ring_last
        for level in range(ceil_log2(stages)):
            after, done, last = self._pair(m, f"pair_{level}", after, done, last)
        m.d.comb += [self.done.eq(done & last), self.total.eq(after)]
        return m

    def _sum(self, m, name, a, b, en):
        add = operator(m, name, FloatAdd, self.config.add, en)
        m.d.comb += [add.i.a.eq(a), add.i.b.eq(b)]
        return add.o.as_value()

    def _pair(self, m, name, value, valid, last):
        """One level of the tree in time: (sum, valid, last) of each two values of a row, or of its last alone."""
        stages, always = self.config.add.stages, Const(1, 1)
        held = Signal(32, name=f"{name}_held")
        full = Signal(name=f"{name}_full")
        send = Signal(name=f"{name}_send")
        m.d.comb += send.eq(valid & (full | last))
        with m.If(valid):
            m.d.sync += [held.eq(Mux(send, 0, value)), full.eq(~send)]
        total = self._sum(m, name, held, value, always)
        sent = delayed(m, always, send, stages, f"{name}_valid")[-1]
        return total, sent, delayed(m, always, last, stages, f"{name}_last", reset_less=True)[-1]
