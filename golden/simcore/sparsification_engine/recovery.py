# SPDX-License-Identifier: Apache-2.0
"""Recovery of A in memory: which rows are copied from where (SIMPICKER IV-C).

Hardware: ``hw.simcore.sparsification_engine.recovery``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Copies(NamedTuple):
    """``int64`` (rows copied,): the row that is read, the row that is written; ``index_error``: an entry is no token."""

    source: np.ndarray
    target: np.ndarray
    index_error: bool


def copies(table: np.ndarray) -> Copies:
    """Rows that are copied, in order, by an index table: those whose entry is another token."""
    table = np.asarray(table, np.int64)
    beyond = (table < 0) | (table >= len(table))
    target = np.flatnonzero((table != np.arange(len(table))) & ~beyond)
    return Copies(table[target], target, bool(beyond.any()))


def recovery(a: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The rows of ``a`` (tokens, ...) after recovery. Rows are copied one after the other, in order of the tokens.

    A row whose entry is no token is left as it is, and ``copies`` says that there is one. ``ValueError`` for other shapes.

    By an index table, whose entries are kept tokens, that is
    ``golden.simcore.sparsification_engine.reorder_recover_unit.recover`` of the kept rows.
    """
    a, table = np.array(a), np.asarray(table)
    if table.ndim != 1 or a.shape[:1] != table.shape:
        raise ValueError(f"a must have a row for each of the {table.size} entries, not {len(a)}")
    found = copies(table)
    for source, target in zip(found.source, found.target):
        a[target] = a[source]
    return a
