"""The float64 ideals: what each block approximates. Only for error bounds, never for comparison bit by bit."""

import numpy as np

from golden.formats import FP16, FP32, int8_decode, to_float64
from golden.lut_pe import lut_pe


def multiply(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``x * w`` exactly, ``float64``: binary16 codes times sign-magnitude INT8 codes, with broadcasting."""
    with np.errstate(invalid="ignore"):
        return to_float64(x, FP16) * int8_decode(w)


def outer_product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]`` in ``float64``; shapes as ``golden.lut_pe.lut_pe``."""
    with np.errstate(invalid="ignore"):
        return np.einsum("...k,...ko->...o", to_float64(x, FP16), int8_decode(w).astype(np.float64))


def order_error(x: np.ndarray, w: np.ndarray, reading: str = "exact") -> float:
    """What the order of FP32 costs: rms of ``lut_pe``'s FP32 sums minus its fixed-point ones, over the rms of the latter.

    Both sum the same products, so products rounded by ``reading`` do not count. Finite operands.
    """
    exact = to_float64(lut_pe(x, w, reading, "fixed"), FP32)
    ordered = to_float64(lut_pe(x, w, reading, "fp32"), FP32)
    return float(np.sqrt(((ordered - exact) ** 2).mean() / (exact**2).mean()))
