# SPDX-License-Identifier: Apache-2.0
"""Floating-point multiplication, exact or rounded once to nearest even.

``o = a * b``. Exact, into a format that holds every product::

    a, b -> significands --> multiply -> count zeros -> normalise, pack -> o
                                 product            count             result     (cut points)

Rounded, into the operands' format::

    a, b -> count zeros -> normalise one -> multiply -> one bit of normalisation, align -> round, pack -> o
                       count            operand     product                            align         result

The cut points become registers in the order of ``EXACT_CUTS`` or ``ROUNDED_CUTS``: from none (combinational) to all.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data

from zoetrope.hw.arith.pieces import multiply, pack, to_nearest_even
from zoetrope.hw.formats import FP16, FP29, FP32, Float, leading_zeros, shift_right_sticky
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator, check_stages

#: Which cut points are registered, by number of stages. "partial" is inside the multiplier of FP32; in FP16, where the
#: product fits one DSP block, it is a second register behind it, which makes the multiplier as deep as the adder.
EXACT_CUTS = (
    (),
    ("result",),
    ("product", "result"),
    ("product", "count", "result"),
)
ROUNDED_CUTS = (
    (),
    ("result",),
    ("product", "result"),
    ("product", "align", "result"),
    ("operand", "product", "align", "result"),
    ("count", "operand", "product", "align", "result"),
    ("count", "operand", "partial", "product", "align", "result"),
)


@dataclass(frozen=True)
class FloatMultiplyConfig:
    operand: Float = field(default=FP16, metadata={"doc": "format of a, and of b without a factor"})
    product: Float = field(
        default=FP29,
        metadata={"doc": "format of the product: the operands' own, or one that holds every product exactly"},
    )
    stages: int = field(default=2, metadata={"doc": "register stages, 0 to 3 if exact, 0 to 6 if rounded"})
    factor: Float | None = field(
        default=None, metadata={"doc": "format of b, if it is not the operand's: FP32 beside FP16, rounded to FP16"}
    )

    def __post_init__(self):
        if self.factor is not None and (self.operand, self.factor, self.product) != (FP16, FP32, FP16):
            raise ValueError(
                f"factor must be None, or FP32 with an FP16 operand and product, not {self.factor.name} with "
                f"{self.operand.name} and {self.product.name}"
            )
        if not self.exact and self.product != self.operand:
            raise ValueError(
                f"product must be {self.operand.name} or hold every product of two {self.operand.name} exactly, "
                f"not {self.product.name}"
            )
        check_stages(self.stages, len(self.cuts) - 1)

    @property
    def b(self):
        """Format of b."""
        return self.factor or self.operand

    @property
    def exact(self):
        """Whether every product is a normal number of the product's format."""
        smallest, largest = 2 * (1 - self.operand.bias - self.operand.fraction_bits), 2 * self.operand.bias + 1
        return (
            self.product.fraction_bits > 2 * self.operand.fraction_bits
            and smallest >= 1 - self.product.bias
            and largest <= self.product.bias
        )

    @property
    def cuts(self):
        return EXACT_CUTS if self.exact else ROUNDED_CUTS

    @property
    def i_layout(self):
        return data.StructLayout({"a": self.operand.layout, "b": self.b.layout})

    @property
    def o_layout(self):
        return self.product.layout


class FloatMultiply(Operator):
    """``o = a * b``: IEEE 754, round to nearest even, subnormals, infinities, one canonical NaN.

    Exact products are normalised behind the multiplier, by one counter and one shifter of the product's width; in front of
    it they would take one of each for either operand, at the same area, and lie before the DSP block's input registers.
    Rounded products are normalised in front of it, one operand only: a product of two subnormals rounds to zero, however
    it is shifted. In FP16, both operands would take a second counter and 22 two-way multiplexers more, the product 44.
    Of FP16 by FP32 it is the FP16 one: what a subnormal FP32 factor makes is nothing in FP16. Widening the FP16 operand to a
    product of two FP32 would round twice, and multiply 24 x 24 bits for 11 x 24.

    Parameters
    ----------
    config : FloatMultiplyConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In, struct of ``a`` and ``b``
    o : Out, the product, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Golden: ``golden.arith.float_multiply.float_multiply``.
    """

    def elaborate(self, platform):
        m = Module()
        c = self.config
        pipe = Pipeline(m, self.en, c.cuts[c.stages])
        a = _Operand(m, self.i.a, c.operand, "a")
        b = _Operand(m, self.i.b, c.b, "b")
        sign = Signal()
        invalid = Signal()
        infinite = Signal()
        m.d.comb += [
            sign.eq(self.i.a.sign ^ self.i.b.sign),
            invalid.eq(a.nan | b.nan | (a.infinite & b.zero) | (b.infinite & a.zero)),
            infinite.eq(a.infinite | b.infinite),
        ]
        special = {"sign": sign, "invalid": invalid, "infinite": infinite}
        s, magnitude = (self._exact if c.exact else self._rounded)(m, pipe, a, b, special)
        packed = pack(m, c.product, magnitude, s.sign, nan=s.invalid, infinite=s.infinite)
        s = pipe.cut("result", packed=packed)
        m.d.comb += self.o.as_value().eq(s.packed)
        return m

    def _exact(self, m, pipe, a, b, special):
        """The magnitude of the product and what ``special`` has become beside it."""
        fmt, to = self.config.operand, self.config.product
        width = 2 * fmt.fraction_bits + 2
        # The exponent that a product with its leading one at the top has: in [1, to.exponent_max) unless it is zero.
        exponent = Signal(to.exponent_bits)
        product = Signal(width)
        m.d.comb += [
            exponent.eq(a.exponent + b.exponent + (to.bias + 1 - 2 * fmt.bias)),
            product.eq(a.significand * b.significand),
        ]
        s = pipe.cut("product", **special, exponent=exponent, product=product)

        # Normalise.
        zeros = leading_zeros(m, s.product, "zeros")
        s = pipe.cut(
            "count",
            sign=s.sign,
            invalid=s.invalid,
            infinite=s.infinite,
            exponent=s.exponent,
            product=s.product,
            zeros=zeros,
        )
        shifted = Signal(width)
        exponent = Signal(to.exponent_bits, name="normal_exponent")
        m.d.comb += [
            shifted.eq(s.product << s.zeros),
            exponent.eq(Mux(shifted[-1], s.exponent - s.zeros, 0)),
        ]
        padding = Const(0, to.fraction_bits - (width - 1))
        return s, Cat(padding, shifted[:-1], exponent)

    def _rounded(self, m, pipe, a, b, special):
        """The magnitude of the product and what ``special`` has become beside it."""
        fmt = self.config.operand
        width = fmt.fraction_bits + 1
        exponent_bits = self.config.b.exponent_bits
        # Of the operands at most one is subnormal, or the product is next to nothing: that one goes left.
        left = Signal(width)
        right = Signal(self.config.b.fraction_bits + 1)
        swap = b.subnormal if self.config.b == fmt else Const(0, 1)
        m.d.comb += [
            left.eq(Mux(swap, b.significand, a.significand)),
            right.eq(Mux(swap, a.significand, b.significand)),
        ]
        zeros = leading_zeros(m, left, "zeros")
        power = Signal(signed(exponent_bits + 2))
        m.d.comb += power.eq(a.exponent + b.exponent - self.config.b.bias)
        s = pipe.cut("count", **special, power=power, zeros=zeros, left=left, right=right)
        normal = Signal(width)
        exponent = Signal(signed(exponent_bits + 2))
        m.d.comb += [normal.eq(s.left << s.zeros), exponent.eq(s.power - s.zeros)]
        beside = {"sign": s.sign, "invalid": s.invalid, "infinite": s.infinite}
        s = pipe.cut("operand", **beside, exponent=exponent, left=normal, right=s.right)

        # Multiply. The product's leading one is at its top or next to it; beside it, the exponent of the latter, and, where
        # that is below the least, how far the product moves right instead.
        reach = (width + 1).bit_length()  # a shift of 2**reach - 1 clears every bit
        distance = Signal(exponent_bits + 1)
        shift = Signal(reach)
        floored = Signal(exponent_bits + 1)
        least = Signal()
        m.d.comb += [distance.eq(-s.exponent), least.eq(s.exponent <= 0)]
        with m.If(s.exponent[-1]):
            m.d.comb += shift.eq(distance[:reach] | distance[reach:].any().replicate(reach))
        with m.Else():
            m.d.comb += floored.eq(s.exponent)
        beside = {"sign": s.sign, "invalid": s.invalid, "infinite": s.infinite}
        beside |= {"exponent": floored, "least": least, "shift": shift}
        s, product = multiply(m, pipe, "partial", s.left, s.right, **beside)
        beside = {name: getattr(s, name) for name in beside}
        s = pipe.cut("product", **beside, product=product)

        # Align.
        top = s.product[-1]
        whole = Signal()
        normal = Signal(width + 1, name="normal_product")
        rest = Signal()
        exponent = Signal(exponent_bits + 1, name="product_exponent")
        m.d.comb += [
            whole.eq(top | s.least),
            normal.eq(Mux(whole, s.product[-width - 1 :], s.product[-width - 2 : -1])),
            rest.eq(s.product[: -width - 2].any() | (whole & s.product[-width - 2])),
            exponent.eq(s.exponent + top),
        ]
        aligned, lost = shift_right_sticky(m, normal, s.shift, "align")
        overflow = Signal()
        exponent_field = Signal(fmt.exponent_bits)
        m.d.comb += [
            overflow.eq((exponent >= fmt.exponent_max) & aligned[-1]),
            exponent_field.eq(exponent & aligned[-1].replicate(fmt.exponent_bits)),
        ]
        s = pipe.cut(
            "align",
            sign=s.sign,
            invalid=s.invalid,
            infinite=s.infinite | overflow,
            exponent=exponent_field,
            aligned=aligned,
            sticky=rest | lost,
        )
        return s, to_nearest_even(m, fmt, s.aligned[1:-1], s.exponent, s.aligned[0], s.sticky)


class _Operand:
    """What the multiplier asks of an operand: class, significand and the exponent that belongs to it."""

    def __init__(self, m, code, fmt, name):
        self.significand = Signal(fmt.fraction_bits + 1, name=f"{name}_significand")
        self.exponent = Signal(fmt.exponent_bits, name=f"{name}_exponent")
        self.subnormal = Signal(name=f"{name}_subnormal")
        self.zero = Signal(name=f"{name}_zero")
        self.infinite = Signal(name=f"{name}_infinite")
        self.nan = Signal(name=f"{name}_nan")
        hidden = code.exponent.any()
        fraction = code.fraction.any()
        top = code.exponent == fmt.exponent_max
        m.d.comb += [
            self.significand.eq(Cat(code.fraction, hidden)),
            self.exponent.eq(code.exponent | ~hidden),
            self.subnormal.eq(~hidden),
            self.zero.eq(~hidden & ~fraction),
            self.infinite.eq(top & ~fraction),
            self.nan.eq(top & fraction),
        ]


class FloatMultiplyStream(StreamOperator):
    """``FloatMultiply`` between streams: ``i`` of ``{a, b}``, ``o`` of the product."""

    operator = FloatMultiply


#: Config of each preset; the first is the default.
PRESETS = {
    "default": FloatMultiplyConfig(),
    "combinational": FloatMultiplyConfig(stages=0),
    "deep": FloatMultiplyConfig(stages=3),
    "fp16": FloatMultiplyConfig(product=FP16, stages=5),
    "fp32": FloatMultiplyConfig(operand=FP32, product=FP32, stages=6),
    "scale": FloatMultiplyConfig(product=FP16, factor=FP32, stages=6),
}
