# SPDX-License-Identifier: Apache-2.0
"""What a *method* is: attention as one machine computes it, for a model that denoises a video step by step.

A method is told once what comes (``begin``), then asked for the attention of each layer of each step, in order, all heads
at once (``attend``). What it keeps from step to step is its own, by layer and head: ORBIS keeps pairs of tokens. A new
method is a subclass and a line in ``sim.video.methods``.
"""

import abc
from typing import NamedTuple

import numpy as np


class Plan(NamedTuple):
    """What a method is told before the first step: ``grid`` is frames, rows and columns of tokens; d channels of a head."""

    grid: tuple[int, int, int]
    steps: int
    layers: int
    heads: int
    d: int

    @property
    def tokens(self) -> int:
        return int(np.prod(self.grid))

    @property
    def dense(self) -> int:
        """Products of one head: of Q K^T and of P V."""
        return 2 * self.tokens**2 * self.d


class Work(NamedTuple):
    """What the attention of one head took.

    ``products`` that were multiplied, ``mixed`` of them FP16 by INT8; ``cycles`` of the machine, and of the same machine
    with nothing skipped or mixed, ``dense_cycles``; ``skipped``: boolean (tokens,), tokens whose output was not computed.
    """

    products: int
    mixed: int
    cycles: int
    dense_cycles: int
    skipped: np.ndarray


class Method(abc.ABC):
    """Attention by one machine."""

    #: By which it is asked for.
    name: str

    #: The thresholds that it ran with, by name, as the page and the results show them.
    thresholds: dict

    def begin(self, plan: Plan, pool) -> None:
        """A video begins: what was kept of another one is forgotten. ``pool``: an executor, for heads side by side."""
        self.plan, self.pool = plan, pool

    @abc.abstractmethod
    def attend(
        self, step: int, layer: int, q: np.ndarray, k: np.ndarray, v: np.ndarray
    ) -> tuple[np.ndarray, list[Work]]:
        """Attention of all heads, (heads, tokens, d) in FP32, and the ``Work`` of each."""
