# SPDX-License-Identifier: Apache-2.0
"""The jobs of one array, in order. Hardware: ``hw.simcore.computing_engine.array_feeder``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.computing_engine.computing_engine import A, Job, S


class Scores(NamedTuple):
    """A task of scores: rows of Q of each slice, codes (rows, d), and ``keys`` (tokens, d), of the key tile in ``place``."""

    place: int
    slices: Sequence[np.ndarray]
    keys: np.ndarray


class Products(NamedTuple):
    """A task of products: rows of e of each slice, codes (rows, tokens), ``values`` (tokens, d), and the columns of A of
    each slice that are this array's, boolean (d,)."""

    place: int
    slices: Sequence[np.ndarray]
    values: np.ndarray
    columns: Sequence[np.ndarray]


def array_feeder(tasks: Iterable[Scores | Products]) -> list[Job]:
    """The jobs of tasks: of scores all slices, K loaded once; of products those slices of which some column is its own."""
    jobs = []
    for task in tasks:
        last = len(task.slices) - 1
        for number, rows in enumerate(task.slices):
            if isinstance(task, Scores):
                tags = {"slice": number, "tile": task.place, "keep_w": number < last}
                jobs.append(Job(S, rows, task.keys, **tags))
            elif np.any(task.columns[number]):
                jobs.append(Job(A, rows, task.values, task.columns[number], slice=number, tile=task.place))
    return jobs
