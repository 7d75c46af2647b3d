# SPDX-License-Identifier: Apache-2.0
"""Weighted squared distances of 4-bit tokens. Hardware: ``hw.orbis.matching.distance_accumulation_unit``."""

import numpy as np


def distance_accumulation_unit(src: np.ndarray, dst: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``sum over c of weights[c] * (src[s, c] - dst[t, c])^2``, ``int64`` (s, t), exact.

    ``src`` (s, channels), ``dst`` (t, channels): codes, -7 to 7; ``weights`` (channels,): integers, not negative.
    """
    difference = np.asarray(src, np.int64)[:, None, :] - np.asarray(dst, np.int64)[None, :, :]
    return (difference * difference * np.asarray(weights, np.int64)).sum(axis=2)  # integers: in any order
