# SPDX-License-Identifier: Apache-2.0
"""Operands of an outer product, read by k from matrices that arrive in another order.

Hardware: ``hw.memory.transpose_buffer``.
"""

from typing import NamedTuple

import numpy as np


def load_words(matrix: np.ndarray, lanes: int, straight: bool = False) -> np.ndarray:
    """A matrix (K, outputs) as it is sent, words of ``lanes`` elements: (words, lanes), ends padded with 0.

    Output by output, along k; ``straight``: operand by operand, along the outputs.
    """
    lines = np.asarray(matrix) if straight else np.asarray(matrix).T
    if lines.ndim != 2 or 0 in lines.shape:
        raise ValueError(f"matrix must be (K, outputs) with both at least 1, not {np.shape(matrix)}")
    words = -(-lines.shape[1] // lanes)
    padded = np.zeros((len(lines), words * lanes), lines.dtype)
    padded[:, : lines.shape[1]] = lines
    return padded.reshape(-1, lanes)


class Words(NamedTuple):
    """``values``: (K, D, columns), 0 where there is no output; ``kept``: boolean (D, columns), where there is one."""

    values: np.ndarray
    kept: np.ndarray


def transpose_buffer(matrix: np.ndarray, columns: int, mask: np.ndarray | None = None) -> Words:
    """A matrix (K, outputs) as it is read: for each k, D words of ``columns`` elements.

    ``mask``: boolean (outputs), the outputs that are kept, packed in their order; None for all. D is 0 when none is.
    """
    matrix = np.asarray(matrix)
    packed = matrix if mask is None else matrix[:, np.asarray(mask, bool)]
    words = -(-packed.shape[1] // columns)
    values = np.zeros((len(packed), words * columns), matrix.dtype)
    values[:, : packed.shape[1]] = packed
    kept = np.arange(words * columns) < packed.shape[1]
    return Words(values.reshape(len(packed), words, columns), kept.reshape(words, columns))
