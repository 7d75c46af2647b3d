# SPDX-License-Identifier: Apache-2.0
"""Q, K and V of one attention head, and the ``.npz`` that brings a user's own: what is in it, and what is refused.

The file: arrays ``q``, ``k`` and ``v`` of one shape (frames, tokens, d), and if you like ``grid``, the three integers
(frames, height, width) with height * width = tokens, a frame's tokens being in rows from the top. From PyTorch::

    x = q[batch, head].float().cpu().numpy()             # of (batch, heads, frames * tokens, d); k and v likewise
    q = x.reshape(frames, -1, d)
    numpy.savez("qkv.npz", q=q, k=k, v=v, grid=[frames, height, width])

Floats of 16, 32 and 64 bits and integers of 8, 32 and 64 bits are taken as numbers and rounded once to FP16. Integers of
16 bits are refused: they may be numbers, or the bits of FP16 or bfloat16. Without a grid the most square one is guessed,
and ``Tensors.source``, which every command prints, says so.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoetrope.hw.errors import UserError

#: For the help of commands.
FORMAT = (
    "an .npz of numpy.savez with q, k, v of shape (frames, tokens, d) and, if you like, grid = (frames, height, width)"
)


class InputError(UserError, ValueError):
    """A clip or tensor file that cannot be used."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """Q, K and V of one head. ``ValueError`` if they are not three FP16 arrays of one shape that ``grid`` fits.

    ``q``, ``k``, ``v``: ``float16`` of shape (frames, tokens, d), read-only, tokens in row-major order of the frame.
    ``grid``: (frames, height, width) in tokens; None is replaced by a guess, and then ``guessed``. ``source``: one line
    for people. ``given``: options of a command that bring these tensors again, by name.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    grid: tuple[int, int, int] | None
    source: str
    given: dict[str, str] = field(default_factory=dict)
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

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        yield from (("q", self.q), ("k", self.k), ("v", self.v))


def fits(grid: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(grid) == 3 and grid[0] == shape[0] and grid[1] > 0 and grid[1] * grid[2] == shape[1]


def guess(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The most square grid of (frames, tokens, ...), no higher than wide: 1 x tokens where their number is prime."""
    frames, tokens, *_ = shape
    height = next(h for h in range(math.isqrt(tokens), 0, -1) if tokens % h == 0)
    return frames, height, tokens // height


def parse_grid(text: str) -> tuple[int, int]:
    """(height, width) of what a user writes as ``9x11``."""
    if not (found := re.fullmatch(r"([1-9][0-9]{0,8})[x*, ]([1-9][0-9]{0,8})", text.strip(), re.ASCII)):
        raise InputError(f"a grid is HEIGHTxWIDTH in tokens, such as 9x11, not {text}")
    return int(found[1]), int(found[2])


def options(given: dict[str, str]) -> str:
    """``Tensors.given`` as options of a command, each with a blank before it."""
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items())


def variables(given: dict[str, str]) -> str:
    """``Tensors.given`` as variables of ``make``, each with a blank before it."""
    doubled = {name: value.replace("$", "$$") for name, value in given.items()}
    return "".join(f" {name.upper()}={shlex.quote(value)}" for name, value in doubled.items())


# --- reading -------------------------------------------------------------------------------------------------------


def from_npz(path: str | Path, grid: tuple[int, int] | None = None) -> Tensors:
    """Q, K, V from an ``.npz`` as the module's docstring describes it; ``grid``, (height, width), in place of its own.

    ``InputError``, one line, for a file that is missing, no npz, truncated or pickled; for a missing key, a wrong shape
    or dtype, values that are not finite or overflow FP16 (which tensor, how many), and a grid that does not fit. Values
    that FP16 makes 0 are no error: ``source`` has their number.
    """
    path = Path(path)
    arrays = _read(path)
    if missing := [name for name in ("q", "k", "v") if name not in arrays]:
        found = ", ".join(_short(name) for name in sorted(arrays)[:5]) or "nothing"
        more = f" and {len(arrays) - 5} more" if len(arrays) > 5 else ""
        raise InputError(f"{path}: no array named {', '.join(missing)}; q, k and v are needed, found {found}{more}")
    q, k, v = (_checked(path, name, arrays[name]) for name in ("q", "k", "v"))
    if not q.shape == k.shape == v.shape:
        shapes = f"q {q.shape}, k {k.shape}, v {v.shape}"
        raise InputError(f"{path}: shapes differ: {shapes}; all must be the same (frames, tokens, d)")
    halves, notes = [], []
    for name, array in zip("qkv", (q, k, v)):
        halves.append(_half(path, name, array))
        if lost := np.count_nonzero((halves[-1] == 0) & (array != 0)):
            notes.append(f"; {lost} of {array.size} values of {name} are too small for FP16 and became 0")
    given = {"tensors": str(path)}
    if grid is None:
        grid = _grid(path, arrays, q.shape)
    else:
        given["grid"] = "{}x{}".format(*grid)
        grid = (len(q), *grid)
        if not fits(grid, q.shape):
            wrong = f"a grid of {grid[1]} x {grid[2]} is {grid[1] * grid[2]} tokens"
            raise InputError(f"{path}: {wrong}; q, k and v have {q.shape[1]} in a frame")
    return Tensors(*halves, grid, path.name + _layout(grid, q.shape) + "".join(notes), given)


def _layout(grid, shape) -> str:
    frames, height, width = grid or guess(shape)
    how = f"{frames} frame{'s' * (frames > 1)} of {height} x {width} tokens"
    if grid or shape[1] == 1:
        return f": {how}"
    return f": {how} (guessed, as the file has no grid; GRID=HxW or --grid HxW says otherwise)"


def _short(name: str) -> str:
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


_SAVE = "save q, k and v with numpy.savez('qkv.npz', q=q, k=k, v=v)"
_TORCH = "a file of PyTorch; from there numpy.savez('qkv.npz', q=q.float().cpu().numpy(), k=..., v=...) writes an .npz"


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz that we know, read in full, so that every error of the file comes up here."""
    check_file(path, "an .npz file")
    try:
        # NumPy leaves a file that it opened itself open when the archive is damaged.
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):  # numpy.load would take it for a pickle
                file.seek(0)
                raise InputError(f"{path}: {_other(path, file.read(16))}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                if any(name.endswith("data.pkl") for name in archive.files):
                    raise InputError(f"{path}: {_TORCH}")
                known = ("q", "k", "v", "grid")
                return {name: np.asarray(archive[name]) if name in known else None for name in archive.files}
    except InputError:
        raise
    except Exception as error:  # whatever the libraries make of bytes that anybody wrote
        if "allow_pickle" in str(error):
            raise InputError(f"{path}: pickled objects are refused; save q, k and v as plain numeric arrays") from error
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: {error.strerror}") from error
        if isinstance(error, MemoryError):
            raise InputError(f"{path}: too large for this machine's memory ({error})") from error
        told = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path}: a damaged .npz file ({told})") from error


def _other(path: Path, head: bytes) -> str:
    """What a file is that is no archive, as far as its name and its first bytes tell, and what to do."""
    if head.startswith(b"\x93NUMPY"):
        return f"a single array of numpy.save; {_SAVE}"
    if path.suffix in (".pt", ".pth", ".ckpt") or head.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P"):
        return _TORCH
    if path.suffix == ".safetensors" or head[8:10] == b'{"':
        return f"a safetensors file; read it (safetensors.torch.load_file), and {_SAVE} as float32"
    if path.suffix in (".h5", ".hdf5", ".mat", ".csv", ".txt", ".pkl", ".pickle", ".json", ".onnx", ".parquet"):
        return f"not an .npz file; {_SAVE}"
    if path.suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v"):
        return "not an .npz file; a video is given by --clip or CLIP="
    return "not a whole .npz file (numpy.savez writes one; a cut one has lost its end)"


def _checked(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    dtype = array.dtype
    if dtype.kind in "iu" and dtype.itemsize == 2:
        raise InputError(
            f"{path}: {name} is {dtype}, which may be the bits of FP16, of bfloat16, or numbers; save "
            f"{name}.view(numpy.float16), ({name}.astype(numpy.uint32) << 16).view(numpy.float32), or "
            f"{name}.astype(numpy.float32)"
        )
    if dtype.kind == "V" and dtype.names is None and dtype.itemsize <= 2:
        kind = "bfloat16" if dtype.itemsize == 2 else "an FP8 format"
        raise InputError(
            f"{path}: {name} has elements of {dtype.itemsize} unnamed byte{'s' * (dtype.itemsize > 1)}, as numpy.savez "
            f"writes {kind}; save {name}.astype(numpy.float32)"
        )
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise InputError(f"{path}: {name} is {_short(str(dtype))}; integers or floats of up to 64 bits are needed")
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"{path}: {name} has shape {array.shape}; (frames, tokens, d), each at least 1, is needed{_way_out(name, array)}"
        )
    return array


def _way_out(name: str, array: np.ndarray) -> str:
    if 0 in array.shape:
        return ""
    if array.ndim == 2:
        return f": of one frame's (tokens, d) save {name}[None]; of several frames' {name}.reshape(frames, -1, d)"
    if array.ndim == 4:
        return (
            f": of (batch, heads, frames * tokens, d) save {name}[0, 0].reshape(frames, -1, d), one head; "
            f"of (frames, height, width, d) {name}.reshape(frames, -1, d)"
        )
    return ""


def _half(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Rounded once to FP16; integers go through ``float64``, exact for all that can fit."""
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise InputError(f"{path}: {name} has {bad} of {array.size} values that are NaN or infinite")
    with np.errstate(over="ignore", under="ignore"):
        half = (array.astype(np.float64) if array.dtype.kind in "iu" else array).astype(np.float16)
    if over := np.count_nonzero(np.isinf(half)):
        largest = np.abs(array[np.isinf(half)].astype(np.float64)).max()
        raise InputError(
            f"{path}: {name} has {over} of {array.size} values beyond FP16's 65504 (largest {largest:g}); scale it"
        )
    return half


def _grid(path: Path, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    if "grid" not in arrays:
        return None
    grid = arrays["grid"]
    if grid.dtype.kind not in "iu" or grid.shape != (3,) or not fits(tuple(grid.tolist()), shape):
        need = f"({shape[0]}, height, width) with height * width = {shape[1]}"
        found = (
            grid.tolist() if grid.size <= 8 and grid.dtype.kind in "iuf" else f"{_short(str(grid.dtype))} {grid.shape}"
        )
        raise InputError(f"{path}: grid is {found}; integers {need} are needed")
    return tuple(grid.tolist())


# --- writing -------------------------------------------------------------------------------------------------------


def save(path: str | Path, tensors: Tensors) -> None:
    """Write an ``.npz``, under exactly this name, that ``from_npz`` reads back equal in every bit but ``source``."""
    try:
        with open(path, "wb") as file:
            np.savez(file, **arrays(tensors))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason})") from error


def arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    """What ``save`` writes, by name: no grid that is but a guess."""
    found = dict(tensors.items())
    return found if tensors.guessed else found | {"grid": np.array(tensors.grid, dtype=np.int64)}
