# SPDX-License-Identifier: Apache-2.0
"""Rows moved by an index table: compaction, recovery, permutation (SIMPICKER IV-C). Hardware:
``hw.simcore.sparsification_engine.reorder_recover_unit``.

An *index table* has one entry per token: its own index if the token is kept, else the index of the kept token that it
repeats, its *root*. A *permutation table* has every index once. Rows are the first axis of arrays of any shape behind it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MODES = ("compact", "expand", "gather", "scatter")
"""Of ``moves``, by the hardware's opcode."""

ZERO = -1
"""In place of a source row: the row is zero."""


def check_table(table: np.ndarray) -> np.ndarray:
    """``table`` as ``int64`` (tokens,). ``ValueError`` naming the first entry that is out of range or no kept token."""
    table = _indices("index table", table)
    _in_range("index table", table, len(table))
    if len(wrong := np.flatnonzero(table[table] != table)):
        token = wrong[0]
        raise ValueError(
            f"index table: entry {token} is {table[token]}, a removed token (which repeats {table[table[token]]}); "
            "an entry must be a kept token"
        )
    return table


def check_permutation(table: np.ndarray) -> np.ndarray:
    """``table`` as ``int64`` (rows,). ``ValueError`` naming the first entry that is out of range or a repetition."""
    table = _indices("permutation", table)
    _in_range("permutation", table, len(table))
    first = np.full(len(table), len(table))
    np.minimum.at(first, table, np.arange(len(table)))
    if len(again := np.flatnonzero(first[table] != np.arange(len(table)))):
        place = again[0]
        raise ValueError(f"not a permutation: entries {first[table[place]]} and {place} are both {table[place]}")
    return table


# Compaction and recovery


def compaction(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(kept, position)``, ``int64``: the kept tokens in order, and of each token its root's row among them."""
    table = check_table(table)
    own = table == np.arange(len(table))
    return np.flatnonzero(own), (np.cumsum(own) - 1)[table]


def reorder(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Q to Q_c: the kept rows of ``x`` (tokens, ...), in order. ``ValueError`` for a table that does not fit."""
    x = _rows(x, table, "rows")
    return x[compaction(table)[0]]


def recover(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A_c to A: of ``x`` (kept tokens, ...) the row of each token's root, (tokens, ...). Errors as ``reorder``."""
    kept, position = compaction(table)
    x = np.asarray(x)
    if not x.ndim or len(x) != len(kept):
        raise ValueError(f"the index table keeps {len(kept)} tokens; shape {x.shape} has not as many rows")
    return x[position]


# Permutations


def permute(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Row i is row ``table[i]`` of ``x``. ``ValueError`` for what is not a permutation of the rows of ``x``."""
    return _rows(x, table, "rows")[check_permutation(table)]


def unpermute(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Row ``table[i]`` is row i of ``x``: undoes ``permute``. Errors as ``permute``."""
    return permute(x, inverse(table))


def inverse(table: np.ndarray) -> np.ndarray:
    """The permutation table that undoes ``table``."""
    table = check_permutation(table)
    back = np.empty_like(table)
    back[table] = np.arange(len(table))
    return back


def token_major(frames: int, tokens: int, text_first: int = 0, text_last: int = 0) -> np.ndarray:
    """The permutation from frame-major to token-major order: Sparse VideoGen's layout transform.

    Frame-major rows are ``frames`` of ``tokens`` each. ``permute`` then has all frames of token 0, all of token 1, ...;
    ``unpermute`` goes back. The ``text_first`` rows before and ``text_last`` rows behind the video keep their place.
    """
    for name, value in locals().copy().items():
        if value < 0:
            raise ValueError(f"{name} must not be negative: {value}")
    video = np.arange(frames * tokens).reshape(frames, tokens).T.ravel() + text_first
    behind = text_first + frames * tokens
    return np.concatenate([np.arange(text_first), video, np.arange(behind, behind + text_last)]).astype(np.int64)


def column_groups(important: np.ndarray) -> np.ndarray:
    """The permutation that brings the important columns of V to the front; both groups keep their order.

    ``important``: (columns,) of 0 and 1. Columns are the rows of ``permute(v.T, column_groups(important))``.
    """
    bits = np.asarray(important)
    if bits.ndim != 1 or not np.isin(bits, (0, 1)).all():
        raise ValueError(f"an importance map is one row of 0 and 1, not {bits.dtype} of shape {bits.shape}")
    return np.concatenate([np.flatnonzero(bits), np.flatnonzero(bits == 0)])


# The hardware's order


class Moves(NamedTuple):
    """Rows in the order in which the unit moves them, and what was wrong with the table."""

    source: np.ndarray
    """Row that is read, ``int64``; ``ZERO`` for a row of zeros, which is not read."""
    target: np.ndarray
    """Row that is written, ``int64``."""
    index_error: bool
    """An entry is out of range."""
    root_error: bool
    """An entry of an expansion points to a removed token."""


def moves(mode: str, table: np.ndarray, rows: int | None = None, kept: np.ndarray | None = None) -> Moves:
    """What the unit does with any ``table`` of entries that are not negative, right or wrong. Token t, entry e::

        compact    row t to row k, where e = t, the k-th such token     an e out of range counts as removed
        expand     row rank[e] to row t                                 zeros where e is out of range or was not kept
        gather     row e to row t                                       zeros where e is out of range
        scatter    row t to row e                                       nothing where e is out of range

    ``rows``: entries below it are in range; for compact and expand that is the number of tokens, whatever is given.
    ``kept``: of an expansion, the tokens that the compaction before it kept, as booleans; this table's by default.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    table = _indices("table", table)
    if len(negative := np.flatnonzero(table < 0)):
        raise ValueError(f"table: entry {negative[0]} is negative: {table[negative[0]]}")
    tokens = np.arange(len(table))
    within = table < (len(table) if rows is None or mode in ("compact", "expand") else rows)
    index_error = bool((~within).any())
    if mode == "compact":
        source = np.flatnonzero(table == tokens)
        return Moves(source, np.arange(len(source)), index_error, False)
    if mode == "scatter":
        return Moves(tokens[within], table[within], index_error, False)
    if mode == "gather":
        return Moves(np.where(within, table, ZERO), tokens, index_error, False)
    kept = table == tokens if kept is None else np.asarray(kept, bool)
    entry = np.where(within, table, 0)
    rooted = within & kept[entry] if len(table) else within
    source = np.where(rooted, (np.cumsum(kept) - 1)[entry], ZERO) if len(table) else tokens
    return Moves(source, tokens, index_error, bool((within & ~rooted).any()))


def word_addresses(rows: np.ndarray, words: int) -> np.ndarray:
    """Addresses of the words of ``rows`` of ``words`` words each, row after row, ``int64``."""
    return (np.asarray(rows, np.int64)[:, None] * words + np.arange(words)).ravel()


def _indices(name: str, table: np.ndarray) -> np.ndarray:
    table = np.asarray(table)
    if table.ndim != 1 or (table.size and table.dtype.kind not in "iu"):
        raise ValueError(f"{name}: one row of integers is needed, not {table.dtype} of shape {table.shape}")
    return table.astype(np.int64)


def _in_range(name: str, table: np.ndarray, count: int) -> None:
    if len(wrong := np.flatnonzero((table < 0) | (table >= count))):
        raise ValueError(f"{name}: entry {wrong[0]} is {table[wrong[0]]}; entries must be 0 to {count - 1}")


def _rows(x: np.ndarray, table: np.ndarray, name: str) -> np.ndarray:
    x = np.asarray(x)
    if not x.ndim or len(x) != len(table):
        raise ValueError(f"a table of {len(table)} entries needs as many {name}, not shape {x.shape}")
    return x
