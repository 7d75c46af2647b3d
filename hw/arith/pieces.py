# SPDX-License-Identifier: Apache-2.0
"""What several operators share: tables of coefficients, products that a register may divide, rounding and packing."""

from amaranth import Cat, Const, Signal
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


def to_nearest_even(m, fmt, fraction, exponent, half, rest):
    """The magnitude (exponent and fraction fields of ``fmt``) nearest to a number, of two equally near the even one.

    ``fraction`` and ``exponent`` are what is kept of the number, ``half`` is the bit below them, and ``rest`` says whether
    there is a one below that. A carry out of the fraction raises the exponent, up to infinity.

    This is the rounding unit of addition, multiplication and conversion: an increment and three gates. What comes before
    it, how a subnormal gets to its place, differs by operator, and so do the bits that ``rest`` sums up. The exponential
    sums them up in another order; ``FixedToFloat`` and the exact ``Reciprocal`` decide a stage before they increment.
    """
    up = Signal()
    magnitude = Signal(fmt.width - 1)
    m.d.comb += [up.eq(half & (rest | fraction[0])), magnitude.eq(Cat(fraction, exponent) + up)]
    return magnitude


def pack(m, fmt, magnitude, sign, *, nan, infinite):
    """The code of ``fmt``: the canonical NaN, an infinity of ``sign``, or ``magnitude`` with ``sign``."""
    packed = Signal(fmt.width)
    with m.If(nan):
        m.d.comb += packed.eq(fmt.nan)
    with m.Elif(infinite):
        m.d.comb += packed.eq(Cat(Const(fmt.inf, fmt.width - 1), sign))
    with m.Else():
        m.d.comb += packed.eq(Cat(magnitude, sign))
    return packed


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
