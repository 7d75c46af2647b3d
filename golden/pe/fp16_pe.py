# SPDX-License-Identifier: Apache-2.0
"""The FP16 PE (SIMPICKER IV-B): outer products of FP16 and FP16, summed over k in FP32. Hardware: ``hw.pe.fp16_pe``."""

import numpy as np

from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, FP29, FP32, codes_of


def fp16_pe(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]``, each sum from +0 in the order of k, rounded to FP32 at every step.

    Parameters
    ----------
    x : binary16 codes (..., K), K at least 1
    w : binary16 codes (..., K, outputs)

    Returns
    -------
    binary32 codes (..., outputs). Products are exact. ``ValueError`` where the shapes do not fit.
    """
    x, w = codes_of(x, FP16), codes_of(w, FP16)
    if x.ndim < 1 or w.ndim < 2 or x.shape[-1] != w.shape[-2] or x.shape[-1] == 0:
        raise ValueError(
            f"x must be (..., K) and w (..., K, outputs) with one K of at least 1, not {x.shape} and {w.shape}"
        )
    sums = np.zeros(np.broadcast_shapes(x.shape[:-1], w.shape[:-2]) + w.shape[-1:], np.uint32)
    for k in range(x.shape[-1]):
        products = float_multiply(x[..., k, None], w[..., k, :], FP16, FP29)
        sums = float_add(sums, products, FP32, FP29)
    return sums
