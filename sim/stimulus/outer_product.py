# SPDX-License-Identifier: Apache-2.0
"""Tiles for the outer-product PEs: operands and weights, their payloads, and the golden that says what their sums are."""

import functools

import numpy as np

from zoetrope.golden.formats import FP16
from zoetrope.golden.pe.aligned_pe import aligned_pe
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.hw.formats import INT8
from zoetrope.sim.packing import pack

#: FP16 codes that a multiplier may get wrong, by name.
CORNERS = {
    "+0": 0x0000,
    "-0": 0x8000,
    "smallest subnormal": 0x0001,
    "largest subnormal": 0x03FF,
    "negative subnormal": 0x8155,
    "smallest normal": 0x0400,
    "one": 0x3C00,
    "just under two": 0x3FFF,
    "largest": 0x7BFF,
    "negative largest": 0xFBFF,
    "+infinity": FP16.inf,
    "-infinity": 0x8000 | FP16.inf,
    "quiet NaN": FP16.nan,
    "signalling NaN": 0x7D01,
    "negative NaN": 0xFE00,
}


def golden_of(config):
    """The golden of a PE, of operands (..., K) and weights (..., K, outputs), with the arguments that its config means."""
    if config.weight is not INT8:
        return fp16_pe
    if hasattr(config, "bits"):
        return functools.partial(aligned_pe, bits=config.bits, max_operands=config.max_operands)
    reading = "exact" if getattr(config, "exact", False) else getattr(config, "reading", "odd16")
    return functools.partial(lut_pe, reading=reading, accumulator=config.accumulator, max_operands=config.max_operands)


def random_tiles(rng, config, operands):
    """Random x (tiles, rows, operands), of every finite class, and w (tiles, operands, D * outputs), likewise or INT8.

    There are few tiles where they are long.
    """
    tiles = max(2, 24 // operands)
    shape = (tiles, operands, config.words * config.outputs)
    x = _finite(rng, (tiles, config.rows, operands))
    return x, rng.integers(0, 256, shape, dtype=np.uint8) if config.weight is INT8 else _finite(rng, shape)


def _finite(rng, shape):
    codes = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    return np.where((codes & FP16.inf) == FP16.inf, codes ^ 0x4000, codes)


def corner_tiles(rng, config):
    """Each corner operand, alone in its sum, against random weights and corner ones: -0 and zero among them."""
    corners = np.array(list(CORNERS.values()), np.uint16)
    x = np.stack([np.roll(corners, r) for r in range(config.rows)], axis=1)[:, :, None]
    shape = (len(x), 1, config.words * config.outputs)
    if config.weight is INT8:
        w = rng.integers(0, 256, shape, dtype=np.uint8)
        w[:, :, 0] = 0x80
        w[:, :, -1] = 0
        return x, w
    w = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    met = min(len(corners), shape[2])
    w[:, :, :met] = corners[:met]
    return x, w


def clip_tiles(tensors, config, queries=64):
    """Tiles of Q K^T of the clip: x (tiles, rows, d), w (tiles, d, D * outputs).

    K of the first tokens, Q of the last frame; for INT8 weights K is quantized per channel, and its scales folded into Q.
    Where the clip has fewer keys than a tile has outputs, or queries than rows, the rest are zero.
    """
    q, k = tensors["q"][-1][:queries], tensors["k"]
    k = k.reshape(-1, k.shape[-1])
    outputs = config.words * config.outputs
    if config.weight is INT8:
        codes, scales = quantize(k)
        folded = fold_key_scales(q, scales).view(np.uint16)
    else:
        codes, folded = k.view(np.uint16), q.view(np.uint16)
    keys = np.zeros((outputs, k.shape[-1]), codes.dtype)
    keys[: min(outputs, len(codes))] = codes[:outputs]
    tiles = -(-len(folded) // config.rows)
    x = np.zeros((tiles * config.rows, folded.shape[-1]), np.uint16)
    x[: len(folded)] = folded
    return x.reshape(tiles, config.rows, -1), np.broadcast_to(keys.T, (tiles, *keys.T.shape))


def operand_codes(x):
    """The operands of tiles x (tiles, rows, K) in the order of ``i_x``: codes (tiles * K, rows), and which are the last."""
    tiles, rows, operands = x.shape
    last = np.zeros((tiles, operands), bool)
    last[:, -1] = True
    return x.transpose(0, 2, 1).reshape(-1, rows), last.ravel()


def operand_rows(codes, last):
    """The payloads of ``i_x``."""
    return pack(*codes.T, last, widths=[16] * codes.shape[1] + [1])


def weight_words(config, w):
    """The payloads of ``i_w`` for tiles w (tiles, K, D * outputs)."""
    return np.ascontiguousarray(w).reshape(w.shape[0] * w.shape[1] * config.words, -1)


def seeded_tensors(rng):
    """What stands for a clip where none is given: one small frame of normal numbers."""
    return {name: rng.standard_normal((1, 9, 16)).astype(np.float16) for name in ("q", "k", "v")}
