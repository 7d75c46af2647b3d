"""Tiles of S = Q K^T and of A = P V on the two arrays of SIMPICKER's computing engine.

Hardware: ``hw.simcore.computing_engine.computing_engine``.

A job is one tile on one array: up to t rows of Q, or of P, times the keys or values of a tile of tokens::

    S[r, j] = sum over channels k of q[r, k] * key[j, k]              in the order of k, FP32
    A[r, c] = sum over tokens k of p[r, k] * value[k, c]              in the order of k, FP32, for the columns c of a mask

by ``golden.pe.fp16_pe.fp16_pe`` on the FP16 array and ``golden.pe.lut_pe.lut_pe`` on the LUT array.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP16, normalised

#: Kinds of jobs: what the tile is of.
S, A = 0, 1

#: Cycles at most that the hardware takes for a job beyond ``cycles``. A half of an operand memory that is released, loaded
#: and read again has three of commands and three of registers on its way, and two jobs share them.
JOB_CYCLES = 3


class Job(NamedTuple):
    """One tile on one array.

    Attributes
    ----------
    kind : ``S`` or ``A``
    x : binary16 codes (rows, K), Q's or P's
    w : ``S``: keys (outputs, K); ``A``: values (K, channels). Binary16 codes on the FP16 array, INT8 on the LUT array
    mask : ``A`` only: boolean (channels), the columns that are this array's; None for all
    slice, tile : tags, which the results bear
    keep_x, keep_w : the next job of the array is of the same x, or of the same w and mask: it is not loaded again
    """

    kind: int
    x: np.ndarray
    w: np.ndarray
    mask: np.ndarray | None = None
    slice: int = 0
    tile: int = 0
    keep_x: bool = False
    keep_w: bool = False

    @property
    def weights(self):
        """The weights that the rows meet: (K, outputs)."""
        if self.kind == S:
            return np.asarray(self.w).T
        w = np.asarray(self.w)
        return w if self.mask is None else w[:, np.asarray(self.mask, bool)]


def computing_engine(jobs: Sequence[Job], multiply: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """The results of the ``jobs`` of one array: binary32 codes (rows, outputs) of each, none where no column is kept.

    ``multiply``: ``golden.pe.fp16_pe.fp16_pe``, or ``golden.pe.lut_pe.lut_pe`` with its further arguments.
    """
    results = []
    for job in jobs:
        if not job.weights.shape[1]:
            results.append(np.zeros((len(job.x), 0), np.uint32))
        else:
            results.append(multiply(job.x, job.weights[None]))
    return results


class Array(NamedTuple):
    """What the cycles of an array depend on.

    ``rows``: t; ``outputs``: weights a word; ``lanes``: L, elements of a word that is loaded; ``turnaround``: A, slots until
    a sum can be added to again; ``beats``: cycles of a slice's copy, 0 for the FP16 array.
    """

    rows: int
    outputs: int
    lanes: int
    turnaround: int
    beats: int = 0


def preparation(x: np.ndarray, beats: int) -> np.ndarray:
    """C of each operand of ``x`` (rows, K): the copy of a slice for every distinct fraction among its rows."""
    _, fractions = normalised(np.asarray(x, np.uint16), FP16)
    return np.array([beats * len(set(column)) for column in fractions.T.tolist()])


class Cost(NamedTuple):
    """Cycles of a job.

    ``load_x``, ``load_w``: words of its operands, ``rows * ceil(K / L)`` of x, and ``outputs * ceil(K / L)`` of keys or
    ``K * ceil(channels / L)`` of values. ``busy``: words that are multiplied, K D. ``compute``: the cycles that this takes
    when operands are there, ``sum over k of max(D, A, C_k)`` at most. ``results``: D words of each of the t rows.
    """

    load_x: int
    load_w: int
    busy: int
    compute: int
    results: int


def cost(job: Job, array: Array) -> Cost:
    """Cycles of a job taken alone."""
    rows, operands = np.shape(job.x)
    chunks = -(-operands // array.lanes)
    load_w = len(job.w) * (chunks if job.kind == S else -(-np.shape(job.w)[1] // array.lanes))
    words = -(-job.weights.shape[1] // array.outputs)
    slots = np.maximum(preparation(job.x, array.beats), max(words, array.turnaround)) if words else np.zeros(1, int)
    return Cost(rows * chunks, load_w, operands * words, int(slots.sum()), array.rows * words)


def cycles(jobs: Sequence[Job], array: Array) -> int:
    """Cycles from the first operand of ``jobs`` to their last result, nothing outside the array being waited for.

    Three things go on at once: a job loads as soon as its half of an operand memory is free, the one before computes, the
    results of the one before that leave. An operand meets its weights when those of the job are loaded, the one before is
    done (``max(D, A)`` slots), and it is prepared: C cycles, which begin when the one before is prepared and the one
    before that was released. It is a bound from below: the hardware takes its latency more, and up to ``JOB_CYCLES`` a job.
    """
    loaded = {"x": [], "w": []}
    released = {"x": [], "w": []}
    keep = {"x": False, "w": False}
    free = drained = prepared = seen = 0
    left = [0, 0]  # when the two operands before were released
    for job in jobs:
        spent = cost(job, array)
        for name, load in (("x", spent.load_x), ("w", spent.load_w)):
            if not keep[name]:
                begin = max([*loaded[name][-1:], *released[name][-2:-1], 0])
                loaded[name].append(begin + load)
        words = spent.results // array.rows
        if words:
            free = max(free, loaded["w"][-1])
            prepared = max(prepared, loaded["x"][-1])
            for beats in preparation(job.x, array.beats).tolist():
                prepared = max(prepared, left[-2]) + beats
                start = max(free, prepared)
                free = start + max(words, array.turnaround)
                left = [left[-1], start + words]
            free = max(free, drained + words)
            seen = max(left[-1], drained + words) + len(job.x) * words
            drained = seen + (array.rows - len(job.x)) * words
        keep = {"x": job.keep_x, "w": job.keep_w}
        for name in ("x", "w"):
            if not keep[name]:
                released[name].append(left[-1])
    return seen
