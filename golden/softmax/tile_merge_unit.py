# SPDX-License-Identifier: Apache-2.0
"""Softmax over key tiles, merged from what each gave, in the hardware's order. Hardware: ``hw.softmax.tile_merge_unit``.

Every operation is on FP32 codes and rounded once, to nearest even; for each row, tile by tile::

    m' = max(m, m_g)                            NaN if one of them is; of equals m
    alpha = 1 if m >= m_g, else exp(m - m')     one of them is always 1: a multiplication by it is exact, and
    beta = 1 if m <= m_g, else exp(m_g - m')    none of those that the hardware leaves out rounds
    acc = acc * alpha + A_g * beta
    l = l * alpha + l_g * beta

NaN is greater than all. A row begins with m = -inf and l = acc = -0: the first tile leaves exactly m_g, l_g and A_g, whose
zeros keep their signs. When all tiles are merged::

    A = float16(acc * (1 / l))                  1 / l is 0 where l is 0; the product is rounded to FP32, then to FP16

A row of which no tile saw anything (m = m_g = -inf, l = 0, acc = 0) is 0.

Published: with ``golden.softmax.sfu.tile`` and ``golden.pe.fp16_pe`` before it, A is within
``golden.reference.merged_bound`` of
float64 attention whatever the scores and values are. With normal ones (scores of a deviation of 1 to 8, values of 1, 26
tiles of 99 and of 1,350 tokens) it is within 5e-4 * (P |V|), and the rms of its error within 4e-4 of that of A. Half a unit
of FP16 is 4.9e-4 of a value: of A at the end, and of every exponential before it is multiplied by V, where errors of many
average out.
"""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.arith.exp import exp
from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_compare import float_compare
from zoetrope.golden.arith.float_convert import float_convert
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.arith.reciprocal import reciprocal
from zoetrope.golden.formats import FP16, FP32, codes_of

_ONE = np.uint32(0x3F800000)
_SIGN = np.uint32(1 << 31)
_MINUS_INF = np.uint32(FP32.inf) | _SIGN


class State(NamedTuple):
    """Of rows whose tiles are being merged: FP32 codes m (rows,), l (rows,) and acc (rows, d)."""

    maximum: np.ndarray
    total: np.ndarray
    acc: np.ndarray


def start(rows: int, channels: int) -> State:
    """The state of ``rows`` rows before their first tile."""
    zero = np.uint32(_SIGN)
    return State(np.full(rows, _MINUS_INF), np.full(rows, zero), np.full((rows, channels), zero))


def merge(state: State, maximum: np.ndarray, total: np.ndarray, values: np.ndarray) -> State:
    """The state after one more tile of each row: FP32 codes m_g (rows,), l_g (rows,) and A_g (rows, d)."""
    maximum, total, values = (codes_of(x, FP32) for x in (maximum, total, values))
    if maximum.shape != state.maximum.shape or total.shape != maximum.shape or values.shape != state.acc.shape:
        raise ValueError(
            f"a tile has m and l of shape {state.maximum.shape} and values of shape {state.acc.shape}, "
            f"not {maximum.shape}, {total.shape} and {values.shape}"
        )
    alpha, beta, highest = factors(state.maximum, maximum)
    return State(
        highest,
        _weighted(state.total, alpha, total, beta),
        _weighted(state.acc, alpha[:, None], values, beta[:, None]),
    )


def factors(m: np.ndarray, m_g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(alpha, beta, m') of FP32 codes, as above."""
    less, equal, lesser, greater = float_compare(m, m_g)
    factor = np.where(equal, _ONE, exp(float_add(lesser, greater ^ _SIGN), FP32, FP32))
    return np.where(less, factor, _ONE), np.where(less, _ONE, factor), greater


def finish(state: State) -> np.ndarray:
    """A (rows, d), binary16 codes, of rows whose tiles are all merged."""
    inverse = np.where(state.total & ~_SIGN == 0, np.uint32(0), reciprocal(state.total))
    return float_convert(_product(state.acc, inverse[:, None]), FP32, FP16)


def tile_merge_unit(maxima: np.ndarray, sums: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A of a slice of rows, binary16 codes (rows, d), from its tiles in order.

    Parameters
    ----------
    maxima, sums : (tiles, rows), FP32 codes m_g and l_g, as ``golden.softmax.sfu.tile`` returns them; at least one tile
    values : (tiles, rows, d), FP32 codes A_g: exponentials of the tile times V, summed over its tokens
    """
    maxima, sums, values = (codes_of(x, FP32) for x in (maxima, sums, values))
    if values.ndim != 3 or not len(values) or maxima.shape != values.shape[:2] or sums.shape != maxima.shape:
        raise ValueError(
            "values must be (tiles, rows, channels) with at least one tile, maxima and sums (tiles, rows), "
            f"not {values.shape}, {maxima.shape} and {sums.shape}"
        )
    state = start(*values.shape[1:])
    for maximum, total, tile in zip(maxima, sums, values):
        state = merge(state, maximum, total, tile)
    return finish(state)


def _weighted(x, alpha, y, beta):
    return float_add(_product(x, alpha), _product(y, beta))


def _product(x, factor):
    return float_multiply(x, np.broadcast_to(factor, x.shape), FP32, FP32)
