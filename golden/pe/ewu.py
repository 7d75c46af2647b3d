# SPDX-License-Identifier: Apache-2.0
"""Element-wise operations on FP16. Hardware: ``hw.pe.ewu``."""

import numpy as np

from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_compare import float_compare
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, canonical_nan, codes_of

#: Name of each opcode; those above have none.
OPERATIONS = ("add", "subtract", "multiply", "scale", "max", "absolute")

_SIGN = np.uint16(1 << 15)


def ewu(op: np.ndarray, a: np.ndarray, b: np.ndarray, scalar: np.ndarray) -> np.ndarray:
    """``op(a, b, scalar)`` element by element, binary16 codes to ``uint16`` codes.

    ``op`` and ``scalar`` (n,), one a vector; ``a`` and ``b`` (n, lanes). An opcode without a name gives NaN.
    """
    a, b = codes_of(a, FP16), codes_of(b, FP16)
    op = np.broadcast_to(np.asarray(op)[:, None], a.shape)
    scalar = np.broadcast_to(codes_of(scalar, FP16)[:, None], a.shape)
    results = {
        "add": float_add(a, b, FP16),
        "subtract": float_add(a, b ^ _SIGN, FP16),
        "multiply": float_multiply(a, b, FP16, FP16),
        "scale": float_multiply(a, scalar, FP16, FP16),
        "max": float_compare(a, b, FP16)[3],
        "absolute": canonical_nan(a & ~_SIGN, FP16),
    }
    unknown = np.full(a.shape, FP16.nan, np.uint16)
    return np.select([op == code for code in range(len(OPERATIONS))], [results[name] for name in OPERATIONS], unknown)
