# SPDX-License-Identifier: Apache-2.0
"""Tiles of S = Q K^T and of A = P V on the two arrays of SIMPICKER's computing engine.

Hardware: ``hw.simcore.computing_engine.computing_engine``; its cycles: ``sim.model.computing_engine``.

A job is one tile on one array: up to t rows of Q, or of P, times the keys or values of a tile of tokens::

    S[r, j] = sum over channels k of q[r, k] * key[j, k]              in the order of k, FP32
    A[r, c] = sum over tokens k of p[r, k] * value[k, c]              in the order of k, FP32, for the columns c of a mask

by ``golden.pe.fp16_pe.fp16_pe`` on the FP16 array and ``golden.pe.lut_pe.lut_pe`` on the LUT array.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

#: Kinds of jobs: what the tile is of.
S, A = 0, 1


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
