# SPDX-License-Identifier: Apache-2.0
"""Cycles of SIMCORE's sparsification engine (SIMPICKER III-C, IV-C, Fig. 4(d)), where nothing waits outside of its units."""

from types import SimpleNamespace

#: Cycles of the reorder and recover unit from an entry's transfer to the first read of its row.
_TO_READ = 6


def beats_of_frames(grid, window, group, *, candidates, banks):
    """Beats that each frame of a clip adds in the sparsification unit, a list.

    A beat is up to ``candidates`` pairs of a token and what it is compared with, of at most two tokens, each pair in a bank
    of its own of ``banks`` and no more than one with a reference. From frame 1 on a frame takes for each of its beats a
    cycle a word, where tokens have at least ``candidates`` words; with fewer words it takes a cycle a pair.

    ``grid``: (frames, height, width) in tokens; ``window``: rows and columns that are compared in the frame before;
    ``group``: tokens that share a reference (SIMPICKER III-C).
    """
    frames, height, width = grid
    pitch = width + (window - width) % banks
    beats = [0] * frames
    new = {"count": 0, "tokens": 0, "spatial": False}
    state = SimpleNamespace(banks=set(), **new)
    for t in range(frames):
        for y in range(height):
            for x in range(width):
                for first, bank in _pairs(t, y, x, height, width, window, group, pitch, banks):
                    full = state.count in (0, candidates)
                    referred = bank == "reference" and state.spatial
                    if full or bank in state.banks or referred or (first and state.tokens == 2):
                        state = SimpleNamespace(banks=set(), **new)
                        beats[t] += 1
                    state.tokens += first or not state.count
                    state.count += 1
                    state.spatial |= bank == "reference"
                    state.banks |= {bank} - {"reference", None}
    return beats


def _pairs(t, y, x, height, width, window, group, pitch, banks):
    """Pairs of a token in order: (whether it is the first, the bank it reads, or "reference", or None)."""
    reach = window // 2
    found = []
    if t:
        rows = range(max(0, y - reach), min(y - reach + window, height))
        columns = range(max(0, x - reach), min(x - reach + window, width))
        found = [(((t - 1) * height + row) * pitch + column) % banks for row in rows for column in columns]
    if x % group:
        found.append("reference")
    return [(k == 0, bank) for k, bank in enumerate(found or [None])]


def recovery_cycles(moving, words, *, rows_in_flight):
    """Cycles of a recovery from its job until it is done (SIMPICKER IV-C, V-A).

    A row that is copied takes the most of its ``words``, of log2(``words``) + 2, in which its address is made, and of the
    entries of the table since the row before; no more than ``rows_in_flight`` are asked for and have not come.

    ``moving``: whether each row is copied. Words are there before they are asked for.
    """
    entry, free, ends = 2, 0, []
    for moves in moving:
        if moves:
            entry = max(entry, free)
            free = entry + int(words).bit_length() + 1
            if len(ends) >= rows_in_flight:
                free = max(free, ends[-rows_in_flight] + 1)
            ends.append(max(free, ends[-1] if ends else 0) + words)
        entry += 1
    return max(entry + 1, ends[-1] + 4 if ends else 0)


def reorder_cycles(moving, words, *, rows_in_flight, memory=1):
    """Cycles of the reorder and recover unit from a command's transfer to its status' (SIMPICKER IV-C).

    Where all rows move it is 8 + ``memory`` + rows * ``words``. A removed token costs nothing while the words of the row
    before are on their way, else a cycle.

    ``moving``: an entry a token, 0 for one that is removed, 1 for a row that moves, 2 for a row of zeros. ``memory``:
    cycles from a read to its word; 0 stands for words that are there before they are asked for.
    """
    starts, ends = [], []
    token_before, busy = 0, 0
    for token, kind in enumerate(moving):
        if not kind and token < len(moving) - 1:
            continue
        start = starts[-1] + max(busy, token - token_before) if starts else token + _TO_READ
        if len(ends) >= rows_in_flight:
            start = max(start, ends[-rows_in_flight] + 1)
        starts.append(start)
        # The mark that stands for a removed last token is written like a word, but keeps nothing waiting.
        token_before, busy = token, words if kind else 0
        ready = start + memory if kind == 1 else start
        ends.append(max(ready, ends[-1] if ends else 0) + (words if kind else 1))
    return ends[-1] + 2 if ends else 1
