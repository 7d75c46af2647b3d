# SPDX-License-Identifier: Apache-2.0
"""Scale and weight of a channel from its amax (ORBIS 3.2): a seventh in FP32, and a square of few bits."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.formats import leading_zeros, shift_right_sticky
from zoetrope.hw.orbis.matching.quantize_lane import MAGNITUDE_BITS, SIGNIFICAND_BITS, significand_of

#: The least significand whose square has 22 bits.
_LONG_SQUARE = 1449


class ChannelFigures(wiring.Component):
    """Scale and weight of one channel after another, and the greatest amax, which the weights need first.

    Members
    -------
    en : In(1), the pipeline moves
    clear : In(1), no channel has been seen
    seen : In(1), the amax that came an advance ago is one of those that the greatest is taken of
    amax : In(15)
    o : Out(amax, scale, weight), 2 advances later
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {"en": In(1), "clear": In(1), "seen": In(1), "amax": In(MAGNITUDE_BITS), "o": Out(config.channel)}
        )

    @property
    def latency(self):
        return 2

    def elaborate(self, platform):
        m = Module()
        # Stage 1: amax = significand * 2^(exponent - 25), the significand 11 bits long but for 0.
        raw, exponent = significand_of(m, self.amax, "raw")
        zeros = leading_zeros(m, raw, "zeros")
        s1_amax = Signal(MAGNITUDE_BITS, reset_less=True)
        s1_significand = Signal(SIGNIFICAND_BITS, reset_less=True)
        s1_exponent = Signal(signed(6), reset_less=True)
        with m.If(self.en):
            m.d.sync += [
                s1_amax.eq(self.amax),
                s1_significand.eq(raw << zeros),
                s1_exponent.eq(exponent - zeros),
            ]

        # The greatest so far: as a code, its exponent, and whether its square has 22 bits and not 21.
        greatest = Signal(MAGNITUDE_BITS)
        greatest_exponent = Signal(signed(6), reset_less=True)
        greatest_long = Signal(reset_less=True)
        with m.If(self.clear):
            m.d.sync += greatest.eq(0)
        with m.Elif(self.seen & (s1_amax >= greatest)):
            m.d.sync += [
                greatest.eq(s1_amax),
                greatest_exponent.eq(s1_exponent),
                greatest_long.eq(s1_significand >= _LONG_SQUARE),
            ]

        o = Signal(self.config.channel, reset_less=True)
        m.d.comb += self.o.eq(o)
        with m.If(self.en):
            m.d.sync += [
                o.amax.eq(s1_amax),
                o.scale.eq(Mux(s1_amax.any(), self._scale(m, s1_significand, s1_exponent), 0)),
                o.weight.eq(self._weight(m, s1_significand, greatest_exponent - s1_exponent, greatest_long)),
            ]
        return m

    def _scale(self, m, significand, exponent):
        """significand / 7 * 2^(exponent - 25) as the code of the nearest FP32; no tie, no carry into the exponent."""
        remainder = Const(0, 3)
        quotient = []
        for k in reversed(range(SIGNIFICAND_BITS)):
            shifted = Cat(significand[k], remainder)
            fits = Signal(name=f"seventh_{k}")
            after = Signal(3, name=f"rest_{k}")
            m.d.comb += [fits.eq(shifted >= 7), after.eq(Mux(fits, shifted - 7, shifted))]
            quotient.insert(0, fits)
            remainder = after
        # Behind the point the quotient is the remainder in octal, over and over. It has 8 or 9 bits before the point.
        digits = Cat(*[remainder] * 6, *quotient[:9])
        large = quotient[8]
        up = Signal()
        twice = Signal(3)  # the remainder's part behind the last of 24 bits, in sevenths
        m.d.comb += [
            twice.eq(Mux(remainder >= 4, (remainder << 1) - 7, remainder << 1)),
            up.eq(Mux(large, remainder, twice) >= 4),
        ]
        fraction = Signal(23)
        m.d.comb += fraction.eq(Mux(large, digits[3:26], digits[2:25]) + up)
        biased = Signal(8)
        m.d.comb += biased.eq(exponent + Mux(large, 110, 109))
        return Cat(fraction, biased, Const(0, 1))

    def _weight(self, m, significand, apart, long):
        """significand^2 / 2^(2 apart + the square's length) * 2^bits, to nearest even, at most 2^bits - 1."""
        bits = self.config.weight_bits
        far = Signal()
        amount = Signal(6)
        square = Signal(2 * SIGNIFICAND_BITS)
        m.d.comb += [
            far.eq(apart >= SIGNIFICAND_BITS + 1),  # under half a unit at 16 bits too
            amount.eq((apart << 1) + long + (21 - bits)),
            square.eq(significand * significand),
        ]
        shifted, lost = shift_right_sticky(m, Cat(Const(0, 1), square), amount, "weight")
        rounded = Signal(bits + 1)
        m.d.comb += rounded.eq(shifted[1:] + (shifted[0] & (lost | shifted[1])))
        return Mux(far, 0, Mux(rounded[bits], (1 << bits) - 1, rounded))
