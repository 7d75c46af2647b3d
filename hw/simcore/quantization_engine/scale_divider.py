# SPDX-License-Identifier: Apache-2.0
"""A channel's largest magnitude by 127: its scale, once for all lanes of the quantization unit."""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from zoetrope.hw.formats import FP16, FP32, leading_zeros
from zoetrope.hw.simcore.quantization_engine.quantization_lane import MAGNITUDE
from zoetrope.hw.stream import FullyPipelined

_ONE = 0x3F800000


@dataclass(frozen=True)
class ScaleDividerConfig:
    pass


class ScaleDivider(FullyPipelined):
    """``o = amax / 127`` in FP32, rounded once to nearest even; 1 where amax is 0. Combinational.

    amax = a * 2^e with the leading one of a in place, 11 bits; a = 128 h + l = 127 h + (h + l), so the quotient is h or
    h + 1, from 8 to 16, and the remainder r one sum. r / 127 = r / 128 + r / 128^2 + ... The digits after the last one kept
    begin inside a copy of r, and are never all zero unless r is 0: no tie.

    Members
    -------
    i : In(magnitude), finite
    o : Out(FP32)

    Golden: ``golden.simcore.quantization_engine.quantization_unit.scales_of``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(MAGNITUDE), "o": Out(FP32.layout)})

    @property
    def latency(self):
        return 0

    def elaborate(self, platform):
        m = Module()
        normal = Signal()
        significand = Signal(FP16.fraction_bits + 1)
        m.d.comb += [normal.eq(self.i.exponent.any()), significand.eq(Cat(self.i.fraction, normal))]
        zeros = leading_zeros(m, significand, "zeros")
        shifted = Signal(len(significand))
        total = Signal(8)
        plus_one = Signal(8)
        carry = Signal()
        remainder = Signal(7)
        whole = Signal(5)
        m.d.comb += [
            shifted.eq(significand << zeros),
            total.eq(shifted[:7] + shifted[7:]),
            plus_one.eq(shifted[:7] + shifted[7:] + 1),
            carry.eq(plus_one[7]),
            remainder.eq(Mux(carry, plus_one, total)),
            whole.eq(shifted[7:] + carry),
        ]
        # Between 8 and 16 three bits of the quotient follow its leading one and 20 of the digits; from 16 on, 4 and 19.
        fraction = Signal(FP32.fraction_bits)
        exponent = Signal(FP32.exponent_bits)
        with m.If(whole[4]):
            m.d.comb += fraction.eq(Cat((remainder + 2)[2:7], remainder, remainder, whole[:4]))
        with m.Else():
            m.d.comb += fraction.eq(Cat((remainder + 1)[1:7], remainder, remainder, whole[:3]))
        bias = FP32.bias - FP16.bias - FP16.fraction_bits + 3
        m.d.comb += [
            exponent.eq((self.i.exponent | ~normal) + (bias + whole[4]) - zeros),
            self.o.as_value().eq(Mux(significand.any() | normal, Cat(fraction, exponent, Const(0, 1)), _ONE)),
        ]
        return m
