# SPDX-License-Identifier: Apache-2.0
"""What speculation is worth, in ``float64``: the softmax mass that important tiles hold, and the error of the output.

Dense attention is ``A = softmax(Q K^T / sqrt(d)) V`` of the FP16 operands. With speculation, in tiles of N x N, an
unimportant tile of Q K^T is Q' times K's codes (Q' = Q times K's scales, FP16), and of the unimportant columns of A = P V,
slice by slice of N rows of P, P times V's codes, times V's scales. All sums, the softmax and P are ``float64``: what is
measured is speculation and quantization alone, not the order or width of anybody's sums.

The map of P is the hardware's to the bit (``golden.method.speculation``). The map of A is ``golden.reference``'s, of
``float64``
rows of P: it differs from the hardware's only where two scores are within FP16's rounding of each other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import int8_decode
from zoetrope.golden.method.speculation import Speculation, speculate
from zoetrope.golden.reference import taken
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion, sort_select

#: Of P that are held at one time, of either operand.
_ELEMENTS = 1 << 18


class Quality(NamedTuple):
    """Shares and errors as fractions of 1.

    Attributes
    ----------
    p : proportion of the sum that was asked for; None: nothing is important, all is FP-INT
    tiles : share of P's tiles that go FP-INT
    p_products : share of the products of Q K^T that do; not ``tiles`` where a frame is ragged or there is text
    a_products : share of the products of P V that do, mean over the slices
    mass : softmax mass of dense attention in important tiles, mean over the rows
    most_mass : the most that as many tiles of each row could have held
    p_error, a_error, error : rms of the output's error over the rms of dense attention: FP-INT in Q K^T alone, in P V
        alone, in both
    """

    p: float | None
    tiles: float
    p_products: float
    a_products: float
    mass: float
    most_mass: float
    p_error: float
    a_error: float
    error: float

    @property
    def products(self) -> float:
        """Share of all products that go FP-INT; Q K^T and P V have as many."""
        return (self.p_products + self.a_products) / 2


def quality(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    rows: int,
    ps: Sequence[float | None] = (0.65,),
    *,
    text: int = 0,
    queries: int | None = None,
) -> list[Quality]:
    """``Quality`` for each p of ``ps``; arguments as ``golden.method.speculation.speculate``, finite values.

    ``queries``: errors, mass and A's maps are taken over so many tiles of rows, spread over all; None: over all of them.
    Errors are 0 where dense attention is 0, and NaN where Q' overflows FP16.
    """
    speculation = speculate(q, k, v, rows, 1.0, text=text)
    if speculation.not_finite:
        raise ValueError("q, k and v must be finite")
    maps = [_map(speculation, p) for p in ps]
    heights, widths = _sizes(len(q), rows, text), _sizes(len(k), rows, text)
    chosen = np.arange(len(heights))
    if queries is not None and queries < len(heights):
        chosen = np.unique(np.linspace(0, len(heights) - 1, max(1, queries)).astype(int))
    sums = [np.zeros(6) for _ in ps]
    power = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for tile, exact, mixed in _tiles(q, k, v, speculation, heights, widths, chosen):
            dense = _product(exact.sum(axis=0))
            held = (exact[:, :, -1] / exact[:, :, -1].sum(axis=0)).sum(axis=1)
            power += (dense[0] ** 2).sum()
            for total, p, important in zip(sums, ps, maps):
                row = important[tile]
                errors, elements = _errors(dense, _product(np.where(row[:, None, None], exact, mixed).sum(axis=0)), p)
                most = np.sort(held)[::-1][: row.sum()]
                total += (held[row].sum(), most.sum(), elements, *errors)
    tokens = heights[chosen].sum()
    found = []
    for p, important, total in zip(ps, maps, sums):
        unimportant = 1 - heights @ important @ widths / (len(q) * len(k))
        rms = np.sqrt(total[3:] / power) if power else np.zeros(3)
        shares = (1 - important.mean(), unimportant, 1 - total[2] / (tokens * k.shape[1]), *total[:2] / tokens)
        found.append(Quality(p, *map(float, (*shares, *rms))))
    return found


def _tiles(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    speculation: Speculation,
    heights: np.ndarray,
    widths: np.ndarray,
    chosen: np.ndarray,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(tile of rows, exact, mixed): for each tile of columns (first axis) and row, the exponentials of the scores, by FP16 K
    or by its codes, times V, V's codes with their scales, and 1. What any map makes of P V is a choice among these.

    Exponentials are over that of the row's largest exact score. Some rows at a time, so that they fit a cache.
    """
    q, k, v = (np.asarray(x).view(np.float16).astype(np.float64) for x in (q, k, v))
    k_codes, v_codes = (int8_decode(x).astype(np.float64) for x in (speculation.k_codes, speculation.v_codes))
    values = np.hstack([v, v_codes * speculation.v_scales.astype(np.float64), np.ones((len(v), 1))])
    root = np.sqrt(q.shape[1])
    places = [slice(start, start + width) for start, width in zip(np.cumsum(widths) - widths, widths)]
    step = max(1, _ELEMENTS // len(k))
    for tile in chosen:
        start = heights[:tile].sum()
        exact, mixed = (np.empty((len(widths), heights[tile], values.shape[1])) for _ in range(2))
        for first in range(0, heights[tile], step):
            rows = slice(first, min(first + step, heights[tile]))
            here = slice(start + rows.start, start + rows.stop)
            scores = q[here] @ k.T / root
            largest = scores.max(axis=1, keepdims=True)
            others = speculation.q_folded[here].astype(np.float64) @ k_codes.T / root
            for parts, numbers in ((exact, scores), (mixed, others)):
                e = np.exp(numbers - largest)
                for part, place in zip(parts, places):
                    part[rows] = e[:, place] @ values[place]
        yield tile, exact, mixed


def _product(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P V and P times V's codes and scales of the rows of a tile, from the sums over its columns."""
    d = sums.shape[1] // 2
    total = sums[:, -1:]
    return sums[:, :d] / total, sums[:, d:-1] / total


def _errors(dense: tuple, speculated: tuple, p: float | None) -> tuple[list, int]:
    """Squared errors with FP-INT in Q K^T alone, in P V alone and in both; elements of A that are FP-FP in the last."""
    p_only, important = speculated[0], _columns(speculated[0], p)
    a_only = np.where(_columns(dense[0], p), *dense)
    both = np.where(important, *speculated)
    return [((a - dense[0]) ** 2).sum() for a in (p_only, a_only, both)], important.sum() * len(both)


def _columns(product: np.ndarray, p: float | None) -> np.ndarray:
    """The important columns of a slice of P V."""
    if p is None:
        return np.zeros(product.shape[1], bool)
    return taken(np.abs(product.sum(axis=0))[None], p)[0]


def _map(speculation: Speculation, p: float | None) -> np.ndarray:
    """The map of ``golden.simcore.quantization_engine.prediction_unit.importance_of_p`` at ``p``, from the scores
    that serve every p.
    """
    if p is None:
        return np.zeros_like(speculation.p.map)
    important, _ = sort_select(speculation.p.scores, proportion(p))
    text = len(speculation.p.map) - len(important)
    return np.pad(important, ((text, 0), (text, 0)), constant_values=True)


def _sizes(tokens: int, rows: int, text: int) -> np.ndarray:
    """Tokens of each tile: text, whole frames, what is left."""
    frames = np.minimum(rows, tokens - text - np.arange(0, tokens - text, rows))
    return np.concatenate([[text], frames]) if text else frames
