# SPDX-License-Identifier: Apache-2.0
"""From the scores of a slice and a key tile to e, and to the columns of A that are important. Hardware:
``hw.simcore.chip.score_path``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_a
from zoetrope.golden.simcore.quantization_engine.reduction_tree import inverse
from zoetrope.golden.simcore.quantization_engine.sort_select import P_BITS
from zoetrope.golden.softmax.sfu import tile


class Scored(NamedTuple):
    """``e``: FP16 codes (rows, n); ``maximum`` and ``total``: FP32 codes (rows,); ``mask``: boolean (d,)."""

    e: np.ndarray
    maximum: np.ndarray
    total: np.ndarray
    mask: np.ndarray


def score_path(
    scores: np.ndarray,
    scale: np.ndarray,
    v: np.ndarray,
    p_a: float | None,
    *,
    t: int,
    lanes: int = 4,
    running: int = 3,
    p_bits: int = P_BITS,
) -> Scored:
    """Of ``scores``, FP32 codes (rows, n) of one slice of up to ``t`` rows, and the values ``v``, FP16 codes (n, d).

    ``scale``: FP32 code that multiplies the scores. ``p_a``: proportion of the columns' scores that the important ones
    exceed; None: all are important. ``lanes`` and ``running``: of the SFU, as of ``golden.softmax.sfu``.
    """
    e, maximum, total = tile(scores, scale, lanes=lanes, running=running)
    if p_a is None:
        return Scored(e, maximum, total, np.ones(np.shape(v)[1], bool))
    return Scored(e, maximum, total, importance_of_a(e, v, p_a, factor=inverse(t), p_bits=p_bits).map)
