# SPDX-License-Identifier: Apache-2.0
"""Squared distance of two tokens of FP16 channels, a word a cycle: subtract, square, add (SIMPICKER III-C).

    x, y --> x - y, FP16 --> squared, exact --> tree of the word's lanes --> + sum of the words before --> o

**FP30.** Sums of squares have no sign, and every square of a binary16 is a multiple of 2^-48. So they are kept as::

    code = exponent (7 bits) | fraction (23 bits)
    value = fraction * 2^-48                                 exponent 0
    value = (2^23 + fraction) * 2^(exponent - 49)            exponent 1 to 126
    infinity, NaN                                            exponent 127, fraction zero, or not

with the significand of FP32. Whatever is a sum of squares is the same number, rounded the same, in FP32 and in FP30; but
in FP30 the smallest squares need no normalisation, so that neither squarer nor adder counts zeros, and codes compare as
integers. ``to_fp32`` converts where a number leaves the unit.

Rejected: ``hw.arith``'s multiplier and adder in FP32, the same numbers for 1.6 times the gates: half of a multiplier is
wasted on equal operands, and the adder can subtract; fixed point, exact: 87 bits of sum.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.arith.float_add import FloatAdd, FloatAddConfig
from zoetrope.hw.formats import FP16, FP32, leading_zeros, shift_right_sticky
from zoetrope.hw.stream import Operator, Pipeline, check_stages, operator

WIDTH = 30
"""Bits of an FP30 code."""

NONE = (1 << WIDTH) - 1
"""Not a number that a sum can be: greater than all of them."""

_FRACTION = 23
_SPECIAL = 127

#: Which cut points are registered, by number of stages.
SQUARE_CUTS = ((), ("result",), ("product", "result"))
SUM_CUTS = ((), ("result",), ("align", "result"), ("align", "add", "result"), ("swap", "align", "add", "result"))


@dataclass(frozen=True)
class SquareConfig:
    stages: int = field(default=1, metadata={"doc": "register stages, 0 to 2"})

    def __post_init__(self):
        check_stages(self.stages, len(SQUARE_CUTS) - 1)

    @property
    def i_layout(self):
        return FP16.layout

    @property
    def o_layout(self):
        return unsigned(WIDTH)


class Square(Operator):
    """``o = i * i``, exact: FP16 to FP30. An infinity squared is one, a NaN is NaN.

    Members: en : In(1); i : In(FP16); o : Out(FP30), ``latency`` advances later.
    """

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m, self.en, SQUARE_CUTS[self.config.stages])
        normal = Signal()
        significand = Signal(11)
        m.d.comb += [normal.eq(self.i.exponent.any()), significand.eq(Cat(self.i.fraction, normal))]
        product = _square_of(m, significand)
        s = pipe.cut("product", product=product, exponent=self.i.exponent, nan=self.i.fraction.any())

        # In units of 2^-48 the product stands 2 * (e - 1) bits up, of which an exponent takes all but two.
        top = s.product[21]
        code = Signal(WIDTH)
        exponent = Signal(7)
        with m.If(s.exponent == FP16.exponent_max):
            m.d.comb += code.eq(Cat(Const(0, _FRACTION - 1), s.nan, Const(_SPECIAL, 7)))
        with m.Elif(s.exponent < 2):
            m.d.comb += code.eq(s.product)
        with m.Else():
            m.d.comb += [
                exponent.eq((s.exponent << 1) - 4 + top),
                code.eq(Cat(Mux(top | (s.exponent == 2), s.product << 2, s.product << 3)[:_FRACTION], exponent)),
            ]
        m.d.comb += self.o.eq(pipe.cut("result", code=code).code)
        return m


def _square_of(m, x):
    """``x * x``: the partial products a_i a_j and a_j a_i are one, twice as high, and a_i a_i is a_i."""
    width = len(x)
    rows = [Cat(*(Cat(x[i], Const(0, 1)) for i in range(width)))]  # the diagonal
    for i in range(width - 1):
        rows.append(Cat(Const(0, 2 * i + 2), x[i + 1 :] & x[i].replicate(width - 1 - i)))
    level = 0
    while len(rows) > 1:
        level += 1
        sums = []
        for k in range(0, len(rows) - 1, 2):
            total = Signal(2 * width, name=f"partial_{level}_{k // 2}")
            m.d.comb += total.eq(rows[k] + rows[k + 1])
            sums.append(total)
        rows = sums + rows[len(sums) * 2 :]
    return rows[0]


@dataclass(frozen=True)
class SumConfig:
    stages: int = field(default=2, metadata={"doc": "register stages, 0 to 4"})

    def __post_init__(self):
        check_stages(self.stages, len(SUM_CUTS) - 1)

    @property
    def i_layout(self):
        return data.StructLayout({"a": WIDTH, "b": WIDTH})

    @property
    def o_layout(self):
        return unsigned(WIDTH)


class Sum(Operator):
    """``o = a + b`` in FP30, rounded once to nearest even; infinities and NaN as IEEE.

    Members: en : In(1); i : In(struct of a and b, FP30); o : Out(FP30), ``latency`` advances later.
    """

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m, self.en, SUM_CUTS[self.config.stages])
        less = Signal()
        big = Signal(WIDTH)
        small = Signal(WIDTH)
        m.d.comb += [
            less.eq(self.i.a < self.i.b),
            big.eq(Mux(less, self.i.b, self.i.a)),
            small.eq(Mux(less, self.i.a, self.i.b)),
        ]
        s = pipe.cut("swap", big=big, small=small)

        # Align: a bit below the significand, and a sticky one, are enough where nothing is subtracted.
        big_hidden = Signal()
        small_hidden = Signal()
        distance = Signal(7)
        shift = Signal(5)
        m.d.comb += [
            big_hidden.eq(s.big[_FRACTION:].any()),
            small_hidden.eq(s.small[_FRACTION:].any()),
            distance.eq((s.big[_FRACTION:] | ~big_hidden) - (s.small[_FRACTION:] | ~small_hidden)),
            shift.eq(distance[:5] | distance[5:].any().replicate(5)),
        ]
        small = Cat(Const(0, 1), s.small[:_FRACTION], small_hidden)
        aligned, lost = shift_right_sticky(m, small, shift, "align")
        s = pipe.cut("align", big=s.big, hidden=big_hidden, aligned=aligned, lost=lost)

        total = Signal(_FRACTION + 3)
        m.d.comb += total.eq(Cat(Const(0, 1), s.big[:_FRACTION], s.hidden) + s.aligned)
        s = pipe.cut("add", big=s.big, total=total, lost=s.lost)

        # Round: a carry out of the significand raises the exponent, and so does one out of the fraction.
        exponent = Signal(7)
        fraction = Signal(_FRACTION + 1)
        up = Signal()
        code = Signal(WIDTH)
        carry = s.total[-1]
        m.d.comb += [
            exponent.eq(s.big[_FRACTION:] | ~s.big[_FRACTION:].any()),
            fraction.eq(Mux(carry, s.total[2:], s.total[1:])),
            up.eq(Mux(carry, s.total[1] & (s.total[0] | s.lost | s.total[2]), s.total[0] & (s.lost | s.total[1]))),
        ]
        with m.If(s.big[_FRACTION:] == _SPECIAL):
            m.d.comb += code.eq(s.big)
        with m.Else():
            # The hidden bit of the significand counts as one of the exponent.
            m.d.comb += code.eq(Cat(Const(0, _FRACTION), (exponent + carry - 1)[:7]) + fraction + up)
        m.d.comb += self.o.eq(pipe.cut("result", code=code).code)
        return m


def to_fp32(m, code, name):
    """An FP30 ``code`` as one of FP32, the same number; ``NONE`` as all ones."""
    exponent, fraction = code[_FRACTION:], code[:_FRACTION]
    zeros = leading_zeros(m, fraction, f"{name}_zeros")
    shifted = Signal(_FRACTION + 1, name=f"{name}_shifted")
    out = Signal(32, name=name)
    m.d.comb += shifted.eq(fraction << (zeros + 1))
    with m.If(exponent == _SPECIAL):
        m.d.comb += out.eq(Mux(fraction.all(), (1 << 32) - 1, Cat(fraction, Const(FP32.exponent_max, 9))))
    with m.Elif(exponent.any()):
        m.d.comb += out.eq(Cat(fraction, (exponent + 101)[:8], Const(0, 1)))
    with m.Elif(fraction.any()):
        m.d.comb += out.eq(Cat(shifted[:_FRACTION], (101 - zeros)[:8], Const(0, 1)))
    return out


@dataclass(frozen=True)
class LaneGroupConfig:
    lanes: int = field(default=4, metadata={"doc": "channels a word, a power of two"})
    difference: FloatAddConfig = field(
        default=FloatAddConfig(a=FP16, b=FP16, stages=2), metadata={"doc": "of the subtractors"}
    )
    square: SquareConfig = field(default=SquareConfig(), metadata={"doc": "of the squarers"})
    add: SumConfig = field(default=SumConfig(), metadata={"doc": "of the adders; stages at least 1"})

    @property
    def lead(self):
        """Advances from a word to its sum, which then meets the sum of the words before."""
        return self.difference.stages + self.square.stages + self.add.stages * ceil_log2(self.lanes)


class LaneGroup(wiring.Component):
    """The squared distance of two tokens, one word of each a cycle; words of ``add.stages`` pairs of tokens in turn.

    Members
    -------
    en : In(1), all moves
    x, y : In(lanes FP16), a word of the token and of the candidate
    first : In(1), raised ``lead`` advances after the first word of a pair
    o : Out(FP30), the sum up to and with a word, ``latency`` advances later

    Golden: ``golden.simcore.sparsification_engine.sparsification_unit.squared_distance``.
    """

    def __init__(self, *, config):
        self.config = config
        word = data.ArrayLayout(FP16.layout, config.lanes)
        super().__init__({"en": In(1), "x": In(word), "y": In(word), "first": In(1), "o": Out(WIDTH)})

    @property
    def latency(self):
        return self.config.lead + self.config.add.stages

    def elaborate(self, platform):
        m = Module()
        sums = [self._square(m, k) for k in range(self.config.lanes)]
        level = 0
        while len(sums) > 1:
            level += 1
            pairs = zip(sums[0::2], sums[1::2])
            sums = [self._add(m, f"tree_{level}_{k}", a, b) for k, (a, b) in enumerate(pairs)]
        before = Signal(WIDTH)
        total = Signal(WIDTH)
        m.d.comb += [
            before.eq(total & ~self.first.replicate(WIDTH)),
            total.eq(self._add(m, "sum", sums[0], before)),
            self.o.eq(total),
        ]
        return m

    def _square(self, m, lane):
        y = self.y[lane]
        difference = operator(m, f"difference_{lane}", FloatAdd, self.config.difference, self.en)
        m.d.comb += [difference.i.a.eq(self.x[lane]), difference.i.b.eq(Cat(y.fraction, y.exponent, ~y.sign))]
        square = operator(m, f"square_{lane}", Square, self.config.square, self.en)
        m.d.comb += square.i.eq(difference.o)
        return square.o

    def _add(self, m, name, a, b):
        add = operator(m, name, Sum, self.config.add, self.en)
        m.d.comb += [add.i.a.eq(a), add.i.b.eq(b)]
        return add.o
