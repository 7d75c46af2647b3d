# SPDX-License-Identifier: Apache-2.0
"""The index table of a clip: one entry a token, its own index or its root's. Hardware: ``hw.memory.index_buffer``."""

from __future__ import annotations

import numpy as np


def resolve(match: np.ndarray) -> np.ndarray:
    """Matches to the index table: entry i is i where ``match[i] == i``, else a copy of entry ``match[i]``.

    Entries are made in order, so that an entry that is copied is final: the index of a token that matches itself.
    ``ValueError`` if an entry matches a token after itself, or one that does not exist.
    """
    match = np.asarray(match, np.int64)
    own = np.arange(len(match))
    if (bad := (match < 0) | (match > own)).any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(f"token {first} must match itself or one before, not {match[first]}")
    table = own.copy()
    for i in np.flatnonzero(match < own):
        table[i] = table[match[i]]
    return table


def capacity(size: int) -> int:
    """Entries that ``size`` bytes hold: the most for which ``entries * ceil(log2(entries)) <= 8 * size``."""
    bits = max(bits for bits in range(1, 65) if bits == 1 or 8 * size // bits > 1 << (bits - 1))
    return min(8 * size // bits, 1 << bits)
