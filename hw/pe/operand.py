# SPDX-License-Identifier: Apache-2.0
"""The FP16 operand of a mixed multiplier, taken apart once for all multipliers that share it."""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.formats import FP16, FP17, leading_zeros

#: What a product needs of its FP16 operand besides the significand.
OPERAND = data.StructLayout({"exponent": FP17.exponent_bits, "sign": 1, "zero": 1, "inf": 1, "nan": 1})


@dataclass(frozen=True)
class OperandDecodeConfig:
    normalise: bool = field(default=True, metadata={"doc": "whether a subnormal is shifted up to its leading one"})
    least: int = field(
        default=FP17.bias - 24, metadata={"doc": "exponent of 2**-24 (normalised), or of a subnormal (not normalised)"}
    )


class OperandDecode(wiring.Component):
    """``x = +-significand * 2**(exponent - bias)``: the parts of x, for normal and subnormal x alike; the class by flags.

    Normalised, the significand has a leading one and the exponent of 2**-24 is ``least``. A subnormal is normalised here,
    once, instead of in every multiplier: 10 leading-zero positions and a 10-bit shifter for the 8 (or more) multipliers
    behind it. Products that are not normalised either need none of it: a subnormal then has the exponent ``least``, as the
    smallest normal numbers have.

    Members
    -------
    x : In(FP16)
    operand : Out(OPERAND)
    significand : Out(11); without its leading one it is the row of the product table

    Combinational.
    """

    def __init__(self, *, config=OperandDecodeConfig()):
        self.config = config
        super().__init__(
            {"x": In(FP16.layout), "operand": Out(OPERAND), "significand": Out(FP16.fraction_bits + 1)},
        )

    def elaborate(self, platform):
        m = Module()
        x, c = self.x, self.config
        subnormal = Signal()
        special = Signal()
        m.d.comb += [
            subnormal.eq(x.exponent == 0),
            special.eq(x.exponent == FP16.exponent_max),
            self.operand.sign.eq(x.sign),
            self.operand.zero.eq(~Cat(x.fraction, x.exponent).any()),
            self.operand.inf.eq(special & ~x.fraction.any()),
            self.operand.nan.eq(special & x.fraction.any()),
        ]
        if c.normalise:
            zeros = leading_zeros(m, x.fraction, "zeros")
            shift = Signal(range(FP16.fraction_bits + 2))
            rebias = c.least + 24 - FP16.bias
            m.d.comb += [
                shift.eq(zeros + 1),
                self.significand.eq(Cat(Mux(subnormal, x.fraction << shift, x.fraction)[: FP16.fraction_bits], 1)),
                self.operand.exponent.eq(Mux(subnormal, 1 + rebias - shift, x.exponent + rebias)),
            ]
        else:
            m.d.comb += [
                self.significand.eq(Cat(x.fraction, ~subnormal)),
                self.operand.exponent.eq(Mux(subnormal, c.least, x.exponent + (c.least - 1))),
            ]
        return m
