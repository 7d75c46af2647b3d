# SPDX-License-Identifier: Apache-2.0
"""The rows of Q that are kept, in blocks of slices. Hardware: ``hw.simcore.computing_engine.row_fetcher``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.geometry import Geometry


class Block(NamedTuple):
    """Kept rows of query tile ``tile`` (of ``Geometry.tiles``): the tokens of each of its slices, ``int64``."""

    tile: int
    slices: list[np.ndarray]

    @property
    def tokens(self) -> np.ndarray:
        """All of its tokens, in order."""
        return np.concatenate(self.slices)


def row_fetcher(geometry: Geometry, kept: np.ndarray, rows: int, slices: int, compact: bool = True) -> list[Block]:
    """The blocks of a head, in order, of up to ``slices`` slices of up to ``rows`` rows.

    ``kept``: boolean (T,), of all tokens. With ``compact`` the kept tokens of a query tile stand side by side in slices,
    else a slice has those of ``rows`` consecutive tokens, and one without any is left out.
    """
    kept = np.asarray(kept, bool)
    if kept.shape != (geometry.tokens,):
        raise ValueError(f"kept must have a value for each of {geometry.tokens} tokens, not {kept.shape}")
    for name, value in (("rows", rows), ("slices", slices)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value!r}")
    blocks = []
    for tile, place in enumerate(geometry.tiles):
        tokens = np.arange(place.start, place.stop)
        if compact:
            tokens = tokens[kept[tokens]]
        cut = [part[kept[part]] for part in (tokens[at : at + rows] for at in range(0, len(tokens), rows))]
        cut = [part for part in cut if len(part)]
        blocks += [Block(tile, cut[at : at + slices]) for at in range(0, len(cut), slices)]
    return blocks
