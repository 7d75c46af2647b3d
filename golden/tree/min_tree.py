# SPDX-License-Identifier: Apache-2.0
"""The least of many keys and where it stands. Hardware: ``hw.tree.min_tree``."""

import numpy as np


def min_tree(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(least key, its index)`` over the last axis of unsigned integers; of equal keys the one of lowest index.

    Codes of FP32 numbers that are not negative are such keys: their order is that of the numbers, infinity above all of
    them and NaN above infinity. What is missing is padded with the greatest key.
    """
    keys = np.asarray(keys)
    if keys.dtype.kind != "u":
        raise ValueError(f"keys must be unsigned integers, not {keys.dtype}")
    if keys.ndim == 0 or keys.shape[-1] == 0:
        raise ValueError(f"at least one key is needed on the last axis, not shape {keys.shape}")
    index = np.argmin(keys, axis=-1)  # the first of equals
    return np.take_along_axis(keys, index[..., None], axis=-1)[..., 0], index
