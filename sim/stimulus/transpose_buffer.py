# SPDX-License-Identifier: Apache-2.0
"""Matrices for the transposing operand buffer."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Matrix:
    """A matrix (K, outputs) as it is loaded; ``reads`` times read."""

    values: np.ndarray
    straight: bool = False
    mask: np.ndarray | None = None
    reads: int = 1

    def words(self, config):
        kept = self.values.shape[1] if self.mask is None else int(self.mask.sum())
        return -(-kept // config.columns)


def elements(rng, c, shape):
    return rng.integers(0, 1 << c.width, shape, dtype=np.uint16 if c.width == 16 else np.uint8)


def some(rng, c, count):
    """Matrices of random sizes; every second one ``straight`` where the config has them."""
    found = []
    for k in range(count):
        straight = bool(c.straight and k % 2)
        most = (c.max_rows, c.max_channels) if straight else (c.max_operands, c.max_outputs)
        shape = most if k // 2 == 1 else tuple(int(rng.integers(1, size + 1)) for size in most)
        mask = (rng.random(shape[1]) < [0.5, 1.0, 0.0, 0.2][k // 2 % 4]) if straight else None
        found.append(Matrix(elements(rng, c, shape), straight, mask, int(rng.integers(1, 4))))
    return found


def mask_bits(mask):
    """A mask, or None for no bits, as an integer."""
    return 0 if mask is None else sum(1 << int(k) for k in np.flatnonzero(mask))
