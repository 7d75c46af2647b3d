# SPDX-License-Identifier: Apache-2.0
"""The two readings of SIMPICKER's 128 KB product table (Section IV-B), and the generator that writes it.

The paper says that the products of 7-bit magnitudes and 10-bit fractions "only occupy 128KB" and gives no entry format.

``odd16``
    m = odd * 2**t, so only the 64 odd magnitudes need an entry. Entry (f, j), odd = 2j + 1, is the product
    (1 + f/1024) * odd rounded to 11 significant bits: ``increment << 10 | fraction`` with value
    2**increment * (1 + fraction/1024), 13 bits in a 16-bit word. 1,024 x 64 x 16 b = 128 KiB; loses nothing that an FP16
    product keeps.
``byte128``
    Entry (f, m) is f * m / 512 rounded to an integer, one byte. 1,024 x 128 x 8 b = 128 KiB; the product is
    (2m + entry) / 2 and has 9 significant bits.
"""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from zoetrope.hw.formats import leading_zeros

FRACTIONS = 1024


@dataclass(frozen=True)
class Reading:
    """How a row of the table is laid out: ``entries`` words of ``entry_bits`` for each of the 1,024 fractions."""

    name: str
    entries: int
    entry_bits: int

    @property
    def index_bits(self):
        return (self.entries - 1).bit_length()


READINGS = {"odd16": Reading("odd16", 64, 16), "byte128": Reading("byte128", 128, 8)}


def find_reading(name):
    if name not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(READINGS)}, not {name!r}")
    return READINGS[name]


@dataclass(frozen=True)
class ProductGeneratorConfig:
    reading: str = "odd16"

    def __post_init__(self):
        find_reading(self.reading)


class ProductGenerator(wiring.Component):
    """Writes the whole table after reset, one entry a cycle, with one adder and one rounder: no table in the Verilog.

    Along a row the next product is the last one plus a constant, so the generator is a running sum: ``2 * (1024 + f)`` a
    step from ``1024 + f`` (odd16), or ``f`` a step from 0 (byte128). 65,536 or 131,072 cycles. A table in the Verilog
    would be 1 Mbit of text that no ASIC flow can put into a macro.

    Members
    -------
    fraction : Out(10), row of the entry written in this cycle
    index : Out, its place in the row
    entry : Out, the entry
    valid : Out(1), an entry is written in this cycle
    done : Out(1), the table is complete
    """

    def __init__(self, *, config):
        self.config = config
        reading = self._reading = find_reading(config.reading)
        super().__init__(
            {
                "fraction": Out(10),
                "index": Out(reading.index_bits),
                "entry": Out(reading.entry_bits),
                "valid": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        reading = self._reading
        fraction = Signal(10)
        index = Signal(reading.index_bits)
        done = Signal()
        starting = Signal(init=1)
        total = Signal(18)
        m.d.comb += [
            self.fraction.eq(fraction),
            self.index.eq(index),
            self.valid.eq(~done & ~starting),
            self.done.eq(done),
        ]
        last = Signal()
        next_fraction = Signal(10)
        m.d.comb += [last.eq(index == reading.entries - 1), next_fraction.eq(fraction + 1)]
        one_and_f = Cat(fraction, 1)
        if reading.name == "odd16":
            first, step = Cat(next_fraction, 1), one_and_f << 1
            m.d.comb += self.entry.eq(round_significand(m, total, "entry"))
            initial = FRACTIONS
        else:
            first, step = 0, fraction
            m.d.comb += self.entry.eq(round_to_integer(m, total, "entry"))
            initial = 0
        with m.If(starting):
            m.d.sync += [starting.eq(0), total.eq(initial)]
        with m.Elif(~done):
            m.d.sync += [index.eq(index + 1), total.eq(total + step)]
            with m.If(last):
                m.d.sync += [fraction.eq(next_fraction), total.eq(first), done.eq(fraction == FRACTIONS - 1)]
        return m


def round_significand(m, product, name):
    """``product`` (18 bits, 2**10 or more) as ``Cat(fraction (10), increment (3))``, rounded to nearest even.

    ``product = 2**(10 + increment) * (1 + fraction/1024)``. The largest, 2047 * 127, does not round up to the next power
    of two; smaller ones may, and then the carry raises the increment as it should.
    """
    zeros = leading_zeros(m, product[10:], f"{name}_zeros")
    increment = Signal(3, name=f"{name}_increment")
    normalised = Signal(18, name=f"{name}_normalised")
    up = Signal(name=f"{name}_up")
    rounded = Signal(13, name=f"{name}_rounded")
    m.d.comb += [
        increment.eq(7 - zeros),
        normalised.eq(product << zeros[:3]),
        up.eq(normalised[6] & (normalised[:6].any() | normalised[7])),
        rounded.eq(Cat(normalised[7:17], increment) + up),
    ]
    return rounded


def round_to_integer(m, value, name):
    """``value / 512`` to nearest even, the entry of ``byte128``."""
    up = Signal(name=f"{name}_up")
    m.d.comb += up.eq(value[8] & (value[:8].any() | value[9]))
    return value[9:] + up
