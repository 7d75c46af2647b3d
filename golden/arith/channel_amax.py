# SPDX-License-Identifier: Apache-2.0
"""The largest magnitude of each channel of a matrix: the first pass of every quantization (SIMPICKER IV-C, ORBIS 3.2)."""

from __future__ import annotations

import numpy as np

from zoetrope.golden.formats import FP16, is_finite


def channel_amax(x: np.ndarray) -> np.ndarray:
    """The first pass: the largest magnitude of each channel as ``float16`` of shape (channels,), exact.

    ``x``: (tokens, channels), ``float16`` or binary16 codes as ``uint16``, at least one token. ``ValueError`` for any
    other shape or dtype, for no tokens, and for NaN or infinity.
    """
    magnitudes = matrix_codes(x) & 0x7FFF  # for finite binary16 the order of codes is the order of magnitudes
    return magnitudes.max(axis=0).view(np.float16)


def matrix_codes(x: np.ndarray, finite: bool = True) -> np.ndarray:
    """``x`` as binary16 codes, its shape, dtype and (if asked) finiteness checked."""
    x = np.asarray(x)
    if x.dtype not in (np.float16, np.uint16):
        raise ValueError(f"FP16 values must be float16, or binary16 codes in uint16, not {x.dtype}")
    if x.ndim != 2 or x.shape[0] == 0:
        raise ValueError(f"a matrix of (tokens, channels) with at least one token is needed, not shape {x.shape}")
    codes = np.ascontiguousarray(x).view(np.uint16)
    if finite and not (good := is_finite(codes, FP16)).all():
        token, channel = np.argwhere(~good)[0]
        raise ValueError(f"{np.count_nonzero(~good)} values are NaN or infinite, first at ({token}, {channel})")
    return codes
