# SPDX-License-Identifier: Apache-2.0
"""The sums of the FP16 and the LUT array over finite matrices: ``fp16_pe`` and ``lut_pe`` to the bit, 100 times as fast.

The exact product of two binary16 has 22 significant bits and lies between 2**-48 and 2**32, and that of a binary16 and an
INT8 has 18: both are exact in binary32, whose element-wise addition in NumPy is IEEE 754. So neither codes nor wider
formats are needed as long as nothing is NaN or infinite; where something is, ``fp16_pe`` and ``lut_pe`` say what comes out.
The LUT multiplier's product is the exact one rounded to 11 significant bits, ties to even (``odd16``).
"""

import numpy as np

from zoetrope.golden.formats import FP16, codes_of, int8_decode, is_finite

_DROPPED = 13  # fraction bits of binary32 that a product of 11 significant bits does not have
_BLOCK = 1 << 16  # sums at a time


def fp_fp(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``sum over k of x[r, k] * w[k, c]``: binary16 codes (rows, K) and (K, columns) to binary32 codes (rows, columns).

    Each sum from +0 in the order of k, rounded to FP32 at every step: ``fp16_pe``. ``ValueError`` for NaN and infinities.
    """
    return _sums(_numbers(x, "x"), _numbers(w, "w"), rounded=False)


def fp_int(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The same of binary16 codes and sign-magnitude INT8 codes, products rounded to 11 significant bits: ``lut_pe``."""
    return _sums(_numbers(x, "x"), int8_decode(w).astype(np.float32), rounded=True)


def _numbers(codes, name):
    codes = np.ascontiguousarray(codes_of(codes, FP16))
    if not is_finite(codes, FP16).all():
        raise ValueError(f"{name} has a NaN or an infinity: use fp16_pe or lut_pe")
    return codes.view(np.float16).astype(np.float32)


def _sums(x, w, rounded):
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != len(w) or not len(w):
        raise ValueError(f"x must be (rows, K) and w (K, columns), K at least 1, not {x.shape} and {w.shape}")
    sums = np.zeros((len(x), w.shape[1]), np.float32)
    step = max(1, _BLOCK // max(1, w.shape[1]))
    for start in range(0, len(x), step):
        _block(x[start : start + step], w, rounded, sums[start : start + step])
    return sums.view(np.uint32)


def _block(x, w, rounded, sums):
    """``sums`` of some rows, of which a cache holds all that is used at a time."""
    products, odd = np.empty_like(sums), np.empty(sums.shape, np.uint32)
    bits = products.view(np.uint32)
    for left, right in zip(np.ascontiguousarray(x.T), w):
        np.multiply(left[:, None], right, out=products)
        if rounded:
            np.right_shift(bits, _DROPPED, out=odd)
            odd &= 1
            odd += (1 << _DROPPED - 1) - 1
            bits += odd
            bits &= np.uint32(0xFFFFFFFF << _DROPPED & 0xFFFFFFFF)
        sums += products
