# SPDX-License-Identifier: Apache-2.0
"""Token reduction before attention and restoration after it, given pairs of src and dst tokens (ORBIS 2.1, 3.1).

``reduce`` keeps the dst tokens and every token that is not a reduced src; ``restore`` puts the rows of the shorter sequence
back and copies to each reduced src the row of its dst. What was kept comes back unchanged, row for row.
"""

from __future__ import annotations

import numpy as np

from zoetrope.golden.orbis.matching.dst_chooser import check

MODES = ("replace", "mean")


def kept_tokens(tokens: int, dst: np.ndarray, src: np.ndarray) -> np.ndarray:
    """The tokens of the shorter sequence, in its order: those neither dst nor reduced ``src``, ascending, then ``dst``."""
    check_pairs(tokens, dst, src, np.zeros(len(src), np.int64))
    rest = np.ones(tokens, bool)
    rest[dst] = rest[src] = False
    return np.concatenate([np.flatnonzero(rest), dst])


def reduce(x: np.ndarray, dst: np.ndarray, src: np.ndarray, slot: np.ndarray, mode: str = "replace") -> np.ndarray:
    """The shorter sequence of ``x``, (M, ...) to (M - k, ...), of the same type.

    ``dst``: tokens by slot; ``src``: the k reduced tokens; ``slot``: of the dst of each. ``mode``: "replace", a dst row is
    left as it is; "mean", it becomes the mean of itself and the rows that it stands for, in float64, rounded once (for FP16
    rows the sum is exact up to 8,192 rows, so the order does not matter).

    Errors: ``ValueError`` for pairs that are none, or another mode.
    """
    x = np.asarray(x)
    dst, src, slot = check_pairs(len(x), dst, src, slot)
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    short = x[kept_tokens(len(x), dst, src)]
    if mode == "mean":
        total = x[dst].astype(np.float64)
        np.add.at(total, slot, x[src].astype(np.float64))
        members = 1 + np.bincount(slot, minlength=len(dst))
        short[len(short) - len(dst) :] = total / members.reshape(-1, *[1] * (x.ndim - 1))
    return short


def restore(short: np.ndarray, tokens: int, dst: np.ndarray, src: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """The sequence of ``tokens`` rows from the shorter one: every row is written exactly once, a src's is its dst's."""
    short = np.asarray(short)
    dst, src, slot = check_pairs(tokens, dst, src, slot)
    kept = kept_tokens(tokens, dst, src)
    if len(short) != len(kept):
        raise ValueError(f"{len(short)} rows; {tokens} tokens of which {len(src)} are reduced leave {len(kept)}")
    whole = np.empty((tokens, *short.shape[1:]), short.dtype)
    whole[kept] = short
    whole[src] = short[len(kept) - len(dst) + slot]
    return whole


def check_pairs(
    tokens: int, dst: np.ndarray, src: np.ndarray, slot: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as ``int64``. ``ValueError`` where a token is named twice or is out of range, or a slot is none."""
    dst, src, slot = check(tokens, dst), np.asarray(src, np.int64), np.asarray(slot, np.int64)
    if src.ndim != 1 or slot.shape != src.shape:
        raise ValueError(f"src and slot must be vectors of one length, not of shapes {src.shape} and {slot.shape}")
    if len(src) and not 0 <= src.min() <= src.max() < tokens:
        raise ValueError(f"a src token is out of range: there are {tokens} tokens")
    if len(np.unique(np.concatenate([dst, src]))) < len(dst) + len(src):
        raise ValueError("a src token is given twice, or is a dst token")
    if len(slot) and not 0 <= slot.min() <= slot.max() < len(dst):
        raise ValueError(f"a slot is out of range: there are {len(dst)} dst tokens")
    return dst, src, slot
