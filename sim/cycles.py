"""Cycles of SIMCORE's two arrays for a head, from what the golden of the flow found. **A model**, not a measurement.

It counts what the arrays multiply and nothing else: no memory, no softmax, prediction, quantization, sparsification,
merging or draining of sums, all of which a machine tries to hide behind the arrays. A slice of r rows meets a key tile of n
tokens and d channels as r n d products of Q K^T on the one array or the other, and of P V on both, by columns.

* ``bound``: products over multipliers; every multiplier is busy until its array has nothing left. No mapping is faster.
* ``fitted``: an array takes ``rows`` rows and words of ``columns * lanes`` outputs. The operands of k meet their D words,
  one a cycle, then those of k + 1 follow; but not before ``turnaround`` cycles, in which a sum comes back from its adder,
  and not before the tables of their FP16 values are copied, ``copy`` cycles for each row: max(D, turnaround, copy * rows)
  a k. (Rows whose values have one fraction share a copy; it is counted as if none did.) What of the array a ragged slice,
  tile or group of columns does not fill is idle.

In both the head takes as long as the array with more to do: the other one is never waited for, as if slices could run ahead
without end.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from golden.simcore import Geometry, Result, importance_of_keys, key_tiles
from golden.sparsification_unit import KEPT


@dataclass(frozen=True)
class Array:
    """PEs of ``lanes`` multipliers; those of a row share an FP16 operand, those of a column the other operands.

    With ``parts`` the array is so many equal ones, ``rows`` x ``columns`` each, that work on different tiles.
    """

    rows: int = field(metadata={"doc": "rows of PEs"})
    columns: int = field(metadata={"doc": "columns of PEs"})
    lanes: int = field(metadata={"doc": "multipliers of a PE"})
    parts: int = field(default=1, metadata={"doc": "parts that work on tiles of their own"})
    turnaround: int = field(default=1, metadata={"doc": "cycles from an addition to the next of the same sum"})
    copy: int = field(default=0, metadata={"doc": "cycles of the copy of a table, a row after the other; 0: no tables"})

    def __post_init__(self):
        for name, least in (("rows", 1), ("columns", 1), ("lanes", 1), ("parts", 1), ("turnaround", 1), ("copy", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")

    @property
    def multipliers(self) -> int:
        return self.rows * self.columns * self.lanes * self.parts

    def cycles(self, rows: np.ndarray, outputs: np.ndarray, length: np.ndarray | int) -> np.ndarray:
        """Of ``rows`` x ``outputs`` sums of ``length`` products, on one part; no outputs take none."""
        passes, rest = np.divmod(rows, self.rows)
        words = -(-outputs // (self.columns * self.lanes))
        full, last = (np.maximum(words, np.maximum(self.turnaround, self.copy * each)) for each in (self.rows, rest))
        return np.where(words > 0, passes * full + (rest > 0) * last, 0) * length

    def __str__(self):
        shape = f"{self.rows}x{self.columns}x{self.lanes}"
        return shape if self.parts == 1 else f"{self.parts} of {shape}"


class Machine(NamedTuple):
    """The two arrays."""

    fp16: Array
    lut: Array


PAPER = Machine(fp16=Array(8, 8, 8), lut=Array(16, 8, 8))
"""SIMPICKER's arrays, read as rows x columns of PEs."""
SPLIT = Machine(fp16=Array(8, 1, 8, parts=8), lut=Array(16, 1, 8, parts=8))
"""The same PEs, each column of them with a tile, or a group of 8 columns of A, of its own: eight times the operands."""


def of_rows(t: int, copy: int, turnaround: int = 5) -> Machine:
    """As many PEs in two arrays of ``t`` rows each, a power of two of at most 64: what ``hw.simcore`` is built of.

    ``turnaround`` is that of its FP32 sums. ``copy``: 1 with tables from a LUT buffer that gives a slice a cycle; 0 with
    multipliers that need none, or as many buffers as rows.
    """
    if t not in (1, 2, 4, 8, 16, 32, 64):
        raise ValueError(f"rows must be a power of two of at most 64, not {t}")
    fp16, lut = (array.multipliers // 8 // t for array in PAPER)
    return Machine(Array(t, fp16, 8, turnaround=turnaround), Array(t, lut, 8, turnaround=turnaround, copy=copy))


class Cycles(NamedTuple):
    """Cycles in which each array has work, and of the head."""

    fp16: int
    lut: int
    total: int


class Work(NamedTuple):
    """What is multiplied: the ``rows`` of each slice (slices,), the ``tokens`` of each key tile (tiles,), the channels d;
    for each slice and tile whether Q K^T is ``important``, and the number of ``columns`` of A that are."""

    rows: np.ndarray
    tokens: np.ndarray
    d: int
    important: np.ndarray
    columns: np.ndarray

    def products(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each slice (slices,): on the FP16 array, on the LUT array."""
        each = self.rows[:, None] * self.tokens
        fp16 = each * (self.d * self.important + self.columns)
        return fp16.sum(axis=1), (2 * self.d * each - fp16).sum(axis=1)

    def cycles(self, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
        """Of each slice: cycles of the FP16 array, of the LUT array, as ``fitted`` counts them, if one part did it all."""
        rows = self.rows[:, None]
        scores = [array.cycles(rows, self.tokens, self.d) for array in machine]
        outputs = (self.columns, self.d - self.columns)
        values = [array.cycles(rows, each, self.tokens) for array, each in zip(machine, outputs)]
        fp16 = np.where(self.important, scores[0], 0) + values[0]
        return fp16.sum(axis=1), (np.where(self.important, 0, scores[1]) + values[1]).sum(axis=1)


def work(result: Result, geometry: Geometry, keys: int | None = None) -> Work:
    """That of the golden's result in key tiles of ``keys``, those of its settings."""
    tokens = np.array([place.stop - place.start for place, _ in key_tiles(geometry, keys)])
    slices = result.slices
    important = importance_of_keys(result.map_p, geometry, keys)[slices.tile]
    return Work(slices.rows, tokens, result.a.shape[1], important, result.map_a.sum(axis=2))


def ungrouped(result: Result, geometry: Geometry, t: int, keys: int | None = None) -> Work:
    """The same head without grouping: a slice is t tokens of a frame as they stand, left out only if all are skipped.

    A skipped token's row is then idle, and counted. Importance is that of the grouped slice with the first row kept.
    """
    grouped = work(result, geometry, keys)
    of_row = np.repeat(np.arange(len(grouped.rows)), grouped.rows)
    rows, like, first = [], [], 0
    for place in geometry.tiles:
        kept = result.kind[place] == KEPT
        for start in range(0, len(kept), t):
            count = int(np.count_nonzero(kept[start : start + t]))
            if count:
                rows.append(min(t, len(kept) - start))
                like.append(of_row[first])
            first += count
    return grouped._replace(rows=np.array(rows), important=grouped.important[like], columns=grouped.columns[like])


def bound(of: Work, machine: Machine = PAPER) -> Cycles:
    """Products over multipliers."""
    fp16, lut = (int(-(-n.sum() // array.multipliers)) for n, array in zip(of.products(), machine))
    return Cycles(fp16, lut, max(fp16, lut))


def fitted(of: Work, machine: Machine = PAPER) -> Cycles:
    """Passes of the arrays, each array at its own pace."""
    fp16, lut = (int(-(-n.sum() // array.parts)) for n, array in zip(of.cycles(machine), machine))
    return Cycles(fp16, lut, max(fp16, lut))


def attention_share(ours: float, published: float) -> float:
    """The share of attention in a model's time at which a speed-up ``ours`` of it is ``published`` of the whole."""
    return (1 - 1 / published) / (1 - 1 / ours)
