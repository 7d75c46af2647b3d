# SPDX-License-Identifier: Apache-2.0
"""FP32 accumulation over k for D x lanes outputs: one memory of running sums and one adder a lane, II = 1.

Every D-th word belongs to the same outputs, so an adder of any depth is kept busy by the D - 1 words between; where D is
too small for the depth, the controller leaves slots empty.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.arith.float_add import FloatAdd, FloatAddConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP32, Float
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined, delayed


def accumulator_members(config):
    """The ports of an accumulator, the same for every kind of sum; ``Accumulator`` describes them."""
    return {
        "en": In(1),
        "valid": In(1),
        "slot": In(range(max(2, config.words))),
        "first": In(1),
        "last": In(1),
        "overlong": In(1),
        "products": In(data.ArrayLayout(config.product.layout, config.lanes)),
        "sums": Out(data.ArrayLayout(config.sum_layout, config.lanes)),
        "done": Out(1),
    }


@dataclass(frozen=True)
class AccumulatorConfig:
    product: Float = field(metadata={"doc": "format of a product"})
    lanes: int = field(default=8, metadata={"doc": "products a cycle"})
    words: int = field(default=16, metadata={"doc": "D, words of outputs kept"})
    add_stages: int = field(default=3, metadata={"doc": "register stages of the adder, 0 to 6"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes", "words")
        _ = self.add

    #: A sum is an FP32 number.
    sum_layout = FP32.layout

    @property
    def add(self):
        return FloatAddConfig(a=FP32, b=self.product, stages=self.add_stages, subnormals=False)

    @property
    def turnaround(self):
        """A, slots from reading a sum to the first in which it can be read again: memory, adder, write."""
        return self.add_stages + 2


class Accumulator(FullyPipelined):
    """``sum[d] = (0 if first else sum[d]) + product``, rounded to FP32 each time, for ``lanes`` outputs at once.

    Members
    -------
    en : In(1), the pipeline moves
    valid, slot, first, last : In, s0: a word of products arrives one advance later, for word ``slot`` of the outputs; it is
        the first, or the last, of its sum
    overlong : In(1), s0: its sum has more operands than a fixed-point sum is wide enough for, and becomes NaN; FP32 sums
        have no such limit and ignore it
    products : In, s1: ``lanes`` products
    sums : Out, s1 + ``add_stages``: ``lanes`` sums
    done : Out(1), ``sums`` are complete (the word was valid and the last)

    Latency: 1 + ``add_stages`` advances from ``valid``. Initiation interval: 1, as long as a word comes back to the same
    slot no earlier than ``turnaround`` advances later. A sum that starts is ``+0 + product``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(accumulator_members(config))

    @property
    def latency(self):
        return 1 + self.config.add_stages

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=max(2, c.words), width=32 * c.lanes))
        m.submodules.sram = emit_once(sram)
        slot = delayed(m, self.en, self.slot, self.latency, "slot", reset_less=True)[-1]
        last = delayed(m, self.en, self.last, self.latency, "last", reset_less=True)[-1]
        valid = delayed(m, self.en, self.valid, self.latency, "valid")[-1]
        s1_first = delayed(m, self.en, self.first, 1, "first", reset_less=True)[-1]

        sums = []
        for k in range(c.lanes):
            add = FloatAdd(config=c.add)
            m.submodules[f"add_{k}"] = emit_once(add)
            running = Signal(32, name=f"s1_running_{k}")
            m.d.comb += [
                running.eq(sram.r_data[0].word_select(k, 32) & ~s1_first.replicate(32)),
                add.en.eq(self.en),
                add.i.a.eq(running),
                add.i.b.eq(self.products[k]),
            ]
            sums.append(add.o.as_value())
        m.d.comb += [
            sram.r_en[0].eq(self.en),
            sram.r_addr[0].eq(self.slot),
            sram.w_en.eq(self.en & valid & ~last),
            sram.w_addr.eq(slot),
            sram.w_data.eq(Cat(*sums)),
            self.sums.eq(Cat(*sums)),
            self.done.eq(valid & last),
        ]
        return m
