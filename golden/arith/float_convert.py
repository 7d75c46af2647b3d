"""Conversion to floating point, rounded once to nearest even. Hardware: ``hw.arith.float_convert``."""

import numpy as np

from zoetrope.golden.formats import FP16, FP32, canonical_nan, fp16, fp32, to_float64

_ENCODE = {FP16: fp16, FP32: fp32}


def float_convert(codes: np.ndarray, source=FP32, target=FP16) -> np.ndarray:
    """Codes of ``source``, any format, to codes of ``target``, FP16 or FP32: the same values, rounded once.

    ``float64`` holds every value of every source exactly, so its conversion is the only rounding.
    """
    return canonical_nan(_ENCODE[target](to_float64(codes, source)), target)


def integer_convert(values: np.ndarray, target=FP16) -> np.ndarray:
    """Integers below 2**53 in magnitude to codes of ``target``; zero is +0, what exceeds the format an infinity.

    Sign-magnitude codes are decoded by ``formats.int8_decode`` first.
    """
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"integer_convert takes integers, not {values.dtype}")
    return _ENCODE[target](values.astype(np.float64))
