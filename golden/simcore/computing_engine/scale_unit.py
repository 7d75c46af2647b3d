# SPDX-License-Identifier: Apache-2.0
"""Scales of channels applied: K's to Q before the product, V's to its sums (SIMPICKER III-B).

Hardware: ``hw.simcore.computing_engine.scale_unit``.
"""

import numpy as np

from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, FP32, Float

_CODE = {FP16: np.uint16, FP32: np.uint32}


def scale_unit(values: np.ndarray, scales: np.ndarray, fmt: Float = FP16) -> np.ndarray:
    """``values[t, c] * scales[c]``, the exact product rounded once to the format of the values.

    ``values``: (tokens, channels) codes of ``fmt``, FP16 (a fold) or FP32 (sums); ``scales``: FP32 codes (channels,). IEEE
    throughout: an infinity beyond the largest number, subnormals, one NaN.
    """
    values, scales = np.asarray(values), np.asarray(scales)
    if fmt not in _CODE:
        raise ValueError(f"fmt must be FP16 or FP32, not {fmt.name}")
    if values.ndim != 2 or values.dtype != _CODE[fmt]:
        raise ValueError(
            f"values must be {fmt.name} codes (tokens, channels) in {np.dtype(_CODE[fmt])}, "
            f"not {values.dtype} of shape {values.shape}"
        )
    if scales.dtype != np.uint32 or scales.shape != values.shape[1:]:
        raise ValueError(
            f"scales must be FP32 codes in uint32 of shape {values.shape[1:]}, not {scales.dtype} of shape {scales.shape}"
        )
    return float_multiply(values, scales, fmt, fmt, FP32)


def fold_key_scales(q: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """K's scales folded into Q, once per head: ``float16(q[t, c] * scales[c])``, the exact product rounded once.

    ``QK^T`` contracts over channels, so K's scale cannot be applied to the sum; with the fold, ``q' . code`` is the
    wanted product. ``q``: (tokens, channels), ``float16`` or binary16 codes as ``uint16``; ``scales``: ``float32``
    (channels,). The FP16 x FP16 path must still read the unscaled ``q``. IEEE throughout: a product beyond 65504 is an
    infinity (only possible with amax > 127), a tiny one is subnormal or zero, a NaN stays one.

    What the rounding costs, on the default clip with d = 64 (scales 0.015 to 0.036): 0.19 % of q' are subnormal and
    lose up to all of their digits, but they add next to nothing to a sum. The rms error of QK^T, relative to its rms,
    is 1.1e-4 from the fold and 3.4e-3 from K's quantization, 30 times more; with K 256 times smaller, so that half of
    q' is subnormal, the fold's share is 1.3e-4. Rejected therefore: a power-of-two normalisation of the scales, taken
    out again after the sum; it would give 1.1e-4 in both cases and cost an exponent per head.
    """
    q = np.asarray(q)
    if q.dtype not in (np.float16, np.uint16):
        raise ValueError(f"FP16 values must be float16, or binary16 codes in uint16, not {q.dtype}")
    scales = np.asarray(scales)
    if scales.dtype != np.float32 or scales.shape != q.shape[1:]:
        raise ValueError(f"scales must be float32 of shape {q.shape[1:]}, not {scales.dtype} of shape {scales.shape}")
    return scale_unit(np.ascontiguousarray(q).view(np.uint16), _fp32(scales)).view(np.float16)


def apply_value_scales(sums: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """V's scales applied to the sums of P and V's codes: ``float32(sums[t, c] * scales[c])``, rounded once.

    ``PV`` contracts over tokens, so V's scale is a factor of the whole sum. ``sums``: ``float32`` (tokens, channels);
    ``scales``: ``float32`` (channels,).
    """
    sums, scales = np.asarray(sums), np.asarray(scales)
    if sums.dtype != np.float32 or sums.ndim != 2:
        raise ValueError(f"sums must be float32 (tokens, channels), not {sums.dtype} of shape {sums.shape}")
    if scales.dtype != np.float32 or scales.shape != sums.shape[1:]:
        raise ValueError(
            f"scales must be float32 of shape {sums.shape[1:]}, not {scales.dtype} of shape {scales.shape}"
        )
    return scale_unit(_fp32(sums), _fp32(scales), FP32).view(np.float32)


def _fp32(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(np.uint32)
