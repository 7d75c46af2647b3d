# SPDX-License-Identifier: Apache-2.0
"""Q, K and V of one attention head: what they are, how they are given again, and how they are written.

``sim.input.own`` reads a user's own of a file, ``sim.input.clips`` makes them of a video.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoetrope.hw.errors import UserError


class InputError(UserError, ValueError):
    """A clip or tensor file that cannot be used."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """Q, K and V of one head. ``ValueError`` if they are not three FP16 arrays of one shape that ``grid`` fits.

    ``q``, ``k``, ``v``: of the video's tokens, ``float16`` of shape (frames, tokens, d), read-only, tokens in row-major
    order of the frame. ``grid``: (frames, height, width) in tokens; None is replaced by a guess, and then ``guessed``.
    ``source``: one line for people. ``given``: options of a command that bring these tensors again, by name. ``text``: q, k
    and v of the text's tokens, ``float16`` of shape (tokens, d), or None; ``text_first``: they stand before the video's.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    grid: tuple[int, int, int] | None
    source: str
    given: dict[str, str] = field(default_factory=dict)
    text: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    text_first: bool = True
    guessed: bool = field(init=False)

    def __post_init__(self):
        for name, array in self.items():
            if array.dtype != np.float16 or array.ndim != 3 or array.shape != self.q.shape:
                raise ValueError(f"{name} is {array.dtype} {array.shape}: q, k, v are float16 (frames, tokens, d)")
            array.setflags(write=False)
        object.__setattr__(self, "guessed", self.grid is None)
        if self.guessed:
            object.__setattr__(self, "grid", guess(self.q.shape))
        elif not fits(self.grid, self.q.shape):
            raise ValueError(f"a grid of {self.grid} does not hold {self.q.shape[:2]} (frames, tokens)")
        for array in self.text or ():
            if array.dtype != np.float16 or array.shape != (self.text_tokens, self.q.shape[2]) or not array.size:
                raise ValueError(
                    f"text is {array.dtype} {array.shape}: its q, k, v are float16 (tokens, d), as the video's"
                )
            array.setflags(write=False)

    @property
    def text_tokens(self) -> int:
        return len(self.text[0]) if self.text else 0

    def matrices(self, frames: int | None = None, text_first: bool | None = None) -> list[np.ndarray]:
        """q, k and v of the first ``frames`` frames and of all text, (tokens, d) each, in the order of the sequence, or
        with the text before or behind the video as ``text_first`` has it."""
        first = self.text_first if text_first is None else text_first
        found = []
        for place, (_, video) in enumerate(self.items()):
            parts = [video[:frames].reshape(-1, video.shape[-1])]
            if self.text:
                parts.insert(0 if first else 1, self.text[place])
            found.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return found

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        yield from (("q", self.q), ("k", self.k), ("v", self.v))


def fits(grid: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(grid) == 3 and grid[0] == shape[0] and grid[1] > 0 and grid[1] * grid[2] == shape[1]


def guess(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The most square grid of (frames, tokens, ...), no higher than wide: 1 x tokens where their number is prime."""
    frames, tokens, *_ = shape
    height = next(h for h in range(math.isqrt(tokens), 0, -1) if tokens % h == 0)
    return frames, height, tokens // height


_NUMBER = "[1-9][0-9]{0,8}"


def parse_grid(text: str) -> tuple[int, ...]:
    """(height, width) of what a user writes as ``9x11``, (frames, height, width) of ``13x9x11``."""
    if not re.fullmatch(rf"{_NUMBER}([x*, ]{_NUMBER}){{1,2}}", text.strip(), re.ASCII):
        raise InputError(f"a grid is HEIGHTxWIDTH in tokens, such as 9x11, not {text}")
    return tuple(int(number) for number in re.split("[x*, ]", text.strip()))


def parse_crop(text: str) -> tuple[int, int]:
    """(rows, columns) of what a user writes as ``9x11``."""
    if not re.fullmatch(rf"{_NUMBER}[x*, ]{_NUMBER}", text.strip(), re.ASCII):
        raise InputError(f"a crop is ROWSxCOLUMNS in tokens, such as 9x11, not {text}")
    return parse_grid(text)


def options(given: dict[str, str]) -> str:
    """``Tensors.given`` as options of a command, each with a blank before it."""
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items())


def variables(given: dict[str, str]) -> str:
    """``Tensors.given`` as variables of ``make``, each with a blank before it."""
    doubled = {name: value.replace("$", "$$") for name, value in given.items()}
    return "".join(f" {name.upper().replace('-', '_')}={shlex.quote(value)}" for name, value in doubled.items())


# --- reading -------------------------------------------------------------------------------------------------------


def short(name: str) -> str:
    """A name from a file, fit for a line."""
    name = name if name.isprintable() else ascii(name)
    return name if len(name) <= 40 else f"{name[:37]}..."


def check_file(path: Path, kind: str) -> None:
    """``InputError`` unless ``path`` is a file; ``kind`` says of what kind it should be."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # of a name that no system would take
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "no such file" if absent else getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: {reason}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: a folder; name {kind} in it")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: not a regular file; {kind} is needed")


# --- writing -------------------------------------------------------------------------------------------------------


def save(path: str | Path, tensors: Tensors) -> None:
    """Write an ``.npz``, under exactly this name, that ``own.from_file`` reads back equal in every bit but ``source``."""
    try:
        with open(path, "wb") as file:
            np.savez(file, **arrays(tensors))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason})") from error


def arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    """What ``save`` writes, by name: no grid that is but a guess, text beside the video."""
    found = dict(tensors.items())
    if not tensors.guessed:
        found["grid"] = np.array(tensors.grid, dtype=np.int64)
    if tensors.text:
        found |= {f"{name}_text": array for name, array in zip("qkv", tensors.text)}
        found["text_side"] = np.array("first" if tensors.text_first else "last")
    return found
