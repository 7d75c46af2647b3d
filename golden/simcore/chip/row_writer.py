# SPDX-License-Identifier: Apache-2.0
"""Rows of A packed into words of a bus. Hardware: ``hw.simcore.chip.row_writer``."""

import numpy as np

from zoetrope.golden.memory.words import words


def row_writer(results: np.ndarray, elements: int) -> np.ndarray:
    """Words (rows, ceil(d / elements), elements) of rows (rows, d) of binary16 codes, the first channel lowest.

    What is behind a row's last channel in its last word is +0. A row has at least one word.
    """
    results = np.asarray(results)
    if results.dtype != np.uint16 or results.ndim != 2:
        raise ValueError(
            f"results must be FP16 codes (rows, channels) in uint16, not {results.dtype} of shape {results.shape}"
        )
    if elements < 1:
        raise ValueError(f"elements must be at least 1, not {elements!r}")
    return words(results, elements)
