# SPDX-License-Identifier: Apache-2.0
"""Element-wise unit (SIMPICKER IV-B): one operation on a vector of FP16 numbers, for quantization and sparsification.

``o[k] = op(a[k], b[k], scalar)``, a lane::

    op, a, b ------> a or max(a, b) or |a| or NaN -+--> FloatAdd ------+
                \\-> b or -b or -0 -----------------/                   +--> o
    a -------------------------------------------- +--> FloatMultiply -+
                 b or scalar ----------------------/
                                                select              (stages of the operators)

An operation that is neither a sum nor a product goes through the adder with ``-0`` as the other operand: ``x + -0`` is x
for every x, ``-0`` too, and the one canonical NaN for every NaN. A path of its own beside the operators would hold 16 bits
a stage and a lane.
"""

from dataclasses import dataclass, field

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.arith.float_add import FloatAdd, FloatAddConfig
from zoetrope.hw.arith.float_compare import FloatCompare, FloatCompareConfig
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16
from zoetrope.hw.stream import FullyPipelined, Operator, Pipeline, StreamOperator, delayed

#: Register stages of adder and multiplier at most; one more separates the choice of their operands.
OPERATOR_STAGES = 6


class EwuOp(enum.Enum, shape=3):
    """Operations by opcode; the two codes without a name give NaN in every lane, so that a wrong program shows."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    SCALE = 3
    MAX = 4
    ABSOLUTE = 5


@dataclass(frozen=True)
class EwuConfig:
    lanes: int = field(default=8, metadata={"doc": "FP16 numbers a cycle"})
    stages: int = field(default=3, metadata={"doc": "register stages, 0 to 7"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes")
        checks.between(self, 0, OPERATOR_STAGES + 1, "stages")

    @property
    def operator_stages(self):
        return min(self.stages, OPERATOR_STAGES)

    @property
    def o_layout(self):
        return data.ArrayLayout(FP16.layout, self.lanes)

    @property
    def i_layout(self):
        return data.StructLayout({"op": EwuOp, "a": self.o_layout, "b": self.o_layout, "scalar": FP16.layout})


class EwuLane(FullyPipelined):
    """One element: an adder and a multiplier, and what stands before and behind them.

    Members
    -------
    en : In(1), the pipeline moves
    op : In(3), ``EwuOp``
    a, b, scalar : In(FP16), operands
    product : In(1), the operation that leaves now is a product
    o : Out(FP16), the result, ``stages`` advances later
    """

    def __init__(self, *, config):
        self.config = config
        fp16 = FP16.layout
        super().__init__(
            {
                "en": In(1),
                "op": In(EwuOp),
                "a": In(fp16),
                "b": In(fp16),
                "scalar": In(fp16),
                "product": In(1),
                "o": Out(fp16),
            }
        )

    @property
    def latency(self):
        return self.config.stages

    def elaborate(self, platform):
        m = Module()
        c = self.config
        compare = FloatCompare(config=FloatCompareConfig(fmt=FP16, stages=0))
        add = FloatAdd(config=FloatAddConfig(a=FP16, b=FP16, stages=c.operator_stages))
        multiply = FloatMultiply(config=FloatMultiplyConfig(operand=FP16, product=FP16, stages=c.operator_stages))
        m.submodules.compare = emit_once(compare)
        m.submodules.add = emit_once(add)
        m.submodules.multiply = emit_once(multiply)

        # Select the operands.
        minus_zero = Const(1 << 15, 16)
        left = Signal(16)
        right = Signal(16)
        factor = Signal(16)
        m.d.comb += [
            compare.i.a.eq(self.a),
            compare.i.b.eq(self.b),
            factor.eq(Mux(self.op == EwuOp.SCALE, self.scalar.as_value(), self.b.as_value())),
        ]
        with m.Switch(self.op.as_value()):
            with m.Case(EwuOp.ADD.value):
                m.d.comb += [left.eq(self.a), right.eq(self.b)]
            with m.Case(EwuOp.SUBTRACT.value):
                m.d.comb += [left.eq(self.a), right.eq(self.b.as_value() ^ minus_zero)]
            with m.Case(EwuOp.MAX.value):
                m.d.comb += [left.eq(compare.o.max), right.eq(minus_zero)]
            with m.Case(EwuOp.ABSOLUTE.value):
                m.d.comb += [left.eq(self.a.as_value()[:-1]), right.eq(minus_zero)]
            with m.Default():
                m.d.comb += [left.eq(FP16.nan), right.eq(minus_zero)]
        pipe = Pipeline(m, self.en, ("select",) if c.stages > OPERATOR_STAGES else ())
        s = pipe.cut("select", a=self.a.as_value(), factor=factor, left=left, right=right)

        m.d.comb += [
            add.en.eq(self.en),
            add.i.a.eq(s.left),
            add.i.b.eq(s.right),
            multiply.en.eq(self.en),
            multiply.i.a.eq(s.a),
            multiply.i.b.eq(s.factor),
            self.o.eq(Mux(self.product, multiply.o.as_value(), add.o.as_value())),
        ]
        return m


class EwuLanes(Operator):
    """The lanes side by side under one opcode, a fixed-latency operator.

    Members
    -------
    en : In(1), the pipeline moves
    i : In, struct of ``op``, ``a``, ``b`` and ``scalar``
    o : Out, ``lanes`` results, ``latency`` advances later
    """

    def elaborate(self, platform):
        m = Module()
        op = self.i.op
        product = Signal()
        m.d.comb += product.eq((op == EwuOp.MULTIPLY) | (op == EwuOp.SCALE))
        leaving = delayed(m, self.en, product, self.latency, "product", reset_less=True)[-1]
        for k in range(self.config.lanes):
            lane = EwuLane(config=self.config)
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [
                lane.en.eq(self.en),
                lane.op.eq(op),
                lane.a.eq(self.i.a[k]),
                lane.b.eq(self.i.b[k]),
                lane.scalar.eq(self.i.scalar),
                lane.product.eq(leaving),
                self.o[k].eq(lane.o),
            ]
        return m


class Ewu(StreamOperator):
    """``o[k] = op(a[k], b[k], scalar)`` for ``lanes`` FP16 numbers a cycle, one opcode a transfer.

    ======  ========  ======================================================================
    opcode  name      result, rounded once to nearest even
    ======  ========  ======================================================================
    0       ADD       a + b
    1       SUBTRACT  a - b
    2       MULTIPLY  a * b
    3       SCALE     a * scalar, one scalar for all lanes
    4       MAX       the greater in the total order of ``hw.formats``: NaN if one is; of equals a
    5       ABSOLUTE  a without its sign; NaN stays the canonical NaN
    6, 7    --        NaN
    ======  ========  ======================================================================

    Published: 4 x 8 of these units in the FP16 engine, 0.04 mm2 at 32 nm, 820 GE a lane (SIMPICKER IV-B, Table II). The
    paper has no list of operations; this one serves its quantization (scales, maxima of magnitudes) and sparsification
    (differences, squares). A lane here is 4,000 GE at 3 stages: a third is the adder, over half the multiplier, and each
    of them alone exceeds the published figure, so the paper's unit must do less or borrow the multipliers of its PEs.

    Parameters
    ----------
    config : EwuConfig

    Members
    -------
    i : In(stream of ``op``, ``a``, ``b``: lanes x FP16, ``scalar``: FP16); what an operation does not use is ignored
    o : Out(stream of lanes x FP16)

    Latency: ``stages`` cycles. Initiation interval: 1. Backpressure: yes.
    Errors: none; an opcode without a name gives NaN in every lane.
    Golden: ``golden.pe.ewu.ewu``.

    Rejected:

    * An opcode a lane: 3 bits and a decoder each, and no user of it in the paper.
    * A fused multiply-add: ``a * scalar + b`` in one transfer for twice the adder's width.
    * Clocking only the operator in use: 10 bits of enable a stage, and results that leave out of order.
    """

    operator = EwuLanes


#: Config of each preset; the first is the default.
PRESETS = {
    "default": EwuConfig(),
    "combinational": EwuConfig(stages=0),
    "deep": EwuConfig(stages=7),
    "single": EwuConfig(lanes=1),
}
