# SPDX-License-Identifier: Apache-2.0
"""The greatest score of a row that comes a word a cycle: a tree of comparators over the word, then a running maximum."""

from amaranth import Const, Mux, Signal
from amaranth.utils import ceil_log2

from zoetrope.hw.arith.float_compare import FloatCompare, FloatCompareConfig
from zoetrope.hw.stream import delayed, operator


def row_maximum(m, fmt, scores, flags, maxima):
    """The greatest of each row of ``fmt``, as it is to be subtracted, into the queue ``maxima``.

    ``scores``: codes of a word, a power of two of them; ``flags``: whether there is a word, whether it is the last of its
    row, and whether nothing of the row is right. Of such a row, of a NaN or of plus infinity a NaN is subtracted, which
    makes all results NaN; of a row without a score 0, so that they are exp(-inf) = 0.
    """
    value, valid, last, error = _tree(m, fmt, scores, flags)
    fresh = Signal(init=1, name="max_fresh")
    highest = Signal(fmt.layout, name="max_highest", reset_less=True)
    wrong = Signal(name="max_wrong", reset_less=True)
    done = Signal(name="max_done")
    greater = _greater(m, "max_running", highest.as_value(), value, FloatCompareConfig(fmt=fmt, stages=0))
    m.d.sync += done.eq(valid & last)
    with m.If(valid):
        m.d.sync += [fresh.eq(last), highest.eq(Mux(fresh, value, greater)), wrong.eq(error)]
    special = Signal(name="max_special")
    m.d.comb += [special.eq(highest.exponent == fmt.exponent_max), maxima.w_en.eq(done)]
    with m.If(wrong | (special & ~(highest.sign & ~highest.fraction.any()))):
        m.d.comb += maxima.w_data.eq(fmt.nan)
    with m.Elif(special):
        m.d.comb += maxima.w_data.eq(0)
    with m.Else():
        m.d.comb += maxima.w_data.eq(highest)


def _tree(m, fmt, values, flags):
    """The greatest of a word, a level a cycle, and the ``flags`` beside it, as late."""
    compare, levels = FloatCompareConfig(fmt=fmt, stages=1), ceil_log2(len(values))
    for level in range(levels):
        pairs = zip(values[0::2], values[1::2])
        values = [_greater(m, f"max_{level}_{k}", a, b, compare) for k, (a, b) in enumerate(pairs)]
    always = Const(1, 1)
    return values[0], *(delayed(m, always, x, levels, f"max_{k}")[-1] for k, x in enumerate(flags))


def _greater(m, name, a, b, config):
    compare = operator(m, name, FloatCompare, config)
    m.d.comb += [compare.i.a.eq(a), compare.i.b.eq(b)]
    return compare.o.max.as_value()
