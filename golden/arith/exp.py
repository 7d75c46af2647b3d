# SPDX-License-Identifier: Apache-2.0
"""e to the power of x, in the order of the hardware, ``hw.arith.exp``: integers from the significand to the last rounding.

With S the significand of x (a subnormal has no leading one), E its exponent and F its fraction bits::

    y = floor(S * round(log2(e) * 2**K) * 2**(E - F - K + B)), negated if x is negative
    n, f = floor(y / 2**B), y mod 2**B;  segment, u = the upper bits of f, the other bits
    slope = c1 + floor(c2 * floor(u / 2**drop) / 2**c2_shift)             (slope = c1 where the order is 1)
    2**f = (c0 + floor(slope * u / 2**c1_shift)) / 2**g,  rounded once with 2**n to the target, to nearest even

The coefficients belong to the polynomial through 2**f at the segment's ends, and its middle if the order is 2, rounded.
Where |x| is 2**limit or more the result is infinite or zero by its sign.
"""

import functools
from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP16, FP32, fields, is_nan, numpy_types


class Method(NamedTuple):
    """Widths of the computation for one target: ``B`` is ``position``, ``K`` is ``log2e``, ``g`` is ``result``."""

    limit: int
    position: int
    log2e: int
    segment_bits: int
    order: int
    result: int
    c1_shift: int
    c2_shift: int = 0
    drop: int = 0

    @property
    def u_bits(self) -> int:
        return self.position - self.segment_bits


METHODS = {
    FP16: Method(limit=5, position=15, log2e=20, segment_bits=6, order=1, result=15, c1_shift=8),
    FP32: Method(limit=7, position=22, log2e=28, segment_bits=5, order=2, result=24, c1_shift=16, c2_shift=10, drop=6),
}


@functools.cache
def coefficients(target=FP32) -> np.ndarray:
    """The table, ``int64`` (segments, order + 1), columns c0, c1, c2. ``float64`` is exact enough to round every entry."""
    method = METHODS[target]
    segment = np.arange(1 << method.segment_bits)
    start, middle, end = (np.exp2((segment + part) / len(segment)) * 2.0**method.result for part in (0, 0.5, 1))
    step = 2.0**-method.u_bits
    c1, c2 = (end - start) * step, 2 * (start - 2 * middle + end) * step**2
    if method.order == 2:
        c1 = (4 * middle - 3 * start - end) * step
    exact = [start, c1 * 2.0**method.c1_shift, c2 * 2.0 ** (method.c1_shift + method.c2_shift + method.drop)]
    table = np.stack(exact[: method.order + 1], axis=1)
    margin = np.abs(table - np.floor(table) - 0.5).min()
    if margin < 1e-6:
        raise ArithmeticError(
            f"a coefficient for {target.name} lies within {margin:g} of a tie: float64 may misround it"
        )
    return np.rint(table).astype(np.int64)


def power_of_two(position: np.ndarray, target=FP32) -> np.ndarray:
    """``2**f`` with ``result`` fraction bits, for ``f = position / 2**B`` in [0, 1); ``int64``."""
    method = METHODS[target]
    row = coefficients(target)[position >> method.u_bits]
    u = position & ((1 << method.u_bits) - 1)
    slope = row[..., 1]
    if method.order == 2:
        slope = slope + (row[..., 2] * (u >> method.drop) >> method.c2_shift)
    return row[..., 0] + (slope * u >> method.c1_shift)


def exp(x: np.ndarray, source=FP32, target=FP16) -> np.ndarray:
    """``e**x`` element by element: codes of ``source`` to codes of ``target``, each FP16 or FP32.

    e**-inf is +0, e**inf infinity, e**0 exactly 1; a NaN gives the canonical one. Monotone over all x; error bounds are in
    ``hw.arith.exp``.
    """
    _, code = numpy_types(target)
    numpy_types(source)
    method = METHODS[target]
    sign, exponent, fraction = fields(x, source)
    significand = fraction | np.where(exponent > 0, 1 << source.fraction_bits, 0)
    power = np.maximum(exponent, 1) - source.bias
    beyond = power >= method.limit
    product = significand * round(np.log2(np.e) * 2.0**method.log2e)
    drop = source.fraction_bits + method.log2e - method.position - np.minimum(power, method.limit - 1)
    y = product >> np.minimum(drop, 63)
    y = np.where(sign == 1, -y, y)
    n, position = y >> method.position, y & ((1 << method.position) - 1)
    magnitude = _rounded(power_of_two(position, target), n + target.bias, method.result, target)
    magnitude = np.where(beyond, np.where(sign == 1, 0, target.inf), magnitude)
    return np.where(is_nan(x, source), target.nan, magnitude).astype(code)


def _rounded(significand, exponent, bits, fmt):
    """``significand / 2**bits * 2**(exponent - bias)`` as magnitude code of ``fmt``, to nearest even; significand normal."""
    shift = bits - fmt.fraction_bits + np.clip(1 - exponent, 0, bits + 1)
    quotient = significand >> shift
    rest, half = significand - (quotient << shift), np.int64(1) << (shift - 1)
    quotient = quotient + ((rest > half) | ((rest == half) & (quotient & 1 == 1)))
    # The leading one of a normal number counts one in the exponent's place; a subnormal has none, or has just got it.
    code = (np.maximum(exponent, 1) - 1 << fmt.fraction_bits) + quotient
    return np.minimum(code, fmt.inf)
