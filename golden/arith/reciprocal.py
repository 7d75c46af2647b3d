# SPDX-License-Identifier: Apache-2.0
"""The reciprocal, correctly rounded. Hardware: ``hw.arith.reciprocal``."""

import numpy as np

from zoetrope.golden.formats import FP32, canonical_nan, codes_of, numpy_types


def reciprocal(x: np.ndarray, fmt=FP32) -> np.ndarray:
    """``1 / x`` element by element, codes of ``fmt`` (FP16 or FP32) to codes: IEEE division, to nearest even.

    A zero gives the infinity of its sign, and so does a subnormal whose reciprocal exceeds the format; an infinity gives
    the zero of its sign; a large number gives a subnormal. Being correctly rounded, the result needs no algorithm here.
    """
    number, code = numpy_types(fmt)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        quotient = number(1) / codes_of(x, fmt).view(number)
    return canonical_nan(np.asarray(quotient).view(code), fmt)
