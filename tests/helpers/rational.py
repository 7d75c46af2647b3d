# SPDX-License-Identifier: Apache-2.0
"""Rounding by exact rationals: the reference of goldens that round, independent of NumPy's arithmetic."""

from fractions import Fraction

import numpy as np


def rounded(value, fmt):
    """A rational to the nearest value of ``fmt``, ties to even, in integer arithmetic; overflow to infinity."""
    if value == 0:
        return 0.0
    exponent = 1 - fmt.bias
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - fmt.fraction_bits)
    result = round(value / unit) * unit
    return float(result) if abs(result) < Fraction(2) ** (fmt.bias + 1) else float(np.copysign(np.inf, float(result)))
