"""What several operators share: tables of coefficients, and products that a register may divide."""

from amaranth import Cat, Signal
from amaranth.utils import bits_for


def look_up(m, table, index, names):
    """Row ``index`` of a table of integers as a dict of signals, one for each of ``names``; a read-only memory."""
    columns = {}
    for name, column in zip(names, zip(*table, strict=True), strict=True):
        columns[name] = Signal(bits_for(max(column)), name=name)
        with m.Switch(index):
            for k, value in enumerate(column):
                with m.Case(k):
                    m.d.comb += columns[name].eq(value)
    return columns


def multiply(m, pipe, point, left, right, **beside):
    """What ``pipe.cut(point, **beside)`` returns, and ``left * right`` beside it.

    Where ``point`` is a register it holds four quarter products, each small enough for one DSP block of 18 bits.
    """
    product = Signal(len(left) + len(right), name=f"{point}_product")
    if not pipe.registers(point):
        m.d.comb += product.eq(left * right)
        return pipe.cut(point, **beside), product
    low = (len(left) + 1) // 2, (len(right) + 1) // 2
    quarters = {}
    for i, x in enumerate((left[: low[0]], left[low[0] :])):
        for j, y in enumerate((right[: low[1]], right[low[1] :])):
            quarters[f"quarter_{i}{j}"] = Signal(len(x) + len(y), name=f"{point}_quarter_{i}{j}")
            m.d.comb += quarters[f"quarter_{i}{j}"].eq(x * y)
    s = pipe.cut(point, **beside, **quarters)
    outer = Cat(s.quarter_00, s.quarter_11)
    m.d.comb += product.eq(outer + (s.quarter_01 << low[1]) + (s.quarter_10 << low[0]))
    return s, product
