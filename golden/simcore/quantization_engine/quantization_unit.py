# SPDX-License-Identifier: Apache-2.0
"""Channel-wise symmetric INT8 quantization of K and V (SIMPICKER III-B, IV-C).

Hardware: ``hw.simcore.quantization_engine.quantization_unit``.

For a matrix ``x`` of FP16 values, shape (tokens, channels), and every channel c on its own::

    amax[c]    = max over tokens of |x[t, c]|                            FP16, exact
    scale[c]   = amax[c] / 127                                           one FP32 division, to nearest even
    code[t, c] = sign(x) * round_half_even(|x[t, c]| * 127 / amax[c])    of the exact quotient, at most 127

A *dead channel* (amax 0) has scale 1 and codes 0. A code is sign and 7-bit magnitude (``formats.int8_encode``); -0 is
accepted where codes are read and never produced. Two passes over ``x`` are inherent: no code is known before the last
token has been seen. For NaN and infinities ``quantization_unit`` says what the unit does; the functions of a single pass
take them for a mistake, a ``ValueError``.

**Why the quotient is exact.** ``round(x / scale)`` and ``round(x * (1 / scale))`` differ by one code near ties and
``1 / scale`` overflows FP16 below amax = 0.00194, so the golden divides by neither. A unit needs one integer divider.
Write |x| = m * 2^f and amax = a * 2^g with 11-bit significands m and a, subnormals as they stand; then the quotient is
127 * m / (a * 2^k) with k = g - f >= 0, 18 bits by 11. At k >= 9 it is below one half and the code is 0.

Rejected: a power-of-two scale, which would fold exactly but wastes up to one of the seven magnitude bits; half-away
rounding, which costs the same remainder compare and is biased.
"""

from __future__ import annotations

import numpy as np

from zoetrope.golden.arith.channel_amax import channel_amax, matrix_codes
from zoetrope.golden.formats import FP16, int8_decode, int8_encode, is_finite, is_nan, to_float64

LEVELS = 127
"""The largest magnitude of a code."""


def quantization_unit(x: np.ndarray, amax: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, bool]:
    """What the unit makes of any ``x``: ``(codes, scales, not_finite)``, the first two as ``quantize`` has them.

    A NaN or an infinity takes no part in amax; its code is 0 or +-127 (0 in a dead channel). ``not_finite`` says whether
    there is one. For ``x`` without any this is ``quantize``. ``amax``: FP16 (channels,), what was measured of other tokens;
    None measures ``x``.
    """
    codes = matrix_codes(x, finite=False)
    finite = is_finite(codes, FP16)
    if amax is None:
        amax = channel_amax(np.where(finite, codes, np.uint16(0)))
    beyond = np.where(is_nan(codes, FP16), np.uint16(0), codes & 0x8000 | np.uint16(FP16.inf - 1))
    return encode(np.where(finite, codes, beyond), amax), scales_of(amax), bool((~finite).any())


def scales_of(amax: np.ndarray) -> np.ndarray:
    """FP16 ``amax`` to ``float32`` scales, amax / 127 rounded once; 1 for a dead channel. Never subnormal in FP32."""
    wide = np.asarray(amax, dtype=np.float16).astype(np.float32)
    return np.where(wide == 0, np.float32(1), wide / np.float32(LEVELS))


def channel_scales(x: np.ndarray) -> np.ndarray:
    """The ``float32`` scale of each channel of ``x``, shape (channels,). Arguments and errors of ``channel_amax``."""
    return scales_of(channel_amax(x))


def encode(x: np.ndarray, amax: np.ndarray) -> np.ndarray:
    """The second pass: INT8 codes (``uint8``) of ``x`` given each channel's FP16 ``amax``, of any finite value >= 0.

    A value beyond ``amax``, possible only when amax comes from other data than ``x``, saturates at +-127.
    """
    codes = matrix_codes(x)
    amax = np.asarray(amax)
    if amax.dtype != np.float16 or amax.shape != codes.shape[1:]:
        raise ValueError(f"amax must be float16 of shape {codes.shape[1:]}, not {amax.dtype} of shape {amax.shape}")
    if not (np.isfinite(amax) & (amax >= 0)).all():
        raise ValueError("amax must be finite and not negative")
    # Every finite binary16 is a multiple of 2^-24 below 2^16: both terms are integers, and 127 of them fit in 47 bits.
    numerator = LEVELS * _units(codes & 0x7FFF)
    denominator = _units(amax.view(np.uint16))
    alive = denominator > 0
    quotient, remainder = np.divmod(numerator, np.where(alive, denominator, 1))
    up = (2 * remainder > denominator) | ((2 * remainder == denominator) & (quotient & 1 == 1))
    magnitude = np.where(alive, np.minimum(quotient + up, LEVELS), 0)
    return int8_encode(np.where(codes >> 15 == 1, -magnitude, magnitude))


def quantize(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both passes: ``(codes, scales)``, ``uint8`` of the shape of ``x`` and ``float32`` of shape (channels,).

    ``x`` as in ``channel_amax``. ``|dequantize(codes, scales) - x| <= amax * (1 / 254 + 2**-23)``: half a code, and the
    rounding of the scale and of the product.
    """
    amax = channel_amax(x)
    return encode(x, amax), scales_of(amax)


def dequantize(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Codes and scales to ``float32`` values: ``code * scale`` rounded once; code 0x80 (-0) is +0."""
    return int8_decode(codes).astype(np.float32) * np.asarray(scales, dtype=np.float32)


def _units(codes: np.ndarray) -> np.ndarray:
    """Non-negative finite binary16 codes as integer multiples of 2^-24 (``int64``)."""
    return np.ldexp(to_float64(codes, FP16), 24).astype(np.int64)
