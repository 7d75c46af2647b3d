# SPDX-License-Identifier: Apache-2.0
"""Bytes as bits of a serial line, 8N1. Hardware: ``hw.board.uart``."""

import numpy as np

#: Bits on the line for a byte: start, data from the least, stop.
FRAME_BITS = 10


def bits(values: np.ndarray) -> np.ndarray:
    """The levels of bytes (...), (..., 10): 0, the bits from the least, 1."""
    values = np.asarray(values, np.uint8)
    levels = np.ones((*values.shape, FRAME_BITS), np.uint8)
    levels[..., 0] = 0
    levels[..., 1:9] = np.unpackbits(values[..., None], axis=-1, bitorder="little")
    return levels


def received(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes in levels (..., 10), and which of them have a start and a stop bit."""
    levels = np.asarray(levels, np.uint8)
    if levels.shape[-1:] != (FRAME_BITS,):
        raise ValueError(f"levels must be (..., {FRAME_BITS}), not {levels.shape}")
    values = np.packbits(levels[..., 1:9], axis=-1, bitorder="little")[..., 0]
    return values, (levels[..., 0] == 0) & (levels[..., 9] == 1)
