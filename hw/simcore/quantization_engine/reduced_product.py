# SPDX-License-Identifier: Apache-2.0
"""Reduced product (SIMPICKER III-B, IV-C): x W on one row of multipliers, FP32 sums in the order of k.

``o[d * lanes + j] = sum over k of x[k] * w[k][d * lanes + j]``: the arithmetic of an FP16 PE and its accumulator, with a
number of words that is given while it runs instead of built in.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP29, FP32
from zoetrope.hw.pe.accumulator import Accumulator, AccumulatorConfig
from zoetrope.hw.stream import FullyPipelined, delayed, operator, register


@dataclass(frozen=True)
class ReducedProductConfig:
    lanes: int = field(default=1, metadata={"doc": "multipliers, which share x[k]"})
    max_words: int = field(default=32, metadata={"doc": "most words of weights that x[k] meets"})
    product_stages: int = field(default=1, metadata={"doc": "register stages of the multipliers, 1 to 3"})
    add_stages: int = field(default=3, metadata={"doc": "of the adders, 0 to 6"})

    def __post_init__(self):
        checks.between(self, 1, 3, "product_stages")
        _ = self.sums

    @property
    def multiply(self):
        return FloatMultiplyConfig(operand=FP16, product=FP29, stages=self.product_stages)

    @property
    def sums(self):
        return AccumulatorConfig(product=FP29, lanes=self.lanes, words=self.max_words, add_stages=self.add_stages)

    @property
    def x_layout(self):
        return data.StructLayout({"value": FP16.layout, "last": 1})


class ReducedProduct(FullyPipelined):
    """Sums over k of x[k] times the words of w that belong to it.

    Parameters
    ----------
    config : ReducedProductConfig

    Members
    -------
    words : In, D, words that each x[k] meets, 1 to ``max_words``; constant from the first word of a sum to its last
    i_x : In(stream of FP16 ``value`` x[k] and ``last``, k is the last of its sums)
    i_w : In(stream of lanes x FP16), D words for each x[k]
    o : Out(stream of lanes x FP32), D words for each x[k] that is ``last``

    Latency: ``product_stages + add_stages`` cycles from a word of the last x[k] to its sums. Initiation interval: 1 cycle a
    word, ``max(D, A)`` an x[k], A = add_stages + 2. Backpressure: yes.
    Golden: ``golden.pe.fp16_pe.fp16_pe``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "words": In(range(config.max_words + 1)),
                "i_x": In(stream.Signature(config.x_layout)),
                "i_w": In(stream.Signature(data.ArrayLayout(FP16.layout, config.lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(FP32.layout, config.lanes))),
            }
        )

    @property
    def latency(self):
        return self.config.product_stages + self.config.add_stages

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sums = Accumulator(config=c.sums)
        m.submodules.sums = emit_once(sums)
        advance = Signal()
        x = register(m, c.x_layout, self.i_x.payload, self.i_x.valid, self.i_x.ready, "x")

        # A slot a cycle: the words of x[k], then empty slots until their sums can be read again.
        turnaround = c.sums.turnaround
        slot = Signal(range(max(c.max_words, turnaround)))
        last_slot = Signal(slot.shape())
        empty = Signal()
        issue = Signal()
        first = Signal(init=1)
        m.d.comb += [
            last_slot.eq(Mux(self.words > turnaround, self.words, turnaround) - 1),
            empty.eq(slot >= self.words),
            self.i_w.ready.eq(advance & x.valid & ~empty),
            issue.eq(self.i_w.ready & self.i_w.valid),
            x.ready.eq(issue & (slot == self.words - 1)),
        ]
        with m.If(issue | (advance & empty)):
            m.d.sync += slot.eq(Mux(slot == last_slot, 0, slot + 1))
        with m.If(x.ready):
            m.d.sync += first.eq(x.payload.last)

        for k in range(c.lanes):
            multiply = operator(m, f"multiply_{k}", FloatMultiply, c.multiply, advance)
            m.d.comb += [
                multiply.i.a.eq(x.payload.value),
                multiply.i.b.eq(self.i_w.payload[k]),
                sums.products[k].eq(multiply.o),
            ]
        beside = {"valid": issue, "slot": slot, "first": first, "last": x.payload.last}
        for name, signal in beside.items():
            late = delayed(m, advance, signal, c.product_stages - 1, f"s0_{name}", reset_less=name != "valid")[-1]
            m.d.comb += getattr(sums, name).eq(late)
        m.d.comb += [
            sums.en.eq(advance),
            advance.eq(~sums.done | self.o.ready),
            self.o.valid.eq(sums.done),
            self.o.payload.eq(sums.sums),
        ]
        return m
