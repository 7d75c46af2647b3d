# SPDX-License-Identifier: Apache-2.0
"""Batcher's bitonic sorting network on rows of (key, index) entries, comparator by comparator as the hardware has it.

The order is by key, and of equal keys the lower index first, in a descending sort too: with indices that differ, the result
is that of a stable sort, which a bitonic network alone is not.

All comparators point the same way: the first column of each merge joins element i with its mirror image, so that nothing
is ever sorted in reverse. A greatest entry on the last wire then stays there through every column, and a row of any length n
is a row of a power of two with greatest entries behind, whose comparators are left out.
"""

from __future__ import annotations

import numpy as np


def columns(lanes: int, bitonic: bool = False) -> list[list[tuple[int, int]]]:
    """The network for ``lanes`` wires: columns of comparators (i, j), i < j, the lesser entry to i.

    ``bitonic``: only the last columns, which sort a row that rises and falls, or any rotation of one; ``ValueError`` where
    ``lanes`` is no power of two then.
    """
    if lanes < 1:
        raise ValueError(f"lanes must be at least 1, not {lanes}")
    if bitonic and lanes & (lanes - 1):
        raise ValueError(f"a bitonic row has a power of two of lanes, not {lanes}")
    size, network = 1, []
    while size < lanes:
        size *= 2
        if not bitonic:
            network.append([(i, i ^ (size - 1)) for i in range(lanes) if i & size // 2 == 0])
        if not bitonic or size == lanes:
            half = size // (2 if bitonic else 4)
            while half:
                network.append([(i, i + half) for i in range(lanes) if i & half == 0])
                half //= 2
    return [[(i, j) for i, j in column if j < lanes] for column in network]


def bitonic_sort(
    keys: np.ndarray,
    index: np.ndarray,
    payload: np.ndarray | None = None,
    *,
    descending: bool = False,
    bitonic: bool = False,
) -> tuple[np.ndarray, ...]:
    """Rows of entries through the network: ``(keys, index)``, or with ``payload``, which is carried, all three.

    Each argument has shape (rows, lanes), of unsigned integers; ``index`` may be one row for all. Entries with equal key
    and index are not told apart: their payloads come in the network's order.
    """
    keys = np.asarray(keys)
    if keys.ndim != 2:
        raise ValueError(f"keys must have shape (rows, lanes), not {keys.shape}")
    parts = [keys.copy(), np.broadcast_to(index, keys.shape).copy()]
    if payload is not None:
        parts.append(np.broadcast_to(payload, keys.shape).copy())
    for column in columns(keys.shape[1], bitonic):
        if not column:
            continue
        low, high = np.array(column).T
        (a, b), (ai, bi) = ((part[:, low], part[:, high]) for part in parts[:2])
        swap = ((b > a) if descending else (b < a)) | ((a == b) & (bi < ai))
        for part in parts:
            x, y = part[:, low], part[:, high]
            part[:, low], part[:, high] = np.where(swap, y, x), np.where(swap, x, y)
    return tuple(parts)
