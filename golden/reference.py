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


def ewu(op: np.ndarray, a: np.ndarray, b: np.ndarray, scalar: np.ndarray) -> np.ndarray:
    """The operation of ``golden.ewu.ewu`` on the same arguments in ``float64``, which holds every result exactly."""
    x, y = to_float64(a, FP16), to_float64(b, FP16)
    with np.errstate(invalid="ignore"):
        results = [x + y, x - y, x * y, x * to_float64(scalar, FP16)[:, None]]
        # Of equals the first; NaN if one is.
        results += [np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(y > x, y, x)), np.abs(x)]
    op = np.asarray(op)[:, None]
    return np.select([op == code for code in range(len(results))], results, np.nan)
