"""The LUT PE (SIMPICKER IV-B, Fig. 5): outer products of FP16 and INT8, summed in FP32 in the order of k.

Hardware: ``hw.simcore.lut_pe``, and ``hw.simcore.plain_pe``, whose multipliers round the same products to the same bits.
"""

import numpy as np

from golden.float_add import float_add
from golden.formats import FP17, FP32
from golden.lut_multiplier import lut_multiplier


def lut_pe(x: np.ndarray, w: np.ndarray, reading: str = "odd16") -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]``, each sum from +0 in the order of k, rounded to FP32 at every step.

    Parameters
    ----------
    x : binary16 codes (..., K), K at least 1
    w : sign-magnitude INT8 codes (..., K, outputs)
    reading : ``odd16`` or ``byte128``

    Returns
    -------
    binary32 codes (..., outputs). ``ValueError`` where the shapes do not fit.
    """
    x, w = np.asarray(x, np.uint16), np.asarray(w, np.uint8)
    if x.ndim < 1 or w.ndim < 2 or x.shape[-1] != w.shape[-2] or x.shape[-1] == 0:
        raise ValueError(
            f"x must be (..., K) and w (..., K, outputs) with one K of at least 1, not {x.shape} and {w.shape}"
        )
    products = lut_multiplier(x[..., None], w, reading)
    sums = np.zeros(products.shape[:-2] + products.shape[-1:], np.uint32)
    for k in range(x.shape[-1]):
        sums = float_add(sums, products[..., k, :], FP32, FP17)
    return sums
