# SPDX-License-Identifier: Apache-2.0
"""The reciprocal, correctly rounded: table, interpolation, and one test that decides between two neighbours.

``o = 1 / i``, with the significand of ``i`` split into a segment and a position ``u`` in it::

    i -> normalise, look up -> bend -> slope -> times u -> estimate -> midpoint times significand -> round, pack -> o
                       table   bend    slope   term     estimate   partial        product            result
                                                                                                     (cut points)

With D the integer significand, F fraction bits, and Q = 2**(2F + 1) / D rounded to an integer, the estimate is Q or Q - 1,
because it is the truncated value of a polynomial that errs by less than half a unit. It is Q - 1 exactly if the midpoint
above it, m = estimate + 1/2, is below the quotient: if 2**(2F + 2) - 2m * D is positive. That difference is small, so its
low F + 5 bits tell, and the first term has none of them. The quotient is never a midpoint, as 2m is odd and D no power of
two, or else the quotient an integer.

The cut points become registers in the order of ``CUTS``: from none (combinational) to all eight.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from amaranth import Cat, Const, Module, Mux, Signal

from zoetrope.hw.arith.pieces import look_up, multiply
from zoetrope.hw.formats import FP16, FP32, Float
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator, check_stages

#: Which cut points are registered, by number of stages; FP16, interpolated linearly, has no "bend" and "slope".
CUTS = (
    (),
    ("result",),
    ("estimate", "result"),
    ("table", "estimate", "result"),
    ("table", "slope", "estimate", "result"),
    ("table", "slope", "estimate", "product", "result"),
    ("table", "slope", "term", "estimate", "product", "result"),
    ("table", "slope", "term", "estimate", "partial", "product", "result"),
    ("table", "bend", "slope", "term", "estimate", "partial", "product", "result"),
)


@dataclass(frozen=True)
class Interpolation:
    """``1 / x`` in a segment: ``c0 - u * (c1 - c2 * (u >> drop) / 2**c2_shift) / 2**c1_shift``, truncated at each ``/``.

    In units of 2**-guard of the result's least bit. Coefficients are those of the polynomial through Chebyshev's nodes,
    which for ``1 / x`` are products of reciprocals, rounded to integers.
    """

    fmt: Float
    segment_bits: int
    order: int
    guard: int
    c1_shift: int
    c2_shift: int = 0
    drop: int = 0

    @property
    def position_bits(self):
        return self.fmt.fraction_bits - self.segment_bits

    def coefficients(self, segment):
        """(c0, c1) or (c0, c1, c2) of ``segment``, integers."""
        width = Fraction(1, 1 << self.segment_bits)
        start = 1 + segment * width
        # Of cos(pi / 4) and cos(pi / 6), seven bits: the error of the polynomial grows by less than a hundredth.
        offsets = (
            (Fraction(-91, 128), Fraction(91, 128)) if self.order == 1 else (Fraction(-111, 128), 0, Fraction(111, 128))
        )
        nodes = [start + width / 2 * (1 + offset) for offset in offsets]
        slopes = [1 / nodes[0], 1 / (nodes[0] * nodes[1])]  # Newton's form; signs alternate
        if self.order == 2:
            slopes.append(slopes[1] / nodes[2])
        at = [start - node for node in nodes]
        p0 = slopes[0] - at[0] * slopes[1]
        p1 = slopes[1]
        if self.order == 2:
            p0 += at[0] * at[1] * slopes[2]
            p1 -= (at[0] + at[1]) * slopes[2]
        unit = self.fmt.fraction_bits + 1 + self.guard
        step = self.fmt.fraction_bits  # u counts steps of 2**-step
        c0 = round(p0 * 2**unit)
        c1 = round(p1 * Fraction(2) ** (unit - step + self.c1_shift))
        if self.order == 1:
            return c0, c1
        c2 = round(slopes[2] * Fraction(2) ** (unit - 2 * step + self.c1_shift + self.c2_shift + self.drop))
        return c0, c1, c2

    def table(self):
        return [self.coefficients(segment) for segment in range(1 << self.segment_bits)]


#: The least tables of those tried whose estimate is Q or Q - 1 for every significand.
INTERPOLATIONS = {
    FP16: Interpolation(FP16, segment_bits=5, order=1, guard=3, c1_shift=5),
    FP32: Interpolation(FP32, segment_bits=7, order=2, guard=4, c1_shift=16, c2_shift=12, drop=3),
}


@dataclass(frozen=True)
class ReciprocalConfig:
    fmt: Float = field(default=FP32, metadata={"doc": "format of operand and result: FP16 or FP32"})
    stages: int = field(default=4, metadata={"doc": "register stages, 0 to 8 (FP16: 0 to 6)"})

    def __post_init__(self):
        if self.fmt not in INTERPOLATIONS:
            raise ValueError(f"fmt must be {' or '.join(f.name for f in INTERPOLATIONS)}, not {self.fmt.name}")
        check_stages(self.stages, len(self.cuts) - 1)

    @property
    def cuts(self):
        if INTERPOLATIONS[self.fmt].order == 2:
            return CUTS
        linear = (tuple(point for point in cut if point not in ("bend", "slope")) for cut in CUTS)
        return tuple(dict.fromkeys(linear))

    @property
    def i_layout(self):
        return self.fmt.layout

    @property
    def o_layout(self):
        return self.fmt.layout


class Reciprocal(Operator):
    """``o = 1 / i``, IEEE division rounded once to nearest even: the error is at most half an ulp.

    Zeros give infinities of their sign, infinities zeros, NaN the canonical one. Subnormals enter and leave: those below a
    quarter of the least normal give an infinity, and operands above half the largest power of two give subnormals.

    Parameters
    ----------
    config : ReciprocalConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In, the operand
    o : Out, its reciprocal, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Limits: below 2 stages FP32 is for simulation: Yosys' logic optimiser (ABC) looks for equivalences through three
    products in a row and did not end within ten minutes.
    Golden: ``golden.arith.reciprocal.reciprocal``.

    Rejected:

    * Without the test behind the estimate: two thirds of the area (7.5 instead of 11.2 kGE in FP32 with 2 stages), and an
      ulp of error now and then; a golden would have to repeat table and truncations.
    * Digit recurrence, unrolled: no table and no multiplier, but 25 subtractions of 25 bits one after another.
    * Newton's iteration from a smaller table: three products in a row before the test instead of two.
    """

    def elaborate(self, platform):
        m = Module()
        fmt = self.config.fmt
        pipe = Pipeline(m, self.en, self.config.cuts[self.config.stages])
        s = self._looked_up(m, pipe)
        s = self._estimated(m, pipe, s)

        # The test. The estimate itself is the midpoint without its last one.
        width = fmt.fraction_bits + 5
        midpoint = s.midpoint
        truncated = Signal(fmt.fraction_bits + 1)
        m.d.comb += truncated.eq(Mux(s.quarter, midpoint[3:], Mux(s.half, midpoint[2:], midpoint[1:])))
        magnitude = Cat(truncated[: fmt.fraction_bits], s.exponent)
        middle = (width + 1) // 2
        low = Signal(width)
        cross_0 = Signal(width - middle)
        cross_1 = Signal(width - middle)
        m.d.comb += [
            low.eq(midpoint[:middle] * s.significand[:middle]),
            cross_0.eq(midpoint[middle:] * s.significand[:middle]),
            cross_1.eq(midpoint[:middle] * s.significand[middle:]),
        ]
        special = self._special(s)
        s = pipe.cut("partial", **special, magnitude=magnitude, low=low, cross_0=cross_0, cross_1=cross_1)
        product = Signal(width)
        m.d.comb += product.eq(s.low + ((s.cross_0 + s.cross_1) << middle))
        s = pipe.cut("product", **self._special(s), magnitude=s.magnitude, up=product[-1])

        packed = Signal(fmt.width)
        with m.If(s.nan):
            m.d.comb += packed.eq(fmt.nan)
        with m.Elif(s.infinite):
            m.d.comb += packed.eq(Cat(Const(fmt.inf, fmt.width - 1), s.sign))
        with m.Elif(s.zero):
            m.d.comb += packed.eq(Cat(Const(0, fmt.width - 1), s.sign))
        with m.Else():
            m.d.comb += packed.eq(Cat((s.magnitude + s.up)[: fmt.width - 1], s.sign))
        s = pipe.cut("result", packed=packed)
        m.d.comb += self.o.as_value().eq(s.packed)
        return m

    @staticmethod
    def _special(s):
        return {"sign": s.sign, "nan": s.nan, "infinite": s.infinite, "zero": s.zero}

    def _looked_up(self, m, pipe):
        """Class, exponent of the result, normalised significand and the coefficients of its segment."""
        fmt, interpolation = self.config.fmt, INTERPOLATIONS[self.config.fmt]
        code, fraction = self.i, self.i.fraction
        subnormal = Signal()
        top = Signal()
        nan = Signal()
        zero = Signal()
        infinite = Signal()
        normal = Signal(fmt.fraction_bits)
        m.d.comb += [
            subnormal.eq(~code.exponent.any()),
            top.eq(code.exponent == fmt.exponent_max),
            nan.eq(top & fraction.any()),
            zero.eq(top),
            # A subnormal with a one in its upper two places has a finite reciprocal; there is no other to normalise.
            infinite.eq(subnormal & ~fraction[-2:].any()),
            normal.eq(Mux(~subnormal, fraction, Mux(fraction[-1], fraction << 1, fraction << 2))),
        ]
        exponent = Signal(fmt.exponent_bits)
        half = Signal()
        quarter = Signal()
        m.d.comb += [
            half.eq(code.exponent == 2 * fmt.bias - 1),
            quarter.eq(code.exponent == 2 * fmt.bias),
            exponent.eq(Mux(quarter, 0, 2 * fmt.bias - 1 - code.exponent + (subnormal & ~fraction[-1]))),
        ]
        segment = normal[-interpolation.segment_bits :]
        names = [f"c{k}" for k in range(interpolation.order + 1)]
        coefficients = look_up(m, interpolation.table(), segment, names)
        return pipe.cut(
            "table",
            sign=code.sign,
            nan=nan,
            infinite=infinite,
            zero=zero,
            exponent=exponent,
            half=half,
            quarter=quarter,
            significand=Cat(normal, Const(1, 1)),
            **coefficients,
        )

    def _estimated(self, m, pipe, s):
        """The same, with ``midpoint``: twice the one above Q - 1 or Q, whichever the estimate is."""
        fmt, interpolation = self.config.fmt, INTERPOLATIONS[self.config.fmt]
        beside = ("sign", "nan", "infinite", "zero", "exponent", "half", "quarter", "significand")

        def carried(s, *more):
            return {name: getattr(s, name) for name in (*beside, *more)}

        bend = Const(0, 1)
        if interpolation.order == 2:
            position = s.significand[interpolation.drop : interpolation.position_bits]
            product = Signal(len(s.c2) + len(position), name="bend")
            m.d.comb += product.eq(s.c2 * position)
            bend = product[interpolation.c2_shift :]
        s = pipe.cut("bend", **carried(s, "c0", "c1"), bend=bend)

        slope = Signal(len(s.c1))
        m.d.comb += slope.eq(s.c1 - s.bend)
        s = pipe.cut("slope", **carried(s, "c0"), slope=slope)

        position = s.significand[: interpolation.position_bits]
        s, term = multiply(m, pipe, "term", s.slope, position, **carried(s, "c0"))

        # The leading one is known: it need not be computed, and synthesis cannot find out.
        estimate = Signal(fmt.fraction_bits + interpolation.guard)
        m.d.comb += estimate.eq(s.c0 - term[interpolation.c1_shift :])
        quotient = Cat(estimate[interpolation.guard :], Const(1, 1))
        # The midpoint above it, doubled; the unit of a subnormal result is 2 or 4 times larger.
        midpoint = Signal(fmt.fraction_bits + 2)
        with m.If(s.quarter):
            m.d.comb += midpoint.eq(Cat(Const(0b100, 3), quotient[2:]))
        with m.Elif(s.half):
            m.d.comb += midpoint.eq(Cat(Const(0b10, 2), quotient[1:]))
        with m.Else():
            m.d.comb += midpoint.eq(Cat(Const(1, 1), quotient))
        return pipe.cut("estimate", **carried(s), midpoint=midpoint)


class ReciprocalStream(StreamOperator):
    """``Reciprocal`` between streams."""

    operator = Reciprocal


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ReciprocalConfig(),
    "deep": ReciprocalConfig(stages=8),
    "fp16": ReciprocalConfig(fmt=FP16, stages=5),
    "combinational": ReciprocalConfig(fmt=FP16, stages=0),
}
