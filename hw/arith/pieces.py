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


#: Operands of a DSP block (ECP5) are no wider.
_DSP_BITS = 18


def multiply(m, pipe, point, left, right, **beside):
    """What ``pipe.cut(point, **beside)`` returns, and ``left * right`` beside it.

    Where ``point`` is a register it holds the products of halves of what is too wide for one DSP block.
    """
    product = Signal(len(left) + len(right), name=f"{point}_product")
    if not pipe.registers(point):
        m.d.comb += product.eq(left * right)
        return pipe.cut(point, **beside), product
    parts = {}
    shifts = {}
    for i, (x, x_start) in enumerate(_halves(left)):
        for j, (y, y_start) in enumerate(_halves(right)):
            name = f"part_{i}{j}"
            parts[name] = Signal(len(x) + len(y), name=f"{point}_{name}")
            shifts[name] = x_start + y_start
            m.d.comb += parts[name].eq(x * y)
    s = pipe.cut(point, **beside, **parts)
    terms = [getattr(s, name) << shift for name, shift in shifts.items()]
    if len(terms) == 4:  # the outer two do not overlap
        terms = [Cat(s.part_00, s.part_11), terms[1] + terms[2]]
    m.d.comb += product.eq(sum(terms[1:], terms[0]))
    return s, product


def _halves(operand):
    """``operand`` and its place, or, if it is wide, two halves and their places."""
    if len(operand) <= _DSP_BITS:
        return ((operand, 0),)
    middle = (len(operand) + 1) // 2
    return (operand[:middle], 0), (operand[middle:], middle)
