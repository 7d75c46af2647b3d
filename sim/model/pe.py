# SPDX-License-Identifier: Apache-2.0
"""Cycles of outer products: when each operand meets its first word of weights, and the stalls that this takes.

All of it is for operands and words that always wait and results that are always taken (SIMPICKER IV-B, Fig. 5). Cycles are
counted from the transfer of the first word of weights, but where it says otherwise. D is the number of words that an operand
meets, A the accumulator's *turnaround*: slots from a word to the next that may meet the same sums.
"""

import itertools

import numpy as np

from zoetrope.golden.formats import FP16, normalised


def copies(operands, beats):
    """C of each of ``operands``, codes (K, rows): ``beats`` cycles for the slice of every distinct fraction among its rows.

    ``beats`` is 0 where an operand needs no slice: on all PEs but those with a LUT.
    """
    _, fractions = normalised(np.asarray(operands, np.uint16), FP16)
    return [beats * len(set(row)) for row in fractions.tolist()]


def starts(prepared, words, turnaround):
    """The cycle in which each operand meets its first word; ``prepared``: C of each, ``words``: D, ``turnaround``: A.

    An operand starts when the one before it is done and its sums are free, ``max(D, A)`` cycles after that one, and when it
    is prepared: C cycles, which begin when the one before has been prepared and the one before that was released. Of K
    operands of one C these are ``(K - 1) * max(D, A, C)`` cycles to the last.
    """
    slots = max(words, turnaround)
    found, ready = [], 0
    for k, cycles in enumerate(prepared):
        released = found[k - 2] + words if k > 1 else ready
        ready = max(ready, released) + cycles if k else 0
        found.append(max(found[-1] + slots, ready) if k else 0)
    return found


def aligned_starts(last, words, turnaround, *, max_operands, registers):
    """The same of an aligned PE, counted from the *first operand's* transfer. ``last`` (K): whether each ends its tile.

    The operands of a tile are kept, ``max_operands`` of them in each of two banks, until its last one has come. One bank is
    loaded while the other is read, and what is read moves through ``registers`` registers behind the memory's: 2 where
    multiples of an operand are made, else 1.
    """
    slots = max(words, turnaround)
    banks, bank = [], []
    for k, final in enumerate(last):
        bank.append(k)
        if final or len(bank) == max_operands:
            banks.append(bank)
            bank = []
    found, loaded, freed = [], -1, [-1, -1]  # the cycles of the last load, and of the last read of each bank
    moves = [-1] * registers
    for members in banks:
        # An operand a cycle, when the bank has been read; then one by one through the registers.
        loaded = max(loaded, freed[-2]) + len(members)
        for _ in members:
            move = read = max(moves[0], loaded + 1)
            released = found[-1] + words - 1 if found else 0
            for stage, free in enumerate([*moves[1:], released]):
                move = moves[stage] = max(move + 1, free)
            found.append(max(move + 1, found[-1] + slots if found else 0))
        freed.append(read)
    return found


def stalls(starts, words, first):
    """Cycles in which words wait: ``first`` of them before the first word, then what an operand takes beyond its D words."""
    return first + sum(b - a - words for a, b in itertools.pairwise(starts))


def schedule_of(pe, operands, last):
    """(starts, stalls before the first word) of ``pe``, an ``hw.pe.outer_product.OuterProduct``.

    ``operands`` (K, rows), FP16 codes in tiles that end at ``last`` (K).
    """
    c = pe.config
    if hasattr(c, "bits"):  # operands are aligned
        registers = 2 if c.digits else 1
        found = aligned_starts(last, c.words, c.turnaround, max_operands=c.max_operands, registers=registers)
        return [start - found[0] for start in found], found[0] - 1
    prepared = copies(operands, c.source.beats if hasattr(c, "source") else 0)
    return starts(prepared, c.words, c.turnaround), prepared[0] + pe.startup
