# SPDX-License-Identifier: Apache-2.0
"""Floating-point addition, rounded once to nearest even. Hardware: ``hw.arith.float_add``."""

import numpy as np

from zoetrope.golden.formats import FP32, canonical_nan, codes_of, numpy_types, to_float64


def float_add(a: np.ndarray, b: np.ndarray, fmt_a=FP32, fmt_b=None) -> np.ndarray:
    """``a + b`` element by element: codes of ``fmt_a`` and ``fmt_b`` (default: the same) to codes of ``fmt_a``.

    ``fmt_b`` is a format whose every value ``fmt_a`` holds. NumPy's element-wise addition is IEEE 754 in the operands'
    own format (its reductions are not: they choose their order).
    """
    number, code = numpy_types(fmt_a)
    a = codes_of(a, fmt_a).view(number)
    b = codes_of(b, fmt_a).view(number) if fmt_b in (None, fmt_a) else to_float64(b, fmt_b).astype(number)
    with np.errstate(over="ignore", invalid="ignore"):
        return canonical_nan((a + b).view(code), fmt_a)
