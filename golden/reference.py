# SPDX-License-Identifier: Apache-2.0
"""The float64 ideals: what each block approximates. Only for error bounds, never for comparison bit by bit."""

import numpy as np

from zoetrope.golden.formats import FP16, FP32, int8_decode, to_float64

_ATTENTION_ROWS = 256  # of the score matrix at a time


def multiply(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``x * w`` exactly, ``float64``: binary16 codes times sign-magnitude INT8 codes, with broadcasting."""
    with np.errstate(invalid="ignore"):
        return to_float64(x, FP16) * int8_decode(w)


def outer_product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``sum over k of x[..., k] * w[..., k, :]`` in ``float64``; shapes as ``golden.pe.lut_pe.lut_pe``."""
    with np.errstate(invalid="ignore"):
        return np.einsum("...k,...ko->...o", to_float64(x, FP16), int8_decode(w).astype(np.float64))


def ewu(op: np.ndarray, a: np.ndarray, b: np.ndarray, scalar: np.ndarray) -> np.ndarray:
    """The operation of ``golden.pe.ewu.ewu`` on the same arguments in ``float64``, which holds every result exactly."""
    x, y = to_float64(a, FP16), to_float64(b, FP16)
    with np.errstate(invalid="ignore"):
        results = [x + y, x - y, x * y, x * to_float64(scalar, FP16)[:, None]]
        # Of equals the first; NaN if one is.
        results += [np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(y > x, y, x)), np.abs(x)]
    op = np.asarray(op)[:, None]
    return np.select([op == code for code in range(len(results))], results, np.nan)


def softmax(scores: np.ndarray, scale: np.ndarray | None = None, fmt=FP32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``golden.softmax.sfu.sfu`` approximates, ``float64``: (softmax, exp(x - max x), sum of those) of rows of codes.

    ``scores`` (rows, n) finite codes of ``fmt``, n at least 1; ``scale`` an FP32 code, or None for 1.
    """
    x = to_float64(scores, fmt) * (1.0 if scale is None else to_float64(scale, FP32))
    e = np.exp(x - x.max(axis=1, keepdims=True))
    s = e.sum(axis=1)
    return e / s[:, None], e, s


def tile_merge_unit(
    scores: np.ndarray, v: np.ndarray, scale: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What ``golden.softmax.sfu.tile`` and ``golden.softmax.tile_merge_unit`` together approximate, ``float64``: (P
    V, P |V|).

    ``scores`` (rows, tokens) finite FP32 codes, ``v`` (tokens, d) finite binary16 codes, P = softmax(scale * scores).
    """
    p, values = softmax(scores, scale)[0], to_float64(v, FP16)
    return p @ values, p @ np.abs(values)


def sfu_bounds(n: int, lanes: int = 4, running: int = 3, largest: float = 0.0) -> tuple[float, float, float]:
    """How far ``golden.softmax.sfu.sfu`` is from ``softmax`` at most: (e in ulp of FP16, e / s in the same, 1 / s in
    ulp of FP32).

    Of a row of ``n`` finite scores summed by ``lanes`` and ``running``; ``largest``: of ``|scale * score|`` where there is a
    scale, else 0. Half an ulp is the last rounding. Before it e is off by 2^-20.5 (``exp``) and by the rounding of x - m,
    18 at most where e is not below half of the least FP16; s besides by one rounding for each addition that a term
    passes. A product with the scale is rounded to 2^-24 of itself, in x and in m.
    """
    unit = 2.0**-24
    additions = -(-n // (lanes * running)) + lanes.bit_length() + running.bit_length()
    of_e = np.expm1(2.0**-20.5 + (18 + 2 * largest) * unit)
    of_s = np.expm1(2.0**-20.5 + (18 + 2 * largest + additions + 1) * unit)
    of_p = np.expm1(2.0**-19.5 + (36 + 2 * largest + additions + 2) * unit)
    return 0.5 + of_e * 2.0**11, 0.5 + of_p * 2.0**11, of_s * 2.0**24


def merged_bound(
    a: np.ndarray, magnitudes: np.ndarray, v: np.ndarray, off: np.ndarray, tiles: int, longest: int
) -> np.ndarray:
    """By how much A of ``golden.softmax.tile_merge_unit``, where finite, may differ from ``a``: ``float64`` (rows, d).

    Parameters
    ----------
    a, magnitudes : P V and P |V|, (rows, d), as ``tile_merge_unit`` above returns them
    v : the values (tokens, d)
    off : (rows,), the most by which scores of a row are off before they are exponentiated, differences of two included
    tiles, longest : how many key tiles there are, and the most tokens of one

    Terms and their reasons are in ``golden.simcore.chip.simcore``.
    """
    tokens, largest = len(v), np.abs(np.asarray(v, np.float64)).max(axis=0)
    b = (2 * np.asarray(off) + tiles * 2.0**-19 + longest * 2.0**-23)[:, None]
    relative = (1 + 2.0**-9) * (2.0**-11 + np.expm1(np.minimum(b, 1)))
    bound = relative * magnitudes + 2.0**-11 * np.abs(a) + tokens * 2.0**-24 * largest
    share = 2.0**-10 + (3 * longest + 8 * tiles) * 2.0**-24
    return np.where(b < 1, bound, (2 + share) * largest) + 2.0**-25


def attention_bound(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, tiles: int, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """(``attention``, how far ``golden.simcore.chip.simcore`` without its features may be from it), both (tokens, d).

    ``q``, ``k``, ``v``: finite ``float16`` (tokens, d), for sizes at which the scores fit memory. The formula is in
    ``golden.simcore.chip.simcore``; ``tiles``, ``longest``: key tiles, and the most tokens of one.
    """
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    d = q.shape[1]
    scores = q @ k.T / np.sqrt(d)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    off = (d + 3) * 2.0**-24 * (np.abs(q) @ np.abs(k).T).max(axis=1) / np.sqrt(d)
    a = p @ v
    return a, merged_bound(a, p @ np.abs(v), v, off, tiles, longest)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``softmax(q k^T / sqrt(d)) v`` in ``float64``: q (rows, d), k and v (tokens, d); (rows, d). Others: ``ValueError``."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    if not (q.ndim == k.ndim == v.ndim == 2 and q.shape[1:] == k.shape[1:] and len(k) == len(v)):
        raise ValueError(
            f"q must be (rows, d), k and v (tokens, d), of one head, not {q.shape}, {k.shape} and {v.shape}"
        )
    out = np.empty((len(q), v.shape[1]))
    for start in range(0, len(q), _ATTENTION_ROWS):
        scores = q[start : start + _ATTENTION_ROWS] @ k.T / np.sqrt(k.shape[1])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[start : start + _ATTENTION_ROWS] = weights @ v / weights.sum(axis=1, keepdims=True)
    return out


def match(x: np.ndarray, dst: np.ndarray, k: int, *, eps: float = 0.0, cap: int = 100):
    """What ``golden.orbis.matching.datm.match`` approximates, in ``float64`` on the values that it has as codes.

    ``x``: (M, d) finite; ``dst``: (K,) distinct tokens to begin with; ``k`` pairs are kept. Stops when the mean squared
    distance of a src to its dst changes by ``eps`` or less, or at the cap. Returns (dst, src, slot, distance, losses,
    converged): the dst by slot; the pairs kept by ascending (distance, src); the mean loss of each pairing. A tie is broken
    as in ``golden.orbis.matching.datm``; members whose distances to the mean differ by 1e-12 of the largest count as
    equally near.
    ``ValueError`` for NaN and infinities, of which nothing is nearest.
    """
    x, dst, losses = np.asarray(x, np.float64), np.array(dst), []
    if not np.isfinite(x).all():
        raise ValueError(f"x must be finite; {np.count_nonzero(~np.isfinite(x))} values are NaN or infinite")
    while True:
        src = np.setdiff1d(np.arange(len(x)), dst)
        squares = np.stack([((x[src] - x[j]) ** 2).sum(axis=1) for j in dst], axis=1)
        slot = squares.argmin(axis=1)
        distance = squares[np.arange(len(src)), slot]
        losses.append(float(distance.mean()))
        converged = len(losses) > 1 and abs(losses[-1] - losses[-2]) <= eps
        if converged or len(losses) == cap:
            break
        dst = np.array([_nearest_to_mean(x, np.append(old, src[slot == j])) for j, old in enumerate(dst)])
    best = np.argsort(distance, kind="stable")[:k]
    return dst, src[best], slot[best], distance[best], losses, converged


def _nearest_to_mean(x, members):
    squares = ((x[members] - x[members].mean(axis=0)) ** 2).sum(axis=1)
    # The two members of a pair are equally near; rounding shall not decide between them.
    return members[np.argmax(squares <= squares.min() + 1e-12 * squares.max())]


def squared_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``sum of (x - y)^2`` over the last axis in ``float64``: binary16 codes, with broadcasting."""
    with np.errstate(invalid="ignore"):
        difference = to_float64(x, FP16) - to_float64(y, FP16)
        return (difference * difference).sum(axis=-1)


def sparsify(q: np.ndarray, grid: tuple[int, int, int], tau: float, window: int, group: int) -> np.ndarray:
    """The index table that ``golden.simcore.sparsification_engine.sparsification_unit.sparsify`` finds, with
    distances in ``float64``.

    ``q``: (tokens, d) binary16 codes. Token by token, from the definition; only for small clips.
    """
    frames, height, width = grid
    tokens = np.asarray(q).reshape(*grid, -1)
    index = np.arange(frames * height * width).reshape(grid)
    table = index.ravel().copy()
    reach = window // 2
    for t, y, x in np.ndindex(*grid):
        rows = slice(max(0, y - reach), y - reach + window)
        columns = slice(max(0, x - reach), x - reach + window)
        if t:
            distances = squared_distance(tokens[t - 1, rows, columns], tokens[t, y, x]).ravel()
            best = int(np.argmin(np.where(np.isnan(distances), np.inf, distances)))  # the first of equals
            if distances[best] < tau * tau:
                table[index[t, y, x]] = table[index[t - 1, rows, columns].ravel()[best]]
                continue
        reference = x - x % group
        if reference < x and squared_distance(tokens[t, y, reference], tokens[t, y, x]) < tau * tau:
            table[index[t, y, x]] = table[index[t, y, reference]]
    return table


def column_sums(x: np.ndarray, rows: int) -> np.ndarray:
    """The sum of every ``rows`` rows of finite binary16 codes (M, d), ``float64``: what
    ``golden.simcore.quantization_engine.reduction_tree`` rounds.
    """
    starts = np.arange(0, len(x), rows)
    return np.add.reduceat(to_float64(x, FP16), starts, axis=0)


def taken(scores: np.ndarray, p: float) -> np.ndarray:
    """Which ``scores`` (rows, n), none negative, are taken, largest first, until their sum exceeds ``p`` of the row's."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(scores, order, axis=1), axis=1)
    chosen = np.concatenate([np.zeros_like(sums[:, :1]), sums[:, :-1]], axis=1) <= p * sums[:, -1:]
    result = np.zeros(scores.shape, bool)
    np.put_along_axis(result, order, chosen, axis=1)
    return result


def importance_of_p(q: np.ndarray, k: np.ndarray, rows: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """(map, softmax of the scaled products of frame means), what
    ``golden.simcore.quantization_engine.prediction_unit.importance_of_p`` approximates.
    """
    x, y = (column_sums(a, rows) / _rows_of_groups(len(a), rows)[:, None] for a in (q, k))
    z = x @ y.T / np.sqrt(q.shape[1])
    e = np.exp(z - z.max(axis=1, keepdims=True))
    scores = e / e.sum(axis=1, keepdims=True)
    return taken(scores, p), scores


def importance_of_a(p_rows: np.ndarray, v: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """(map, magnitudes of the scores), what ``golden.simcore.quantization_engine.prediction_unit.importance_of_a``
    approximates.
    """
    scores = np.abs(to_float64(p_rows, FP16).sum(axis=0) @ to_float64(v, FP16))
    return taken(scores[None], p)[0], scores


def _rows_of_groups(tokens: int, rows: int) -> np.ndarray:
    return np.minimum(rows, tokens - np.arange(0, tokens, rows))
