# SPDX-License-Identifier: Apache-2.0
"""Vectors for the element-wise unit."""

import numpy as np

from zoetrope.golden.formats import FP16
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes

#: Opcodes that the port can carry.
OPCODES = 8


def corner_vectors(lanes):
    """``op``, ``a``, ``b``, ``scalar``: every pair of corner codes under every opcode, b as scalar for every corner too."""
    codes = np.array(list(corners(FP16).values()), np.uint16)
    a, b = (grid.ravel() for grid in np.meshgrid(codes, codes))
    pad = -len(a) % lanes
    a, b = (np.concatenate([x, x[:pad]]).reshape(-1, lanes) for x in (a, b))
    op = np.repeat(np.arange(OPCODES, dtype=np.uint16), len(a))
    scalars = np.resize(np.repeat(codes, -(-len(a) // len(codes))), len(a))
    return op, np.tile(a, (OPCODES, 1)), np.tile(b, (OPCODES, 1)), np.tile(scalars, OPCODES)


def random_vectors(rng, lanes, count):
    """``op``, ``a``, ``b``, ``scalar`` of ``count`` random transfers, every opcode among them."""
    a, b = (random_codes(rng, FP16, count * lanes).astype(np.uint16).reshape(count, lanes) for _ in range(2))
    op = rng.integers(0, OPCODES, count).astype(np.uint16)
    return op, a, b, random_codes(rng, FP16, count).astype(np.uint16)


def packed(op, a, b, scalar):
    """Rows of the stream ``i``."""
    lanes = a.shape[1]
    return pack(op, *a.T, *b.T, scalar, widths=[3] + [16] * (2 * lanes + 1))
