# SPDX-License-Identifier: Apache-2.0
"""A small trained video diffusion transformer, in NumPy: the workload that quality is measured on.

A video of F frames of 8 R x 8 C pixels is F R C *tokens*, frame by frame and row by row. A token's *latent* z is the
principal components of its 8 x 8 pixels::

    z = ((pixels - mean) basis) / scale          192 numbers in RGB, 0 to 1, to 64
    pixels = (z scale) basis^T + mean

The model is given z mixed with noise, ``(1 - s) x + s noise`` at noise level s, and says the clean x that it expects.
One step, from level s to the next, lower one t, follows the straight line between the two (rectified flow, Euler)::

    z = z + (t - s) (z - x) / s                  so that z is x where t is 0

The transformer, on rows of 256 numbers, one a token; c is of the noise level and the class, the same for all tokens::

    c = W2 silu(W1 features(s)) + label          features: cosines, then sines, of 1000 s 10000^(-i / 128)
    m = Wm silu(c)                               6 rows; each block adds a table of its own: shift, scale, gate, twice
    h = Win z
    six times:  h = h + gate1 O attention(norm(h) (1 + scale1) + shift1)
                h = h + gate2 down(gelu(up(norm(h) (1 + scale2) + shift2)))
    x = Wout (norm(h) (1 + scale) + shift)       shift, scale = c + a table

``norm`` is a layer norm without weights. Attention has 4 heads of d = 64: Q and K are divided by their root mean square and
multiplied by a gain (QK norm), then turned by the token's position: 16 of the 64 numbers by its frame, 24 by its row, 24 by
its column (3D rotary position). Every token meets every token of all frames. It is what the machines compute, and is left
to the caller: ``attend(layer, q, k, v)``, (heads, tokens, d) each, ``dense`` by default.

All is in FP32, weights are kept in FP16. Sums of matrix products are in the order that BLAS takes: equal inputs give outputs
within ``ROUNDING`` of those of PyTorch, relative to the largest, and the same ones on every run of one machine.

What it is and is not, with how it was trained: ``docs/video-model.md``. Rejected: an autoencoder in place of the principal
components: it is as large as the transformer at this size, and the components lose 37 dB, less than the model does.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

PATCH = 8
"""Rows and columns of pixels of a token."""

AXES = (16, 24, 24)
"""Of the 64 numbers of a head, those that turn with the frame, the row and the column."""

BASE = 100.0
"""The slowest turn of the rotary position is nearly this much slower than the fastest."""

ROUNDING = 2e-4
"""How far one ``VideoDiT.clean`` may be from PyTorch's, relative to its largest element."""

WEIGHTS = Path(__file__).with_name("video_dit.npz")

_EPSILON = 1e-6

Attend = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def dense(layer: int, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Attention of all tokens to all tokens, (heads, tokens, d), in FP32."""
    out = np.empty_like(q)
    for head in range(len(q)):
        scores = q[head] @ k[head].T
        scores *= np.float32(1 / np.sqrt(q.shape[2]))
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        out[head] = (scores @ v[head]) / scores.sum(axis=1, keepdims=True)
    return out


class VideoDiT:
    """The model of a dictionary of weights, as ``load`` gives it. ``ValueError`` names an array that does not fit.

    ``classes``: names, of which ``label`` is the index; ``len(classes)`` stands for none. ``layers``, ``heads``, ``dim``.
    """

    def __init__(self, weights: dict):
        self.classes = tuple(str(name) for name in _part(weights, "classes", 1))
        self.dim, self.components = _part(weights, "inp.weight", 2).shape
        self.heads = self.dim // sum(AXES)
        self.layers = 1 + max((int(n.split(".")[1]) for n in weights if n.startswith("blocks.")), default=-1)
        if not self.layers or self.dim != self.heads * sum(AXES):
            what = f"{self.layers} blocks of {self.dim} numbers a token are no model"
            raise ValueError(f"{what}: at least 1 block, {sum(AXES)} numbers a head")
        self._weights = {}
        for name, shape in self._shapes().items():
            part = _part(weights, name, len(shape)).astype(np.float32)
            if part.shape != shape:
                raise ValueError(f"array {name} of the weights has shape {part.shape}, not {shape}")
            if not np.isfinite(part).all():
                raise ValueError(f"array {name} of the weights has elements that are not finite")
            self._weights[name] = part

    def _shapes(self):
        d, c, pixels = self.dim, self.components, 3 * PATCH**2
        shapes = {"codec.mean": (pixels,), "codec.basis": (pixels, c), "codec.scale": (c,), "table": (2, d)}
        shapes |= {"label.weight": (len(self.classes) + 1, d)}
        linear = {"inp": (d, c), "out": (c, d), "time1": (d, 256), "time2": (d, d), "modulate": (6 * d, d)}
        for i in range(self.layers):
            shapes |= {f"blocks.{i}.{name}.weight": (d, d) for name in "qkvo"}
            shapes |= {f"blocks.{i}.{name}_gain": (sum(AXES),) for name in "qk"}
            shapes[f"blocks.{i}.table"] = (6, d)
            linear |= {f"blocks.{i}.up": (2 * d, d), f"blocks.{i}.down": (d, 2 * d)}
        for name, shape in linear.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def _linear(self, name, x):
        y = x @ self._weights[f"{name}.weight"].T
        return y + self._weights[f"{name}.bias"] if f"{name}.bias" in self._weights else y

    def clean(
        self, z: np.ndarray, level: float, labels: Sequence[int], grid: tuple, attend: Attend = dense
    ) -> np.ndarray:
        """The clean latent expected behind ``z``, (tokens, components) FP32, of noise ``level`` in 0 .. 1, for each class of
        ``labels``: (labels, tokens, components).

        ``grid``: frames, rows and columns of tokens. ``attend`` is asked for all heads of a layer at once, those of the
        first label before those of the second.
        """
        turn = _turn(grid)
        c = (
            self._linear("time2", _silu(self._linear("time1", _features(level))))
            + self._weights["label.weight"][list(labels)]
        )
        modulation = self._linear("modulate", _silu(c)).reshape(len(labels), 6, 1, self.dim)
        h = np.broadcast_to(self._linear("inp", z), (len(labels), len(z), self.dim))
        for layer in range(self.layers):
            name = f"blocks.{layer}"
            table = modulation + self._weights[f"{name}.table"][:, None]
            shift1, scale1, gate1, shift2, scale2, gate2 = table.swapaxes(0, 1)
            qkv = self.qkv(layer, _norm(h) * (1 + scale1) + shift1, turn)
            out = np.asarray(attend(layer, *(x.reshape(-1, *x.shape[2:]) for x in qkv)), np.float32)
            out = out.reshape(qkv[0].shape).swapaxes(1, 2).reshape(h.shape)
            h = h + gate1 * self._linear(f"{name}.o", out)
            inner = _gelu(self._linear(f"{name}.up", _norm(h) * (1 + scale2) + shift2))
            h = h + gate2 * self._linear(f"{name}.down", inner)
        shift, scale = (c[:, None] + self._weights["table"])[:, :, None].swapaxes(0, 1)
        return self._linear("out", _norm(h) * (1 + scale) + shift)

    def qkv(self, layer: int, h: np.ndarray, turn: tuple) -> tuple:
        """Q, K and V of a layer as attention takes them, after norm and rotary position: (labels, heads, tokens, d) each."""
        parts = []
        for name in "qkv":
            x = self._linear(f"blocks.{layer}.{name}", h).reshape(*h.shape[:2], self.heads, -1).swapaxes(1, 2)
            if name != "v":
                x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
                x = _rotated(x * self._weights[f"blocks.{layer}.{name}_gain"], turn)
            parts.append(x)
        return tuple(parts)

    def encode(self, video: np.ndarray) -> np.ndarray:
        """The latent (tokens, components) of ``video``, (frames, height, width, 3) of 0 .. 1."""
        frames, height, width, _ = video.shape
        cut = video.reshape(frames, height // PATCH, PATCH, width // PATCH, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
        mean, basis, scale = (self._weights[f"codec.{name}"] for name in ("mean", "basis", "scale"))
        return (cut.reshape(-1, len(mean)).astype(np.float32) - mean) @ basis / scale

    def decode(self, z: np.ndarray, grid: tuple) -> np.ndarray:
        """The video (frames, height, width, 3) of a latent, FP32 in 0 .. 1."""
        mean, basis, scale = (self._weights[f"codec.{name}"] for name in ("mean", "basis", "scale"))
        cut = ((z * scale) @ basis.T + mean).reshape(*grid, PATCH, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
        return np.clip(cut, 0, 1).reshape(grid[0], grid[1] * PATCH, grid[2] * PATCH, 3)


def levels(steps: int, shift: float = 1.0) -> np.ndarray:
    """The noise levels of ``steps`` steps, from 1 to 0, (steps + 1,): ``shift s / (1 + (shift - 1) s)`` of even ones s.

    A ``shift`` above 1 spends more steps on the noisy end, where the shape of the video is decided.
    """
    even = np.linspace(1, 0, steps + 1)
    return shift * even / (1 + (shift - 1) * even)


def noise(seed: int, tokens: int, components: int) -> np.ndarray:
    """Where a video begins: normal FP32 numbers, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal((tokens, components), np.float32)


def load(path: Path | str = WEIGHTS) -> VideoDiT:
    """The model of an ``.npz`` of weights. ``ValueError`` for a file that is damaged or holds another model."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not there, or no archive, or cut short")
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no .npz of weights: {error}") from None
    if "digest" not in weights:
        raise ValueError(f"{path} has no array digest, the checksum that tools/train writes: it may hold anything")
    if str(weights["digest"]) != digest(weights):
        raise ValueError(f"{path} is damaged: its arrays are not those that its checksum was made of")
    return VideoDiT(weights)


def digest(weights: dict) -> str:
    """SHA-256 of the names, types, shapes and contents of all arrays but ``digest`` itself."""
    found = hashlib.sha256()
    for name in sorted(set(weights) - {"digest"}):
        part = np.ascontiguousarray(weights[name])
        found.update(f"{name} {part.dtype.str} {part.shape}\n".encode() + part.tobytes())
    return found.hexdigest()


def _part(weights, name, dimensions):
    part = np.asarray(weights[name]) if name in weights else None
    if part is None or part.ndim != dimensions:
        what = "is missing" if part is None else f"has {part.ndim} dimensions, not {dimensions}"
        raise ValueError(f"array {name} of the weights {what}")
    return part


def _turn(grid):
    """Cosines and sines of the rotary position, (tokens, d / 2) each."""
    where = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid), indexing="ij")
    speeds = [np.float32(BASE) ** (-np.arange(n // 2, dtype=np.float32) / np.float32(n // 2)) for n in AXES]
    angle = np.concatenate([at.reshape(-1, 1) * speed for at, speed in zip(where, speeds)], axis=1)
    return np.cos(angle), np.sin(angle)


def _rotated(x, turn):
    a, b = np.split(x, 2, axis=-1)
    cos, sin = turn
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _features(level):
    speeds = np.exp(np.float32(-np.log(10000.0)) * np.arange(128, dtype=np.float32) / np.float32(128))
    angle = np.float32(1000.0) * np.float32(level) * speeds
    return np.concatenate([np.cos(angle), np.sin(angle)])


def _norm(x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))


def _silu(x):
    return x / (1 + np.exp(-x))


def _gelu(x):
    """The form with tanh."""
    return np.float32(0.5) * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)))
