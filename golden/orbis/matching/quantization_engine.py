# SPDX-License-Identifier: Apache-2.0
"""4-bit quantization of the tokens that are matched: channel-wise, symmetric, codes -7..7 (ORBIS 3.2, 3.3).

For a matrix ``x`` of FP16 values, shape (tokens, channels), and every channel c on its own::

    amax[c]    = max over tokens of |x[t, c]|                          FP16, exact
    code[t, c] = sign(x) * round_half_even(|x[t, c]| * 7 / amax[c])    of the exact quotient, so at most 7
    scale[c]   = amax[c] / 7                                           one FP32 division, to nearest even
    weight[c]  = round_half_even(amax[c]^2 * 2^(bits - e))             at most 2^bits - 1; 2^e > every amax^2, e least

``code * scale`` is the value. A weight stands for the square of the scale (``golden.orbis.matching.datm.weights``): with it
``sum over c of weight[c] * (code[a, c] - code[b, c])^2`` is a squared distance in integers, exact and of known width, in
units of ``weight_unit``.

A *dead channel* (amax 0) has codes 0, scale 0 and weight 0; where all are dead all weights are 0. Two passes over ``x`` are
inherent: no code is known before the last token has been seen. NaN and infinities are a ``ValueError`` in ``quantize``;
``engine`` does what the hardware does with them.

Rejected: codes by multiplication with a rounded 7 / amax, which decides ties wrongly; half-away rounding, which is biased;
-8..7, whose -8 has no counterpart; weights that are powers of two, shifts in place of a table, but wrong by up to a
factor of 1.41 in a channel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.golden.arith.channel_amax import channel_amax
from zoetrope.golden.formats import FP16, codes_of, to_float64
from zoetrope.golden.orbis.matching.datm import LEVELS, weights

LARGEST = 0x7BFF
"""The code of the greatest finite FP16 value, 65504: what the engine takes a NaN or an infinity for."""


def encode(x: np.ndarray, amax: np.ndarray) -> np.ndarray:
    """The second pass: codes (``int8``, -7..7) of finite FP16 ``x`` given each channel's FP16 ``amax``.

    A value beyond ``amax``, possible only when amax comes from other data than ``x``, saturates at +-7.
    """
    codes = np.ascontiguousarray(x).view(np.uint16)
    amax = np.asarray(amax)
    if amax.dtype != np.float16 or amax.shape != codes.shape[1:]:
        raise ValueError(f"amax must be float16 of shape {codes.shape[1:]}, not {amax.dtype} of shape {amax.shape}")
    if not (np.isfinite(amax) & (amax >= 0)).all():
        raise ValueError("amax must be finite and not negative")
    # Every finite binary16 is a multiple of 2^-24 below 2^16: integers of 40 bits, and 14 of them fit in 44.
    magnitude, full = _units(codes & 0x7FFF), _units(amax.view(np.uint16))
    quotient, remainder = np.divmod(LEVELS * magnitude, np.where(full > 0, full, 1))
    up = (2 * remainder > full) | ((2 * remainder == full) & (quotient & 1 == 1))
    code = np.where(full > 0, np.minimum(quotient + up, LEVELS), 0)
    return np.where(codes >> 15 == 1, -code, code).astype(np.int8)


def scales_of(amax: np.ndarray) -> np.ndarray:
    """FP16 ``amax`` to ``float32`` scales, amax / 7 rounded once; 0 for a dead channel. Never subnormal in FP32."""
    return np.asarray(amax, dtype=np.float16).astype(np.float32) / np.float32(LEVELS)


def weight_unit(amax: np.ndarray, bits: int) -> float:
    """What one unit of a weighted sum of squared code differences is in units of ``x`` squared (``float64``)."""
    exponent = np.frexp(float(np.max(amax)) ** 2)[1]
    return float(np.ldexp(1.0, exponent - bits)) / LEVELS**2


def quantize(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both passes: ``(codes, amax)``, ``int8`` of the shape of ``x`` and ``float16`` of shape (channels,).

    ``x``: (tokens, channels), ``float16`` or binary16 codes as ``uint16``, at least one token. ``ValueError`` for any
    other shape or dtype, for no tokens, and for NaN or infinity.
    """
    amax = channel_amax(x)
    return encode(x, amax), amax


def dequantize(codes: np.ndarray, amax: np.ndarray) -> np.ndarray:
    """Codes to ``float32`` values: ``code * scale``, rounded once."""
    return np.asarray(codes).astype(np.float32) * scales_of(amax)


class Quantized(NamedTuple):
    """What the engine delivers: ``codes``, ``amax``, ``scales``, ``weights`` as above, and its flags.

    ``not_finite``: a NaN or an infinity came and was taken for 65504 of its sign, in either pass.
    ``beyond``: a value of the second pass was beyond its channel's amax, that is, the passes had different data.
    """

    codes: np.ndarray
    amax: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    not_finite: bool
    beyond: bool


def engine(first: np.ndarray, second: np.ndarray, bits: int) -> Quantized:
    """What the hardware delivers for the tokens of its two passes, (tokens, channels) of binary16 codes (``uint16``)."""
    clean = [_finite(codes_of(x, FP16)) for x in (first, second)]
    amax = channel_amax(clean[0])
    beyond = ((clean[1] & 0x7FFF) > amax.view(np.uint16)).any()
    changed = any((x != y).any() for x, y in zip(clean, (first, second)))
    return Quantized(encode(clean[1], amax), amax, scales_of(amax), weights(amax, bits), changed, bool(beyond))


def _finite(codes: np.ndarray) -> np.ndarray:
    return np.where(codes & 0x7FFF > LARGEST, codes & 0x8000 | LARGEST, codes).astype(np.uint16)


def _units(codes: np.ndarray) -> np.ndarray:
    """Non-negative finite binary16 codes as integer multiples of 2^-24 (``int64``)."""
    return np.ldexp(to_float64(codes, FP16), 24).astype(np.int64)
