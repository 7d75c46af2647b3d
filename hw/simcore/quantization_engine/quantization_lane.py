# SPDX-License-Identifier: Apache-2.0
"""One lane of the quantization unit: the largest magnitude of its channels, and a code a cycle by long division."""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from zoetrope.hw.formats import FP16, INT8, shift_right_sticky
from zoetrope.hw.stream import FullyPipelined, Pipeline

#: A magnitude: binary16 without its sign. The order of codes is the order of values.
MAGNITUDE = data.StructLayout({"fraction": FP16.fraction_bits, "exponent": FP16.exponent_bits})

#: Digits of a quotient: those of a magnitude, and the half that rounds it.
DIGITS = 8


@dataclass(frozen=True)
class QuantizationLaneConfig:
    digits: int = field(metadata={"doc": "digits of a quotient found between two registers, 1 to 8"})


class QuantizationLane(FullyPipelined):
    """One channel's maximum and one code a cycle.

    Members
    -------
    en : In(1), the pipeline moves
    x : In(magnitude), sign : In(1); +0 where nothing counts
    stored : In(magnitude), the channel's amax so far, as memory has it
    again : In(1), the word before was this one too: its maximum is not in memory yet
    absent : In(1), the channel has no amax yet: 0
    amax : Out(magnitude), max(amax, x), in the same cycle
    o : Out(INT8), ``latency`` advances later

    Latency: 2 + 8 / ``digits``, rounded up, advances. Initiation interval: 1.

    Behind the maximum a lane is 2,180 GE with 2 digits a register, 1,750 with 4 and 1,540 with 8; its delay grows with them.

    Rejected:

    * A reciprocal a channel and a multiplier a lane: exact with ceil(127 * 2^23 / a), 20 bits, because a quotient that is no
      tie is 2^-12 off at least. 11 x 20 bits, shifter and rounding: 2,230 GE without a register, 2,710 in 3 stages, and 25
      bits a channel in memory for 15, and a divider all the same.
    * Normalised operands: a leading-zero counter and a shifter each, for a dividend that may begin with zeros as it is.
    * Shifting the quotient instead of the dividend: 9 digits for 8, against 40 multiplexers, and k in every register.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "x": In(MAGNITUDE),
                "sign": In(1),
                "stored": In(MAGNITUDE),
                "again": In(1),
                "absent": In(1),
                "amax": Out(MAGNITUDE),
                "o": Out(INT8),
            }
        )

    @property
    def latency(self):
        return 2 + -(-DIGITS // self.config.digits)

    def elaborate(self, platform):
        m = Module()
        # "digit<n>" stands behind n digits; the last ones and the rounding share a stage.
        cuts = {"maximum", "aligned", "result"} | {f"digit{n}" for n in range(0, DIGITS, self.config.digits) if n}
        pipe = Pipeline(m, self.en, cuts)
        s = self._maximum(m, pipe)
        s = self._align(m, pipe, s)
        s = self._divide(m, pipe, s)
        self._round(m, pipe, s)
        return m

    def _maximum(self, m, pipe):
        width = MAGNITUDE.size
        before = Signal(width)
        amax = Signal(width)
        known = Signal(width)
        m.d.comb += [
            known.eq(Mux(self.again, before, self.stored.as_value()) & (~self.absent).replicate(width)),
            amax.eq(Mux(known < self.x.as_value(), self.x.as_value(), known)),
            self.amax.as_value().eq(amax),
        ]
        s = pipe.cut("maximum", x=self.x.as_value(), sign=self.sign, amax=amax, dead=~known.any())
        m.d.comb += before.eq(s.amax)
        return s

    def _align(self, m, pipe, s):
        """The dividend 254 m / 2^k, whether a one was shifted out of it, and the divisor."""
        x, amax = data.View(MAGNITUDE, s.x), data.View(MAGNITUDE, s.amax)
        x_normal = Signal()
        amax_normal = Signal()
        distance = Signal(FP16.exponent_bits)
        significand = Signal(FP16.fraction_bits + 1)
        dividend = Signal(FP16.fraction_bits + 9)
        m.d.comb += [
            x_normal.eq(x.exponent.any()),
            amax_normal.eq(amax.exponent.any()),
            distance.eq((amax.exponent | ~amax_normal) - (x.exponent | ~x_normal)),
            significand.eq(Cat(x.fraction, x_normal)),
            dividend.eq((significand << 8) - (significand << 1)),
        ]
        # From a distance of 9 on the quotient is below one half whatever is shifted out.
        shifted, lost = shift_right_sticky(m, dividend, distance[:4], "align")
        aligned = Signal(len(dividend))
        divisor = Signal(FP16.fraction_bits + 1)
        m.d.comb += [
            aligned.eq(shifted & (~(distance[4] | s.dead)).replicate(len(dividend))),
            # Nothing is divided by 0.
            divisor.eq(Cat(amax.fraction | s.dead, amax_normal)),
        ]
        return pipe.cut(
            "aligned", sign=s.sign, lost=lost, divisor=divisor, rest=aligned[:DIGITS], remainder=aligned[DIGITS:]
        )

    def _divide(self, m, pipe, s):
        """Restoring: the remainder, always below the divisor, takes in a bit of the dividend and gives a digit."""
        quotient = Const(0, 0)
        sign, lost, divisor, rest, remainder = s.sign, s.lost, s.divisor, s.rest, s.remainder
        for n in range(1, DIGITS + 1):
            taken = Signal(len(divisor) + 1, name=f"taken_{n}")
            less = Signal(len(divisor) + 2, name=f"less_{n}")
            left = Signal(len(divisor), name=f"left_{n}")
            digit = Signal(name=f"digit_{n}")
            m.d.comb += [
                taken.eq(Cat(rest[-1], remainder)),
                less.eq(taken - divisor),
                digit.eq(~less[-1]),
                left.eq(Mux(digit, less, taken)),
            ]
            beside = {"rest": rest[:-1]} if n < DIGITS else {}
            s = pipe.cut(
                f"digit{n}",
                **beside,
                sign=sign,
                lost=lost,
                divisor=divisor,
                remainder=left,
                quotient=Cat(digit, quotient),
            )
            sign, lost, divisor, remainder, quotient = s.sign, s.lost, s.divisor, s.remainder, s.quotient
            rest = getattr(s, "rest", None)
        return s

    def _round(self, m, pipe, s):
        up = Signal()
        magnitude = Signal(7)
        code = Signal(8)
        m.d.comb += [
            up.eq(s.quotient[0] & (s.quotient[1] | s.lost | s.remainder.any())),
            magnitude.eq(s.quotient[1:] + up),
            code.eq(Cat(magnitude, s.sign & magnitude.any())),
        ]
        s = pipe.cut("result", code=code)
        m.d.comb += self.o.as_value().eq(s.code)
