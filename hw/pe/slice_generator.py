# SPDX-License-Identifier: Apache-2.0
"""The generated LUT: slices of the product table from a few adders, in place of the 128 KiB LUT buffer.

::

    i (fraction) --> multiples k u --> + base of the beat --> W totals --> W rounders --> o (row of W entries)
                 s1                s2                     s3           s4
"""

import itertools
from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw.pe.local_table import check_copy_width
from zoetrope.hw.pe.product_table import find_reading, round_significand, round_to_integer
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class SliceGeneratorConfig:
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    copy_width: int = field(default=8, metadata={"doc": "W, entries made a cycle; a power of two"})

    def __post_init__(self):
        check_copy_width(self)

    @property
    def beats(self):
        """C, cycles in which a slice is made."""
        return find_reading(self.reading).entries // self.copy_width


class SliceGenerator(FullyPipelined):
    """Returns, for each fraction that comes in, the C = entries / W rows of its slice, in order, one a cycle.

    The same entries on the same streams as ``hw.pe.lut_buffer.LutBuffer``, at once after reset. Entry bW + k of a
    slice is ``first + (bW + k) u``, rounded: with s = 1024 + f, ``first = s`` and ``u = 2 s`` (``odd16``), or 0 and f
    (``byte128``). The multiples k u are shifts and sums of smaller ones (W/2 - 1 adders), the base of a beat is a running
    sum (one), and each entry adds the two (W adders, W rounders).

    Running sums of W entries, ``2 W s`` a beat, would need no multiples, and W wide adders more to begin a slice with.

    Parameters
    ----------
    config : SliceGeneratorConfig

    Members
    -------
    i : In(stream of 10 bits), fraction of the operand
    o : Out(stream of W entries), rows of the slice, lowest index first
    filled : Out(1), always: there is nothing to fill

    Latency: 4 cycles from a request to its first row. Initiation interval: 1 cycle a row, C a slice. Backpressure: yes.
    Golden: ``golden.pe.lut_multiplier.product_table``.
    """

    latency = 4

    def __init__(self, *, config):
        self.config = config
        reading = self._reading = find_reading(config.reading)
        super().__init__(
            {
                "i": In(stream.Signature(10)),
                "o": Out(stream.Signature(data.ArrayLayout(reading.entry_bits, config.copy_width))),
                "filled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, width = self.config, self.config.copy_width
        valid = [Signal(name=f"s{k}_valid") for k in range(1, 5)]
        advance = Signal()
        m.d.comb += [advance.eq(~valid[-1] | self.o.ready), self.o.valid.eq(valid[-1]), self.filled.eq(1)]
        with m.If(advance):
            m.d.sync += [after.eq(before) for before, after in itertools.pairwise(valid)]

        # s1: the request being made and the beat it is at.
        s1_fraction = Signal(10, reset_less=True)
        s1_beat = Signal(range(max(2, c.beats)))
        s1_last = Signal()
        m.d.comb += [s1_last.eq(s1_beat == c.beats - 1), self.i.ready.eq(~valid[0] | (advance & s1_last))]
        with m.If(self.i.ready):
            m.d.sync += valid[0].eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += s1_fraction.eq(self.i.payload)
        with m.If(advance & valid[0]):
            m.d.sync += s1_beat.eq(Mux(s1_last, 0, s1_beat + 1))
        odd = self._reading.name == "odd16"
        significand = Cat(s1_fraction, 1)
        first, unit = (significand, Cat(0, significand)) if odd else (Const(0, 1), s1_fraction)

        # s2: the base of the beat, and the multiples of the unit that its entries add to it.
        s2_base = Signal(18, reset_less=True)
        made = {1: unit}
        needed = [_multiple(m, made, k) for k in range(width)]
        s2_multiples = [Signal(len(value), name=f"s2_multiple_{k}", reset_less=True) for k, value in enumerate(needed)]
        with m.If(advance & valid[0]):
            m.d.sync += s2_base.eq(Mux(s1_beat == 0, first, s2_base + (unit << (width.bit_length() - 1))))
            m.d.sync += [register.eq(value) for register, value in zip(s2_multiples, needed)]

        # s3: the exact products.  s4: the entries.
        s3_totals = [Signal(18, name=f"s3_total_{k}", reset_less=True) for k in range(width)]
        s4_row = Signal(self.o.payload.shape(), reset_less=True)
        entry = round_significand if odd else round_to_integer
        with m.If(advance):
            m.d.sync += [total.eq(s2_base + multiple) for total, multiple in zip(s3_totals, s2_multiples)]
            m.d.sync += [s4_row[k].eq(entry(m, total, f"entry_{k}")) for k, total in enumerate(s3_totals)]
        m.d.comb += self.o.payload.eq(s4_row)
        return m


def _multiple(m, made, k):
    """``k`` times ``made[1]``: the upper half of k's digits and the lower, one adder, log2 of the digits deep."""
    if k == 0:
        return Const(0, 1)
    if k % 2 == 0:
        return Cat(Const(0, 1), _multiple(m, made, k // 2))
    if k not in made:
        low = k.bit_length() // 2
        value = (_multiple(m, made, k >> low) << low) + _multiple(m, made, k & ((1 << low) - 1))
        made[k] = Signal(len(made[1]) + k.bit_length(), name=f"multiple_{k}")
        m.d.comb += made[k].eq(value)
    return made[k]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": SliceGeneratorConfig(),
    "narrow": SliceGeneratorConfig(copy_width=1),
    "whole": SliceGeneratorConfig(copy_width=64),
    "byte128": SliceGeneratorConfig(reading="byte128", copy_width=16),
}
