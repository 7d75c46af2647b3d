"""Floating-point addition, rounded once to nearest even.

``o = a + b``::

    a, b -> swap by magnitude -> align the smaller -> add or subtract -> normalise -> round, pack -> o
                           swap                align             add           normalise          result    (cut points)

The cut points become registers in the order of ``CUTS``: from none (combinational) to all five.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FP32, Float, leading_zeros
from hw.stream import Pipeline, StreamOperator

#: Which cut points are registered, by number of stages. The result is registered first, then the longest path is halved.
CUTS = (
    (),
    ("result",),
    ("add", "result"),
    ("align", "add", "result"),
    ("align", "add", "normalise", "result"),
    ("swap", "align", "add", "normalise", "result"),
)


@dataclass(frozen=True)
class FloatAddConfig:
    a: Float = field(default=FP32, metadata={"doc": "format of operand a and of the sum"})
    b: Float = field(default=FP32, metadata={"doc": "format of operand b; no wider than a"})
    stages: int = field(default=3, metadata={"doc": "register stages, 0 to 5"})
    subnormals: bool = field(
        default=True,
        metadata={"doc": "False where neither operand nor sum is ever subnormal, as in sums of products"},
    )

    def __post_init__(self):
        if self.stages not in range(len(CUTS)):
            raise ValueError(f"stages must be 0 to {len(CUTS) - 1}, not {self.stages!r}")
        if self.b.exponent_bits > self.a.exponent_bits or self.b.fraction_bits > self.a.fraction_bits:
            raise ValueError(f"b ({self.b.name}) must not be wider than a ({self.a.name})")
        if self.subnormals and self.a != self.b:
            raise ValueError(
                f"subnormals need both operands in one format, not {self.a.name} and {self.b.name}: "
                "a subnormal of the narrower is a normal number of the wider"
            )


class FloatAdd(wiring.Component):
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
    Golden: ``golden.float_add.float_add``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "i": In(data.StructLayout({"a": config.a.layout, "b": config.b.layout})),
                "o": Out(config.a.layout),
            }
        )

    @property
    def latency(self):
        return self.config.stages

    @property
    def initiation_interval(self):
        return 1

    def elaborate(self, platform):
        m = Module()
        fmt, subnormals = self.config.a, self.config.subnormals
        pipe = Pipeline(m, self.en, CUTS[self.config.stages])
        a, b = _widened(m, self.i.a, self.config.a, fmt, "a"), _widened(m, self.i.b, self.config.b, fmt, "b")

        # Swap: the operand of larger magnitude leads, so that the difference of significands is never negative.
        swap = Signal()
        subtract = Signal()
        invalid = Signal()
        big = Signal(fmt.layout)
        small = Signal(fmt.layout)
        m.d.comb += [
            swap.eq(b.as_value()[:-1] > a.as_value()[:-1]),
            subtract.eq(a.sign ^ b.sign),
            big.eq(Mux(swap, b, a)),
            small.eq(Mux(swap, a, b)),
        ]
        small_special, big_special = small.exponent == fmt.exponent_max, big.exponent == fmt.exponent_max
        m.d.comb += invalid.eq(big_special & (big.fraction.any() | (small_special & (small.fraction.any() | subtract))))
        s = pipe.cut("swap", big=big, small=small, subtract=subtract, invalid=invalid)

        # Align: three bits below the significand (guard, round, sticky) keep what rounding needs.
        low = 3
        width = fmt.fraction_bits + 1
        big_exponent = Signal(fmt.exponent_bits)
        small_exponent = Signal(fmt.exponent_bits)
        big_significand = Signal(width)
        small_significand = Signal(width)
        for code, exponent, significand in (
            (s.big, big_exponent, big_significand),
            (s.small, small_exponent, small_significand),
        ):
            hidden = code.exponent.any()
            floor = (code.exponent == 0) if subnormals else 0
            m.d.comb += [exponent.eq(code.exponent | floor), significand.eq(Cat(code.fraction, hidden))]
        distance = Signal(fmt.exponent_bits)
        m.d.comb += distance.eq(big_exponent - small_exponent)
        reach = (width + low).bit_length()  # a shift of 2**reach - 1 clears every bit
        shift = Signal(reach)
        m.d.comb += shift.eq(Mux(distance[reach:].any(), (1 << reach) - 1, distance[:reach]))
        aligned, lost = shift_right_sticky(m, Cat(Const(0, low), small_significand), shift, "align")
        s = pipe.cut(
            "align",
            sign=s.big.sign,
            exponent=big_exponent,
            big=big_significand,
            aligned=Cat(aligned[0] | lost, aligned[1:]),
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

        # Normalise: the leading one moves to the top; a subnormal sum stops at the least exponent.
        zeros = leading_zeros(m, s.total, "zeros")
        amount = Signal.like(zeros)
        if subnormals:
            m.d.comb += amount.eq(Mux(zeros > s.exponent, s.exponent, zeros))
        else:
            m.d.comb += amount.eq(zeros)
        shifted = Signal(width + low + 1)
        exponent = Signal(fmt.exponent_bits)
        m.d.comb += [
            shifted.eq(s.total << amount),
            exponent.eq(Mux(shifted[-1], s.exponent + 1 - amount, 0)),
        ]
        sign = Signal()
        # An exact cancellation is +0; two zeros of one sign keep it.
        m.d.comb += sign.eq(s.sign & ~(s.subtract & ~s.total.any()))
        s = pipe.cut(
            "normalise",
            sign=sign,
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


def shift_right_sticky(m, value, amount, name):
    """(``value >> amount``, whether a one was shifted out): one named level per bit of ``amount``."""
    lost = Const(0, 1)
    for k in reversed(range(len(amount))):
        step = 1 << k
        level = Signal(len(value), name=f"{name}_{k}")
        dropped = Signal(name=f"{name}_lost_{k}")
        m.d.comb += [
            level.eq(Mux(amount[k], value >> step, value)),
            dropped.eq(lost | (amount[k] & value[:step].any())),
        ]
        value, lost = level, dropped
    return value, lost


class FloatAddStream(StreamOperator):
    """``FloatAdd`` between streams: ``i`` of ``{a, b}``, ``o`` of the sum."""

    operator = FloatAdd
