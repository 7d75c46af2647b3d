# SPDX-License-Identifier: Apache-2.0
"""The tail of a row: elements of its last word that do not count are +0, NaN and infinities of the others are found."""

from amaranth import Cat, Const, Signal
from amaranth.lib import data
from amaranth.utils import ceil_log2

from zoetrope.hw.formats import FP16


def tail_of(channels, lanes):
    """Elements that count in the last word of a row of ``channels``, 0 for all of them: ``lanes`` is a power of two."""
    return channels[: ceil_log2(lanes)] if lanes > 1 else Const(0, 1)


def mask_tail(m, word, tail, last, lanes, name):
    """``word`` of ``lanes`` FP16 elements with +0 behind its row's end, and whether one of the others is no number.

    ``last``: it is the last word of its row, of which ``tail`` elements count, 0 for all of them.
    """
    values = data.View(data.ArrayLayout(FP16.layout, lanes), word)
    kept = Signal(data.ArrayLayout(FP16.layout, lanes), name=f"{name}_counted")
    wrong = Signal(name=f"{name}_not_finite")
    bad = []
    for k in range(lanes):
        # The first one always counts, the last one only where all do.
        counts = ~last | ~tail.any() | (tail > k if k < lanes - 1 else 0) if k else Const(1, 1)
        m.d.comb += kept[k].eq(values[k].as_value() & counts.replicate(FP16.width))
        bad.append(kept[k].exponent.all())
    m.d.comb += wrong.eq(Cat(*bad).any())
    return kept, wrong
