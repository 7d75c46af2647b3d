# SPDX-License-Identifier: Apache-2.0
"""The split LUT: the outer-product PE whose multipliers look up multiples of the operand by digits of the weight, and add.

::

    i_x --> decode --> odd multiples 1s, 3s, 5s, 7s of the significand s, once a row --+
                                                                                      v
    i_w --> |w| = a + 8 b + 32 c ------------------> lanes x (pick a*s, b*s, c*s; add) --> product --> sums --> o
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Signal
from amaranth.lib import data

from zoetrope.hw.pe.outer_product import OuterProduct
from zoetrope.hw.pe.significand_product import (
    SIGNIFICAND_BITS,
    SignificandCell,
    SignificandPEConfig,
    SignificandProduct,
    SignificandProductConfig,
    SignificandRowOperands,
)

WEIGHT_BITS = 7


def check_digits(digits):
    if min(digits, default=0) < 1 or sum(digits) != WEIGHT_BITS:
        raise ValueError(f"digits must be at least 1 each and {WEIGHT_BITS} together, not {digits!r}")


def _odd(digits):
    """The odd multiples that digits of these widths need."""
    return range(1, 1 << max(digits), 2)


def multiples_layout(digits, bits):
    """Odd multiples of a number of ``bits`` bits."""
    return data.StructLayout({f"x{n}": bits + n.bit_length() - (n == 1) for n in _odd(digits)})


def odd_multiples(m, number, digits, name):
    """The odd multiples of ``number`` as ``multiples_layout`` has them: an adder each, log2 of the largest deep."""
    made = {1: number}
    for n in _odd(digits)[1:]:
        # n = 2**j + rest, and the rest is a smaller odd multiple.
        j = n.bit_length() - 1
        made[n] = Signal(len(number) + j + 1, name=f"{name}_x{n}")
        m.d.comb += made[n].eq((number << j) + made[n - (1 << j)])
    return Cat(*made.values())


@dataclass(frozen=True)
class SplitProductConfig(SignificandProductConfig):
    digits: tuple[int, ...] = field(default=(3, 2, 2), metadata={"doc": "bits of the weight's digits, lowest first"})


class SplitProduct(SignificandProduct):
    """The exact product as a sum of multiples, each picked by a digit of the weight. An even one is an odd one, shifted."""

    def multiply(self, m):
        total, place = Const(0, 0), 0
        for bits in self.config.digits:
            picked = Signal(len(self.multiplicand.x1) + bits, name=f"picked_{place}")
            with m.Switch(self.w.magnitude[place : place + bits]):
                for n in range(1, 1 << bits):
                    twos = (n & -n).bit_length() - 1
                    with m.Case(n):
                        m.d.comb += picked.eq(self.multiplicand[f"x{n >> twos}"] << twos)
            added = Signal(self.exact_bits, name=f"total_{place}")
            m.d.comb += added.eq(Cat(total[:place], total[place:] + picked))
            total, place = added, place + bits
        return total


@dataclass(frozen=True)
class SplitPEConfig(SignificandPEConfig):
    digits: tuple[int, ...] = field(default=(3, 2, 2), metadata={"doc": "bits of the weight's digits, lowest first"})

    def __post_init__(self):
        super().__post_init__()
        check_digits(self.digits)

    @property
    def multiplicand(self):
        return multiples_layout(self.digits, SIGNIFICAND_BITS)

    @property
    def lane(self):
        return SplitProductConfig(
            multiplicand=self.multiplicand, product=self.product, stages=self.product_stages, digits=self.digits
        )


class SplitRowOperands(SignificandRowOperands):
    """Decoded operands, and behind them the odd multiples of their significands, an adder each."""

    def multiplicand(self, m, significand, name):
        return odd_multiples(m, significand, self.config.digits, name)


class SplitCell(SignificandCell):
    """The datapath of a split PE: multipliers that pick and add, sums."""

    lane = SplitProduct


class SplitPE(OuterProduct):
    """Outer products on split LUTs: ``|w| = a + 8 b + 32 c``, products ``a s + (b s << 3) + (c s << 5)``, exact.

    A table of all products of a significand s needs no memory when it is split by digits of the weight: its entries are
    0 to 7 times s, which is four odd multiples and shifts, kept once a row for all PEs of it. A lane has a multiplexer a
    digit, and an adder between two. Rounded to 11 bits the product is bit for bit the LUT multiplier's; ``exact`` keeps its
    18 bits.

    ``digits=(4, 3)`` is the split in two tables with one adder: eight odd multiples a row, and a 16:1 multiplexer that
    costs more than the adder it saves (564 GE a lane for the exact product instead of 449; an 11 x 7 multiplier is 669).

    Parameters
    ----------
    config : SplitPEConfig

    Stalls of K operands back to back: ``1 + (K - 1) * (max(D, A) - D)``, with A the accumulator's turnaround.
    Golden: ``golden.pe.lut_pe.lut_pe``, reading ``odd16`` or ``exact``.
    """

    row_operands = SplitRowOperands
    cell = SplitCell
    startup = 1


#: Config of each preset; the first is the default.
PRESETS = {
    "default": SplitPEConfig(),
    "exact": SplitPEConfig(exact=True, product_stages=2),
    "fixed": SplitPEConfig(exact=True, accumulator="fixed"),
    "two": SplitPEConfig(digits=(4, 3)),
}

#: The ways to multiply that `zoetrope lanes` sets side by side, by their printed names.
WAYS = {
    "split LUT": SplitPEConfig(),
    "split LUT, exact": SplitPEConfig(exact=True),
    "split LUT, exact, fixed sums": SplitPEConfig(exact=True, accumulator="fixed"),
}
