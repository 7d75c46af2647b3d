# SPDX-License-Identifier: Apache-2.0
"""The first dst tokens of a matching: K distinct tokens of M chosen at random from a seed, or a given list (ORBIS 3.2).

Selection sampling (D. Knuth, TAOCP 2, algorithm S): the tokens are visited in order, and each is chosen with the exact
probability needed / remaining. So K tokens are chosen, each set of K equally likely, none twice, in ascending order, with no
memory of what was chosen. The comparison is ``u < needed`` with u uniform below ``remaining``: the low bits of a 32-bit
xorshift state, drawn again where they are not below ``remaining`` (under 2 draws a token on average).

Rejected: a multiplication ``(r * remaining) >> 32`` for u, which is not quite uniform and costs a 32 x 17 multiplier;
Fisher-Yates, a memory of M indices; a walk through a permutation (an LFSR, a Feistel network over the index), which needs
no memory either but reaches a few sets only, and in an order that is no order of the tokens; drawing with replacement.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

WARM_UP = 32
"""States passed over after a seed, so that seeds that differ in one bit give unrelated choices."""

ZERO_SEED = 0x6D2B79F5
"""What seed 0 stands for: the state 0 of a xorshift never changes."""


def xorshift(state: int) -> int:
    """The next state of G. Marsaglia's 32-bit xorshift (13, 17, 5): period 2**32 - 1."""
    state ^= state << 13 & 0xFFFFFFFF
    state ^= state >> 17
    return state ^ (state << 5 & 0xFFFFFFFF)


def choose(tokens: int, count: int, seed: int) -> np.ndarray:
    """``count`` distinct tokens of 0 .. ``tokens`` - 1 in ascending order, ``int64``; ``seed`` is 32 bits.

    ``ValueError`` unless 0 < ``count`` < ``tokens``.
    """
    return choose_and_count(tokens, count, seed)[0]


def choose_and_count(tokens: int, count: int, seed: int) -> tuple[np.ndarray, int]:
    """``choose``, and how many numbers were drawn for it."""
    check_sizes(tokens, count)
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"a seed has 32 bits; {seed} has not")
    state = seed or ZERO_SEED
    for _ in range(WARM_UP):
        state = xorshift(state)
    chosen, draws = [], 0
    for token in range(tokens):
        remaining, needed = tokens - token, count - len(chosen)
        if not needed:
            break
        mask = (1 << (remaining - 1).bit_length()) - 1
        while True:
            u, state, draws = state & mask, xorshift(state), draws + 1
            if u < remaining:
                break
        if u < needed:
            chosen.append(token)
    return np.array(chosen, np.int64), draws


def check(tokens: int, dst: Iterable[int]) -> np.ndarray:
    """A given list, as ``int64`` in the order given. ``ValueError`` for repeats, tokens out of range, or too many or few."""
    dst = np.asarray(dst)
    if dst.ndim != 1 or not np.issubdtype(dst.dtype, np.integer):
        raise ValueError(f"dst must be a list of integers, not {dst.dtype} of shape {dst.shape}")
    check_sizes(tokens, len(dst))
    if len(wrong := dst[(dst < 0) | (dst >= tokens)]):
        raise ValueError(f"dst token {wrong[0]} is out of range: there are {tokens} tokens")
    found, counts = np.unique(dst, return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"dst token {found[counts > 1][0]} is given {counts.max()} times")
    return dst.astype(np.int64)


def check_sizes(tokens: int, count: int) -> None:
    """``ValueError`` unless there is a dst token and a token that is none."""
    if not 0 < count < tokens:
        raise ValueError(f"the number of dst tokens must be 1 to {tokens - 1} for {tokens} tokens, not {count}")
