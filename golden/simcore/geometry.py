# SPDX-License-Identifier: Apache-2.0
"""What a head is cut into: frames and text, and their key tiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


def whole(name, value, least):
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


@dataclass(frozen=True)
class Geometry:
    """What the tokens are. ``ValueError`` for sizes below 1 (``text``: below 0) and what is no whole number."""

    frames: int = field(metadata={"doc": "frames F"})
    height: int = field(metadata={"doc": "rows of tokens in a frame, H"})
    width: int = field(metadata={"doc": "tokens in a row of a frame, W"})
    text: int = field(default=0, metadata={"doc": "text tokens C"})
    text_first: bool = field(default=True, metadata={"doc": "text tokens stand before the frames, else after"})

    def __post_init__(self):
        for name, least in (("frames", 1), ("height", 1), ("width", 1), ("text", 0)):
            whole(name, getattr(self, name), least)

    @property
    def rows(self) -> int:
        """Tokens of a frame, N."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """All tokens, T."""
        return self.frames * self.rows + self.text

    @property
    def video(self) -> slice:
        """Where the video tokens stand."""
        start = self.text if self.text_first else 0
        return slice(start, start + self.frames * self.rows)

    @property
    def tiles(self) -> list[slice]:
        """The tokens of each frame, and the text, in the order of the tokens: query tiles before rows are skipped."""
        frames = [slice(start, start + self.rows) for start in range(self.video.start, self.video.stop, self.rows)]
        if not self.text:
            return frames
        if self.text_first:
            return [slice(0, self.text), *frames]
        return [*frames, slice(self.video.stop, self.tokens)]

    @property
    def text_tile(self) -> int | None:
        """Which of ``tiles`` is text; None without text."""
        return (0 if self.text_first else self.frames) if self.text else None


class KeyTile(NamedTuple):
    """``place``: its tokens; ``tile``: which of ``Geometry.tiles`` they are of."""

    place: slice
    tile: int


def key_tiles(geometry: Geometry, keys: int | None = None) -> list[KeyTile]:
    """The key tiles of at most ``keys`` tokens, in the order of the tokens; None: whole frames and the whole text."""
    if keys is not None:
        whole("keys", keys, 1)
    found = []
    for tile, part in enumerate(geometry.tiles):
        starts = range(part.start, part.stop, keys or geometry.tokens)
        found += [KeyTile(slice(start, min(start + starts.step, part.stop)), tile) for start in starts]
    return found
