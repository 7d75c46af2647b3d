# SPDX-License-Identifier: Apache-2.0
"""Top-k selection of a matching (ORBIS 3.2, 3.3): the k pairs of least distance, in order; of equal ones the lowest src."""

from __future__ import annotations

import numpy as np


def top_k(keys: np.ndarray, index: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k entries that a sort by (key, index) puts first, in its order (``int64``).

    ``keys``, ``index``: (n,) integers; ``k``: 0 to n, else ``ValueError``. Entries that are equal in both keep their order.
    """
    keys, index = np.asarray(keys), np.asarray(index)
    if keys.ndim != 1 or index.shape != keys.shape:
        raise ValueError(f"keys and index must be vectors of one length, not of shapes {keys.shape} and {index.shape}")
    if keys.size and not (keys.dtype.kind in "iu" and index.dtype.kind in "iu"):
        raise ValueError(f"keys and index must be whole numbers, not {keys.dtype} and {index.dtype}")
    if not 0 <= k <= len(keys):
        raise ValueError(f"k must be 0 to {len(keys)}, not {k}")
    return np.lexsort((index, keys))[:k]
