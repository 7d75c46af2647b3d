# SPDX-License-Identifier: Apache-2.0
"""The LUT PE (SIMPICKER IV-B, Fig. 5): outer products of FP16 and INT8, summed over k in FP32 or exactly.

Hardware: ``hw.pe.lut_pe``; ``hw.pe.plain_pe`` and ``hw.pe.split_pe``, whose multipliers round the same
products to the same bits or keep them exact.
"""

import numpy as np

from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.formats import FP16, FP17, FP24, FP32, codes_of, int8_codes, to_float64
from zoetrope.golden.pe.exact_product import exact_product
from zoetrope.golden.pe.fixed_sum import MAX_OPERANDS, fixed_sum
from zoetrope.golden.pe.lut_multiplier import lut_multiplier


def lut_pe(
    x: np.ndarray,
    w: np.ndarray,
    reading: str = "odd16",
    accumulator: str = "fp32",
    max_operands: int = MAX_OPERANDS,
) -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]``.

    Parameters
    ----------
    x : binary16 codes (..., K), K at least 1
    w : sign-magnitude INT8 codes (..., K, outputs)
    reading : products as the LUT multiplier rounds them, ``odd16`` or ``byte128``, or ``exact``
    accumulator : ``fp32``, each sum from +0 in the order of k and rounded at every step; or ``fixed``, exact and rounded
        once
    max_operands : above it a ``fixed`` sum is NaN

    Returns
    -------
    binary32 codes (..., outputs). ``ValueError`` where the shapes do not fit.
    """
    x, w = check_operands(x, w)
    if accumulator not in ("fp32", "fixed"):
        raise ValueError(f"accumulator must be fp32 or fixed, not {accumulator!r}")
    if reading == "exact":
        products, fmt = exact_product(x[..., None], w), FP24
    else:
        products, fmt = lut_multiplier(x[..., None], w, reading), FP17
    if accumulator == "fixed":
        return fixed_sum(products, fmt, max_operands)
    sums = np.zeros(products.shape[:-2] + products.shape[-1:], np.uint32)
    for k in range(x.shape[-1]):
        sums = float_add(sums, products[..., k, :], FP32, fmt)
    return sums


def check_operands(x, w):
    """``x`` and ``w`` of an outer product as arrays of codes."""
    x, w = codes_of(x, FP16), int8_codes(w)
    if x.ndim < 1 or w.ndim < 2 or x.shape[-1] != w.shape[-2] or x.shape[-1] == 0:
        raise ValueError(
            f"x must be (..., K) and w (..., K, outputs) with one K of at least 1, not {x.shape} and {w.shape}"
        )
    return x, w


def order_error(x: np.ndarray, w: np.ndarray, reading: str = "exact") -> float:
    """What the order of FP32 costs: rms of ``lut_pe``'s FP32 sums minus its fixed-point ones, over the rms of the latter.

    Both sum the same products, so products rounded by ``reading`` do not count. Finite operands.
    """
    exact = to_float64(lut_pe(x, w, reading, "fixed"), FP32)
    ordered = to_float64(lut_pe(x, w, reading, "fp32"), FP32)
    return float(np.sqrt(((ordered - exact) ** 2).mean() / (exact**2).mean()))
