# SPDX-License-Identifier: Apache-2.0
"""Similar tokens of a clip, in time and in space (SIMPICKER III-C, IV-C).

Hardware: ``hw.simcore.sparsification_engine.sparsification_unit``.

Tokens are the rows of Q in frame order: token ``i = (t * height + y) * width + x`` stands at (y, x) of frame t.

* *Temporal pass*: token (t, y, x) meets the ``window`` x ``window`` tokens around (y, x) in frame t - 1, rows
  ``y - window // 2`` to ``y - window // 2 + window - 1`` and columns alike, cut at the borders. It repeats the nearest of
  them if its squared distance is below tau squared. An even window reaches one further up and left than down and right.
* *Spatial pass*, on what is left: a row of a frame is cut into groups of ``group`` tokens, the last one may be shorter. The
  first token of a group is its reference; any other repeats the reference if it is nearer than tau.

A token that repeats none is *kept*. The index table has one entry a token: its own index if it is kept, and otherwise the
index of a kept token, its *root*. What a token repeats may be removed itself; since that has a lower index its entry is
final, and is copied. One look-up recovers a token, however long the chain was.

The squared distance of x and y, every step rounded once::

    e[c] = x[c] - y[c]                              to FP16
    p[c] = e[c] * e[c]                              exact (22 bits of significand)
    u[k] = p[k * lanes] + ... + p[k * lanes + lanes - 1]    FP32, tree of adjacent pairs; channels beyond d are +0
    s    = ((u[0] + u[1]) + u[2]) + ...             FP32, one after the other

Subtract first: |x|^2 + |y|^2 - 2xy cancels and may come out negative. The square stays wide: in FP16 it would overflow from
a difference of 256 on. A difference beyond 65504 is infinite, and an infinite or NaN distance is never below tau squared.
Ties go to the lowest index; "below" is strict, so that tau = 0 removes nothing.

Rejected: groups that run on from row to row, whose members are no neighbours; a reference chosen among the tokens that the
temporal pass left, for which every spatial distance would wait for all decisions before it in its group; distances to the
root instead of the token repeated, whose channels would have to be kept for as long as a chain is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP32, canonical_nan
from zoetrope.golden.memory.index_buffer import resolve

KEPT, TEMPORAL, SPATIAL = range(3)
"""Why an entry is what it is."""

NONE = 0xFFFFFFFF
"""The distance where there is nothing to compare with; greater than every FP32 code that a distance can have."""


class Sparsification(NamedTuple):
    """What ``sparsify`` finds, one element a token.

    table : ``int64``, the index table: own index if kept, else the root's
    kind : ``uint8``, ``KEPT``, ``TEMPORAL`` or ``SPATIAL``
    match : ``int64``, the token that it repeats before resolution; own index if kept
    temporal : ``uint32``, FP32 code of the least distance to the window; ``NONE`` in frame 0
    nearest : ``int64``, index of the token of the window with that distance; own index in frame 0
    spatial : ``uint32``, FP32 code of the distance to the reference; ``NONE`` for a reference
    """

    table: np.ndarray
    kind: np.ndarray
    match: np.ndarray
    temporal: np.ndarray
    nearest: np.ndarray
    spatial: np.ndarray

    @property
    def removed(self) -> int:
        return int(np.count_nonzero(self.kind != KEPT))

    @property
    def kept(self) -> np.ndarray:
        """Indices of the kept tokens, ascending: the rows of Q_c."""
        return np.flatnonzero(self.kind == KEPT)

    def statistics(self) -> dict[str, float]:
        """Tokens, those removed by either pass, and the fraction removed."""
        count = len(self.kind)
        temporal, spatial = (int(np.count_nonzero(self.kind == kind)) for kind in (TEMPORAL, SPATIAL))
        return {
            "tokens": count,
            "temporal": temporal,
            "spatial": spatial,
            "kept": count - temporal - spatial,
            "removed": (temporal + spatial) / count,
        }


def squared_threshold(tau: float) -> np.uint32:
    """tau squared as the T register holds it: an FP32 code, rounded once. ``ValueError`` if tau is negative or NaN."""
    if not tau >= 0:
        raise ValueError(f"tau must be at least 0, not {tau}")
    with np.errstate(over="ignore"):
        return np.float32(np.float64(tau) ** 2).view(np.uint32)


def squared_distance(x: np.ndarray, y: np.ndarray, lanes: int = 8) -> np.ndarray:
    """``sum of (x - y)^2`` over the last axis in the order stated above: FP32 codes, ``uint32``.

    ``x``, ``y``: ``float16``, or binary16 codes as ``uint16``; shapes broadcast. ``lanes``: channels a word, a power of two.
    """
    if lanes < 1 or lanes & (lanes - 1):
        raise ValueError(f"lanes must be a power of two, not {lanes}")
    x, y = _half(x), _half(y)
    with np.errstate(over="ignore", invalid="ignore"):
        difference = (x - y).astype(np.float32)
        d = difference.shape[-1]
        words = -(-d // lanes)
        squares = np.zeros((*difference.shape[:-1], words * lanes), np.float32)
        squares[..., :d] = difference * difference  # 22 significant bits: exact
        sums = squares.reshape(*difference.shape[:-1], words, lanes)
        while sums.shape[-1] > 1:
            sums = sums[..., 0::2] + sums[..., 1::2]
        total = sums[..., 0, 0]
        for word in range(1, words):
            total = total + sums[..., word, 0]
    return canonical_nan(total.view(np.uint32), FP32)


def temporal_map(q: np.ndarray, grid: tuple[int, int, int], window: int = 3, lanes: int = 8):
    """(least distance, index of the nearest) of each token to its window in the previous frame.

    ``q``: (frames, height * width, d) or (tokens, d), as ``squared_distance`` takes it; ``grid``: (frames, height, width).
    Returns ``uint32`` FP32 codes and ``int64``, both of shape (tokens,); in frame 0 ``NONE`` and the own index.
    """
    frames, height, width = grid = _grid(q, grid)
    _positive("window", window)
    tokens = _half(q).reshape(*grid, -1)
    index = np.arange(frames * height * width).reshape(grid)
    least = np.full(grid, NONE, np.uint32)
    nearest = index.copy()
    before = window // 2
    # Ascending index, so that a later one wins only if it is strictly nearer.
    for dy in range(max(-before, 1 - height), min(window - before, height)):
        for dx in range(max(-before, 1 - width), min(window - before, width)):
            here = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
            there = (slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx)))
            for t in range(1, frames):  # a frame at a time: memory stays small
                distance = squared_distance(tokens[t][here], tokens[t - 1][there], lanes)
                nearer = distance < least[t][here]
                least[t][here] = np.where(nearer, distance, least[t][here])
                nearest[t][here] = np.where(nearer, index[t - 1][there], nearest[t][here])
    return least.ravel(), nearest.ravel()


def spatial_map(q: np.ndarray, grid: tuple[int, int, int], group: int = 4, lanes: int = 8):
    """(distance to, index of) the reference of each token's group, as ``temporal_map``; ``NONE`` for a reference."""
    grid = _grid(q, grid)
    _positive("group", group)
    tokens = _half(q).reshape(*grid, -1)
    column = np.arange(grid[2])
    reference = column - column % group
    distance = squared_distance(tokens, tokens[:, :, reference], lanes)
    distance[:, :, reference == column] = NONE
    index = np.arange(np.prod(grid)).reshape(grid)[:, :, reference]
    return distance.ravel(), index.ravel()


def sparsify(
    q: np.ndarray,
    grid: tuple[int, int, int],
    *,
    tau: float = 2.5,
    window: int = 3,
    group: int = 4,
    lanes: int = 8,
) -> Sparsification:
    """The index table of a clip's tokens and how it came about.

    Parameters
    ----------
    q : (frames, height * width, d) or (tokens, d), ``float16`` or binary16 codes as ``uint16``
    grid : (frames, height, width)
    tau : threshold on the L2 distance, at least 0; infinity removes whatever has a finite distance
    window : of the temporal pass, at least 1; it may be larger than the frame
    group : of the spatial pass, at least 1, with which it removes nothing
    lanes : channels a word of the hardware, which decides the order of the sum

    ``ValueError`` for anything else, among it a ``grid`` that does not have the tokens of ``q``.
    """
    limit = squared_threshold(tau)
    temporal, nearest = temporal_map(q, grid, window, lanes)
    spatial, reference = spatial_map(q, grid, group, lanes)
    kind = np.where(temporal < limit, TEMPORAL, np.where(spatial < limit, SPATIAL, KEPT)).astype(np.uint8)
    own = np.arange(len(kind))
    match = np.where(kind == TEMPORAL, nearest, np.where(kind == SPATIAL, reference, own))
    return Sparsification(resolve(match), kind, match, temporal, nearest, spatial)


def _half(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype not in (np.float16, np.uint16):
        raise ValueError(f"FP16 values must be float16, or binary16 codes in uint16, not {x.dtype}")
    return x.view(np.float16)


def _positive(name: str, value: int) -> None:
    if value < 1 or int(value) != value:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value}")


def _grid(q: np.ndarray, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    if len(grid) != 3:
        raise ValueError(f"grid must be (frames, height, width), not {grid}")
    for name, value in zip(("frames", "height", "width"), grid):
        _positive(name, value)
    shape = np.shape(q)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"q must be (tokens, d) or (frames, tokens, d), each at least 1, not of shape {shape}")
    tokens = int(np.prod(shape[:-1]))
    if tokens != int(np.prod(grid)):
        raise ValueError(f"grid {tuple(grid)} has {int(np.prod(grid))} tokens, q has {tokens}")
    return tuple(int(value) for value in grid)
