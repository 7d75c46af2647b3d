# SPDX-License-Identifier: Apache-2.0
"""The aligned-integer PE: a row's operands share an exponent, sums are integers. Hardware: ``hw.pe.aligned_pe``."""

import numpy as np

from zoetrope.golden.formats import FP16, fields, int8_decode
from zoetrope.golden.pe.fixed_sum import to_fp32
from zoetrope.golden.pe.lut_pe import check_operands


def aligned_pe(x: np.ndarray, w: np.ndarray, bits: int = 16, max_operands: int = 128) -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]`` on operands aligned to the largest exponent of their row, rounded once.

    With E that exponent (of the finite operands; a subnormal counts as 1, the least), an operand becomes the integer
    ``q = x / 2**u`` rounded to nearest even, ``u = E - 13 - bits``: ``bits`` with its sign. The sum is
    ``2**u * sum of q * w``, exact, rounded to FP32 once.

    Parameters
    ----------
    x : binary16 codes (..., K), K at least 1
    w : sign-magnitude INT8 codes (..., K, outputs)
    bits : of an aligned operand, 12 to 41; at 41 nothing is rounded before the sum
    max_operands : above it every sum is NaN

    Returns
    -------
    binary32 codes (..., outputs). Zeros, infinities and NaN as ``golden.pe.fixed_sum.fixed_sum``.
    """
    x, w = check_operands(x, w)
    sign, exponent, fraction = fields(x, FP16)
    special = exponent == FP16.exponent_max
    significand = np.where(exponent == 0, fraction, fraction | 1024)
    exponent = np.where(special, 1, np.maximum(exponent, 1))
    largest = exponent.max(axis=-1, keepdims=True)
    aligned = _shift_right_half_even(significand << (bits - 12), largest - exponent)
    aligned = np.where(special, 0, np.where(sign == 1, -aligned, aligned))
    total = np.einsum("...k,...ko->...o", aligned, int8_decode(w).astype(np.int64))  # integers: no order

    weight = int8_decode(w)
    negative_product = (sign[..., None] == 1) ^ (weight < 0)
    infinite, nan = (special & (fraction == 0))[..., None], (special & (fraction != 0))[..., None]
    nan = nan | (infinite & (weight == 0)) | (x.shape[-1] > max_operands)
    positive = (nan | (infinite & ~negative_product)).any(axis=-2)
    negative = (nan | (infinite & negative_product)).any(axis=-2)
    return to_fp32(total, largest - 13 - bits, positive, negative)


def error_bound(x: np.ndarray, w: np.ndarray, bits: int = 16) -> np.ndarray:
    """The most by which ``aligned_pe`` of finite operands may differ from the exact sum, ``float64`` (..., outputs).

    Half a unit of each operand, times its weight: ``2**(E - 14 - bits) * sum of |w|``; and half a unit of the FP32 result.
    """
    x, w = check_operands(x, w)
    largest = np.maximum(fields(x, FP16)[1], 1).max(axis=-1, keepdims=True)
    aligned = np.ldexp(np.abs(int8_decode(w).astype(np.float64)).sum(axis=-2), largest - 14 - bits)
    magnitude = np.abs(np.einsum("...k,...ko->...o", x.view(np.float16).astype(np.float64), int8_decode(w)))
    return aligned + (magnitude + aligned) * 2.0**-24


def _shift_right_half_even(value, shift):
    """``value / 2**shift`` to nearest, ties to even; ``int64``."""
    quotient = value >> shift
    rest, half = value - (quotient << shift), (np.int64(1) << shift) >> 1
    return quotient + ((rest > half) | ((rest == half) & (half > 0) & (quotient & 1 == 1)))
