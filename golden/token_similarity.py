"""What skipping similar tokens costs: rows removed from Q, and the error of the attention output (SIMPICKER III-C, VI-B).

Only rows of Q are left out; K and V stay whole. A kept token's row of A is therefore that of dense attention, and a removed
token is given its root's: ``A' = A[table]``. The error is that of this substitution alone, in ``float64``; what FP16 and
INT8 add to it is not in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from golden.reorder_recover_unit import check_table
from golden.sparsification_unit import sparsify

PAPER_TAU = 2.5
"""SIMPICKER's threshold (VI-B)."""

_ROWS = 256  # of the score matrix at a time


class Quality(NamedTuple):
    """Of one threshold ``tau``. Counts are of all tokens, errors of those that were measured."""

    tau: float
    tokens: int
    temporal: int
    """Tokens that repeat one of the frame before."""
    spatial: int
    """Tokens that repeat the reference of their group."""
    error: float
    """rms of A' - A over the rms of A."""
    worst: float
    """The largest such ratio of one token's row."""

    @property
    def removed(self) -> float:
        """Share of the rows of Q, S, P and A that are not computed."""
        return (self.temporal + self.spatial) / self.tokens


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``softmax(q k^T / sqrt(d)) v`` in ``float64``: q (rows, d), k and v (tokens, d); (rows, d)."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    out = np.empty((len(q), v.shape[1]))
    for start in range(0, len(q), _ROWS):
        scores = q[start : start + _ROWS] @ k.T / np.sqrt(k.shape[1])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[start : start + _ROWS] = weights @ v / weights.sum(axis=1, keepdims=True)
    return out


def output_error(a: np.ndarray, repeated: np.ndarray) -> tuple[float, float]:
    """``(error, worst)`` of ``Quality`` of output rows ``repeated`` in place of ``a``, both (rows, d); 0 for equal rows."""
    wrong, size = (np.square(x).sum(axis=1) for x in (repeated - a, a))
    ratio = np.sqrt(np.divide(wrong, size, out=np.where(wrong > 0, np.inf, 0.0), where=size > 0))
    total = float(np.sqrt(wrong.sum() / size.sum())) if size.sum() else float(ratio.max(initial=0.0))
    return total, float(ratio.max(initial=0.0))


def table_error(q, k, v, table, tokens=None) -> tuple[float, float]:
    """``output_error`` of an index table: q, k, v (tokens, d); at ``tokens``, indices, or at all of them."""
    table = check_table(table)
    tokens = np.arange(len(table)) if tokens is None else np.asarray(tokens)
    needed, place = np.unique(np.concatenate([tokens, table[tokens]]), return_inverse=True)
    a = attention(np.asarray(q)[needed], k, v)
    return output_error(a[place[: len(tokens)]], a[place[len(tokens) :]])


def sweep(q, k, v, grid, taus, *, window: int = 3, group: int = 4, tokens=None) -> list[Quality]:
    """``Quality`` of each threshold of ``taus``, with one pass of dense attention for all of them.

    ``q``, ``k``, ``v``: ``float16`` (frames, height * width, d); ``grid``: (frames, height, width); ``window``, ``group`` of
    ``golden.sparsification_unit.sparsify``; ``tokens``: indices at which the error is taken, all by default.
    """
    flat = [np.reshape(x, (-1, np.shape(x)[-1])) for x in (q, k, v)]
    tokens = np.arange(len(flat[0])) if tokens is None else np.asarray(tokens)
    found = [sparsify(q, grid, tau=tau, window=window, group=group) for tau in taus]
    needed = np.unique(np.concatenate([tokens, *(one.table[tokens] for one in found)]))
    a = attention(flat[0][needed], *flat[1:])
    points = []
    for tau, one in zip(taus, found):
        roots = np.searchsorted(needed, one.table[tokens])
        counts = one.statistics()
        errors = output_error(a[np.searchsorted(needed, tokens)], a[roots])
        points.append(Quality(float(tau), counts["tokens"], counts["temporal"], counts["spatial"], *errors))
    return points
