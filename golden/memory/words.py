# SPDX-License-Identifier: Apache-2.0
"""Rows in words of a memory or a bus: of ``hw.simcore.computing_engine`` the key stream and the value buffer."""

import numpy as np


def words(rows: np.ndarray, lanes: int) -> np.ndarray:
    """Words (n, ceil(d / lanes), lanes) of rows (n, d) of codes, the first one lowest.

    What is behind a row's last element in its last word is 0. A row has at least one word.
    """
    rows = np.asarray(rows)
    if rows.dtype.kind != "u" or rows.ndim != 2:
        raise ValueError(f"rows must be unsigned codes (n, d), not {rows.dtype} of shape {rows.shape}")
    if lanes < 1:
        raise ValueError(f"lanes must be at least 1, not {lanes!r}")
    count, width = rows.shape
    per_row = max(1, -(-width // lanes))
    padded = np.zeros((count, per_row * lanes), rows.dtype)
    padded[:, :width] = rows
    return padded.reshape(count, per_row, lanes)
