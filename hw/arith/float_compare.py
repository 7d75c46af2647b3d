# SPDX-License-Identifier: Apache-2.0
"""Comparison in the total order of ``hw.formats``: which of two values is the less, the lesser, the greater.

``less = a < b``, ``equal = a == b``, ``min``, ``max``::

    a, b -> classes, magnitudes compared -> signs applied -> select -> o
                                    magnitude                     result    (cut points)

The cut points become registers in the order of ``CUTS``: from none (combinational) to both.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data

from zoetrope.hw.formats import FP16, FP32, Float
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator, check_stages

#: Which cut points are registered, by number of stages.
CUTS = ((), ("result",), ("magnitude", "result"))


@dataclass(frozen=True)
class FloatCompareConfig:
    fmt: Float = field(default=FP32, metadata={"doc": "format of both operands"})
    stages: int = field(default=1, metadata={"doc": "register stages, 0 to 2"})

    def __post_init__(self):
        check_stages(self.stages, len(CUTS) - 1)

    @property
    def i_layout(self):
        return data.StructLayout({"a": self.fmt.layout, "b": self.fmt.layout})

    @property
    def o_layout(self):
        return data.StructLayout({"less": 1, "equal": 1, "min": self.fmt.layout, "max": self.fmt.layout})


class FloatCompare(Operator):
    """``less``, ``equal``, ``min`` and ``max`` of ``a`` and ``b`` in the total order: -inf < finite < +inf < NaN.

    ``-0 == +0``, and all NaN are equal to one another and greater than any number: ``min`` is a number where there is one,
    ``max`` a NaN where there is one (IEEE 754-2019 ``minimumNumber`` and ``maximum``, but for zeros: of equal operands both
    are ``a``, the first). A NaN that leaves is the canonical one.

    Signs and magnitudes are compared apart. Two ``order_key`` and one comparator say the same in fewer lines and take two
    negations: 775 GE instead of 530 for FP32.

    Parameters
    ----------
    config : FloatCompareConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In, struct of ``a`` and ``b``
    o : Out, struct of ``less``, ``equal``, ``min`` and ``max``, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Golden: ``golden.arith.float_compare.float_compare``.
    """

    def elaborate(self, platform):
        m = Module()
        fmt = self.config.fmt
        pipe = Pipeline(m, self.en, CUTS[self.config.stages])
        a = Signal(fmt.width)
        b = Signal(fmt.width)
        a_nan = Signal()
        b_nan = Signal()
        for code, nan, canonical in ((self.i.a, a_nan, a), (self.i.b, b_nan, b)):
            m.d.comb += [
                nan.eq((code.exponent == fmt.exponent_max) & code.fraction.any()),
                canonical.eq(Mux(nan, fmt.nan, code.as_value())),
            ]

        # The magnitudes as they came: where a NaN is involved they do not count.
        a_magnitude = Cat(self.i.a.fraction, self.i.a.exponent)
        b_magnitude = Cat(self.i.b.fraction, self.i.b.exponent)
        below = Signal()
        same = Signal()
        zeros = Signal()
        m.d.comb += [
            below.eq(a_magnitude < b_magnitude),
            same.eq(a_magnitude == b_magnitude),
            zeros.eq(~(a_magnitude.any() | b_magnitude.any())),
        ]
        s = pipe.cut("magnitude", a=a, b=b, a_nan=a_nan, b_nan=b_nan, below=below, same=same, zeros=zeros)

        # Signs, then NaN.
        a_sign = s.a[-1]
        b_sign = s.b[-1]
        less = Signal()
        equal = Signal()
        with m.If(s.a_nan | s.b_nan):
            m.d.comb += [less.eq(~s.a_nan), equal.eq(s.a_nan & s.b_nan)]
        with m.Elif(a_sign ^ b_sign):
            m.d.comb += [less.eq(a_sign & ~s.zeros), equal.eq(s.zeros)]
        with m.Else():
            m.d.comb += [less.eq(Mux(a_sign, ~(s.below | s.same), s.below)), equal.eq(s.same)]
        result = Signal(self.config.o_layout)
        m.d.comb += [
            result.less.eq(less),
            result.equal.eq(equal),
            result.min.eq(Mux(less | equal, s.a, s.b)),
            result.max.eq(Mux(less, s.b, s.a)),
        ]
        s = pipe.cut("result", result=result.as_value())
        m.d.comb += self.o.as_value().eq(s.result)
        return m


class FloatCompareStream(StreamOperator):
    """``FloatCompare`` between streams: ``i`` of ``{a, b}``, ``o`` of ``{less, equal, min, max}``."""

    operator = FloatCompare


#: Config of each preset; the first is the default.
PRESETS = {
    "default": FloatCompareConfig(),
    "combinational": FloatCompareConfig(stages=0),
    "deep": FloatCompareConfig(stages=2),
    "fp16": FloatCompareConfig(fmt=FP16),
}
