# SPDX-License-Identifier: Apache-2.0
"""e to the power of x: fixed-point multiplication by log2(e), a table, interpolation.

``o = e**i = 2**n * 2**f``, with ``n + f = i * log2(e)``, n an integer and 0 <= f < 1::

    i -> times log2(e) -> to fixed point -> n, f; look up ->
     operand partial product         fixed           table
                                         bend -> slope -> times u -> 2**f -> align -> round, pack -> o
                                         bend    slope       term  estimate  align             result    (cut points)

In integers, with S the significand of ``i``, E its exponent, F its fraction bits, and B, K, g as in ``Method``::

    y = floor(S * round(log2(e) * 2**K) * 2**(E - F - K + B)), negated if i is negative
    n, f = floor(y / 2**B), y mod 2**B;  segment, u = the upper and the other bits of f
    slope = c1 + floor(c2 * floor(u / 2**drop) / 2**c2_shift)             (slope = c1 where the order is 1)
    2**f = (c0 + floor(slope * u / 2**c1_shift)) / 2**g,  rounded once with 2**n to the target, to nearest even

Every step is monotone in the one before, so the whole is. ``c0`` is 1 in segment 0, so e**0 is exactly 1.

The cut points become registers in the order of ``CUTS``: from none (combinational) to all.
"""

from dataclasses import dataclass, field
from decimal import Context, Decimal

from amaranth import Cat, Const, Module, Mux, Signal, signed

from zoetrope.hw.arith.pieces import look_up, multiply
from zoetrope.hw.formats import FP16, FP32, Float, shift_right_sticky
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator, check_stages

#: Which cut points are registered, by number of stages; an FP16 result, interpolated linearly, has no "bend" and "slope".
CUTS = (
    (),
    ("result",),
    ("table", "result"),
    ("table", "estimate", "result"),
    ("fixed", "table", "estimate", "result"),
    ("product", "fixed", "table", "estimate", "result"),
    ("product", "fixed", "table", "estimate", "align", "result"),
    ("product", "fixed", "table", "slope", "estimate", "align", "result"),
    ("product", "fixed", "table", "slope", "term", "estimate", "align", "result"),
    ("partial", "product", "fixed", "table", "slope", "term", "estimate", "align", "result"),
    ("partial", "product", "fixed", "table", "bend", "slope", "term", "estimate", "align", "result"),
    ("operand", "partial", "product", "fixed", "table", "bend", "slope", "term", "estimate", "align", "result"),
)

_EXACT = Context(prec=60)


@dataclass(frozen=True)
class Method:
    """Widths of the computation for one target format.

    Parameters
    ----------
    limit : e**x overflows, or underflows to zero, for every |x| of 2**limit or more
    position : B, fraction bits of ``i * log2(e)``
    log2e : K, fraction bits of log2(e)
    segment_bits : upper bits of f that index the table
    order : 1 linear, through the segment's ends; 2 quadratic, through its middle too
    result : g, fraction bits of 2**f
    c1_shift, c2_shift, drop : fraction bits of the coefficients, and low bits of u that the bend does without
    """

    limit: int
    position: int
    log2e: int
    segment_bits: int
    order: int
    result: int
    c1_shift: int
    c2_shift: int = 0
    drop: int = 0

    @property
    def u_bits(self):
        return self.position - self.segment_bits

    @property
    def multiplier(self):
        """log2(e), 2**log2e times as large, rounded."""
        return _rounded(_EXACT.divide(Decimal(1), _EXACT.ln(Decimal(2))) * (1 << self.log2e))

    def coefficients(self, segment):
        """(c0, c1) or (c0, c1, c2) of ``segment``, integers."""
        steps = 1 << self.u_bits
        start, middle, end = (
            _EXACT.power(Decimal(2), Decimal(2 * segment + k) / (2 << self.segment_bits)) * (1 << self.result)
            for k in range(3)
        )
        if self.order == 1:
            return _rounded(start), _rounded((end - start) * (1 << self.c1_shift) / steps)
        return (
            _rounded(start),
            _rounded((4 * middle - 3 * start - end) * (1 << self.c1_shift) / steps),
            _rounded((start - 2 * middle + end) * (2 << self.c1_shift + self.c2_shift + self.drop) / steps**2),
        )

    def table(self):
        return [self.coefficients(segment) for segment in range(1 << self.segment_bits)]


METHODS = {
    FP16: Method(limit=5, position=15, log2e=20, segment_bits=6, order=1, result=15, c1_shift=8),
    FP32: Method(limit=7, position=22, log2e=28, segment_bits=5, order=2, result=24, c1_shift=16, c2_shift=10, drop=6),
}


def _rounded(value):
    return int(_EXACT.to_integral_value(value))


@dataclass(frozen=True)
class ExpConfig:
    source: Float = field(default=FP32, metadata={"doc": "format of the operand: FP16 or FP32"})
    target: Float = field(default=FP16, metadata={"doc": "format of the result: FP16 or FP32"})
    stages: int = field(default=4, metadata={"doc": "register stages, 0 to 9 for an FP16 result, 0 to 11 for FP32"})

    def __post_init__(self):
        for name in ("source", "target"):
            if getattr(self, name) not in METHODS:
                raise ValueError(f"{name} must be FP16 or FP32, not {getattr(self, name).name}")
        check_stages(self.stages, len(self.cuts) - 1)

    @property
    def method(self):
        return METHODS[self.target]

    @property
    def cuts(self):
        if self.method.order == 2:
            return CUTS
        linear = (tuple(point for point in cut if point not in ("bend", "slope")) for cut in CUTS)
        return tuple(dict.fromkeys(linear))

    @property
    def i_layout(self):
        return self.source.layout

    @property
    def o_layout(self):
        return self.target.layout


class Exp(Operator):
    """``o = e**i``, monotone over all operands, within 0.6 ulp for an FP16 result, 2**-20.5 relative (8 ulp) for FP32.

    Overflow gives infinity; underflow goes through subnormals to +0. e**-inf is +0, e**inf infinity, e**0 exactly 1; a NaN
    gives the canonical one.

    Parameters
    ----------
    config : ExpConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In, the operand in format ``source``
    o : Out, its exponential in format ``target``, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Golden: ``golden.arith.exp.exp``. The bounds are held against float64 over all FP16 operands and millions of FP32 ones.

    Rejected: correct rounding, which needs twice the bits to decide the hardest cases; a table without interpolation, 2,048
    words for FP16 and none for FP32; CORDIC, as many adders as result bits; base 2 instead of e, which moves the
    multiplication by log2(e) to a scale that is often folded into Q, and is then no softmax to the reader.
    """

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m, self.en, self.config.cuts[self.config.stages])
        s = self._fixed_point(m, pipe)
        s = self._power_of_two(m, pipe, s)
        aligned, lost = shift_right_sticky(m, s.power, s.shift, "align")
        special = {"nan": s.nan, "zero": s.zero, "infinite": s.infinite}
        s = pipe.cut("align", **special, exponent=s.exponent, aligned=aligned, sticky=lost)

        # Round to nearest even: a carry out of the fraction raises the exponent, up to infinity.
        to = self.config.target
        low = self.config.method.result - to.fraction_bits
        fraction = s.aligned[low:-1]
        up = Signal()
        magnitude = Signal(to.width - 1)
        m.d.comb += [
            up.eq(s.aligned[low - 1] & (fraction[0] | s.aligned[: low - 1].any() | s.sticky)),
            magnitude.eq(Cat(fraction, s.exponent) + up),
        ]
        packed = Signal(to.width)
        with m.If(s.nan):
            m.d.comb += packed.eq(to.nan)
        with m.Elif(s.zero):
            m.d.comb += packed.eq(0)
        with m.Elif(s.infinite):
            m.d.comb += packed.eq(to.inf)
        with m.Else():
            m.d.comb += packed.eq(magnitude)
        s = pipe.cut("result", packed=packed)
        m.d.comb += self.o.as_value().eq(s.packed)
        return m

    def _fixed_point(self, m, pipe):
        """``y``, the magnitude of ``i * log2(e)`` in fixed point, with the sign and the class beside it."""
        fmt, method = self.config.source, self.config.method
        code = self.i
        nan = Signal()
        beyond = Signal()
        bits = method.position + method.limit + 1  # log2(e) < 2
        reach = bits.bit_length()  # a shift of 2**reach - 1 clears every bit
        largest = fmt.bias + method.limit - 1  # the exponent that needs no shift
        # A subnormal of FP32 is shifted to nothing with or without a leading one; finding out would precede the product.
        hidden = code.exponent.any() if largest <= bits else Const(1, 1)
        distance = Signal(signed(fmt.exponent_bits + 2))
        shift = Signal(reach)
        m.d.comb += [
            nan.eq((code.exponent == fmt.exponent_max) & code.fraction.any()),
            beyond.eq(code.exponent > largest),
            distance.eq(largest - (code.exponent | ~code.exponent.any())),
            shift.eq(distance[:reach] | distance[reach:-1].any().replicate(reach)),
        ]
        beside = {"sign": code.sign, "nan": nan, "beyond": beyond, "shift": shift}
        s = pipe.cut("operand", **beside, significand=Cat(code.fraction, hidden))
        beside = {name: getattr(s, name) for name in beside}
        s, product = multiply(m, pipe, "partial", s.significand, Const(method.multiplier), **beside)
        beside = {name: getattr(s, name) for name in beside}
        s = pipe.cut("product", **beside, product=product[len(product) - bits :])
        y = Signal(bits)
        m.d.comb += y.eq(s.product >> s.shift)
        return pipe.cut("fixed", sign=s.sign, nan=s.nan, beyond=s.beyond, y=y)

    def _power_of_two(self, m, pipe, s):
        """The integer part n and ``power``, 2**f with g fraction bits."""
        method = self.config.method
        signed_y = Signal(signed(len(s.y) + 1))
        m.d.comb += signed_y.eq(Mux(s.sign, -s.y, s.y))
        position = signed_y[: method.position]
        names = [f"c{k}" for k in range(method.order + 1)]
        coefficients = look_up(m, method.table(), position[method.u_bits :], names)
        n = Signal(signed(len(signed_y) - method.position))
        m.d.comb += n.eq(signed_y[method.position :])
        beside = {"sign": s.sign, "nan": s.nan, "beyond": s.beyond, "n": n, "u": position[: method.u_bits]}
        s = pipe.cut("table", **beside, **coefficients)

        def carried(s, *more):
            return {name: getattr(s, name) for name in (*beside, *more)}

        bend = Const(0, 1)
        if method.order == 2:
            bend_u = s.u[method.drop :]
            product = Signal(len(s.c2) + len(bend_u), name="bend")
            m.d.comb += product.eq(s.c2 * bend_u)
            bend = product[method.c2_shift :]
        s = pipe.cut("bend", **carried(s, "c0", "c1"), bend=bend)
        slope = Signal(len(s.c1))
        m.d.comb += slope.eq(s.c1 + s.bend)
        s = pipe.cut("slope", **carried(s, "c0"), slope=slope)
        s, term = multiply(m, pipe, "term", s.slope, s.u, **carried(s, "c0"))
        power = Signal(method.result + 1)
        m.d.comb += power.eq(s.c0 + term[method.c1_shift :])
        exponent, shift, infinite = self._placed(m, s.n, len(power))
        return pipe.cut(
            "estimate",
            nan=s.nan,
            zero=s.beyond & s.sign,
            infinite=s.beyond | infinite,
            exponent=exponent,
            shift=shift,
            power=power,
        )

    def _placed(self, m, n, width):
        """(exponent field, shift to the right, overflow) of 2**n: a subnormal is shifted under the field 0."""
        to = self.config.target
        exponent = Signal(signed(to.exponent_bits + 2))
        below = Signal()
        distance = Signal(to.exponent_bits + 1)
        reach = width.bit_length()  # a shift of 2**reach - 1 clears every bit
        shift = Signal(reach)
        field_ = Signal(to.exponent_bits, name="exponent_field")
        m.d.comb += [exponent.eq(n + to.bias), below.eq(exponent <= 0), distance.eq(1 - to.bias - n)]
        with m.If(below):
            m.d.comb += shift.eq(distance[:reach] | distance[reach:].any().replicate(reach))
        with m.Else():
            m.d.comb += field_.eq(exponent)
        return field_, shift, ~below & (exponent >= to.exponent_max)


class ExpStream(StreamOperator):
    """``Exp`` between streams."""

    operator = Exp


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ExpConfig(),
    "combinational": ExpConfig(stages=0),
    "deep": ExpConfig(stages=8),
    "fp16": ExpConfig(source=FP16),
    "fp32": ExpConfig(target=FP32, stages=10),
}
