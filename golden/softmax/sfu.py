# SPDX-License-Identifier: Apache-2.0
"""Softmax of rows as the special function unit computes it, in its order. Hardware: ``hw.softmax.sfu``."""

import numpy as np

from zoetrope.golden.arith.exp import exp
from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_convert import float_convert
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.arith.reciprocal import reciprocal
from zoetrope.golden.formats import FP16, FP32, Float, codes_of, order_key

_ONE = np.uint32(0x3F800000)
_SIGN = np.uint32(1 << 31)
_MINUS_INF = np.uint32(FP32.inf) | _SIGN


def sfu(
    scores: np.ndarray,
    scale: np.ndarray | None = None,
    *,
    normalise: bool = True,
    lanes: int = 4,
    running: int = 3,
    fmt: Float = FP32,
    words: int | None = None,
    max_row: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """``softmax(scale * scores)`` of each row: (results ``uint16``, reciprocals of the sums ``uint32``).

    Parameters
    ----------
    scores : (rows, n), codes of ``fmt``, FP16 or FP32; n may be 0
    scale : FP32 code for all rows, or (rows,) of them, or None for scores that are used as they are
    normalise : results are ``e * (1 / s)``, else ``e``; both are rounded to FP16, e and s as below
    lanes : elements of a word, a power of two
    running : running sums of a row, the register stages of the hardware's adder
    words : words of the row; one more than its elements need if it ends with an empty one
    max_row : a longer row comes back as ``max_row`` NaN with the reciprocal NaN

    In order, every step rounded once to FP32::

        x = scores * scale
        m = max(x)                              +0 if that is -inf; NaN if it is +inf or NaN
        e = exp(x - m)
        u[w] = e[w, 0] + ... + e[w, lanes - 1]  tree of adjacent pairs; missing elements are +0
        r[w] = r[w - running] + u[w]            r of a negative index is +0
        s = r[W - running] + ... + r[W - 1]     tree of adjacent pairs, an odd one passes; those that exist
        1 / s                                   0 if s is 0
    """
    scores = np.atleast_2d(scores)
    rows, n = scores.shape
    if max_row is not None and n > max_row:
        return np.full((rows, max_row), FP16.nan, np.uint16), np.full(rows, FP32.nan, np.uint32)
    e, _, s = _passes(scores, scale, lanes, running, fmt, words)
    inverse = np.where(s == 0, np.uint32(0), reciprocal(s))
    factor = inverse[:, None] if normalise else _ONE
    return float_convert(float_multiply(e, np.broadcast_to(factor, e.shape), FP32, FP32), FP32, FP16), inverse


def tile(
    scores: np.ndarray,
    scale: np.ndarray | None = None,
    *,
    lanes: int = 4,
    running: int = 3,
    fmt: Float = FP32,
    words: int | None = None,
    max_row: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a tile, for a softmax over several: (exponentials ``uint16``, maxima ``uint32``, sums ``uint32``).

    Parameters as of ``sfu``. The exponentials are those of ``sfu`` with ``normalise`` False, m and s as there, but m is -inf
    where that is the maximum, also of an empty row; s is then 0. Of zeros of both signs m is the first. A row with a NaN or
    a +inf, or a longer one than ``max_row``, is NaN throughout.
    """
    scores = np.atleast_2d(scores)
    rows, n = scores.shape
    if max_row is not None and n > max_row:
        nan = np.full(rows, FP32.nan, np.uint32)
        return np.full((rows, max_row), FP16.nan, np.uint16), nan, nan.copy()
    e, m, s = _passes(scores, scale, lanes, running, fmt, words)
    return float_convert(e, FP32, FP16), np.where(s == 0, _MINUS_INF, m), s


def _passes(scores, scale, lanes, running, fmt, words):
    """(e, m, s) in FP32, as ``sfu`` states them."""
    x = scaled(scores, scale, fmt)
    m = maxima(x)
    e = exp(float_add(x, np.broadcast_to(m[:, None] ^ _SIGN, x.shape)), FP32, FP32)
    return e, m, total(e, lanes, running, words)


def scaled(scores: np.ndarray, scale: np.ndarray | None, fmt: Float = FP32) -> np.ndarray:
    """``scores * scale`` in FP32; FP16 scores are widened first, which is exact."""
    x = codes_of(scores, FP32) if fmt == FP32 else float_convert(scores, fmt, FP32)
    if scale is None:
        return x
    return float_multiply(x, np.broadcast_to(codes_of(scale, FP32).reshape(-1, 1), x.shape), FP32, FP32)


def maxima(x: np.ndarray) -> np.ndarray:
    """What is subtracted from each row of FP32 codes: of equal maxima the first, +0 for -inf, NaN for +inf and NaN."""
    key = order_key(x, FP32)
    highest = key.max(axis=1, initial=-FP32.inf)
    found = x[np.arange(len(x)), key.argmax(axis=1)] if x.shape[1] else np.zeros(len(x), np.uint32)
    return np.where(highest >= FP32.inf, np.uint32(FP32.nan), np.where(highest == -FP32.inf, np.uint32(0), found))


def total(e: np.ndarray, lanes: int, running: int, words: int | None = None) -> np.ndarray:
    """The sum of each row of FP32 codes, FP32 codes, in the order that ``sfu`` states."""
    rows, n = e.shape
    words = words or max(1, -(-n // lanes))
    padded = np.zeros((rows, words * lanes), np.uint32)
    padded[:, :n] = e
    sums = padded.reshape(rows, words, lanes)
    while sums.shape[2] > 1:
        sums = float_add(sums[:, :, 0::2], sums[:, :, 1::2])
    sums = sums[:, :, 0].copy()
    for start in range(running, words, running):
        now, before = slice(start, start + running), slice(start - running, min(start, words - running))
        sums[:, now] = float_add(sums[:, now], sums[:, before])
    last = sums[:, -running:]
    while last.shape[1] > 1:
        pairs = float_add(last[:, 0:-1:2], last[:, 1::2])
        last = np.concatenate([pairs, last[:, -1:]], axis=1) if last.shape[1] % 2 else pairs
    return last[:, 0]
