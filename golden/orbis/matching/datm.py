# SPDX-License-Identifier: Apache-2.0
"""Distribution-aware token matching (ORBIS 3.2, Algorithm 1) on 4-bit codes, in integers.

Hardware: ``hw.orbis.matching.datm``.

Of M tokens K are destinations (dst), one a *slot*; all others are sources (src). In order::

    pair     each src joins the dst of least distance, the lowest slot of equals
    check    loss = sum of those distances; converged if |loss - loss before| < eps; over if it was pairing number ``cap``
    update   each slot's dst becomes the member of its group (src and dst) that is nearest to the group's mean

until converged or over; then the k pairs of least distance are kept, the lowest src of equals. With codes q in -7..7 and a
weight w[c] for the square of channel c's scale::

    distance(i, j) = sum over c of w[c] * (q[i, c] - q[j, c])^2
    to the mean    = sum over c of w[c] * (n * q[i, c] - S[c])^2     n members, S their sum: n^2 times the distance

The second needs no division, and orders the members of a group as the first would with the mean for j. Of equals the dst
stays, else the lowest index wins; a group without a src keeps its dst.

**Convergence.** ``loss`` is a sum over src, not their mean, so nothing is divided: a bound e on the change of the mean is
``eps = ceil(e * (M - K))``. The loss never rises, and falls whenever a dst changes: the nearest to the mean is the exact
medoid under squared L2, so ``eps`` = 1 stops where nothing changes any more, and 0 runs to the cap. (Under plain L2 it would
not be the medoid, and the loss could rise.) The first pairing has nothing to be compared with.

**Weights.** What counts are ratios of squared scales. ``weights`` makes them integers of a stated width by a square and a
shift; relative to the largest itself they would need a divider, to win less than a bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

LEVELS = 7
"""The largest magnitude of a code."""

WEIGHT_BITS = 8

_EXACT = 1 << 53
_CHUNK = 1 << 22  # elements of a temporary array


@dataclass(frozen=True, eq=False)
class Match:
    """What ``match`` found; indices are ``int64``.

    ``dst``: (K,) the token of each slot, of the last pairing. ``src``, ``slot``, ``distance``: (k,) the pairs that are kept,
    by ascending (distance, src). ``all_src``, ``all_slot``, ``all_distance``: (M - K,) all pairs, by ascending src.
    ``losses``: of each pairing. ``medoids``: the dst of each pairing, (pairings, K). ``converged``: False at the cap.
    """

    dst: np.ndarray
    src: np.ndarray
    slot: np.ndarray
    distance: np.ndarray
    all_src: np.ndarray
    all_slot: np.ndarray
    all_distance: np.ndarray
    losses: tuple
    medoids: np.ndarray
    converged: bool

    @property
    def iterations(self) -> int:
        """How often src were paired."""
        return len(self.losses)


def weights(scales: np.ndarray, bits: int = WEIGHT_BITS) -> np.ndarray:
    """Scales of channels to the weights of squares, ``int64`` in 0 .. 2^bits - 1.

    ``round(scales^2 * 2^(bits - e))``, to nearest even, at most 2^bits - 1; e is the least exponent with 2^e > scales^2 of
    every channel. So the largest weight has its top bit set, and a common factor other than a power of two moves roundings
    only: the largest magnitudes of the channels (amax) serve as well as amax / 7. A dead channel, given as scale 0, weighs
    0; so does one whose scale is under 2^(-(bits + 1) / 2) of the power of two (4.4 % at 8 bits).

    ``scales``: (channels,) ``float16`` or ``float32``, finite, not negative; squares are exact in ``float64``.
    """
    scales = np.asarray(scales)
    if scales.dtype not in (np.float16, np.float32) or scales.ndim != 1:
        raise ValueError(f"scales must be float16 or float32 (channels,), not {scales.dtype} of shape {scales.shape}")
    if not (np.isfinite(scales) & (scales >= 0)).all():
        raise ValueError("scales must be finite and not negative")
    if not 1 <= bits <= 24:
        raise ValueError(f"bits must be 1 to 24, not {bits}")
    squares = scales.astype(np.float64) ** 2
    exponent = np.frexp(squares.max(initial=0.0))[1]
    return np.minimum(np.rint(np.ldexp(squares, bits - exponent)), (1 << bits) - 1).astype(np.int64)


def distances(a: np.ndarray, b: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``sum over c of w[c] * (a[i, c] - b[j, c])^2`` of all pairs, ``int64`` (len(a), len(b)); integer codes, exact.

    ``ValueError`` where a sum may be 2^53 or more.
    """
    a, b, w = (np.asarray(x).astype(np.float64) for x in (a, b, w))
    # Integers below 2^53 in every partial sum: exact in any order, so BLAS may take its own.
    largest = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    if not 4 * largest**2 * np.abs(w).sum() < 2**53:
        raise ValueError("codes and weights are too large for exact distances: 4 codes^2 weights must stay below 2^53")
    squares = (a * a @ w)[:, None] + (b * b @ w)[None, :]
    return (squares - 2 * ((a * w) @ b.T)).astype(np.int64)


def pair(q: np.ndarray, dst: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All src by ascending index, the slot that each joins, and its distance: ``int64`` (M - K,) each."""
    is_src = np.ones(len(q), bool)
    is_src[dst] = False
    src = np.flatnonzero(is_src)
    slot, distance = np.zeros(len(src), np.int64), np.zeros(len(src), np.int64)
    for part in _parts(len(src), len(dst) + q.shape[1]):
        found = distances(q[src[part]], q[dst], w)
        slot[part] = found.argmin(axis=1)  # the first of equals
        distance[part] = np.take_along_axis(found, slot[part, None], axis=1)[:, 0]
    return src, slot, distance


def update(q: np.ndarray, dst: np.ndarray, src: np.ndarray, slot: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The new dst of each slot, ``int64`` (K,)."""
    members, groups = np.concatenate([dst, src]), np.concatenate([np.arange(len(dst)), slot])
    count = np.bincount(groups, minlength=len(dst))
    total = np.zeros((len(dst), q.shape[1]), np.int64)
    np.add.at(total, groups, q[members])
    key = np.zeros(len(members), np.int64)
    for part in _parts(len(members), q.shape[1]):
        group = groups[part]
        offset = count[group, None] * q[members[part]] - total[group]
        key[part] = (offset * offset * w).sum(axis=1)  # integers: the order is of no matter
    moved = np.arange(len(members)) >= len(dst)
    order = np.lexsort((members, moved, key, groups))  # by slot, then least, then the dst, then the lowest index
    return members[order[np.searchsorted(groups[order], np.arange(len(dst)))]]


def kept(distance: np.ndarray, k: int) -> np.ndarray:
    """Places of the k least distances in ascending order, the first of equals first."""
    return np.argsort(distance, kind="stable")[:k]


def reduced(tokens: int, ratio: float) -> int:
    """How many tokens a reduction ratio takes away: ``floor(ratio * tokens)``, the ratio read as a fraction of decimals."""
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio must be 0 to 1, not {ratio}")
    return int(Fraction(ratio).limit_denominator(1_000_000) * tokens)


def match(
    codes: np.ndarray,
    dst: np.ndarray,
    *,
    ratio: float | None = None,
    k: int | None = None,
    weights: np.ndarray | None = None,
    eps: int = 1,
    cap: int = 16,
) -> Match:
    """The whole loop, as the module describes it.

    Parameters
    ----------
    codes : (M, d) integers, -7 to 7
    dst : (K,) distinct tokens to begin with, by slot; 1 <= K < M
    ratio, k : one of them: the share of the M tokens that is to be reduced (``reduced``), or how many; at most M - K
    weights : (d,) integers, not negative; all 1 if None
    eps : an integer, at least 0
    cap : pairings at most, at least 1

    ``ValueError``, naming what was wrong, for anything else, and for numbers of which sums do not fit 63 bits.
    """
    q = _codes(codes)
    tokens, channels = q.shape
    dst = _distinct(dst, tokens)
    w = np.ones(channels, np.int64) if weights is None else _integers("weights", weights)
    if w.shape != (channels,) or (w < 0).any():
        raise ValueError(f"weights must be {channels} integers, none negative")
    k = _count(tokens, len(dst), ratio, k)
    if eps < 0 or cap < 1:
        raise ValueError(f"eps must be at least 0 and cap at least 1, not {eps} and {cap}")
    _check_range(tokens, int(w.sum()))
    losses, medoids = [], []
    while True:
        src, slot, distance = pair(q, dst, w)
        losses.append(int(distance.sum()))
        medoids.append(dst)
        converged = len(losses) > 1 and abs(losses[-1] - losses[-2]) < eps
        if converged or len(losses) == cap:
            break
        dst = update(q, dst, src, slot, w)
    best = kept(distance, k)
    pairs = src[best], slot[best], distance[best]
    return Match(dst, *pairs, src, slot, distance, tuple(losses), np.stack(medoids), converged)


def _codes(codes: np.ndarray) -> np.ndarray:
    q = _integers("codes", codes)
    if q.ndim != 2 or 0 in q.shape:
        raise ValueError(f"codes must be a matrix (tokens, channels), neither 0, not of shape {q.shape}")
    if np.abs(q).max() > LEVELS:
        raise ValueError(f"codes must be -{LEVELS} to {LEVELS}, not {q.flat[np.abs(q).argmax()]}")
    return q


def _integers(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} must be integers, not {values.dtype}")
    return values.astype(np.int64)


def _distinct(dst: np.ndarray, tokens: int) -> np.ndarray:
    dst = np.asarray(dst)
    if dst.ndim != 1 or not 1 <= len(dst) < tokens:
        raise ValueError(f"dst must be 1 to {tokens - 1} tokens of {tokens}, not of shape {dst.shape}")
    dst = _integers("dst", dst)
    if dst.min() < 0 or dst.max() >= tokens:
        raise ValueError(f"dst must be tokens 0 to {tokens - 1}, not {dst[(dst < 0) | (dst >= tokens)][0]}")
    if len(np.unique(dst)) < len(dst):
        raise ValueError("dst must be distinct tokens; there are repeats")
    return dst


def _count(tokens: int, slots: int, ratio: float | None, k: int | None) -> int:
    if (ratio is None) == (k is None):
        raise ValueError("either ratio or k is needed")
    k = reduced(tokens, ratio) if k is None else k
    if not 0 <= k <= tokens - slots:
        raise ValueError(f"{k} of {tokens} tokens cannot be reduced to {slots} dst: 0 to {tokens - slots} can")
    return k


def _check_range(tokens: int, weight: int) -> None:
    if weight * (2 * LEVELS) ** 2 >= _EXACT or weight * (2 * LEVELS * tokens) ** 2 >= 1 << 63:
        raise ValueError(f"weights that sum to {weight} are too large for {tokens} tokens: sums would not fit 63 bits")


def _parts(length: int, row: int) -> Iterator[slice]:
    step = max(1, _CHUNK // row)
    for start in range(0, length, step):
        yield slice(start, start + step)
