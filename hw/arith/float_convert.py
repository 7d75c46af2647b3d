# SPDX-License-Identifier: Apache-2.0
"""Conversion to floating point: from another floating-point format or from integers, rounded once to nearest even.

``o = i``, in another format::

    i -> magnitude and exponent, shift amount -> shift -> round, pack -> o
                                           unpack    shift         result    (cut points)

    i -> magnitude -> count zeros -> shift -> round, pack -> o                (integers)
                unpack          count    shift         result

The cut points become registers in the order of ``CUTS``: from none (combinational) to all.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, signed

from zoetrope.hw.arith.pieces import pack, to_nearest_even
from zoetrope.hw.formats import FP16, FP32, INT8, Float, leading_zeros, shift_right_sticky
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator, check_stages

#: Which cut points are registered, by number of stages; "count" is for integers only.
CUTS = (
    (),
    ("result",),
    ("shift", "result"),
    ("unpack", "shift", "result"),
    ("unpack", "count", "shift", "result"),
)


@dataclass(frozen=True)
class Integer:
    """Integers of ``width`` bits: two's complement, or sign and magnitude, where -0 is accepted and means 0."""

    width: int
    sign_magnitude: bool = False

    def __post_init__(self):
        if self.width not in range(2, 65):
            raise ValueError(f"width of an integer must be 2 to 64, not {self.width!r}")

    @property
    def name(self):
        return f"INT{self.width}" + (" (sign and magnitude)" if self.sign_magnitude else "")

    @property
    def layout(self):
        if not self.sign_magnitude:
            return signed(self.width)
        return INT8 if self.width == 8 else type(INT8)({"magnitude": self.width - 1, "sign": 1})


@dataclass(frozen=True)
class FloatConvertConfig:
    source: Float | Integer = field(default=FP32, metadata={"doc": "format of the operand: a Float or an Integer"})
    target: Float = field(default=FP16, metadata={"doc": "format of the result"})
    stages: int = field(default=2, metadata={"doc": "register stages, 0 to 3; to 4 for integers"})
    subnormals: bool = field(default=True, metadata={"doc": "False where a widened source has none, as FP17 and FP29"})

    def __post_init__(self):
        if self.source == self.target:
            raise ValueError(f"source and target must differ, not both {self.target.name}")
        deepest = len(CUTS) - 1 if self.integer else len(CUTS) - 2
        check_stages(self.stages, deepest)
        if self.target not in (FP16, FP32):
            raise ValueError(f"target must be FP16 or FP32, not {self.target.name}")

    @property
    def integer(self):
        return isinstance(self.source, Integer)

    @property
    def widens(self):
        """Whether the target holds every value of a floating-point source."""
        s, t = self.source, self.target
        return s.fraction_bits <= t.fraction_bits and s.exponent_bits < t.exponent_bits

    @property
    def i_layout(self):
        return self.source.layout

    @property
    def o_layout(self):
        return self.target.layout


class FloatConvert(Operator):
    """``o = i`` in format ``config.target``: IEEE 754, round to nearest even, subnormals, one canonical NaN.

    * Narrowing (FP32, FP29 or FP17 to FP16): overflow to infinity, underflow through subnormals to a signed zero.
    * Widening (FP16 or a product format to FP32): exact; a subnormal is normalised.
    * Integers: two's complement or sign and magnitude; zero is +0, what exceeds the format is an infinity.

    Parameters
    ----------
    config : FloatConvertConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In, the operand in ``source.layout``
    o : Out, the result, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Limits: as a target FP16 and FP32 only; FP29 and FP17 never hold subnormals.
    Golden: ``golden.arith.float_convert.float_convert`` and ``golden.arith.float_convert.integer_convert``.
    """

    def elaborate(self, platform):
        m = Module()
        c = self.config
        pipe = Pipeline(m, self.en, CUTS[c.stages])
        if c.integer:
            s, magnitude = self._from_integer(m, pipe)
        elif c.widens:
            s, magnitude = self._widened(m, pipe)
        else:
            s, magnitude = self._narrowed(m, pipe)
        packed = pack(m, c.target, magnitude, s.sign, nan=s.nan, infinite=s.infinite)
        s = pipe.cut("result", packed=packed)
        m.d.comb += self.o.as_value().eq(s.packed)
        return m

    def _classified(self, m):
        fmt = self.config.source
        nan = Signal()
        infinite = Signal()
        top = self.i.exponent == fmt.exponent_max
        m.d.comb += [nan.eq(top & self.i.fraction.any()), infinite.eq(top & ~self.i.fraction.any())]
        return {"sign": self.i.sign, "nan": nan, "infinite": infinite}

    def _narrowed(self, m, pipe):
        """(signals beside it, magnitude): right by as much as the exponent is below the target's least."""
        fmt, to = self.config.source, self.config.target
        rebias = fmt.bias - to.bias
        width = to.fraction_bits + 2  # with the rounding bit
        dropped = fmt.fraction_bits - to.fraction_bits
        significand = Cat(Const(0, max(0, 1 - dropped)), self.i.fraction, self.i.exponent.any())
        rest = Signal()
        kept = Signal(width)
        below = Signal()
        exponent = Signal(to.exponent_bits)
        distance = Signal(fmt.exponent_bits)
        reach = width.bit_length()  # a shift of 2**reach - 1 clears every bit
        shift = Signal(reach)
        special = self._classified(m)
        above = Signal()
        m.d.comb += [
            kept.eq(significand[-width:]),
            rest.eq(significand[:-width].any() if len(significand) > width else 0),
            below.eq(self.i.exponent <= rebias),
            above.eq(self.i.exponent >= rebias + to.exponent_max),
            exponent.eq(Mux(below, 0, self.i.exponent - rebias)),
            distance.eq(rebias + 1 - self.i.exponent),
        ]
        with m.If(below):
            m.d.comb += shift.eq(distance[:reach] | distance[reach:].any().replicate(reach))
        special["infinite"] |= above
        s = pipe.cut("unpack", **special, exponent=exponent, kept=kept, rest=rest, shift=shift)

        aligned, lost = shift_right_sticky(m, s.kept, s.shift, "align")
        beside = {"sign": s.sign, "nan": s.nan, "infinite": s.infinite}
        s = pipe.cut("shift", **beside, exponent=s.exponent, aligned=aligned, sticky=s.rest | lost)
        return s, to_nearest_even(m, to, s.aligned[1:-1], s.exponent, s.aligned[0], s.sticky)

    def _widened(self, m, pipe):
        """(signals beside it, magnitude): exact, left by as many zeros as a subnormal has."""
        fmt, to = self.config.source, self.config.target
        zeros = leading_zeros(m, self.i.fraction, "zeros")
        shift = Signal(range(fmt.fraction_bits + 1))
        special = self._classified(m)
        subnormal = Signal()
        zero = Signal()
        m.d.comb += [
            subnormal.eq(~self.i.exponent.any()),
            zero.eq(subnormal & ~self.i.fraction.any()),
            shift.eq(zeros & subnormal.replicate(len(zeros)) if self.config.subnormals else 0),
        ]
        beside = {"zero": zero, "subnormal": subnormal, "exponent": self.i.exponent}
        s = pipe.cut("unpack", **special, **beside, shift=shift, fraction=self.i.fraction)

        # A subnormal's leading one is shifted out above the fraction, which takes one place more than its zeros.
        shifted = Signal(fmt.fraction_bits)
        fraction = Signal(fmt.fraction_bits)
        exponent = Signal(to.exponent_bits)
        m.d.comb += [
            shifted.eq(s.fraction << s.shift),
            fraction.eq(Mux(s.subnormal, shifted << 1, shifted)),
            exponent.eq(Mux(s.zero, 0, s.exponent + (to.bias - fmt.bias) - s.shift)),
        ]
        s = pipe.cut("shift", sign=s.sign, nan=s.nan, infinite=s.infinite, fraction=fraction, exponent=exponent)
        return s, Cat(Const(0, to.fraction_bits - fmt.fraction_bits), s.fraction, s.exponent)

    def _from_integer(self, m, pipe):
        """(signals beside it, magnitude): the leading one to the top, the rest rounded."""
        source, to = self.config.source, self.config.target
        # The magnitude of the least number of two's complement needs all of the width.
        width = source.width - source.sign_magnitude
        sign = Signal()
        magnitude = Signal(width)
        if source.sign_magnitude:
            m.d.comb += [magnitude.eq(self.i.magnitude), sign.eq(self.i.sign & self.i.magnitude.any())]
        else:
            m.d.comb += [sign.eq(self.i[-1]), magnitude.eq(Mux(sign, -self.i, self.i))]
        s = pipe.cut("unpack", sign=sign, magnitude=magnitude)

        zeros = leading_zeros(m, s.magnitude, "zeros")
        s = pipe.cut("count", sign=s.sign, magnitude=s.magnitude, zeros=zeros)

        shifted = Signal(width)
        exponent = Signal(range(max(to.bias + width, to.exponent_max + 1)))
        m.d.comb += [
            shifted.eq(s.magnitude << s.zeros),
            exponent.eq(Mux(shifted[-1], to.bias + width - 1 - s.zeros, 0)),
        ]
        s = pipe.cut("shift", sign=s.sign, exponent=exponent, shifted=shifted)

        padded = Cat(Const(0, max(0, to.fraction_bits + 2 - width)), s.shifted)
        low = len(padded) - 1 - to.fraction_bits
        s.nan = Const(0, 1)
        s.infinite = s.exponent >= to.exponent_max
        rest = padded[: low - 1].any() if low > 1 else Const(0, 1)
        return s, to_nearest_even(m, to, padded[low:-1], s.exponent[: to.exponent_bits], padded[low - 1], rest)


class FloatConvertStream(StreamOperator):
    """``FloatConvert`` between streams."""

    operator = FloatConvert


#: Config of each preset; the first is the default.
PRESETS = {
    "default": FloatConvertConfig(),
    "combinational": FloatConvertConfig(stages=0),
    "deep": FloatConvertConfig(stages=3),
    "widen": FloatConvertConfig(source=FP16, target=FP32),
    "int8": FloatConvertConfig(source=Integer(8, sign_magnitude=True)),
    "int32": FloatConvertConfig(source=Integer(32), target=FP32, stages=4),
}
