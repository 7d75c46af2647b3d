# SPDX-License-Identifier: Apache-2.0
"""What is to be known of a head before the first tile of S (SIMPICKER V-A). Hardware: ``hw.simcore.chip.prologue``.

Map of P and index table are ``golden.simcore.quantization_engine.prediction_unit``'s and
``golden.simcore.sparsification_engine.sparsification_unit``'s of the video tokens; the
maxima of K's and V's channels, over all tokens, are ``golden.simcore.quantization_engine.quantization_unit``'s of the
words that are handed over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP16, is_finite
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_p
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes
from zoetrope.golden.simcore.quantization_engine.sort_select import P_BITS
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify as similar_tokens


class Found(NamedTuple):
    """``map``: boolean (F, F), ``map_error``; ``table``: ``int64`` (F N,), video tokens counted from 0; either None where it
    is not asked for. ``not_finite``: whether what is read of Q, K and V has a NaN or an infinity."""

    map: np.ndarray | None
    map_error: bool
    table: np.ndarray | None
    not_finite: tuple[bool, bool, bool]


class Words(NamedTuple):
    """Words of a matrix, FP16 codes (T W, lanes), +0 behind d; how many ``count``; ``last`` of a token; ``end``."""

    values: np.ndarray
    count: np.ndarray
    last: np.ndarray
    end: np.ndarray


def prologue(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    geometry: Geometry,
    *,
    sparsify: bool = True,
    predict: bool = True,
    quantize_v: bool = True,
    tau: float = 2.5,
    window: int = 3,
    group: int = 4,
    p: float = 0.65,
    lanes: int = 4,
    sfu_lanes: int = 4,
    running: int = 3,
    p_bits: int = P_BITS,
) -> Found:
    """Map and table of Q, K and V, ``float16`` or binary16 codes (T, d), tokens as ``geometry`` has them.

    ``lanes``: channels a word of memory and of the sparsification unit; ``sfu_lanes``, ``running``: of
    ``golden.softmax.sfu.sfu``;
    the others are those of the two units. ``ValueError`` for what these refuse, and for another number of tokens.
    """
    q, k, v = (as_codes(x) for x in (q, k, v))
    for name, x in (("q", q), ("k", k), ("v", v)):
        if len(x) != geometry.tokens:
            raise ValueError(f"{name} has {len(x)} tokens, the geometry {geometry.tokens}")
    video = geometry.video
    found, table = None, None
    if predict:
        options = {"lanes": sfu_lanes, "running": running, "p_bits": p_bits}
        found = importance_of_p(q[video], k[video], geometry.rows, p, **options)
    if sparsify:
        grid = (geometry.frames, geometry.height, geometry.width)
        table = similar_tokens(q[video], grid, tau=tau, window=window, group=group, lanes=lanes).table
    read = ((q[video], predict or sparsify), (k, predict), (v, quantize_v))
    not_finite = tuple(bool(asked and not is_finite(x, FP16).all()) for x, asked in read)
    return Found(found.map if found else None, bool(found and found.error), table, not_finite)


def reads(
    geometry: Geometry,
    channels: int,
    addresses: dict[str, int],
    *,
    sparsify: bool = True,
    predict: bool = True,
    quantize_v: bool = True,
    lanes: int = 4,
) -> dict[str, tuple[int, int]]:
    """(address, length in elements) of what each reader reads; ``addresses``: of ``q``, ``k`` and ``v``, in bytes."""
    pitch = -(-channels // lanes) * lanes
    video = addresses["q"] + 2 * pitch * geometry.video.start
    tokens = geometry.frames * geometry.rows
    found = {}
    if sparsify or predict:
        found["q"] = (video, tokens * pitch)
    if sparsify and geometry.frames > 1:
        found["previous"] = (video, (tokens - geometry.rows) * pitch)
    if predict:
        found["k"] = (addresses["k"], geometry.tokens * pitch)
    if quantize_v:
        found["v"] = (addresses["v"], geometry.tokens * pitch)
    return found


def words(x: np.ndarray, lanes: int) -> Words:
    """The tokens of a matrix (T, d) in words, as they are handed over to be measured."""
    x = as_codes(x)
    tokens, d = x.shape
    each = -(-d // lanes)
    padded = np.zeros((tokens, each * lanes), np.uint16)
    padded[:, :d] = x
    last = np.tile(np.arange(each) == each - 1, tokens)
    end = np.arange(tokens * each) == tokens * each - 1
    count = np.where(last, d - (each - 1) * lanes, lanes)
    return Words(padded.reshape(-1, lanes), count, last, end)
