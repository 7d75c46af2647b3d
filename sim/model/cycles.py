# SPDX-License-Identifier: Apache-2.0
"""Cycles of a machine's two arrays for a head, from what the golden of the flow found. **A model**, not a measurement.

It counts what the arrays multiply, and the sorts that small tiles wait for, and nothing else: no memory, no softmax, other
prediction, quantization, sparsification, merging or draining of sums, all of which a machine tries to hide behind the
arrays. ``sim.studies.head`` measures what it leaves
out, on machines that can be simulated. A slice of r rows meets a key tile of n tokens and d channels as r n d products of
Q K^T on the one array or the other, and of P V on both, by columns.

* ``bound``: products over multipliers; every multiplier is busy until its array has nothing left. No mapping is faster.
* ``fitted``: the operands of k, one of each row, meet their D words of weights, one a cycle, then those of k + 1 follow; but
  not before A cycles, in which a sum comes back from its adder, and not before the slices of their fractions are copied,
  B cycles for each row: max(D, A, B r) a k, as ``sim.model.computing_engine.cost`` has it. (Rows whose values have one
  fraction share a copy; it is counted as if none did.) What of the array a ragged slice, tile or group of columns does not
  fill is idle.

  With speculation the important columns of A are sorted out for each slice and key tile, one score after the other
  (``sorting``), which for small tiles takes longer than to multiply them: then the head takes as long as its sorts.

In both the head takes as long as the array with more to do: the other one is never waited for, as if slices could run ahead
without end.

*Where it holds.* Cycles between prologue and recovery over ``fitted``, measured on preset ``small`` at d = 64: with
speculation 1.00 to 1.06 at frames of 1 x 1, 2 x 2, 3 x 4 and 9 x 11 tokens; without it 1.00 to 1.05 from 3 x 4 on, but 1.2
at 2 x 2 and 1.4 at 1 x 1, where what is around the arrays is no longer hidden:
below ``LEAST`` tokens a frame do not quote it.
"""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.chip.simcore import Result, importance_of_keys
from zoetrope.golden.simcore.geometry import Geometry, key_tiles
from zoetrope.sim.model.computing_engine import Array
from zoetrope.sim.model.quantization_engine import sort_cycles

LEAST = 12
"""Tokens of a frame, the fewest at which ``fitted`` is within 7 % of what was measured, with and without speculation."""


class Machine(NamedTuple):
    """The two arrays."""

    fp16: Array
    lut: Array

    @property
    def multipliers(self) -> tuple[int, int]:
        return tuple(array.rows * array.outputs for array in self)

    def __str__(self):
        return " and ".join(f"{array.rows} x {array.outputs}" for array in self)


def machine(engine) -> Machine:
    """That of a ``hw.simcore.computing_engine.computing_engine.ComputingEngineConfig``."""
    return Machine(*(Array.of(engine, name) for name in Machine._fields))


def taken(array: Array, rows: np.ndarray, outputs: np.ndarray, length: np.ndarray | int) -> np.ndarray:
    """Cycles of ``rows`` x ``outputs`` sums of ``length`` products, at most t rows; no outputs take none."""
    words = -(-outputs // array.outputs)
    slots = np.maximum(words, np.maximum(array.turnaround, array.beats * rows))
    return np.where(words > 0, slots, 0) * length


class Cycles(NamedTuple):
    """Cycles in which each array has work, and of the head, which is as long as the longest of all."""

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
        """Of each slice: cycles of the FP16 array, of the LUT array, as ``fitted`` counts them."""
        rows = self.rows[:, None]
        scores = [taken(array, rows, self.tokens, self.d) for array in machine]
        outputs = (self.columns, self.d - self.columns)
        values = [taken(array, rows, each, self.tokens) for array, each in zip(machine, outputs)]
        fp16 = np.where(self.important, scores[0], 0) + values[0]
        return fp16.sum(axis=1), (np.where(self.important, 0, scores[1]) + values[1]).sum(axis=1)


def work(result: Result, geometry: Geometry, keys: int | None = None) -> Work:
    """That of the golden's result in key tiles of ``keys``, those of its settings."""
    tokens = np.array([place.stop - place.start for place, _ in key_tiles(geometry, keys)])
    slices = result.slices
    important = importance_of_keys(result.map_p, geometry, keys)[slices.tile]
    return Work(slices.rows, tokens, result.a.shape[1], important, result.map_a.sum(axis=2))


def bound(of: Work, machine: Machine) -> Cycles:
    """Products over multipliers."""
    fp16, lut = (int(-(-n.sum() // each)) for n, each in zip(of.products(), machine.multipliers))
    return Cycles(fp16, lut, max(fp16, lut))


def sorting(of: Work, p_bits: int) -> int:
    """Cycles of the serial sort-and-select for the important columns of A, of each slice and key tile, one row after the
    other: ``sim.model.quantization_engine.sort_cycles`` with ``p_bits`` of the proportion."""
    return int(np.sum(sort_cycles(of.d, of.columns, p_bits=p_bits)))


def fitted(of: Work, machine: Machine, p_bits: int | None = None) -> Cycles:
    """Each array at its own pace, and with speculation the sorts: ``p_bits`` of its proportion, None without it."""
    fp16, lut = (int(n.sum()) for n in of.cycles(machine))
    return Cycles(fp16, lut, max(fp16, lut, 0 if p_bits is None else sorting(of, p_bits)))
