"""Softmax by key tiles: a tile's unnormalised softmax, and the running maximum, sum and product that tiles are merged into.

A full row of S does not fit the global buffer at 35,100 tokens (SIMPICKER V-A asks for one). So a row is taken tile by
tile; with s the scores of a tile, V its values::

    x = s * scale;  m_g = max(x);  e = exp(x - m_g);  l_g = sum of e;  A_g = sum of float16(e) * V

and what the tiles leave is merged in their order, every operation rounded once to FP32::

    m' = max(m, m_g);  alpha = exp(m - m');  beta = exp(m_g - m')
    l' = l * alpha + l_g * beta              two products, then their sum
    A' = A * alpha + A_g * beta              likewise, channel by channel

The first tile is taken as it is. One of alpha and beta is always 1, so that one of the two products is exact. In the end
A / l is ``float16(A * (1 / l))``: reciprocal, product (FP32) and conversion, each rounded once.

All values are codes. Scores are finite; what becomes of others is the SFU's matter (``golden.sfu``).
"""

from typing import NamedTuple

import numpy as np

from golden.exp import exp
from golden.float_add import float_add
from golden.float_convert import float_convert
from golden.float_multiply import float_multiply
from golden.formats import FP16, FP32, order_key
from golden.reciprocal import reciprocal
from golden.sfu import exponentials, scaled, total

_SIGN = np.uint32(1 << 31)


class State(NamedTuple):
    """Of rows of attention after one tile or more, FP32 codes: ``m`` and ``l`` (rows,), ``a`` (rows, channels)."""

    m: np.ndarray
    l: np.ndarray  # noqa: E741
    a: np.ndarray


def tile_softmax(
    scores: np.ndarray, scale: np.ndarray | int | None = None, *, lanes: int = 4, running: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m, l, e) of each row of a tile: FP32 codes (rows,) twice, FP16 codes (rows, n). l is the sum of e before rounding.

    ``scores``: finite FP32 codes (rows, n), n at least 1. ``scale``: an FP32 code, or None for 1. ``lanes`` and ``running``
    order the sum as in ``golden.sfu.sfu``. Of equal maxima the first is m.
    """
    x = scaled(np.atleast_2d(scores), scale)
    e = exponentials(x)
    first = order_key(x, FP32).argmax(axis=1)
    return x[np.arange(len(x)), first], total(e, lanes, running), float_convert(e, FP32, FP16)


def merge(state: State | None, tile: State) -> State:
    """``state``, None before the first tile, with one more ``tile`` of the same rows."""
    if state is None:
        return tile
    newer = order_key(tile.m, FP32) > order_key(state.m, FP32)
    m = np.where(newer, tile.m, state.m)
    alpha, beta = (exp(float_add(each, m ^ _SIGN), FP32, FP32) for each in (state.m, tile.m))
    return State(m, _weighted(state.l, alpha, tile.l, beta), _weighted(state.a, alpha[:, None], tile.a, beta[:, None]))


def normalise(state: State) -> np.ndarray:
    """``a / l`` of each row, FP16 codes (rows, channels)."""
    return float_convert(float_multiply(state.a, reciprocal(state.l)[:, None], FP32, FP32), FP32, FP16)


def _weighted(x, alpha, y, beta):
    return float_add(float_multiply(x, alpha, FP32, FP32), float_multiply(y, beta, FP32, FP32))
