# SPDX-License-Identifier: Apache-2.0
"""Products on their way to the sums: what a multiplier knows of one, and the two forms in which it hands it on.

A multiplier for FP32 sums hands on a ``Float`` (FP17, FP24), normalised; one for fixed-point sums a ``Scaled``, an integer
and a shift, which costs no normaliser.
"""

from dataclasses import dataclass

from amaranth import Signal
from amaranth.lib import data

from zoetrope.hw.formats import Float


@dataclass(frozen=True)
class Scaled:
    """``value = (-1)**sign * (significand << shift) * 2**(least - drop)``, or an infinity or NaN by its flags.

    ``positive`` means plus infinity, ``negative`` minus infinity, both NaN: so that a sum's class is the OR of its terms'.
    The lowest ``drop`` bits of the shifted significand are zeros in every finite product, and are never built.
    """

    name: str
    significand_bits: int
    shift_max: int
    drop: int = 0

    @property
    def shift_bits(self):
        return self.shift_max.bit_length()

    @property
    def magnitude_bits(self):
        """Bits of a product as an integer, without its sign."""
        return self.significand_bits + self.shift_max - self.drop

    @property
    def layout(self):
        return data.StructLayout(
            {
                "significand": self.significand_bits,
                "shift": self.shift_bits,
                "sign": 1,
                "positive": 1,
                "negative": 1,
            }
        )


#: Exact products, 2**-24 units: an 11-bit significand of a binary16, not normalised, times 7 bits; exponents 1 to 30.
SCALED_EXACT = Scaled("exact", 18, 29)
#: Products rounded to 11 bits. The operand is normalised, so that the last bits of small ones lie below 2**-24 and are 0.
SCALED_ROUNDED = Scaled("rounded", 11, 46, 10)
#: Products of the table reading ``byte128``, in halves, of a normalised operand.
SCALED_BYTE128 = Scaled("byte128", 9, 39, 1)


def pack_product(m, product, fmt, *, operand, weight_sign, weight_zero, exponent, significand):
    """Drive ``product`` (of format ``fmt``) from a product's parts and its operand's class; IEEE's rules for the rest.

    A ``Float`` takes the fraction of ``significand``, whose leading one is set in every finite product but zero; a
    ``Scaled`` takes it as it is and ``exponent`` as the shift.

    The sign of a zero weight is plus, whatever its code says (0x80 means 0): ``x * 0`` has the sign of x.
    """
    invalid = Signal()
    sign = Signal()
    m.d.comb += [
        invalid.eq(operand.nan | (operand.inf & weight_zero)),
        sign.eq(operand.sign ^ (weight_sign & ~weight_zero)),
    ]
    if not isinstance(fmt, Float):
        m.d.comb += [
            product.significand.eq(significand),
            product.shift.eq(exponent),
            product.sign.eq(sign),
            product.positive.eq(invalid | (operand.inf & ~sign)),
            product.negative.eq(invalid | (operand.inf & sign)),
        ]
        return
    m.d.comb += product.sign.eq(sign)
    with m.If(invalid):
        m.d.comb += product.as_value().eq(fmt.nan)
    with m.Elif(operand.inf):
        m.d.comb += [product.exponent.eq(fmt.exponent_max), product.fraction.eq(0)]
    with m.Elif(operand.zero | weight_zero):
        m.d.comb += [product.exponent.eq(0), product.fraction.eq(0)]
    with m.Else():
        m.d.comb += [product.exponent.eq(exponent), product.fraction.eq(significand[:-1])]
