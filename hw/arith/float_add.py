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
        fmt, subnormals = self.config.a, self.config.subnormals
        pipe = Pipeline(m, self.en, CUTS[self.config.stages])
        a, b = _widened(m, self.i.a, self.config.a, fmt, "a"), _widened(m, self.i.b, self.config.b, fmt, "b")

        # Swap: the operand of larger magnitude leads, so that the difference of significands is never negative. The
        # exponents' differences decide it, but for a tie, and one of them is the distance to align by.
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
        s = pipe.cut(
            "swap",
            sign=sign,
            exponent=exponent,
            distance=distance,
            big=big,
            small=small,
            subtract=subtract,
            invalid=invalid,
        )

        # Align: three bits below the significand keep what rounding needs: guard, round and sticky.
        low = 3
        reach = (width + low).bit_length()  # a shift of 2**reach - 1 clears every bit
        shift = Signal(reach)
        m.d.comb += shift.eq(s.distance[:reach] | s.distance[reach:].any().replicate(reach))
        aligned, lost = shift_right_sticky(m, Cat(Const(0, low - 1), s.small), shift, "align")
        s = pipe.cut(
            "align",
            sign=s.sign,
            exponent=s.exponent,
            big=s.big,
            aligned=Cat(lost, aligned),
            subtract=s.subtract,
            invalid=s.invalid,
        )

        # Add or subtract, one adder: a - b = a + ~b + 1.
        addend = Signal(width + low)
        total = Signal(width + low + 1)
        m.d.comb += [
            addend.eq(s.aligned ^ s.subtract.replicate(width + low)),
            total.eq((Cat(Const(0, low), s.big) + addend + s.subtract) ^ (s.subtract << (width + low))),
        ]
        s = pipe.cut("add", sign=s.sign, exponent=s.exponent, total=total, subtract=s.subtract, invalid=s.invalid)

        # Count the zeros above the leading one. A subnormal sum stops at the least exponent: at a one set where that is,
        # which costs less time than to compare the count with the exponent.
        top = len(s.total) - 1
        counted = s.total
        if subnormals:
            stop = Signal(top + 1)
            m.d.comb += [stop[top - k].eq(s.exponent == k) for k in range(1, top + 1)]
            counted = s.total | stop
        amount = leading_zeros(m, counted, "zeros")
        # An exact cancellation is +0; two zeros of one sign keep it.
        sign = Signal()
        m.d.comb += sign.eq(s.sign & ~(s.subtract & ~s.total.any()))
        s = pipe.cut("count", sign=sign, exponent=s.exponent, total=s.total, amount=amount, invalid=s.invalid)

        # Normalise: the leading one moves to the top; where it does not get there the sum is subnormal or zero.
        shifted = Signal(top + 1)
        exponent = Signal(fmt.exponent_bits)
        m.d.comb += [shifted.eq(s.total << s.amount), exponent.eq(Mux(shifted[-1], s.exponent + 1 - s.amount, 0))]
        s = pipe.cut(
            "normalise",
            sign=s.sign,
            exponent=exponent,
            shifted=shifted,
            special=s.exponent == fmt.exponent_max,
            invalid=s.invalid,
        )

        # Round to nearest even: a carry out of the fraction raises the exponent, up to infinity.
        fraction = Signal(fmt.fraction_bits)
        up = Signal()
        m.d.comb += [
            fraction.eq(s.shifted[low + 1 : -1]),
            up.eq(s.shifted[low] & (s.shifted[:low].any() | fraction[0])),
        ]
        magnitude = Signal(fmt.width - 1)
        m.d.comb += magnitude.eq(Cat(fraction, s.exponent) + up)
        infinite = Signal()
        m.d.comb += infinite.eq(s.special | (s.exponent == fmt.exponent_max))
        packed = Signal(fmt.width)
        with m.If(s.invalid):
            m.d.comb += packed.eq(fmt.nan)
        with m.Elif(infinite):
            m.d.comb += packed.eq(Cat(Const(fmt.inf, fmt.width - 1), s.sign))
        with m.Else():
            m.d.comb += packed.eq(Cat(magnitude, s.sign))
        s = pipe.cut("result", packed=packed)

        m.d.comb += self.o.as_value().eq(s.packed)
        return m


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
