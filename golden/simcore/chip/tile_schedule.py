# SPDX-License-Identifier: Apache-2.0
"""Which key tile meets which block of rows when. Hardware: ``hw.simcore.chip.tile_schedule``.

The order of key tiles, and why, is described in ``golden.simcore.chip.simcore``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.geometry import Geometry, key_tiles


class Task(NamedTuple):
    """A block of rows and a key tile that meet: ``tokens`` from word ``offset`` of K and V on; ``first`` and ``last`` of the
    block; ``block``: which of the blocks it is."""

    block: int
    tokens: int
    offset: int
    important: bool
    first: bool
    last: bool


def tile_schedule(
    geometry: Geometry, keys: int, words: int, tiles: Sequence[int], important: np.ndarray | None
) -> list[Task]:
    """The tasks of blocks whose rows are of query ``tiles`` (of ``Geometry.tiles``), in order.

    ``keys``: most tokens of a key tile; ``words``: of a token; ``important``: boolean (frames, frames), of P's video tiles,
    or None where all are important, as text always is.
    """
    cuts = key_tiles(geometry, keys)
    everything = np.ones(len(geometry.tiles), bool)
    frames = np.arange(len(everything)) != (-1 if geometry.text_tile is None else geometry.text_tile)
    number = np.cumsum(frames) - 1
    tasks = []
    for block, tile in enumerate(tiles):
        of_tile = everything.copy()
        if important is not None and frames[tile]:
            of_tile[frames] = important[number[tile]]
        of_key = of_tile[[key.tile for key in cuts]]
        for step, g in enumerate(order_of(of_key)):
            place = cuts[g].place
            first, last = step == 0, step == len(cuts) - 1
            tasks.append(Task(block, place.stop - place.start, place.start * words, bool(of_key[g]), first, last))
    return tasks


def order_of(important: np.ndarray) -> np.ndarray:
    """The order in which a query tile meets its key tiles, ``int64`` (J,), of the boolean ``important`` (J,)."""
    important = np.asarray(important, bool)
    taken = np.arange(len(important) + 1) * np.count_nonzero(important) // max(1, len(important))
    turn = np.diff(taken) > 0
    order = np.empty(len(important), np.int64)
    order[turn], order[~turn] = np.flatnonzero(important), np.flatnonzero(~important)
    return order
