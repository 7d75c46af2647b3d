# SPDX-License-Identifier: Apache-2.0
"""Greedy choice of the largest scores of a row (SIMPICKER III-B, IV-C).

Hardware: ``hw.simcore.quantization_engine.sort_select``.

Scores are sorted by (value, index), the largest first, of equals the lowest index first, and taken until the sum of those
taken exceeds the proportion p of the row's sum; the one that makes it exceed is taken too.

Everything is exact. A score is an integer multiple w of 2**-24, 40 bits, and p is q / 2**p_bits with an integer q. With
S the sum of all w, the score in place i is taken if and only if the sum of those in places before i is at most
T = floor(q * S / 2**p_bits): neither the order of a sum nor a rounding decides anything.
"""

import numpy as np

from zoetrope.golden.formats import FP16, is_finite, to_float64
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes

#: Fraction bits of p where none are given: 0.65 becomes 2,662 / 4,096 = 0.6499.
P_BITS = 12


def proportion(p: float, p_bits: int = P_BITS) -> int:
    """q: ``p`` in units of 2**-p_bits, to nearest. ``ValueError`` outside 0..1 (and for NaN)."""
    if not 0 <= p <= 1:
        raise ValueError(f"p must be between 0 and 1, not {p}")
    return round(p * (1 << p_bits))


def sort_select(
    scores: np.ndarray, q: int, *, p_bits: int = P_BITS, magnitude: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(taken, error) of each row: boolean (rows, n) and (rows,).

    Parameters
    ----------
    scores : (rows, n), ``float16`` or binary16 codes, n at least 1
    q : p in units of 2**-p_bits (``proportion``), 0 to 2**p_bits; more counts as p = 1 and is an error
    magnitude : scores are compared and summed by magnitude, as those of A's columns

    =======================  ================================================================================
    row                      taken
    =======================  ================================================================================
    p = 0                    the largest alone
    p = 1                    all: no sum exceeds the sum of all
    all zero                 all, for every p: nothing is known of them
    all equal                the first floor(q n / 2**p_bits) + 1, at most all
    one score                it
    a negative score         counts as 0, and is an error, unless ``magnitude``; -0 is 0
    a NaN or an infinity     all, and it is an error: nothing is known of the row
    =======================  ================================================================================
    """
    codes = as_codes(scores)
    if q < 0 or not 0 < p_bits <= 16:
        raise ValueError(f"q must be at least 0 and p_bits 1 to 16, not {q} and {p_bits}")
    rows, n = codes.shape
    invalid = ~is_finite(codes, FP16).all(axis=1)
    negative = (codes > 0x8000) & (not magnitude)
    keys = np.where(negative | invalid[:, None], 0, codes & 0x7FFF)
    order = np.argsort(-keys.astype(np.int64), axis=1, kind="stable")
    weights = (to_float64(keys, FP16) * 2.0**24).astype(np.int64)
    ranked = np.take_along_axis(weights, order, axis=1)
    before = np.concatenate([np.zeros((rows, 1), np.int64), np.cumsum(ranked, axis=1)], axis=1)
    limit = [int(total) * min(q, 1 << p_bits) >> p_bits for total in before[:, -1]]
    chosen = before[:, :-1] <= np.array(limit)[:, None]
    taken = np.zeros((rows, n), bool)
    np.put_along_axis(taken, order, chosen, axis=1)
    return taken | invalid[:, None], invalid | negative.any(axis=1) | (q > 1 << p_bits)
