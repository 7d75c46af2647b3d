# SPDX-License-Identifier: Apache-2.0
"""Tokens, words and key tiles of a head. Hardware: ``hw.simcore.chip.head_geometry``."""

from __future__ import annotations

from typing import NamedTuple

from zoetrope.golden.simcore.geometry import Geometry


class Sizes(NamedTuple):
    """``words`` of memory of a token; tokens, words and key tiles of a frame, of the text, of the whole."""

    words: int
    frame_tokens: int
    video_tokens: int
    frame_words: int
    text_words: int
    tile_words: int
    video_words: int
    matrix_words: int
    frame_tiles: int
    text_tiles: int


def head_geometry(geometry: Geometry, channels: int, lanes: int, keys: int) -> Sizes:
    """Of a head of ``channels`` in words of ``lanes`` elements, and key tiles of at most ``keys`` tokens."""
    words = -(-channels // lanes)
    frame, text, video = geometry.rows, geometry.text, geometry.frames * geometry.rows
    return Sizes(
        words=words,
        frame_tokens=frame,
        video_tokens=video,
        frame_words=frame * words,
        text_words=text * words,
        tile_words=keys * words,
        video_words=video * words,
        matrix_words=(video + text) * words,
        frame_tiles=-(-frame // keys),
        text_tiles=-(-text // keys),
    )
