# SPDX-License-Identifier: Apache-2.0
"""Bipartite Soft Matching: the baseline that distribution-aware matching is compared with (ORBIS 2, 4).

Tokens are split into dst and src by position alone, each src is paired with its nearest dst, once, and the k closest pairs
are kept (Bolya et al., Token Merging, ICLR 2023). No dst moves: what differs from DATM is that nothing is iterated.

How dst tokens are placed: every second token (``alternating``, the original), evenly spaced (``spaced``), or one drawn from
each block of frames x rows x columns (``one_a_block``, as image and video variants do).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zoetrope.golden.orbis.matching.dst_chooser import check

#: Elements of the widest matrix of distances that is held at a time.
CHUNK = 1 << 24


class Pairs(NamedTuple):
    """``dst``: tokens by slot; ``src``: all other tokens, ascending; ``slot``, ``distance``: of each src's nearest dst
    (float64); ``reduced``: positions in ``src`` of the k closest pairs, closest first."""

    dst: np.ndarray
    src: np.ndarray
    slot: np.ndarray
    distance: np.ndarray
    reduced: np.ndarray


def alternating(tokens: int) -> np.ndarray:
    """Every second token, from token 1 on."""
    return np.arange(1, tokens, 2)


def spaced(tokens: int, count: int) -> np.ndarray:
    """``count`` tokens in the middle of as many runs of nearly equal length."""
    return (2 * np.arange(count) + 1) * tokens // (2 * count)


def one_a_block(grid: tuple[int, int, int], block: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """One token drawn from each whole block of ``grid`` (frames, rows, columns), ascending. What is left over has none."""
    counts = [size // step for size, step in zip(grid, block)]
    if not all(counts):
        raise ValueError(f"no block of {block} fits into a grid of {grid}")
    corners = np.meshgrid(*(np.arange(n) * step for n, step in zip(counts, block)), indexing="ij")
    places = [corner + rng.integers(0, step, corner.shape) for corner, step in zip(corners, block)]
    return np.sort(np.ravel_multi_index([place.ravel() for place in places], grid))


def match(tokens: np.ndarray, dst: np.ndarray, reduced: int = 0, metric: str = "squared_l2") -> Pairs:
    """Each src token with its nearest dst; of equal ones the lowest slot, of equal pairs the lowest token.

    Parameters
    ----------
    tokens : (M, channels), any number type, taken as float64; finite
    dst : distinct tokens, slot by slot
    reduced : k, 0 to M - K
    metric : "squared_l2", or "cosine" (1 - cosine; a token of norm 0 has cosine 0 with all), as in the original

    **Equal** is exact where numbers are small integers times a power of two: squared distances where their sums are below
    2^53; cosines where d^3 times the sixth power of the largest is (d of 64 and magnitudes up to 56). Cosines are compared
    by ``s |s| n'`` and ``s' |s'| n``, s the inner products with two dst and n their squared norms: no root, no division.
    Beyond that, every product and sum is rounded to float64, in one order for all pairs: tokens that are equal, or equal
    but for a power of two, are still tied, and others that are equal in exact numbers may not be.

    Errors: ``ValueError`` for a bad ``dst``, ``reduced`` or ``metric``, and for NaN and infinities.
    """
    tokens = np.asarray(tokens, np.float64)
    dst = check(len(tokens), dst)
    src = np.setdiff1d(np.arange(len(tokens)), dst)
    if not 0 <= reduced <= len(src):
        raise ValueError(f"reduced must be 0 to {len(src)}, not {reduced}")
    if metric not in ("squared_l2", "cosine"):
        raise ValueError(f"metric must be squared_l2 or cosine, not {metric!r}")
    if not (good := np.isfinite(tokens)).all():
        token, channel = np.argwhere(~good)[0]
        raise ValueError(f"{np.count_nonzero(~good)} values are NaN or infinite, first at ({token}, {channel})")
    if metric == "cosine":
        return _match_directions(tokens, dst, src, reduced)
    slot, distance = np.empty(len(src), np.int64), np.empty(len(src))
    for some in _parts(len(src), len(dst) * tokens.shape[1]):
        a, b = tokens[src[some]], tokens[dst]
        far = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        slot[some] = far.argmin(axis=1)
        distance[some] = far.min(axis=1)
    return Pairs(dst, src, slot, distance, np.argsort(distance, kind="stable")[:reduced])


def _match_directions(tokens: np.ndarray, dst: np.ndarray, src: np.ndarray, reduced: int) -> Pairs:
    """``match`` by cosine. A power of two is taken out of each token, so that nothing overflows and nothing is rounded."""
    exponent = np.frexp(np.abs(tokens).max(axis=1, keepdims=True))[1]
    tokens = np.ldexp(tokens, -exponent)
    norm = (tokens * tokens).sum(axis=1)
    norm = np.where(norm > 0, norm, 1)
    slot, product = np.empty(len(src), np.int64), np.empty(len(src))
    for some in _parts(len(src), len(dst) * tokens.shape[1]):
        a, b = tokens[src[some]], tokens[dst]
        products = (a[:, None] * b[None]).sum(axis=2)
        slot[some] = _greatest(products * np.abs(products), norm[dst])
        product[some] = np.take_along_axis(products, slot[some, None], axis=1)[:, 0]
    other = norm[dst[slot]]
    squares = [
        Fraction(s) * abs(Fraction(s)) / (Fraction(n) * Fraction(m))
        for s, n, m in zip(product.tolist(), norm[src].tolist(), other.tolist())
    ]
    closest = sorted(range(len(src)), key=lambda position: -squares[position])  # stable: of equals the lowest token
    distance = 1 - product / np.sqrt(norm[src] * other)
    return Pairs(dst, src, slot, distance, np.array(closest[:reduced], np.int64))


def _greatest(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Of each row the place of the greatest ``numerators[row, j] / denominators[j]``, the first of equals; no division."""
    best = np.zeros(len(numerators), np.int64)
    rows = np.arange(len(numerators))
    for j in range(1, len(denominators)):
        greater = numerators[:, j] * denominators[best] > numerators[rows, best] * denominators[j]
        best[greater] = j
    return best


def _parts(length: int, row: int) -> Iterator[slice]:
    step = max(1, CHUNK // row)
    for start in range(0, length, step):
        yield slice(start, start + step)
