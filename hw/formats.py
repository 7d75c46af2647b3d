# SPDX-License-Identifier: Apache-2.0
"""Number formats as Amaranth layouts: binary16, binary32, FP17, FP24, FP29 and sign-magnitude INT8.

==========  ====  ========  ========  ====  =========================================================================
format      sign  exponent  fraction  bias  values
==========  ====  ========  ========  ====  =========================================================================
binary16    1     5         10        15    IEEE 754, subnormals kept
binary32    1     8         23        127   IEEE 754, subnormals kept
FP17        1     6         10        31    products of a binary16 and an INT8: never subnormal, never overflows
FP24        1     6         17        31    the same products, exact: 11 + 7 bits of significand
FP29        1     7         21        63    exact products of two binary16: never subnormal, never overflows
INT8        1     --        7         --    sign and magnitude, -127..127; code 0x80 (-0) is accepted, never produced
==========  ====  ========  ========  ====  =========================================================================

Policy, the same in ``golden.formats``:

* Rounding is to nearest, ties to even. Nothing flushes to zero.
* One NaN leaves a block: positive, quiet, empty payload (``Float.nan``). Any NaN may enter.
* Zeros have a sign. ``x * 0`` is a zero whose sign is the exclusive-or of the operands' signs; ``-0 + +0`` is ``+0``.
* Order is total on values: -inf < finite < +inf < NaN, with ``-0 == +0`` and all NaN equal. Ties go to the lowest index.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib import data


@dataclass(frozen=True)
class Float:
    """A binary floating-point format with IEEE 754 encoding; ``layout`` has fields ``fraction``, ``exponent``, ``sign``."""

    name: str
    exponent_bits: int
    fraction_bits: int

    @property
    def width(self):
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self):
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def exponent_max(self):
        """The exponent field of infinities and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def nan(self):
        """The one NaN code that a block produces."""
        return (self.exponent_max << self.fraction_bits) | (1 << (self.fraction_bits - 1))

    @property
    def inf(self):
        return self.exponent_max << self.fraction_bits

    @property
    def layout(self):
        return data.StructLayout({"fraction": self.fraction_bits, "exponent": self.exponent_bits, "sign": 1})


FP16 = Float("FP16", 5, 10)
FP32 = Float("FP32", 8, 23)
FP17 = Float("FP17", 6, 10)
FP24 = Float("FP24", 6, 17)
FP29 = Float("FP29", 7, 21)

INT8 = data.StructLayout({"magnitude": 7, "sign": 1})


def leading_zeros(m, value, name):
    """Number of zeros above the leading one of ``value``; ``len(value)`` when it is zero.

    A tree of pairs, ``log2`` levels deep: each node is (all zero, count). One named signal a node, because a Python
    expression used twice is emitted twice. A priority ``If`` chain costs the same gates and is linear in depth.
    """
    width = len(value)
    nodes = []
    for i in range(width):  # most significant first
        zero = Signal(name=f"{name}_z0_{i}")
        m.d.comb += zero.eq(~value[width - 1 - i])
        nodes.append((zero, Const(0, 0), 1))
    level = 0
    while len(nodes) > 1:
        level += 1
        merged = []
        for i in range(0, len(nodes) - 1, 2):
            (high_zero, high, size), (low_zero, low, low_size) = nodes[i], nodes[i + 1]
            zero = Signal(name=f"{name}_z{level}_{i // 2}")
            count = Signal(range(size + low_size), name=f"{name}_c{level}_{i // 2}")
            m.d.comb += [zero.eq(high_zero & low_zero), count.eq(Mux(high_zero, size + low, high))]
            merged.append((zero, count, size + low_size))
        nodes = merged + nodes[len(merged) * 2 :]
    zero, count, _ = nodes[0]
    result = Signal(range(width + 1), name=name)
    m.d.comb += result.eq(Mux(zero, width, count))
    return result


def shift_right_sticky(m, value, amount, name):
    """(``value >> amount``, whether a one was shifted out): one named level per bit of ``amount``."""
    lost = Const(0, 1)
    for k in reversed(range(len(amount))):
        step = 1 << k
        level = Signal(len(value), name=f"{name}_{k}")
        dropped = Signal(name=f"{name}_lost_{k}")
        m.d.comb += [
            level.eq(Mux(amount[k], value >> step, value)),
            dropped.eq(lost | (amount[k] & value[:step].any())),
        ]
        value, lost = level, dropped
    return value, lost


def order_key(code, fmt):
    """A value of ``fmt.layout`` as an unsigned key whose integer order is the total order above.

    ``-0`` and ``+0`` share a key, and so do all NaN. Key width is ``fmt.width``.
    """
    magnitude = Cat(code.fraction, code.exponent)
    half = 1 << (fmt.width - 1)
    is_nan = (code.exponent == fmt.exponent_max) & code.fraction.any()
    signed_key = Mux(code.sign, half - magnitude, half + magnitude)
    return Mux(is_nan, half + fmt.inf + 1, signed_key)[: fmt.width]
