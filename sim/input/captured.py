# SPDX-License-Identifier: Apache-2.0
"""Attention heads of a model, as `zoetrope capture` keeps them: version 2 of the project's ``.npz``.

One file is of one run of one model. An *entry* of it is one head of one attention layer in one denoising step, of one
sample of the batch: the two halves of classifier-free guidance are two samples. All entries of a file have one shape.

=============== ================== ======================================================================================
array           shape, type        what it is
=============== ================== ======================================================================================
``version``     (), integer        2
``q k v``       (entries, T, d),   what went into the attention: after normalisation and rotary position, rounded once to
                float16            FP16; tokens in the model's own order, those of a frame in rows from the top
``o``           (entries, T, d),   what came out of it, before the projection behind it
                float16
``place``       (entries, 4),      step, layer, head and sample of each entry, from 0; no two alike
                integers
``layers``      (layers,), text    names of the model's attention modules; the index is the layer of ``place``
``grid``        (3,), integers     frames, height, width in tokens: the video's tokens of an entry
``text``        (), integer        text tokens of an entry; T = text + frames * height * width
``text_side``   (), text           where they stand: "first", "last", or "none" if there are none
``kind``        (), text           "full": all tokens see each other. "spatial": an entry is one frame, and grid is
                                   (1, height, width). "temporal": an entry is one place in all frames, (frames, 1, 1)
``model``       (), text           the class of the model
``dtype``       (), text           "float16", "bfloat16", "float32" or "float64": what the model computed attention in
``scale``       (), float64        o = softmax(scale * q k^T) v; 1 / sqrt(d) almost everywhere
=============== ================== ======================================================================================

``read`` and ``write`` need NumPy alone. Nothing is pickled. Version 1, which has no ``version``, is one head that somebody
wrote by hand: ``zoetrope.sim.input.tensor_files``.

Why one text length for a file: a batch whose prompts have different lengths would need padding, and whoever reads the file
would have to know which keys to leave out. It is two files instead.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from zoetrope.hw.errors import UserError

VERSION = 2
SIDES = ("first", "last", "none")
KINDS = ("full", "spatial", "temporal")
DTYPES = ("float16", "bfloat16", "float32", "float64")

#: Columns of ``place``.
PLACE = ("step", "layer", "head", "sample")


class CaptureError(UserError, ValueError):
    """A file of captured heads, or a capture, that cannot be used; one line that says what would be right."""


@dataclass(frozen=True, eq=False)
class Captured:
    """The heads of one file, as the module's docstring has them. ``CaptureError`` if they do not fit together.

    Arrays are read-only; ``layers`` is a tuple of text, ``grid`` of integers, the rest plain Python values.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    place: np.ndarray
    layers: tuple[str, ...]
    grid: tuple[int, int, int]
    text: int
    text_side: str
    model: str
    dtype: str
    scale: float
    kind: str = "full"

    def __post_init__(self):
        for name in "qkvo":
            _check_tensor(name, getattr(self, name), self.q.shape)
        _check_grid(self)
        _check_place(self)
        for name, allowed in (("text_side", SIDES), ("kind", KINDS), ("dtype", DTYPES)):
            if (found := getattr(self, name)) not in allowed:
                raise CaptureError(f"{name} is {_shown(found)}; one of {', '.join(allowed)} is needed")
        if (self.text == 0) != (self.text_side == "none"):
            raise CaptureError(f"text is {self.text} and text_side is {self.text_side}; without text the side is none")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise CaptureError(f"scale is {self.scale}; a finite number above 0 is needed, 1 / sqrt(d) as a rule")
        for name in ("q", "k", "v", "o", "place"):
            getattr(self, name).setflags(write=False)

    @property
    def steps(self) -> list[int]:
        return self._there("step")

    @property
    def heads(self) -> list[int]:
        return self._there("head")

    @property
    def samples(self) -> list[int]:
        return self._there("sample")

    @property
    def kept_layers(self) -> list[int]:
        """Layers of which there are entries; ``layers`` has the names of all that the model has."""
        return self._there("layer")

    def _there(self, what) -> list[int]:
        return sorted(set(self.place[:, PLACE.index(what)].tolist()))

    def index(
        self, step: int | None = None, layer: int | None = None, head: int | None = None, sample: int | None = None
    ) -> int:
        """Of the first entry with this step, layer, head and sample; None is any. ``CaptureError`` says what there is."""
        asked = {n: value for n, value in zip(PLACE, (step, layer, head, sample)) if value is not None}
        left = np.ones(len(self.place), bool)
        for name, value in asked.items():
            column = self.place[:, PLACE.index(name)]
            if value not in column:
                raise CaptureError(f"there is no {name} {value} in the file; it has {name} {ranges(column)}")
            if not (left & (column == value)).any():
                others = ", ".join(f"{n} {asked[n]}" for n in asked if n != name and PLACE.index(n) < PLACE.index(name))
                raise CaptureError(f"there is no {name} {value} with {others}; there is {name} {ranges(column[left])}")
            left &= column == value
        return int(np.argmax(left))

    def entry(
        self, step: int | None = None, layer: int | None = None, head: int | None = None, sample: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """q, k, v and o, each (T, d), of the entry that ``index`` finds."""
        found = self.index(step, layer, head, sample)
        return self.q[found], self.k[found], self.v[found], self.o[found]


def _check_tensor(name, array, shape):
    if array.ndim != 3 or 0 in array.shape or array.dtype != np.float16:
        raise CaptureError(
            f"{name} is {array.dtype} of shape {array.shape}; float16 of shape (entries, tokens, d), each at least 1, "
            "is needed"
        )
    if array.shape != shape:
        raise CaptureError(f"{name} has shape {array.shape} and q {shape}; q, k, v and o must have one shape")
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise CaptureError(f"{name} has {bad} of {array.size} values that are NaN or infinite")


def _check_grid(c):
    if len(c.grid) != 3 or min(c.grid) < 1:
        raise CaptureError(f"grid is {_shown(list(c.grid))}; (frames, height, width), each at least 1, is needed")
    if c.text < 0:
        raise CaptureError(f"text is {c.text}; the number of text tokens, 0 or more, is needed")
    frames, height, width = map(int, c.grid)
    if (video := frames * height * width) + c.text != (tokens := c.q.shape[1]):
        raise CaptureError(
            f"grid {frames} x {height} x {width} and {c.text} text tokens are {video + c.text} tokens; "
            f"q, k, v and o have {tokens}"
        )
    if (c.kind == "spatial" and frames != 1) or (c.kind == "temporal" and height * width != 1):
        need = "(1, height, width)" if c.kind == "spatial" else "(frames, 1, 1)"
        raise CaptureError(f"grid is {frames} x {height} x {width} and kind is {c.kind}, whose grid is {need}")


def _check_place(c):
    if c.place.dtype.kind not in "iu" or c.place.shape != (len(c.q), 4):
        raise CaptureError(
            f"place is {c.place.dtype} of shape {c.place.shape}; integers of shape ({len(c.q)}, 4) are needed: "
            "step, layer, head, sample of each entry"
        )
    if c.place.min() < 0 or c.place.max() > 2**31:
        raise CaptureError("place has numbers that are no index; step, layer, head and sample count from 0")
    if (last := int(c.place[:, 1].max())) >= len(c.layers):
        raise CaptureError(f"place names layer {last}, and layers has {len(c.layers)} names")
    if len(np.unique(c.place, axis=0)) != len(c.place):
        raise CaptureError("place has one entry twice; step, layer, head and sample are to name one entry each")


def ranges(column) -> str:
    """The numbers of a column, for a line: 0 to 9, 12."""
    numbers, runs = sorted({int(n) for n in column}), []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    shown = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in runs[:6]]
    return ", ".join(shown) + (", ..." if len(runs) > 6 else "")


def _shown(value) -> str:
    """What a file says, fit for a line."""
    text = str(value) if str(value).isprintable() else ascii(str(value))
    return text if len(text) <= 40 else f"{text[:37]}..."


# --- the file ------------------------------------------------------------------------------------------------------


def write(path: str | Path, captured: Captured) -> None:
    """Write the file, under exactly this name. ``CaptureError`` where that cannot be."""
    content = {field.name: getattr(captured, field.name) for field in fields(captured)}
    content["place"] = captured.place.astype(np.int64)
    content["layers"] = np.array(captured.layers, dtype=np.str_)
    content["grid"] = np.array(captured.grid, dtype=np.int64)
    try:
        with open(path, "wb") as file:
            np.savez(file, version=np.int64(VERSION), **content)
    except (OSError, ValueError) as error:
        raise CaptureError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from error


def read(path: str | Path) -> Captured:
    """The heads of a file that ``write`` wrote. ``CaptureError``, one line, for one that is missing, cut, damaged, of
    another version, without one of its arrays, or whose arrays do not fit together.
    """
    arrays = _arrays(Path(path))
    try:
        return parse(arrays)
    except CaptureError as error:
        raise CaptureError(f"{path}: {error}") from error


def parse(arrays: dict[str, np.ndarray]) -> Captured:
    """The heads in the arrays of a file, by name, if somebody has read them already. ``CaptureError`` as of ``read``."""
    if "version" not in arrays:
        raise CaptureError(
            "no array named version, so this is no file of `zoetrope capture`; files of one head, with q, k and v of "
            "(frames, tokens, d), are for --tensors"
        )
    version = _scalar(arrays, "version", "iu")
    if version != VERSION:
        raise CaptureError(f"version is {version}; this Zoetrope reads version {VERSION}")
    needed = [field.name for field in fields(Captured)]
    if missing := [name for name in needed if name not in arrays]:
        found = ", ".join(_shown(name) for name in sorted(arrays)[:15])
        raise CaptureError(f"no array named {', '.join(missing)}, which version 2 needs; found {found}")
    layers, grid = arrays["layers"], arrays["grid"]
    if layers.dtype.kind != "U" or layers.ndim != 1 or not layers.size:
        raise CaptureError(f"layers is {_shown(layers.dtype)} of shape {layers.shape}; a list of names is needed")
    if grid.dtype.kind not in "iu" or grid.shape != (3,):
        raise CaptureError(
            f"grid is {_shown(grid.dtype)} of shape {grid.shape}; integers (frames, height, width) are needed"
        )
    return Captured(
        *(arrays[name] for name in ("q", "k", "v", "o", "place")),
        layers=tuple(layers.tolist()),
        grid=tuple(grid.tolist()),
        text=_scalar(arrays, "text", "iu"),
        text_side=_scalar(arrays, "text_side", "U"),
        model=_scalar(arrays, "model", "U"),
        dtype=_scalar(arrays, "dtype", "U"),
        scale=float(_scalar(arrays, "scale", "f")),
        kind=_scalar(arrays, "kind", "U"),
    )


def _scalar(arrays, name, kinds):
    array = arrays[name]
    if array.shape != () or array.dtype.kind not in kinds:
        what = {"iu": "one integer", "U": "one text", "f": "one float"}[kinds]
        raise CaptureError(f"{name} is {_shown(array.dtype)} of shape {array.shape}; {what} is needed")
    return array.item()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz, read in full, so that every error of the file comes up here."""
    if path.is_dir():
        raise CaptureError(f"{path}: a folder; name a file that `zoetrope capture` wrote")
    try:
        if path.exists() and not path.is_file():
            raise CaptureError(f"{path}: not a regular file")
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                found = "an empty file" if not os.fstat(file.fileno()).st_size else "not a whole .npz file"
                raise CaptureError(f"{path}: {found}; `zoetrope capture` writes one (a cut one has lost its end)")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                known = {"version", *(field.name for field in fields(Captured))}
                found = {name: np.asarray(archive[name]) for name in archive.files if name in known}
                return found or {name: np.zeros(()) for name in archive.files}
    except CaptureError:
        raise
    except Exception as error:  # whatever the libraries make of bytes that anybody wrote
        if "allow_pickle" in str(error):
            raise CaptureError(f"{path}: pickled objects are refused; plain arrays are needed") from error
        if isinstance(error, MemoryError):
            raise CaptureError(f"{path}: too large for this machine's memory ({error})") from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise CaptureError(f"{path}: no such file") from error
        if isinstance(error, OSError) and error.strerror:
            raise CaptureError(f"{path}: {error.strerror}") from error
        told = " ".join(str(error).split())[:160] or type(error).__name__
        raise CaptureError(f"{path}: a damaged .npz file ({told})") from error
