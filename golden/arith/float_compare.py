# SPDX-License-Identifier: Apache-2.0
"""Comparison in the total order of ``golden.formats``. Hardware: ``hw.arith.float_compare``."""

import numpy as np

from zoetrope.golden.formats import FP32, canonical_nan, codes_of, order_key


def float_compare(a: np.ndarray, b: np.ndarray, fmt=FP32) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(less, equal, min, max)`` of codes of ``fmt``: two boolean arrays, two of the codes' type.

    ``less`` is a < b and ``equal`` a == b in the total order, where NaN is the greatest and ``-0 == +0``. Of equal
    operands ``min`` and ``max`` are both ``a``; a NaN among them is the canonical one.
    """
    a, b = codes_of(a, fmt), codes_of(b, fmt)
    key_a, key_b = order_key(a, fmt), order_key(b, fmt)
    less, equal = key_a < key_b, key_a == key_b
    lesser, greater = np.where(less | equal, a, b), np.where(less, b, a)
    return less, equal, canonical_nan(lesser, fmt), canonical_nan(greater, fmt)
