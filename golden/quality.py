"""What speculation is worth, in ``float64``: the softmax mass that important tiles hold, and the error of the output.

Dense attention is ``A = softmax(Q K^T / sqrt(d)) V`` of the FP16 operands. With speculation, in tiles of N x N, an
unimportant tile of Q K^T is Q' times K's codes (Q' = Q times K's scales, FP16), and of the unimportant columns of A = P V,
slice by slice of N rows of P, P times V's codes, times V's scales. All sums, the softmax and P are ``float64``: what is
measured is speculation and quantization alone, not the order or width of anybody's sums.

The map of P is the hardware's to the bit (``golden.speculation``). The map of A is ``golden.reference``'s, of ``float64``
rows of P: it differs from the hardware's only where two scores are within FP16's rounding of each other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from golden.formats import int8_decode
from golden.reference import taken
from golden.sort_select import proportion, sort_select
from golden.speculation import Speculation, speculate


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
    """``Quality`` for each p of ``ps``; arguments as ``golden.speculation.speculate``, finite values.

    ``queries``: errors, mass and A's maps are taken over so many tiles of rows, spread over all; None: over all of them.
    Errors are 0 where dense attention is 0, and NaN where Q' overflows FP16.
    """
    speculation = speculate(q, k, v, rows, 1.0, text=text)
    if speculation.not_finite:
        raise ValueError("q, k and v must be finite")
    q, k, v = (np.asarray(x).view(np.float16) for x in (q, k, v))
    maps = [_map(speculation, p) for p in ps]
    heights, widths = _sizes(len(q), rows, text), _sizes(len(k), rows, text)
    chosen = np.arange(len(heights))
    if queries is not None and queries < len(heights):
        chosen = np.unique(np.linspace(0, len(heights) - 1, max(1, queries)).astype(int))
    sums = [np.zeros(6) for _ in ps]
    power = 0.0
    with np.errstate(invalid="ignore"):
        for tile, head in _heads(q, k, v, speculation, heights, chosen):
            held = np.add.reduceat(head.p, _starts(widths), axis=1).sum(axis=0)
            power += (head.dense**2).sum()
            for total, p, important in zip(sums, ps, maps):
                total += _tile(head, p, important[tile], widths, held)
    tokens, elements = heights[chosen].sum(), heights[chosen].sum() * v.shape[1]
    found = []
    for p, important, total in zip(ps, maps, sums):
        unimportant = 1 - heights @ important @ widths / (len(q) * len(k))
        rms = np.sqrt(total[3:] / power) if power else np.zeros(3)
        shares = (1 - important.mean(), unimportant, 1 - total[2] / elements, *total[:2] / tokens)
        found.append(Quality(p, *map(float, (*shares, *rms))))
    return found


class _Head(NamedTuple):
    """One tile of rows: scores by either operand, dense P and A, and P V by either operand."""

    exact: np.ndarray
    mixed: np.ndarray
    p: np.ndarray
    dense: np.ndarray
    v: np.ndarray
    v_int8: np.ndarray


def _heads(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, speculation: Speculation, heights: np.ndarray, chosen: np.ndarray
) -> Iterator[tuple[int, _Head]]:
    k_wide, v_wide = k.astype(np.float64).T, v.astype(np.float64)
    k_codes, v_codes = (int8_decode(x).astype(np.float64) for x in (speculation.k_codes, speculation.v_codes))
    v_int8 = v_codes * speculation.v_scales.astype(np.float64)
    root = np.sqrt(q.shape[1])
    for tile in chosen:
        place = slice(start := heights[:tile].sum(), start + heights[tile])
        exact = q[place].astype(np.float64) @ k_wide / root
        mixed = speculation.q_folded[place].astype(np.float64) @ k_codes.T / root
        p = softmax(exact)
        yield tile, _Head(exact, mixed, p, p @ v_wide, v_wide, v_int8)


def _tile(head: _Head, p: float | None, important: np.ndarray, widths: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Sums over a tile of rows: mass held and most, important elements of A, squared errors of P, A and both."""
    columns = np.repeat(important, widths)
    mixed_p = head.p if important.all() else softmax(np.where(columns, head.exact, head.mixed))
    p_only = mixed_p @ head.v
    a_only, _ = _weighted(head.p, head.dense, head.v_int8, p)
    both, taken_columns = _weighted(mixed_p, p_only, head.v_int8, p)
    errors = [((a - head.dense) ** 2).sum() for a in (p_only, a_only, both)]
    most = np.sort(held)[::-1][: important.sum()].sum()
    return np.array([held[important].sum(), most, taken_columns.sum() * len(head.p), *errors])


def _weighted(p_rows: np.ndarray, exact: np.ndarray, v_int8: np.ndarray, p: float | None):
    """(A with its unimportant columns from V's codes, map of the columns) of a slice of P; ``exact`` is P V."""
    if p is None:
        important = np.zeros(exact.shape[1], bool)
    else:
        important = taken(np.abs(exact.sum(axis=0))[None], p)[0]
    return np.where(important, exact, p_rows @ v_int8), important


def _map(speculation: Speculation, p: float | None) -> np.ndarray:
    """The map of ``golden.prediction_unit.importance_of_p`` at ``p``, from the scores that serve every p."""
    if p is None:
        return np.zeros_like(speculation.p.map)
    important, _ = sort_select(speculation.p.scores, proportion(p))
    text = len(speculation.p.map) - len(important)
    return np.pad(important, ((text, 0), (text, 0)), constant_values=True)


def _sizes(tokens: int, rows: int, text: int) -> np.ndarray:
    """Tokens of each tile: text, whole frames, what is left."""
    frames = np.minimum(rows, tokens - text - np.arange(0, tokens - text, rows))
    return np.concatenate([[text], frames]) if text else frames


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes


def softmax(x: np.ndarray) -> np.ndarray:
    """Of each row, ``float64``."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
