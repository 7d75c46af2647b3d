# SPDX-License-Identifier: Apache-2.0
"""Cycles of the softmax: rows through the special function unit, slices through the tile merge unit (SIMPICKER IV-A, V-A).

Numbers of stages are those of the units' configs (``hw.softmax``), under the same names.
"""

from typing import NamedTuple


def row_interval(words, *, inverse_latency, rows):
    """Cycles from one row of the SFU to the next, on average, where all rows have ``words`` words (SIMPICKER IV-A)::

        max(W, (inverse_latency + 2 W - 1) / rows)

    A word enters every cycle; and of no more than ``rows`` rows may the exponentials wait for 1 / s, which is known
    ``inverse_latency`` cycles after the last score of a row was read.
    """
    return max(words, (inverse_latency + 2 * words - 1) / rows)


def gapless_words(*, inverse_latency, rows):
    """Words of the shortest rows that follow each other in the SFU without a gap: the least W of ``row_interval`` = W."""
    return max(1, -(-(inverse_latency - 1) // (rows - 2)))


class Merge(NamedTuple):
    """What the cycles of a tile merge unit depend on: the tiles whose factors run ahead, and the stages of its operators."""

    ahead: int
    multiply_stages: int
    add_stages: int
    exp_stages: int
    reciprocal_stages: int
    convert_stages: int

    @classmethod
    def of(cls, config):
        """Those of a ``hw.softmax.tile_merge_unit.TileMergeUnitConfig``."""
        return cls(*(getattr(config, name) for name in cls._fields))

    @property
    def factor(self):
        """Cycles from a tile's transfer until its factor is written: memory, comparison, subtraction, exponential."""
        return 2 + self.add_stages + self.exp_stages

    @property
    def inverse(self):
        """Cycles from there until 1 / l' is."""
        return self.multiply_stages + self.add_stages + self.reciprocal_stages

    @property
    def distance(self):
        """Cycles from a read of a word of the sums to the first that finds what it became."""
        return self.multiply_stages + self.add_stages + 2

    @property
    def out(self):
        """Cycles from a read of a word of the sums until its result is offered."""
        return 1 + self.multiply_stages + self.convert_stages


def merge_cycles(rows, tiles, words, unit: Merge):
    """Cycles of a slice of ``rows`` rows of ``words`` words in ``tiles`` tiles, from its first tile to its last result.

    The tiles come row by row, tile after tile, and nothing waits outside (SIMPICKER V-A). From ``merge_gapless`` words on
    it is ``rows * words * (tiles + 1)``, a word a cycle and the results of a row once more, and the way through the unit.
    """
    issued, merged, released = [], [], []
    free = 0
    for k in range(rows * tiles):
        # A tile enters when the row's sums are there again and one of those ahead is done with.
        issue = max(issued[-1] + 1 if k else 0, issued[k - rows] + max(3, unit.distance) if k >= rows else 0)
        issue = max(issue, released[k - unit.ahead] + 1 if k >= unit.ahead else 0)
        merge = max(issue + unit.factor + 1, free, merged[k - rows] + unit.distance if k >= rows else 0)
        free = merge + words
        if k >= rows * (tiles - 1):
            free = max(free, merge + unit.distance, issue + unit.factor + unit.inverse + 1) + words
        issued.append(issue)
        merged.append(merge)
        released.append(free - 1)
    return free - 1 + unit.out


def merge_gapless(unit: Merge):
    """Words of the shortest rows for which neither sums, nor factors, nor 1 / l are ever waited for."""
    return max(3, unit.distance, unit.inverse, -(-(unit.factor + 1) // (unit.ahead - 1)))
