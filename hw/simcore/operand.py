"""The FP16 operand of a mixed multiplier, taken apart once for all multipliers that share it."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FP16, FP17, leading_zeros

#: What a product needs of its FP16 operand besides the fraction: the exponent is normalised and biased as FP17's.
OPERAND = data.StructLayout({"exponent": FP17.exponent_bits, "sign": 1, "zero": 1, "inf": 1, "nan": 1})


class OperandDecode(wiring.Component):
    """``x = +-2**(exponent - 31) * (1 + fraction / 1024)``, for normal and subnormal x alike; zero, infinity, NaN flagged.

    A subnormal is normalised here, once, instead of in every multiplier: 10 leading-zero positions and a 10-bit shifter
    for the 8 (or more) multipliers behind it.

    Members
    -------
    x : In(FP16)
    operand : Out(OPERAND)
    fraction : Out(10), the row of the product table

    Combinational.
    """

    def __init__(self):
        super().__init__({"x": In(FP16.layout), "operand": Out(OPERAND), "fraction": Out(FP16.fraction_bits)})

    def elaborate(self, platform):
        m = Module()
        x = self.x
        subnormal = Signal()
        special = Signal()
        m.d.comb += [subnormal.eq(x.exponent == 0), special.eq(x.exponent == FP16.exponent_max)]
        zeros = leading_zeros(m, x.fraction, "zeros")
        shift = Signal(range(FP16.fraction_bits + 2))
        rebias = FP17.bias - FP16.bias
        m.d.comb += [
            shift.eq(zeros + 1),
            self.fraction.eq(Mux(subnormal, x.fraction << shift, x.fraction)),
            self.operand.exponent.eq(Mux(subnormal, 1 + rebias - shift, x.exponent + rebias)),
            self.operand.sign.eq(x.sign),
            self.operand.zero.eq(~Cat(x.fraction, x.exponent).any()),
            self.operand.inf.eq(special & ~x.fraction.any()),
            self.operand.nan.eq(special & x.fraction.any()),
        ]
        return m


def pack_product(m, product, *, operand, weight_sign, weight_zero, exponent, fraction):
    """Drive ``product`` (FP17) from a finite product's parts and the operand's class; IEEE's rules for the rest.

    The sign of a zero weight is plus, whatever its code says (0x80 means 0): ``x * 0`` has the sign of x.
    """
    invalid = Signal()
    infinite = Signal()
    zero = Signal()
    m.d.comb += [
        invalid.eq(operand.nan | (operand.inf & weight_zero)),
        infinite.eq(operand.inf),
        zero.eq(operand.zero | weight_zero),
        product.sign.eq(operand.sign ^ (weight_sign & ~weight_zero)),
    ]
    with m.If(invalid):
        m.d.comb += product.as_value().eq(FP17.nan)
    with m.Elif(infinite):
        m.d.comb += [product.exponent.eq(FP17.exponent_max), product.fraction.eq(0)]
    with m.Elif(zero):
        m.d.comb += [product.exponent.eq(0), product.fraction.eq(0)]
    with m.Else():
        m.d.comb += [product.exponent.eq(exponent), product.fraction.eq(fraction)]
