# SPDX-License-Identifier: Apache-2.0
"""Exact sums in fixed point, rounded to FP32 once. Hardware: ``hw.pe.fixed_accumulator``.

Every product of a binary16 and an INT8, exact or rounded to 11 bits, is a multiple of 2**-24 below 2**23: 65,536 of them
fit 64 bits, and integers have no order.
"""

import numpy as np

from zoetrope.golden.formats import FP32, Float, fields, to_float64

#: Products whose sum is sure to fit 64 bits.
MAX_OPERANDS = 65536


def fixed_sum(products: np.ndarray, fmt: Float, max_operands: int = MAX_OPERANDS) -> np.ndarray:
    """The exact sum over the last axis but one of ``products``, codes of ``fmt`` (FP17 or FP24), as binary32 codes.

    An exact zero is +0. With an infinity the sum is that infinity; with both, or a NaN, NaN; and NaN with more than
    ``max_operands`` operands.
    """
    sign, exponent, fraction = fields(products, fmt)
    special = exponent == fmt.exponent_max
    nan, minus = special & (fraction != 0), special & (sign == 1)
    units = np.where(special, 0.0, to_float64(products, fmt)) * 2.0**24
    # A NaN counts as both infinities: one flag each, as in hardware.
    positive, negative = (special & ~minus) | nan, minus | nan
    if products.shape[-2] > max_operands:
        positive = negative = np.ones(products.shape, bool)
    return to_fp32(units.astype(np.int64).sum(axis=-2), -24, positive.any(axis=-2), negative.any(axis=-2))


def to_fp32(total: np.ndarray, exponent: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """``total * 2**exponent`` (``int64``) as binary32 codes, to nearest even; the flags mean +inf, -inf, and both NaN.

    The cast of an integer rounds once, and the power of two is exact: no result here is subnormal or overflows.
    """
    code = np.ldexp(total.astype(np.float32), exponent).view(np.uint32)
    code = np.where(positive, np.uint32(FP32.inf), np.where(negative, np.uint32(FP32.inf | 1 << 31), code))
    return np.where(positive & negative, np.uint32(FP32.nan), code)
