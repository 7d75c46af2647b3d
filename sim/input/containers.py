# SPDX-License-Identifier: Apache-2.0
"""Files that hold tensors, read into NumPy arrays by name: ``.npz``, ``.npy``, ``.safetensors`` and PyTorch's ``.pt``.

What a file is, its first bytes say, and its name only where they do not. What the arrays mean is ``sim.input.own``'s.

* ``.npz``: of ``numpy.savez``. Nothing that is pickled is read.
* ``.npy``: of ``numpy.save``. A file whose name is ``q`` or ends in it behind a sign, as ``layer3_q.npy`` does, is the first
  of three, and those of ``k`` and ``v`` stand beside it. Every other one has Q, K and V stacked on its first axis.
* ``.safetensors``: read here, in NumPy: the format is a length, a description in JSON, and bytes, and only arrays that are
  asked for leave the disk. Rejected: its package, whose NumPy side knows no bfloat16, which is what models are saved in.
* ``.pt``: by PyTorch, where it is installed, with ``weights_only``, so that no code in the file runs. A dictionary, three
  tensors, or one with Q, K and V stacked.

``InputError``, one line, for whatever is wrong with a file.
"""

from __future__ import annotations

import json
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoetrope.sim.input.tensor_files import InputError, check_file, short

#: What Q, K and V may be called. An underscore and "text" behind a name is the part of the text tokens.
TRIPLES = (("q", "k", "v"), ("query", "key", "value"), ("Q", "K", "V"))
KNOWN = {
    *(name for names in TRIPLES for name in names),
    *(f"{name}_text" for name in TRIPLES[0]),
    *("grid", "text", "text_side"),
}

#: Names that an ``.npz`` of `zoetrope capture` has: it is read by ``sim.input.captured``.
CAPTURED = {"version", "place"}

_SAVE = "save q, k and v with numpy.savez('qkv.npz', q=q, k=k, v=v)"

_NPY = b"\x93NUMPY"

#: A file of ``torch.save`` before it wrote archives: a pickle of this number comes first.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P"

_SAFETENSORS = {
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "BF16": "<u2",
    "BOOL": "|b1",
}
"""The safetensors' types that NumPy has, and bfloat16 as its codes."""

#: Of the description of a safetensors file, as its own reader has it.
_LONGEST_HEADER = 100_000_000


class Raw(NamedTuple):
    """One array as a file has it. ``kind``: of its elements, in the file's words. ``codes``: "bfloat16" where ``array``
    has the bits of such numbers; None where it has the numbers. ``array`` is None for a kind that is not read."""

    array: np.ndarray | None
    kind: str
    codes: str | None = None


class Contents(NamedTuple):
    """``format``: "npz", "npy", "safetensors" or "pt"; ``arrays``: ``Raw`` by name, None for a name that nobody asked for;
    ``name``: of the file or files, for people."""

    format: str
    arrays: dict[str, Raw | None]
    name: str


def read(path: Path) -> Contents:
    """What is in the file at ``path``."""
    check_file(path, "a file of tensors")
    kind = "npz"
    try:
        with open(path, "rb") as file:
            head = file.read(32)
            kind = _kind(path, head, zipfile.is_zipfile(file))
        return Contents(kind, *_READERS[kind](path))
    except InputError:
        raise
    except Exception as error:  # whatever the libraries make of bytes that anybody wrote
        raise InputError(f"{path}: {_told(error, kind)}") from error


def _told(error: Exception, kind: str) -> str:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return "pickled objects are refused; save q, k and v as plain numeric arrays"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return f"too large for this machine's memory ({_words(error)})"
    return f"a damaged .{kind} file ({_words(error)})"


def _words(error: Exception) -> str:
    """What an error of a library says, short and in one line; its kind where that is but a word."""
    told = " ".join(str(error).split())[:160]
    return told if " " in told else f"{type(error).__name__} {told}".rstrip()


def _kind(path: Path, head: bytes, archive: bool) -> str:
    """What the file is: one of ``_READERS``."""
    suffix = path.suffix.lower()
    if archive:
        with zipfile.ZipFile(path) as members:
            torch = any(re.fullmatch(r"([^/]*/)?(data|constants)\.pkl", name) for name in members.namelist())
        return "pt" if torch else "npz"
    if head.startswith(_NPY):
        return "npy"
    if head.startswith(_OLD_TORCH):
        return "pt"
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _LONGEST_HEADER:
        return "safetensors"
    if suffix in (".pt", ".pth", ".ckpt", ".bin"):
        return "pt"
    if suffix in (".npy", ".safetensors"):
        raise InputError(f"{path}: not a whole {suffix} file, or one of another kind under that name")
    raise InputError(f"{path}: {_other(suffix)}")


def _other(suffix: str) -> str:
    """What a file is of which the bytes say nothing, as far as its name tells, and what to do."""
    if suffix in (".h5", ".hdf5", ".mat", ".csv", ".txt", ".pkl", ".pickle", ".json", ".onnx", ".parquet", ".gguf"):
        return f"a {suffix} file is not read; {_SAVE}"
    if suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v"):
        return "not a file of tensors; a video is given by --clip or CLIP="
    kinds = ".npz, .npy, .safetensors and .pt are read"
    return f"not a whole .npz file (numpy.savez writes one; a cut one has lost its end); {kinds}"


# --- NumPy ---------------------------------------------------------------------------------------------------------


def _npz(path: Path) -> tuple[dict, str]:
    """The arrays that we know, read in full, so that every error of the file comes up here."""
    # NumPy leaves a file that it opened itself open when the archive is damaged.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        wanted = KNOWN if not set(archive.files) >= CAPTURED else ()
        return {name: _of(archive[name]) if name in wanted else None for name in archive.files}, path.name


def _of(array) -> Raw:
    array = np.asarray(array)
    return Raw(array, short(str(array.dtype)))


def _npy(path: Path) -> tuple[dict, str]:
    if (named := re.fullmatch(r"(.*[^a-zA-Z0-9])?q", path.stem)) is None:
        return _stacked(path, _mapped(path)), path.name
    paths = {name: path.with_name(f"{named[1] or ''}{name}{path.suffix}") for name in "qkv"}
    if missing := [other.name for other in paths.values() if not other.is_file()]:
        raise InputError(
            f"{path}: is q alone, and there is no {' and no '.join(missing)} beside it; of one file save "
            "numpy.stack([q, k, v]) as qkv.npy"
        )
    return {name: _mapped(other) for name, other in paths.items()}, ", ".join(other.name for other in paths.values())


def _mapped(path: Path) -> Raw:
    """The array of an ``.npy``, whose errors are of this file, if another one was named."""
    with open(path, "rb") as file:
        if not file.read(8).startswith(_NPY):
            raise InputError(f"{path}: not a whole .npy file, or one of another kind under that name")
    try:
        return _of(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:
        raise InputError(f"{path}: {_told(error, 'npy')}") from error


def _stacked(path: Path, raw: Raw) -> dict[str, Raw]:
    """Q, K and V of one array."""
    if raw.array is None or raw.array.ndim < 3 or raw.array.shape[0] != 3:
        shape = "" if raw.array is None else f" of shape {raw.array.shape}"
        other = "three files q.npy, k.npy, v.npy" if path.suffix == ".npy" else "a dictionary of q, k and v"
        raise InputError(
            f"{path}: a single array{shape}; q, k and v are needed, stacked on the first axis (numpy.stack([q, k, v]), "
            f"torch.stack([q, k, v])), or {other}"
        )
    return {name: raw._replace(array=raw.array[place]) for place, name in enumerate("qkv")}


# --- safetensors ---------------------------------------------------------------------------------------------------


def _safetensors(path: Path) -> tuple[dict, str]:
    """Eight bytes of length, as many of JSON, and the arrays, one behind the other, each with its place in the JSON."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LONGEST_HEADER, size - 8):
            raise ValueError("it ends within its description")
        described = json.loads(file.read(length))
    if not isinstance(described, dict):
        raise ValueError("its description is no object of JSON")
    places = {name: _place(name, each) for name, each in described.items() if name != "__metadata__"}
    end = 0
    for name, (*_, start, stop) in sorted(places.items(), key=lambda item: item[1][2:]):
        if start != end or stop < start:
            raise ValueError(f"{short(name)} does not begin where the tensor before it ends")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"{end:,} bytes of tensors are described, and {size - 8 - length:,} are there")
    found = {}
    for name, (kind, shape, start, stop) in places.items():
        found[name] = None
        if name in KNOWN:
            found[name] = _raw(path, kind, shape, 8 + length + start, stop - start)
    return found, path.name


def _place(name: str, described) -> tuple[str, tuple[int, ...], int, int]:
    """(type, shape, start, stop) of a tensor's description."""
    try:
        kind, shape, (start, stop) = (described[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(kind, str) or any(type(number) is not int or number < 0 for number in (*shape, start, stop)):
            raise TypeError
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the description of {short(name)} has no type, shape and offsets") from None
    if kind in _SAFETENSORS and math.prod(shape) * np.dtype(_SAFETENSORS[kind]).itemsize != stop - start:
        raise ValueError(f"{short(name)} of {kind} {tuple(shape)} does not have {stop - start:,} bytes")
    return kind, tuple(shape), start, stop


def _raw(path: Path, kind: str, shape: tuple[int, ...], start: int, count: int) -> Raw:
    if kind not in _SAFETENSORS:
        return Raw(None, short(kind))
    dtype = np.dtype(_SAFETENSORS[kind])
    array = np.memmap(path, dtype, "r", start, shape) if count and shape else np.empty(shape, dtype)
    if count and not shape:  # a number alone
        array = np.fromfile(path, dtype, 1, offset=start).reshape(())
    return Raw(array, kind, "bfloat16" if kind == "BF16" else None)


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _pt(path: Path) -> tuple[dict, str]:
    """By PyTorch, which makes nothing but tensors and plain containers of a file that is read for its weights only."""
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: a file of PyTorch, which is not installed here: pip install torch, or where the file was written "
            "numpy.savez('qkv.npz', q=q.float().cpu().numpy(), k=..., v=...)"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old ways to save tensors
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except Exception as error:
        if "weights_only" not in str(error) and "TorchScript" not in str(error):
            raise InputError(f"{path}: a damaged file of PyTorch, or none ({_words(error)})") from error
        raise InputError(
            f"{path}: holds more than tensors, and what is pickled in it could run any code, so it is not loaded; save the "
            "tensors alone: torch.save({'q': q, 'k': k, 'v': v}, 'qkv.pt')"
        ) from error
    if torch.is_tensor(content):
        return _stacked(path, _tensor(torch, content)), path.name
    if isinstance(content, Mapping):
        items = content.items()
    elif isinstance(content, Sequence) and len(content) == 3 and all(torch.is_tensor(each) for each in content):
        items = zip("qkv", content)
    else:
        kind = type(content).__name__
        raise InputError(f"{path}: holds a {kind}; a dictionary of q, k and v, or the three in this order, is needed")
    return {str(name): _item(torch, str(name), each) for name, each in items}, path.name


def _item(torch, name: str, item) -> Raw | None:
    if name not in KNOWN:
        return None
    if torch.is_tensor(item):
        return _tensor(torch, item)
    try:
        return _of(item)  # a grid may be a list, a number of text tokens a number
    except ValueError:  # of lists of different lengths
        return Raw(None, type(item).__name__)


def _tensor(torch, tensor) -> Raw:
    kind = str(tensor.dtype)
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        what = "quantized" if tensor.is_quantized else "nested" if tensor.is_nested else "sparse or empty"
        return Raw(None, f"a {what} tensor of {kind}")
    tensor = tensor.detach().cpu()
    if tensor.dtype is torch.bfloat16:
        return Raw(tensor.view(torch.int16).numpy().view(np.uint16), kind, "bfloat16")
    try:
        return Raw(tensor.numpy(), kind)
    except TypeError:  # a type that NumPy does not have
        return Raw(None, kind)


_READERS = {"npz": _npz, "npy": _npy, "safetensors": _safetensors, "pt": _pt}
