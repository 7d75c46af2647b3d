# SPDX-License-Identifier: Apache-2.0
"""Rows of A_g joined from the columns that either array computed. Hardware: ``hw.simcore.computing_engine.column_merge``.

Each array sends its columns of a row one behind the other, in the order of channels; the row has them where the map of A
says. A value of the LUT array is a sum of P and V's codes, and V's scale a factor of it
(``golden.simcore.computing_engine.scale_unit``).
"""

import numpy as np

from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP32

_ONE = np.uint32(0x3F800000)


def column_merge(mask: np.ndarray, fp16: np.ndarray, lut: np.ndarray, scales: np.ndarray | None = None) -> np.ndarray:
    """Rows of A_g, FP32 codes (rows, d): ``fp16`` where ``mask`` is set, elsewhere ``lut`` times its channel's scale.

    The product is rounded once. A value of ``fp16`` is passed on as it is, but a NaN becomes the one NaN.

    Parameters
    ----------
    mask : (rows, d), bool: whether a column comes from the FP16 array
    fp16, lut : FP32 codes of all columns of either array, those of a row in the order of channels, row after row
    scales : FP32 codes (d,), V's; None where no column is the LUT array's
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2:
        raise ValueError(f"mask must be bool (rows, channels), not {mask.dtype} of shape {mask.shape}")
    factors = np.broadcast_to(_ONE if scales is None else _codes("scales", scales, mask.shape[1]), mask.shape)
    count = int(mask.sum())
    if scales is None and count != mask.size:
        raise ValueError("scales may be None only where the mask is set throughout")
    values = np.empty(mask.shape, np.uint32)
    values[mask] = _codes("fp16", fp16, count)
    values[~mask] = _codes("lut", lut, mask.size - count)
    return float_multiply(values, np.where(mask, _ONE, factors), FP32, FP32)


def _codes(name, values, count):
    values = np.asarray(values)
    if values.dtype != np.uint32 or values.shape != (count,):
        raise ValueError(f"{name} must be {count} FP32 codes in uint32, not {values.dtype} of shape {values.shape}")
    return values
