# SPDX-License-Identifier: Apache-2.0
"""A user's own Q, K and V, one head of a file: which arrays of which shapes and types are taken, and what is refused.

``sim.input.containers`` reads the file, of whichever format. Arrays ``q``, ``k`` and ``v`` of one shape, one of

* (frames, tokens, d), a frame's tokens being in rows from the top; (frames, height, width, d);
* (tokens, d), (heads, tokens, d), (tokens, heads, d), (batch, heads, tokens, d), (batch, tokens, heads, d), as models have
  them, tokens of all frames, and of the text before or behind them.

Which one, the grid tells: ``grid`` in the file, three integers (frames, height, width), or the option. What fits two of them
is refused with what would tell them apart. ``text``, a number of tokens, and ``text_side``, "first" or "last", may be in
the file, too; so may the text's own tokens, ``q_text``, ``k_text``, ``v_text`` of shape (tokens, d), beside frames. In an
``.npz`` without a grid, three axes are taken for (frames, tokens, d), and the most square grid is guessed.
``Tensors.source``, which every command prints, says what was taken for what.

Floats of 16, 32 and 64 bits, integers of 8, 32 and 64 bits, and bfloat16 are taken as numbers and rounded once to FP16.
Two bytes without a name are what NumPy makes of ml_dtypes' bfloat16, and are taken for it. Integers of 16 bits are refused
unless ``codes`` says that they are the bits of bfloat16 or FP16: they might be numbers.

A file of ``zoetrope capture`` says all of this itself: ``sim.input.captured``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoetrope.sim.input import captured, containers
from zoetrope.sim.input.containers import Raw
from zoetrope.sim.input.tensor_files import InputError, Tensors, guess, short

#: For the help of commands.
FORMAT = (
    "an .npz of numpy.savez with q, k, v of shape (frames, tokens, d) and, if you like, grid = (frames, height, width); "
    "or .npy, .safetensors, .pt, and shapes with heads"
)
_WHERE = {"first": "before them", "last": "behind them"}
SIDES = tuple(_WHERE)
CODES = ("bfloat16", "float16")

_HEADS = {
    2: (("tokens",),),
    3: (("heads", "tokens"), ("tokens", "heads")),
    4: (("batch", "heads", "tokens"), ("batch", "tokens", "heads")),
}
"""Axes before d, by the number of all axes, of what has the tokens of all frames on one of them."""

_FRAMES = {3: ("frames", "tokens"), 4: ("frames", "height", "width")}
"""Of what has the frames on an axis of their own."""


@dataclass(frozen=True)
class Choice:
    """Which head of a file, which part of it, and what the file does not say. None: what the file says, or the first.

    ``grid``: (height, width) or (frames, height, width) of all frames there are; ``text``: tokens of text, on
    ``text_side``, "first" or "last"; ``codes``: "bfloat16" or "float16", what integers of 16 bits are the bits of;
    ``frames``: at most so many, from the first on; ``crop``: (rows, columns), the middle of each frame. ``step`` and
    ``layer`` are of files of ``zoetrope capture`` only, ``sample`` is an index of the batch.
    """

    step: int | None = None
    layer: int | None = None
    head: int | None = None
    sample: int | None = None
    grid: tuple[int, ...] | None = None
    text: int | None = None
    text_side: str | None = None
    codes: str | None = None
    frames: int | None = None
    crop: tuple[int, int] | None = None

    def given(self) -> dict[str, str]:
        """As options of a command."""
        found = ((each.name.replace("_", "-"), getattr(self, each.name)) for each in fields(self))
        return {
            name: "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in found
            if value is not None
        }


class _Taken(NamedTuple):
    """How an array is read: an index or ``slice`` for each axis before d, what that is called for people, and a note."""

    index: tuple
    said: str = ""
    note: str = ""


class _Grid(NamedTuple):
    """``frames`` is None where nobody said how many. ``text``: tokens before or behind those of the frames. ``of_file``: it
    is the file's own."""

    frames: int | None
    height: int
    width: int
    text: int
    of_file: bool

    def frames_of(self, tokens: int) -> int | None:
        """How many frames ``tokens`` of a sequence are; None if they are not whole frames and the text."""
        count, rest = divmod(tokens - self.text, self.height * self.width)
        return None if rest or count < 1 or self.frames not in (None, count) else count

    @property
    def said(self) -> str:
        text = f" and {self.text:,} of text" if self.text else ""
        frames = f"{self.frames} frames" if self.frames else "frames"
        return f"{frames} of {self.height} x {self.width} tokens{text}"


def from_file(path: str | Path, choice: Choice | None = None) -> Tensors:
    """The head of the file at ``path`` that ``choice`` names, as the module's docstring describes it.

    ``InputError``, one line, for a file that is missing, damaged, pickled or of another kind; for a missing array, a shape
    or type that does not fit or is ambiguous, values that are not finite or overflow FP16 (which, how many, where), a head,
    step, layer or sample that is not there, a grid, text or crop that does not fit. Values that FP16 makes 0 are no error:
    ``source`` has their number.
    """
    path, choice = Path(path), choice or Choice()
    _possible(choice)
    contents = containers.read(path)
    arrays = contents.arrays
    if contents.format == "npz" and set(arrays) >= containers.CAPTURED:
        return _captured(path, choice)
    if choice.step is not None or choice.layer is not None:
        named = "step" if choice.step is not None else "layer"
        raise InputError(f"{path}: has no steps and layers; --{named} is of a file of `zoetrope capture`")
    names = _names(path, arrays)
    raw = {name: _number_like(path, name, arrays[name], choice.codes) for name in names}
    shapes = {name: each.array.shape for name, each in raw.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"{path}: shapes differ: {told}; all must be the same, as (frames, tokens, d)")
    shape = shapes[names[0]]
    apart = _text_apart(path, arrays, choice, shape[-1:])
    grid = _grid(path, arrays, choice, bool(apart), shape)
    taken, of = _taken(path, names[0], shape, grid, choice, contents.format, bool(apart))
    notes = [taken.note, *_disguised(path, arrays, raw | apart, choice.codes)]
    side = _side(path, arrays, choice, bool(apart) or bool(grid and grid.text))
    matrices = [_half(path, name, each, taken.index, notes) for name, each in raw.items()]
    video, text = _parted(matrices, grid.text if grid else 0, side)
    if apart:
        text = tuple(_half(path, name, each, (slice(None),), notes) for name, each in apart.items())
    return _tensors(path, contents.name + taken.said, video, of, text, side, choice, notes)


def _possible(choice: Choice) -> None:
    """``InputError`` for options that contradict each other, whatever the file is."""
    for name in ("step", "layer", "head", "sample", "text"):
        value = getattr(choice, name)
        if value is not None and value < 0:
            raise InputError(f"{name} must be at least 0, not {value}")


def _names(path: Path, arrays: dict) -> tuple[str, str, str]:
    """What Q, K and V are called in this file."""
    fitting = [names for names in containers.TRIPLES if set(names) <= set(arrays)]
    if len(fitting) > 1:
        raise InputError(f"{path}: has {' and '.join(', '.join(names) for names in fitting)}; one of them is needed")
    if fitting:
        return fitting[0]
    missing = ", ".join(name for name in "qkv" if name not in arrays)
    found = ", ".join(short(name) for name in sorted(arrays)[:5]) or "nothing"
    more = f" and {len(arrays) - 5} more" if len(arrays) > 5 else ""
    raise InputError(f"{path}: no array named {missing}; q, k and v are needed, found {found}{more}")


# --- types ---------------------------------------------------------------------------------------------------------


def _number_like(path: Path, name: str, raw: Raw, codes: str | None) -> Raw:
    """``raw``, its codes named where it has any. ``InputError`` for what is neither numbers nor known codes."""
    if raw is None or raw.array is None:
        kind = raw.kind if raw else "no tensor"
        scaled = ", which is a number only with its scale" if "8_e" in kind.lower() or "quantized" in kind else ""
        raise InputError(f"{path}: {name} is {kind}{scaled}; save it as bfloat16 or float32")
    dtype = raw.array.dtype
    bare = dtype.kind == "V" and dtype.names is None
    if raw.codes is None and (bare or dtype.kind in "iu") and dtype.itemsize == 2:
        if codes is None and not bare:
            raise InputError(
                f"{path}: {name} is {dtype}, which may be the bits of FP16, of bfloat16, or numbers: --codes float16 or "
                f"--codes bfloat16 says which bits; of numbers save {name}.astype(numpy.float32)"
            )
        return raw._replace(codes=codes or "bfloat16")
    if bare and dtype.itemsize == 1:
        raise InputError(
            f"{path}: {name} has elements of 1 unnamed byte, as numpy.savez writes an FP8 format; save "
            f"{name}.astype(numpy.float32)"
        )
    if raw.codes is None and (dtype.kind not in "fiu" or dtype.itemsize > 8):
        raise InputError(f"{path}: {name} is {raw.kind}; integers or floats of up to 64 bits are needed")
    return raw


def _disguised(path: Path, arrays: dict, raw: dict[str, Raw], codes: str | None) -> list[str]:
    """A note on what was taken for what it does not say it is. ``InputError`` for ``codes`` that nothing is."""
    found = {name: each.codes for name, each in raw.items() if each.codes != arrays[name].codes}
    if codes and not found:
        kinds = ", ".join(f"{name} is {each.kind}" for name, each in raw.items())
        raise InputError(f"{path}: --codes {codes} is of integers of 16 bits, and {kinds}")
    kinds = sorted(set(found.values()))
    return [f"; {', '.join(n for n in found if found[n] == kind)} taken for the bits of {kind}" for kind in kinds]


def _half(path: Path, name: str, raw: Raw, index: tuple, notes: list[str]) -> np.ndarray:
    """What ``index`` chooses of an array, rounded once to FP16, in an array of its own; integers go through ``float64``,
    exact for all that can fit. ``notes`` gets what was lost."""
    array = np.asarray(raw.array[index])
    if raw.codes:
        bits = array.view(array.dtype.str.replace("V", "u").replace("|", "<")).astype(np.uint16)
        array = bits.view(np.float16) if raw.codes == "float16" else (bits.astype(np.uint32) << 16).view(np.float32)
    if bad := np.count_nonzero(wrong := ~np.isfinite(array)):
        where = _where(name, index, wrong)
        raise InputError(f"{path}: {name} has {bad} of {array.size} values that are NaN or infinite, the first {where}")
    with np.errstate(over="ignore", under="ignore"):
        half = (array.astype(np.float64) if array.dtype.kind in "iu" else array).astype(np.float16)
    if over := np.count_nonzero(wrong := np.isinf(half)):
        largest = np.abs(array[wrong].astype(np.float64)).max()
        raise InputError(
            f"{path}: {name} has {over} of {array.size} values beyond FP16's 65504 (largest {largest:g}), the first "
            f"{_where(name, index, wrong)}; scale it"
        )
    if lost := np.count_nonzero((half == 0) & (array != 0)):
        notes.append(f"; {lost} of {array.size} values of {name} are too small for FP16 and became 0")
    return half


def _where(name: str, index: tuple, wrong: np.ndarray) -> str:
    """The place of the first that is wrong, in the array of the file."""
    left = iter(np.argwhere(wrong)[0].tolist())
    place = [each if isinstance(each, int) else next(left) for each in index]
    return f"at {name}{[*place, *left]}"


# --- shapes --------------------------------------------------------------------------------------------------------


def _integers(path: Path, arrays: dict, name: str, count: int, meaning: str) -> list[int] | None:
    """Integers that a file has under ``name``; None if it has none."""
    raw = arrays.get(name)
    if raw is None:
        return None
    array = raw.array
    if array is None or array.dtype.kind not in "iu" or array.size != count or array.ndim > 1:
        small = array is not None and array.size <= 8 and array.dtype.kind in "iuf"
        found = array.tolist() if small else f"{raw.kind} {() if array is None else array.shape}"
        raise InputError(f"{path}: {name} is {found}; {meaning}")
    return array.ravel().tolist()


def _grid(path: Path, arrays: dict, choice: Choice, apart: bool, shape: tuple) -> _Grid | None:
    """The grid and text of an option, or of the file; None where neither has a grid."""
    own = _integers(path, arrays, "text", 1, "a number of text tokens is needed")
    if own and (own[0] < 0 or choice.text not in (None, *own)):
        told = "a number of text tokens is needed" if own[0] < 0 else f"--text is {choice.text}"
        raise InputError(f"{path}: text is {own[0]}, and {told}")
    (text,) = own or [choice.text or 0]
    if apart and text:
        raise InputError(f"{path}: has text beside the frames, as q_text, k_text, v_text; --text is of text among them")
    if choice.grid:
        return _Grid(*(None, *choice.grid)[-3:], text, False)
    need = "integers (frames, height, width) are needed"
    if len(shape) == 3 and not text and choice.head is None:
        need = f"integers ({shape[0]}, height, width) with height * width = {shape[1]} are needed"
    grid = _integers(path, arrays, "grid", 3, need)
    if grid and min(grid) < 1:
        raise InputError(f"{path}: grid is {grid}; {need}")
    if text and not grid:
        raise InputError(f"{path}: only a grid tells text from the video's tokens: --grid HxW beside --text")
    return _Grid(*grid, text, True) if grid else None


def _taken(path: Path, name: str, shape: tuple, grid: _Grid | None, choice: Choice, form: str, apart: bool):
    """(``_Taken``, (frames, height, width)) of an array; the second has a guess's mark, None, where the grid is none."""
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise InputError(
            f"{path}: {name} has shape {shape}; (frames, tokens, d), each at least 1, is needed, or (tokens, d), (heads, "
            "tokens, d), (batch, heads, tokens, d)"
        )
    whole = choice.head is None and choice.sample is None
    axes = _FRAMES.get(len(shape))
    if whole and axes and not (grid and grid.text):
        frames, tokens = shape[0], int(np.prod(shape[1:-1]))
        flat = len(shape) == 3
        if grid is None and flat and (form == "npz" or apart):
            return _Taken((slice(None),) * 2), None
        fits = grid and grid.frames in (None, frames) and tokens == grid.height * grid.width
        if fits and (flat or shape[1:3] == (grid.height, grid.width)):
            of_one = flat and form != "npz" and not grid.frames  # heads of one frame would have the same shape
            note = "; its first axis was taken for frames, --head N takes it for heads" if of_one else ""
            return _Taken((slice(None),) * len(axes), note=note), (frames, grid.height, grid.width)
    if apart:
        raise InputError(f"{path}: {name} has shape {shape}; beside text (q_text, ...) {name} is (frames, tokens, d)")
    if grid is None:
        raise InputError(
            f"{path}: {name} has shape {shape}, which is {_could_be(len(shape))}; --grid HxW, the height and width of a "
            f"frame in tokens, tells{'' if len(shape) == 2 else ', and --head N chooses'}"
        )
    return _of_heads(path, name, shape, grid, choice)


def _could_be(axes: int) -> str:
    shapes = [each for each in (_FRAMES.get(axes), *_HEADS[axes]) if each]
    *first, last = (f"({', '.join((*each, 'd'))})" for each in shapes)
    return f"{', '.join(first)} or {last}" if first else last


def _of_heads(path: Path, name: str, shape: tuple, grid: _Grid, choice: Choice):
    """As ``_taken``, of arrays that have the tokens of all frames, and of the text, on one axis."""
    fitting = [axes for axes in _HEADS[len(shape)] if grid.frames_of(shape[axes.index("tokens")])]
    if not fitting and grid.of_file and len(shape) == 3 and choice.head is None and not grid.text:
        need = f"integers ({shape[0]}, height, width) with height * width = {shape[1]} are needed"
        raise InputError(f"{path}: grid is {list(grid[:3])}; {need} of (frames, tokens, d)")
    if not fitting:
        raise InputError(
            f"{path}: {name} has shape {shape}, which is {_could_be(len(shape))}, and no axis of tokens has {grid.said}; "
            "--grid, --text and the shape must fit"
        )
    if len(fitting) > 1:
        raise InputError(
            f"{path}: {name} has shape {shape}, in which two axes fit {grid.said}; --grid FxHxW, with the number of frames, "
            "may tell, or save one head as (tokens, d)"
        )
    ((axes),) = fitting
    index, said = [], ""
    for axis, count in zip(axes, shape):
        if axis == "tokens":
            index.append(slice(None))
            continue
        option = "head" if axis == "heads" else "sample"
        index.append(_index(path, option, getattr(choice, option), count))
        if count > 1 or getattr(choice, option) is not None:
            said += f", {option} {index[-1]} of {count}"
    for option, axis in (("head", "heads"), ("sample", "batch")):
        if getattr(choice, option) is not None and axis not in axes:
            raise InputError(
                f"{path}: {name} has shape {shape}, ({', '.join(axes)}, d): there is no {option} to choose"
            )
    frames = grid.frames_of(shape[axes.index("tokens")])
    return _Taken(tuple(index), said), (frames, grid.height, grid.width)


def _index(path: Path, option: str, value: int | None, count: int) -> int:
    if value is not None and value >= count:
        raise InputError(f"{path}: there is no {option} {value}: {option}s are 0 to {count - 1}")
    return value or 0


# --- text, parts ---------------------------------------------------------------------------------------------------


def _text_apart(path: Path, arrays: dict, choice: Choice, d: tuple) -> dict[str, Raw]:
    """``q_text``, ``k_text``, ``v_text`` of a file, by name; nothing if it has none."""
    there = [name for name in ("q_text", "k_text", "v_text") if name in arrays]
    if not there:
        return {}
    if len(there) < 3:
        raise InputError(f"{path}: has {' and '.join(there)}; q_text, k_text and v_text belong together")
    found = {name: _number_like(path, name, arrays[name], choice.codes) for name in there}
    shapes = [each.array.shape for each in found.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2 or shapes[0][1:] != d or not shapes[0][0]:
        told = ", ".join(f"{name} {shape}" for name, shape in zip(found, shapes))
        raise InputError(f"{path}: shapes of text are {told}; all three must be (text tokens, {d[0] if d else 'd'})")
    return found


def _side(path: Path, arrays: dict, choice: Choice, text: bool) -> str:
    if not text:
        if choice.text_side is not None:
            raise InputError(f"{path}: --text-side is of text tokens; --text N says how many there are")
        return "first"
    raw = arrays.get("text_side")
    own = str(raw.array) if raw is not None and raw.array is not None and raw.array.ndim == 0 else None
    if raw is not None and own not in SIDES:
        raise InputError(f"{path}: text_side is {short(str(own or raw.kind))}; 'first' or 'last' is needed")
    if own and choice.text_side not in (None, own):
        raise InputError(f"{path}: has its text {own}, it says, and --text-side is {choice.text_side}")
    side = own or choice.text_side
    if side is None:
        raise InputError(
            f"{path}: where its text stands is not known; --text-side first (as CogVideoX has it) or --text-side last "
            "(HunyuanVideo) says"
        )
    return side


def _tensors(path: Path, name: str, matrices: list, of: tuple | None, text: tuple, side: str, choice: Choice, notes):
    """``Tensors`` of the frames and the middle of them that ``choice`` wants. ``matrices``: of frames, of any shape;
    ``of``: (frames, height, width), or None for a guess."""
    frames, height, width = grid = of or guess(matrices[0].shape)
    video = [x.reshape(*grid, -1) for x in matrices]
    said, some = f"{frames} frame{'s' * (frames > 1)}", ""
    if choice.frames is not None and choice.frames < frames:
        video = [x[: choice.frames] for x in video]
        said = f"the first {choice.frames} of {said}"
    rows, columns = choice.crop or (height, width)
    if of is None and choice.crop:
        raise InputError(f"{path}: a part of frames needs their height and width: --grid HxW beside --crop")
    if rows > height or columns > width:
        raise InputError(f"{path}: a crop of {rows} x {columns} tokens; frames have {height} x {width}")
    if (rows, columns) != (height, width):
        top, left = (height - rows) // 2, (width - columns) // 2
        video = [x[:, top : top + rows, left : left + columns] for x in video]
        some = f", of which the middle {rows} x {columns}"
    if of is None and width * height > 1:
        some = (
            " (guessed, as the file has no grid; GRID=HxW or --grid HxW says otherwise, and of (heads, tokens, d) "
            "--head N beside it takes one)"
        )
    cut = (len(video[0]), rows, columns)
    given = {"tensors": str(path)} | choice.given()
    behind = f", {len(text[0]):,} text token{'s' * (len(text[0]) > 1)} {_WHERE[side]}" if text else ""
    return Tensors(
        *(np.ascontiguousarray(x).reshape(cut[0], rows * columns, -1) for x in video),
        None if of is None else cut,
        f"{name}: {said} of {height} x {width} tokens{some}{behind}{''.join(notes)}",
        given,
        text or None,
        side == "first",
    )


# --- files of zoetrope capture -------------------------------------------------------------------------------------


def _captured(path: Path, choice: Choice) -> Tensors:
    """The first entry that ``choice`` fits, of a file that says all about itself."""
    if choice.codes is not None:
        raise InputError(f"{path}: a file of `zoetrope capture` has numbers; --codes is of integers of 16 bits")
    asked = {name: getattr(choice, name) for name in captured.PLACE}
    try:
        file = captured.read(path)
    except captured.CaptureError as error:
        raise InputError(str(error)) from error
    try:
        place = dict(zip(captured.PLACE, file.place[file.index(**asked)].tolist()))
    except captured.CaptureError as error:
        raise InputError(f"{path}: {error}") from error
    q, k, v, _ = file.entry(**place)
    named = ", ".join(f"{name} {value}" for name, value in place.items())
    others = ""
    if (entries := len(file.place)) > 1:
        fitting = sum(all(asked[name] in (None, n) for name, n in zip(captured.PLACE, each)) for each in file.place)
        others = f" ({'the first of ' if fitting > 1 else 'the one of '}{fitting} that fit, of {entries} heads)"
        if fitting == entries:
            others = f" (the first of {entries} heads; --step, --layer, --head, --sample choose)"
    text, side = file.text, file.text_side
    for option, own, wanted in (("text", text, choice.text), ("text-side", side, choice.text_side)):
        if wanted not in (None, own):
            raise InputError(f"{path}: says {option} {own} itself, and --{option} is {wanted}")
    of = file.grid
    if choice.grid and of[3 - len(choice.grid) :] != choice.grid:
        own, wanted = ("x".join(map(str, grid)) for grid in (of, choice.grid))
        raise InputError(f"{path}: says a grid of {own} itself, and --grid is {wanted}")
    usual = q.shape[-1] ** -0.5
    if abs(file.scale / usual - 1) > 1e-3:
        raise InputError(
            f"{path}: its scores are scaled by {file.scale:g}; machines scale by 1 / sqrt(d) = {usual:g}, so "
            f"multiply its q by {file.scale / usual:g}"
        )
    notes: list[str] = []
    matrices = [_half(path, name, _of_numbers(x), (slice(None),), notes) for name, x in zip("qkv", (q, k, v))]
    video, text = _parted(matrices, text, side)
    name = f"{path.name}, {named}{others}"
    name += f", {short(file.model)} in {file.dtype}" + (f", {file.kind} attention" if file.kind != "full" else "")
    return _tensors(path, name, video, of, text, side, choice, notes)


def _of_numbers(x) -> Raw:
    x = np.asarray(x)
    return Raw(x, str(x.dtype))


def _parted(matrices: list[np.ndarray], text: int, side: str) -> tuple[list[np.ndarray], tuple]:
    """The video's part and the text's of (tokens, d)."""
    if not text:
        return matrices, ()
    if side == "first":
        return [x[text:] for x in matrices], tuple(x[:text].copy() for x in matrices)
    return [x[:-text] for x in matrices], tuple(x[-text:].copy() for x in matrices)
