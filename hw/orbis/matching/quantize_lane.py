# SPDX-License-Identifier: Apache-2.0
"""A lane of the quantization engine (ORBIS 3.2): the 4-bit code of an FP16 value in units of its channel's amax / 7."""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: The largest magnitude of a code.
_LEVELS = 7

#: Bits of an FP16 code without its sign, and of its significand with the implicit bit.
MAGNITUDE_BITS = 15
SIGNIFICAND_BITS = 11


def significand_of(m, magnitude, name):
    """(significand with its implicit bit, exponent of at least 1) of FP16 ``magnitude``."""
    normal = Signal(name=f"{name}_normal")
    significand = Signal(SIGNIFICAND_BITS, name=f"{name}_significand")
    exponent = Signal(5, name=f"{name}_exponent")
    m.d.comb += [
        normal.eq(magnitude[10:15].any()),
        significand.eq(Cat(magnitude[:10], normal)),
        exponent.eq(Mux(normal, magnitude[10:15], 1)),
    ]
    return significand, exponent


@dataclass(frozen=True)
class QuantizeLaneConfig:
    """A lane has nothing to choose."""


class QuantizeLane(wiring.Component):
    """``code = round_half_even(|x| * 7 / amax)`` with x's sign, -7..7, of the exact quotient.

    With significands m of x and a of amax, k binades apart, the quotient and a half is ``(7 m 2^(4-k) + 8 a) / 16 a``: three
    compare-and-subtract steps, against 64 a, 32 a and 16 a. Where nothing is left it was a tie, which an odd code resolves
    to the even one below. From k = 5 on the code is 0.

    Area: 1,010 GE with its registers. Rejected: seven comparators of 14 |x| with 1, 3, .. 13 times amax, 1,480 GE, since the
    multiples cost as much as the comparators.

    Members
    -------
    en : In(1), the pipeline moves
    x : In(FP16), finite
    amax : In(15), FP16 without its sign, finite
    code : Out(signed 4), 2 advances later; 0 where amax is 0, else 7 of x's sign where |x| > amax
    beyond : Out(1), |x| > amax, 1 advance later
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {"en": In(1), "x": In(16), "amax": In(MAGNITUDE_BITS), "code": Out(signed(4)), "beyond": Out(1)}
        )

    @property
    def latency(self):
        return 2

    def elaborate(self, platform):
        m = Module()
        magnitude = self.x[:MAGNITUDE_BITS]
        m_x, e_x = significand_of(m, magnitude, "x")
        m_a, e_a = significand_of(m, self.amax, "a")
        apart = Signal(5)
        beyond = Signal()
        seven = Signal(SIGNIFICAND_BITS + 3)
        aligned = Signal(SIGNIFICAND_BITS + 7)
        m.d.comb += [beyond.eq(magnitude > self.amax), apart.eq(e_a - e_x), seven.eq((m_x << 3) - m_x)]
        with m.Switch(apart):
            for k in range(5):
                with m.Case(k):
                    m.d.comb += aligned.eq(seven << (4 - k))

        # Stage 1: the dividend.
        s1_dividend = Signal(SIGNIFICAND_BITS + 7, reset_less=True)
        s1_a = Signal(SIGNIFICAND_BITS, reset_less=True)
        s1_beyond = Signal(reset_less=True)
        s1_negative = Signal(reset_less=True)
        with m.If(self.en):
            m.d.sync += [
                s1_dividend.eq(aligned + (m_a << 3)),
                s1_a.eq(m_a),
                s1_beyond.eq(beyond),
                s1_negative.eq(self.x[-1]),
            ]

        # Stage 2: three steps of division, signs.
        rest = s1_dividend
        bits = []
        for k in reversed(range(3)):
            step = s1_a << (4 + k)
            fits = Signal(name=f"fits_{k}")
            after = Signal(SIGNIFICAND_BITS + 4 + k, name=f"rest_{k}")
            m.d.comb += [fits.eq(rest >= step), after.eq(Mux(fits, rest - step, rest))]
            bits.insert(0, fits)
            rest = after
        level = Signal(3)
        code = Signal(signed(4), reset_less=True)
        tie = Signal()
        m.d.comb += [
            tie.eq(~rest.any()),
            level.eq(Mux(s1_a.any(), Mux(s1_beyond, _LEVELS, Cat(bits[0] & ~tie, *bits[1:])), 0)),
            self.code.eq(code),
            self.beyond.eq(s1_beyond),
        ]
        with m.If(self.en):
            m.d.sync += code.eq(Mux(s1_negative, -level, level))
        return m
