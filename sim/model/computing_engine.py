# SPDX-License-Identifier: Apache-2.0
"""Cycles of SIMCORE's computing engine (SIMPICKER IV-A, IV-B, V-A, Fig. 4(c)), where nothing waits outside of its units."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.computing_engine.computing_engine import Job, S
from zoetrope.sim.model.pe import copies

#: Cycles at most that the hardware takes for a job beyond ``engine_cycles``. A half of an operand memory that is released,
#: loaded and read again has three of commands and three of registers on its way, and two jobs share them.
JOB_CYCLES = 3


class Array(NamedTuple):
    """What the cycles of an array depend on (SIMPICKER IV-A, IV-B).

    ``rows``: t; ``outputs``: weights a word; ``lanes``: L, elements of a word that is loaded; ``turnaround``: A, slots until
    a sum can be added to again; ``beats``: cycles of a slice's copy, 0 for the FP16 array.
    """

    rows: int
    outputs: int
    lanes: int
    turnaround: int
    beats: int = 0

    @classmethod
    def of(cls, engine, name):
        """The array ``name``, fp16 or lut, of a ``hw.simcore.computing_engine.computing_engine.ComputingEngineConfig``."""
        array = getattr(engine, name)
        beats = array.source.beats if name == "lut" else 0
        return cls(array.rows, array.outputs, engine.load_lanes, array.turnaround, beats)


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


def preparation(job: Job, array: Array) -> list[int]:
    """C of each operand of a job: the copies of its slices."""
    return copies(np.asarray(job.x).T, array.beats)


def cost(job: Job, array: Array) -> Cost:
    """Cycles of a job taken alone."""
    rows, operands = np.shape(job.x)
    chunks = -(-operands // array.lanes)
    load_w = len(job.w) * (chunks if job.kind == S else -(-np.shape(job.w)[1] // array.lanes))
    words = -(-job.weights.shape[1] // array.outputs)
    slots = np.maximum(preparation(job, array), max(words, array.turnaround)) if words else np.zeros(1, int)
    return Cost(rows * chunks, load_w, operands * words, int(slots.sum()), array.rows * words)


def engine_cycles(jobs: Sequence[Job], array: Array) -> int:
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
            for beats in preparation(job, array):
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


def row_cycles(channels, *, lanes):
    """Cycles of the column merge from a row's first word to the next row's: ceil(d / lanes), 1 of no channel (V-A)."""
    return max(1, -(-channels // lanes))
