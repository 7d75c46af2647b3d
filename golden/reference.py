"""The float64 ideals: what each block approximates. Only for error bounds, never for comparison bit by bit."""

import numpy as np

from golden.formats import FP16, int8_decode, to_float64


def multiply(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``x * w`` exactly, ``float64``: binary16 codes times sign-magnitude INT8 codes, with broadcasting."""
    with np.errstate(invalid="ignore"):
        return to_float64(x, FP16) * int8_decode(w)


def outer_product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]`` in ``float64``; shapes as ``golden.lut_pe.lut_pe``."""
    with np.errstate(invalid="ignore"):
        return np.einsum("...k,...ko->...o", to_float64(x, FP16), int8_decode(w).astype(np.float64))
