# SPDX-License-Identifier: Apache-2.0
"""What skipping similar tokens costs: rows removed from Q, and the error of the attention output (SIMPICKER III-C, VI-B).

Only rows of Q are left out; K and V stay whole. A kept token's row of A is therefore that of dense attention, and a removed
token is given its root's: ``A' = A[table]``. The error is that of this substitution alone, in ``float64``; what FP16 and
INT8 add to it is not in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.golden.reference import attention
from zoetrope.golden.simcore.sparsification_engine.reorder_recover_unit import check_table
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify

PAPER_TAU = 2.5
"""SIMPICKER's threshold (VI-B)."""


class SkipQuality(NamedTuple):
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


def output_error(a: np.ndarray, repeated: np.ndarray) -> tuple[float, float]:
    """``(error, worst)`` of ``SkipQuality`` of rows ``repeated`` in place of ``a``, both (rows, d); 0 if they are equal."""
    wrong, size = (np.square(x).sum(axis=1) for x in (repeated - a, a))
    ratio = np.sqrt(np.divide(wrong, size, out=np.where(wrong > 0, np.inf, 0.0), where=size > 0))
    total = float(np.sqrt(wrong.sum() / size.sum())) if size.sum() else float(ratio.max(initial=0.0))
    return total, float(ratio.max(initial=0.0))


def table_error(q, k, v, table, tokens=None) -> tuple[float, float]:
    """``output_error`` of an index table: q, k, v (tokens, d), finite; at ``tokens``, indices, or at all of them."""
    table = check_table(table)
    _check_finite(q, k, v)
    tokens = np.arange(len(table)) if tokens is None else np.asarray(tokens)
    needed, place = np.unique(np.concatenate([tokens, table[tokens]]), return_inverse=True)
    a = attention(np.asarray(q)[needed], k, v)
    return output_error(a[place[: len(tokens)]], a[place[len(tokens) :]])


def sweep(q, k, v, grid, taus, *, window: int = 3, group: int = 4, tokens=None) -> list[SkipQuality]:
    """``SkipQuality`` of each threshold of ``taus``, with one pass of dense attention for all of them.

    ``q``, ``k``, ``v``: ``float16`` (frames, height * width, d), finite, else ``ValueError``; ``grid``: (frames, height,
    width); ``window``, ``group`` of ``golden.simcore.sparsification_engine.sparsification_unit.sparsify``;
    ``tokens``: indices at which the error is
    taken, all by default.
    """
    _check_finite(q, k, v)
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
        points.append(SkipQuality(float(tau), counts["tokens"], counts["temporal"], counts["spatial"], *errors))
    return points


def _check_finite(*matrices):
    """A NaN of one token of K would be the whole output, and its error neither small nor large."""
    for name, x in zip("qkv", matrices):
        if wrong := np.count_nonzero(~np.isfinite(np.asarray(x, np.float64))):
            raise ValueError(f"{name}: {wrong} values are NaN or infinite")
