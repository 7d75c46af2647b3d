# SPDX-License-Identifier: Apache-2.0
"""Keys for a minimum tree."""

import numpy as np

from zoetrope.golden.formats import FP32


def corner_keys(leaves, width):
    greatest = (1 << width) - 1
    rows = [np.full(leaves, value, np.uint64) for value in (0, 1, greatest)]
    for k in range(leaves):
        for value in (0, 1, greatest - 1):
            row = np.full(leaves, greatest, np.uint64)
            row[k] = value
            rows.append(row)
    for a, b in zip(*np.triu_indices(leaves, 1)):
        row = np.full(leaves, greatest, np.uint64)
        row[[a, b]] = greatest // 2
        rows.append(row)
    special = np.array([FP32.nan, FP32.inf, FP32.inf - 1, FP32.nan, 0x3F800000], np.uint64)
    special >>= np.uint64(max(0, 32 - width))
    rows += [np.resize(np.roll(special, k), leaves) for k in range(5)]
    return np.array(rows)
