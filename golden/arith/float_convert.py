# SPDX-License-Identifier: Apache-2.0
"""Conversion to floating point, rounded once to nearest even. Hardware: ``hw.arith.float_convert``."""

import numpy as np

from zoetrope.golden.formats import FP16, FP32, canonical_nan, fp16, fp32, numpy_types, to_float64

_ENCODE = {FP16: fp16, FP32: fp32}


def float_convert(codes: np.ndarray, source=FP32, target=FP16) -> np.ndarray:
    """Codes of ``source``, any format, to codes of ``target``, FP16 or FP32: the same values, rounded once.

    ``float64`` holds every value of every source exactly, so its conversion is the only rounding.
    """
    numpy_types(target)
    return canonical_nan(_ENCODE[target](to_float64(codes, source)), target)


def integer_convert(values: np.ndarray, target=FP16) -> np.ndarray:
    """Integers of up to 64 bits, signed or not, to codes of ``target``; zero is +0, what exceeds the format an infinity.

    Integer arithmetic throughout: ``float64`` would round what has more than 53 bits a first time. Sign-magnitude codes are
    decoded by ``formats.int8_decode`` first.
    """
    numpy_types(target)
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"integer_convert takes integers, not {values.dtype}")
    negative = values < 0
    wide = values.astype(np.uint64)  # of a negative number modulo 2**64, and so of its negation below
    magnitude = np.where(negative, np.uint64(0) - wide, wide)
    drop = np.maximum(_bit_length(magnitude) - (target.fraction_bits + 1), 0).astype(np.uint64)
    quotient = magnitude >> drop
    rest, half = magnitude - (quotient << drop), (np.uint64(1) << drop) >> np.uint64(1)
    quotient += (rest > half) | ((rest == half) & (half > 0) & (quotient & np.uint64(1) == 1))
    # The quotient has at most the bits of a significand, or is a power of two: its float64 and the product are exact.
    rounded = np.ldexp(quotient.astype(np.float64), drop.astype(np.int64))
    return _ENCODE[target](np.where(negative, -rounded, rounded))


def _bit_length(magnitude: np.ndarray) -> np.ndarray:
    """Of ``uint64``, ``int64``: of its upper half where there is one, since ``float64`` holds 32 bits exactly."""
    upper = (magnitude >> np.uint64(32)).astype(np.float64)
    lower = (magnitude & np.uint64(0xFFFFFFFF)).astype(np.float64)
    return np.where(upper > 0, np.frexp(upper)[1] + 32, np.frexp(lower)[1]).astype(np.int64)
