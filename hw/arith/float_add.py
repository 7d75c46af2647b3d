# SPDX-License-Identifier: Apache-2.0
"""Floating-point addition, rounded once to nearest even.

``o = a + b``::

    a, b -> swap by magnitude -> align the smaller -> add or subtract -> count zeros -> shift -> round, pack -> o
                           swap                align             add           count   normalise          result
                                                                                                    (cut points)

The cut points become registers in the order of ``CUTS``: from none (combinational) to all six.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data

from zoetrope.hw.arith.pieces import pack, to_nearest_even
from zoetrope.hw.formats import FP16, FP17, FP29, FP32, Float, leading_zeros, shift_right_sticky
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator, check_stages

#: Which cut points are registered, by number of stages. The result is registered first, then the longest path is halved.
CUTS = (
    (),
    ("result",),
    ("add", "result"),
    ("align", "add", "result"),
    ("align", "add", "normalise", "result"),
    ("swap", "align", "add", "normalise", "result"),
    ("swap", "align", "add", "count", "normalise", "result"),
)

#: Bits below the significand that keep what rounding needs: guard, round and sticky.
_LOW = 3


@dataclass(frozen=True)
class FloatAddConfig:
    a: Float = field(default=FP32, metadata={"doc": "format of operand a and of the sum"})
    b: Float = field(default=FP32, metadata={"doc": "format of operand b; no wider than a"})
    stages: int = field(default=3, metadata={"doc": "register stages, 0 to 6"})
    subnormals: bool = field(
        default=True,
        metadata={"doc": "False where neither operand nor sum is ever subnormal, as in sums of products"},
    )

    def __post_init__(self):
        check_stages(self.stages, len(CUTS) - 1)
        if self.b.exponent_bits > self.a.exponent_bits or self.b.fraction_bits > self.a.fraction_bits:
            raise ValueError(f"b ({self.b.name}) must not be wider than a ({self.a.name})")
        if self.subnormals and self.a != self.b:
            raise ValueError(
                f"subnormals need both operands in one format, not {self.a.name} and {self.b.name}: "
                "a subnormal of the narrower is a normal number of the wider"
            )

    @property
    def i_layout(self):
        return data.StructLayout({"a": self.a.layout, "b": self.b.layout})

    @property
    def o_layout(self):
        return self.a.layout


class FloatAdd(Operator):
    """``o = a + b`` in format ``config.a``: IEEE 754, round to nearest even, infinities, one canonical NaN.

    Single path: one aligner, one adder, one normaliser. A two-path (near/far) adder is faster by about one shifter and
    costs a second significand adder and a second rounder.

    Parameters
    ----------
    config : FloatAddConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In, struct of ``a`` and ``b``
    o : Out, the sum, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Golden: ``golden.arith.float_add.float_add``.
    """

    def elaborate(self, platform):
        m = Module()
        fmt = self.config.a
        pipe = Pipeline(m, self.en, CUTS[self.config.stages])
        s = self._swap(m, pipe)
        s = self._align(m, pipe, s)
        s = self._add(m, pipe, s)
        s = self._count(m, pipe, s)
        s = self._normalise(m, pipe, s)

        fraction = Signal(fmt.fraction_bits)
        m.d.comb += fraction.eq(s.shifted[_LOW + 1 : -1])
        magnitude = to_nearest_even(m, fmt, fraction, s.exponent, s.shifted[_LOW], s.shifted[:_LOW].any())
        infinite = Signal()
        m.d.comb += infinite.eq(s.special | (s.exponent == fmt.exponent_max))
        packed = pack(m, fmt, magnitude, s.sign, nan=s.invalid, infinite=infinite)
        s = pipe.cut("result", packed=packed)
        m.d.comb += self.o.as_value().eq(s.packed)
        return m

    def _swap(self, m, pipe):
        """The operand of larger magnitude leads, so that the difference of significands is never negative.

        The exponents' differences decide it, but for a tie, and one of them is the distance to align by.
        """
        fmt, subnormals = self.config.a, self.config.subnormals
        a, b = _widened(m, self.i.a, self.config.a, fmt, "a"), _widened(m, self.i.b, self.config.b, fmt, "b")
        width = fmt.fraction_bits + 1
        a_exponent, a_significand = _decoded(m, a, fmt, subnormals, "a")
        b_exponent, b_significand = _decoded(m, b, fmt, subnormals, "b")
        a_above = Signal(fmt.exponent_bits + 1)
        b_above = Signal(fmt.exponent_bits + 1)
        swap = Signal()
        m.d.comb += [
            a_above.eq(a_exponent - b_exponent),
            b_above.eq(b_exponent - a_exponent),
            swap.eq(a_above[-1] | (~b_above[-1] & (b_significand > a_significand))),
        ]
        big = Signal(width)
        small = Signal(width)
        exponent = Signal(fmt.exponent_bits)
        distance = Signal(fmt.exponent_bits)
        sign = Signal()
        m.d.comb += [
            big.eq(Mux(swap, b_significand, a_significand)),
            small.eq(Mux(swap, a_significand, b_significand)),
            exponent.eq(Mux(swap, b_exponent, a_exponent)),
            distance.eq(Mux(swap, b_above, a_above)),
            sign.eq(Mux(swap, b.sign, a.sign)),
        ]
        subtract = Signal()
        invalid = Signal()
        a_special = a.exponent == fmt.exponent_max
        b_special = b.exponent == fmt.exponent_max
        m.d.comb += [
            subtract.eq(a.sign ^ b.sign),
            invalid.eq(
                (a_special & a.fraction.any()) | (b_special & b.fraction.any()) | (a_special & b_special & subtract)
            ),
        ]
        beside = {"sign": sign, "exponent": exponent, "distance": distance}
        return pipe.cut("swap", **beside, big=big, small=small, subtract=subtract, invalid=invalid)

    def _align(self, m, pipe, s):
        """The smaller operand at the larger one's exponent, with the bits below that rounding needs."""
        width = self.config.a.fraction_bits + 1
        reach = (width + _LOW).bit_length()  # a shift of 2**reach - 1 clears every bit
        shift = Signal(reach)
        m.d.comb += shift.eq(s.distance[:reach] | s.distance[reach:].any().replicate(reach))
        aligned, lost = shift_right_sticky(m, Cat(Const(0, _LOW - 1), s.small), shift, "align")
        beside = {"sign": s.sign, "exponent": s.exponent, "big": s.big, "aligned": Cat(lost, aligned)}
        return pipe.cut("align", **beside, subtract=s.subtract, invalid=s.invalid)

    def _add(self, m, pipe, s):
        """Sum or difference with one adder: a - b = a + ~b + 1."""
        width = self.config.a.fraction_bits + 1
        addend = Signal(width + _LOW)
        total = Signal(width + _LOW + 1)
        m.d.comb += [
            addend.eq(s.aligned ^ s.subtract.replicate(width + _LOW)),
            total.eq((Cat(Const(0, _LOW), s.big) + addend + s.subtract) ^ (s.subtract << (width + _LOW))),
        ]
        beside = {"sign": s.sign, "exponent": s.exponent}
        return pipe.cut("add", **beside, total=total, subtract=s.subtract, invalid=s.invalid)

    def _count(self, m, pipe, s):
        """The zeros above the leading one.

        A subnormal sum stops at the least exponent: at a one set where that is, which costs less time than to compare the
        count with the exponent. An exact cancellation is +0; two zeros of one sign keep it.
        """
        top = len(s.total) - 1
        counted = s.total
        if self.config.subnormals:
            stop = Signal(top + 1)
            m.d.comb += [stop[top - k].eq(s.exponent == k) for k in range(1, top + 1)]
            counted = s.total | stop
        amount = leading_zeros(m, counted, "zeros")
        sign = Signal()
        m.d.comb += sign.eq(s.sign & ~(s.subtract & ~s.total.any()))
        return pipe.cut("count", sign=sign, exponent=s.exponent, total=s.total, amount=amount, invalid=s.invalid)

    def _normalise(self, m, pipe, s):
        """The leading one moves to the top; where it does not get there the sum is subnormal or zero."""
        fmt = self.config.a
        shifted = Signal(len(s.total))
        exponent = Signal(fmt.exponent_bits)
        m.d.comb += [shifted.eq(s.total << s.amount), exponent.eq(Mux(shifted[-1], s.exponent + 1 - s.amount, 0))]
        special = s.exponent == fmt.exponent_max
        beside = {"sign": s.sign, "exponent": exponent, "shifted": shifted}
        return pipe.cut("normalise", **beside, special=special, invalid=s.invalid)


def _widened(m, code, fmt, to, name):
    """``code`` of ``fmt`` as a signal of layout ``to``: the same value, for every code but a subnormal."""
    wide = Signal(to.layout, name=name)
    exponent = code.exponent
    if fmt != to:
        rebias = to.bias - fmt.bias
        exponent = Mux(
            code.exponent == fmt.exponent_max,
            to.exponent_max,
            Mux(code.exponent.any(), code.exponent + rebias, 0),
        )
    m.d.comb += [
        wide.sign.eq(code.sign),
        wide.exponent.eq(exponent),
        wide.fraction.eq(Cat(Const(0, to.fraction_bits - fmt.fraction_bits), code.fraction)),
    ]
    return wide


def _decoded(m, code, fmt, subnormals, name):
    """(exponent, significand) of ``code``; a subnormal has the least exponent of a normal number."""
    exponent = Signal(fmt.exponent_bits, name=f"{name}_exponent")
    significand = Signal(fmt.fraction_bits + 1, name=f"{name}_significand")
    hidden = code.exponent.any()
    m.d.comb += [
        exponent.eq(code.exponent | (~hidden if subnormals else 0)),
        significand.eq(Cat(code.fraction, hidden)),
    ]
    return exponent, significand


class FloatAddStream(StreamOperator):
    """``FloatAdd`` between streams: ``i`` of ``{a, b}``, ``o`` of the sum."""

    operator = FloatAdd


#: Config of each preset; the first is the default.
PRESETS = {
    "default": FloatAddConfig(),
    "combinational": FloatAddConfig(stages=0),
    "deep": FloatAddConfig(stages=6),
    "fp16": FloatAddConfig(a=FP16, b=FP16),
    "accumulate": FloatAddConfig(b=FP17, subnormals=False),
    "accumulate_fp16": FloatAddConfig(b=FP29, subnormals=False),
}
