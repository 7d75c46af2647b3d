# SPDX-License-Identifier: Apache-2.0
"""Importance of the tiles of P and of the columns of A (SIMPICKER III-B, IV-C, V-B), and what finding it costs.

Hardware: ``hw.simcore.quantization_engine.prediction_unit``. ``importance_of_p`` and ``importance_of_a`` take arrays
of any size and return
exactly what the hardware writes; ``golden.reference`` has both in ``float64``.

**P = softmax(Q K^T / sqrt(d))**, in tiles of N x N tokens between frames::

    X_r = means of every N rows of Q        FP16, (F, d)
    Y_r = means of every N rows of K        FP16, (F, d)
    Z_r = X_r Y_r^T                         FP32, exact products summed in the order of the channels
    S_r = softmax(Z_r / sqrt(d)), by rows   FP16; with sums in place of means the scale would be 1 / (N^2 sqrt(d))
    map = sort_select(S_r, p), by rows

Means, not sums: a sum of 1,350 rows overflows FP16, and Z_r would have to be divided by N^2 all the same. A ragged last
frame is a tile like the others: its mean is over its own number of rows. Text tokens, where there are any, are a tile of
their own in front of the frames, of any length; it is always important, as query and as key, and no part of the means,
sums or softmax: 226 tokens beside 35,100 that all others attend to.

**A = P V**, in tiles of M x 1, from the t rows of P that are in flight::

    x = column sums of the t rows           FP16, (M)
    z = x V                                 FP32, exact products summed in the order of the tokens; then FP16, (d)
    map = sort_select(z, p), by magnitude   V is signed

With adaptive grouping the rows are those of the compacted P_c, as they are: none is weighted by the number of rows that
it stands for (SIMPICKER V-B). A sum over all rows of the head would come too late: A is computed with them.
"""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.arith.float_convert import float_convert
from zoetrope.golden.formats import FP16, FP32, fp32
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes, means, reduction_tree
from zoetrope.golden.simcore.quantization_engine.sort_select import P_BITS, proportion, sort_select
from zoetrope.golden.softmax.sfu import sfu

_ONE = 0x3F800000


class Importance(NamedTuple):
    """``map``: boolean, true where important; ``scores``: FP16 codes that were sorted; ``error``: see the function."""

    map: np.ndarray
    scores: np.ndarray
    error: bool


def importance_of_p(
    q: np.ndarray,
    k: np.ndarray,
    rows: int,
    p: float = 0.65,
    *,
    text: bool = False,
    lanes: int = 4,
    running: int = 3,
    p_bits: int = P_BITS,
    tiles: int | None = None,
) -> Importance:
    """The important tiles of P: map (F, F) for F = ceil(M / rows) frames, (1 + F, 1 + F) with a text tile in front.

    Parameters
    ----------
    q, k : (M, d), video tokens in the order of the frames, ``float16`` or binary16 codes; M of q and k may differ
    rows : N, tokens of a frame
    p : proportion of a row's sum, 0 to 1, rounded to a multiple of 2**-p_bits
    text : there are text tokens besides
    lanes, running : of ``golden.softmax.sfu.sfu``
    tiles : most tiles of a row or column that the score buffer holds; None for no limit

    ``error``: an element of q or k is NaN or infinite. Rows that it reaches are important throughout.
    ``ValueError`` for N = 0, p outside 0..1, more tiles than ``tiles``, and shapes or types that do not fit.
    """
    q, k = as_codes(q), as_codes(k)
    if q.shape[1] != k.shape[1]:
        raise ValueError(f"q and k must have the same channels, not {q.shape[1]} and {k.shape[1]}")
    x, wrong_x = means(q, rows)
    y, wrong_y = means(k, rows)
    needed = max(len(x), len(y)) + text
    if tiles is not None and needed > tiles:
        raise ValueError(f"the score buffer holds {tiles} tiles a row, not {needed}")
    scale = fp32(np.array([1 / np.sqrt(q.shape[1])]))
    scores, _ = sfu(reduced_product(x, y), scale[0], lanes=lanes, running=running)
    taken, wrong = sort_select(scores, proportion(p, p_bits), p_bits=p_bits)
    if text:
        taken = np.pad(taken, ((1, 0), (1, 0)), constant_values=True)
    return Importance(taken, scores, bool(wrong_x or wrong_y or wrong.any()))


def reduced_product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Z_r = X_r Y_r^T: FP16 codes (F, d) and (G, d) to FP32 codes (F, G), summed in the order of the channels."""
    return fp16_pe(x, y.T)


def importance_of_a(
    p_rows: np.ndarray, v: np.ndarray, p: float = 0.65, *, factor: int = _ONE, p_bits: int = P_BITS
) -> Importance:
    """The important columns of A of one slice: map (d,), from ``p_rows`` (t, M) and ``v`` (M, d).

    ``p_rows``: the rows of P (or P_c) in flight, normalised or not, ``float16`` or binary16 codes. ``factor``: FP32 code
    by which column sums are multiplied. The map does not depend on it but by rounding: 1, the default, keeps small sums
    normal numbers, 1 / t keeps any score below the largest of V. ``error``: an element, or a score, is not finite.
    """
    p_rows, v = as_codes(p_rows), as_codes(v)
    if p_rows.shape[1] != len(v):
        raise ValueError(f"p_rows must have a column for each row of v, not {p_rows.shape[1]} for {len(v)}")
    sums, wrong = reduction_tree(p_rows, len(p_rows), factor)
    scores = float_convert(fp16_pe(sums, v), FP32, FP16)
    taken, invalid = sort_select(scores, proportion(p, p_bits), p_bits=p_bits, magnitude=True)
    return Importance(taken[0], scores[0], bool(wrong or invalid[0]))


class Overhead(NamedTuple):
    """Work of the speculation over that of the product it speculates on, each as a fraction.

    ``p_published``, ``a_published``: SIMPICKER's formulas; ``p``, ``a``: additions and multiply-accumulates counted.
    """

    p_published: float
    p: float
    a_published: float
    a: float


def overhead(tokens: int, rows: int, d: int) -> Overhead:
    """What speculation adds to Q K^T and P V of M ``tokens`` in frames of N ``rows`` and heads of ``d`` channels.

    A: (M + d) / (M d) = 1/d + 1/M as published; counted, M^2 additions of the column sums and M d multiply-accumulates of
    the reduced product over the M^2 d of P V: 1/d + 1/M too. At M = 35,100 and d = 64 it is 1.57 %, the paper's figure.
    (With slices of t rows the reduced product is done M / t times: 1/d + 1/t.)

    P: (M + N^2) / (N M) = 1/N + N/M is published, 3.92 % at N = 1,350, M = 35,100. It does not follow from the method:
    the reduction of Q and K is 2 M d additions, the reduced product F^2 d multiply-accumulates with F = ceil(M / N), over
    M^2 d: 2/M + (F/M)^2 = 0.0058 %. The published formula is that of A's kind of tile with N in place of d.
    """
    for name, value in (("tokens", tokens), ("rows", rows), ("d", d)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    m, n, f = tokens, rows, -(-tokens // rows)
    counted_p = (2 * m * d + f * f * d) / (m * m * d)
    counted_a = (m * m + m * d) / (m * m * d)
    return Overhead((m + n * n) / (n * m), counted_p, (m + d) / (m * d), counted_a)
