# SPDX-License-Identifier: Apache-2.0
"""Token matching from FP16 tokens to index pairs (ORBIS 3.2, 3.3). Hardware: ``hw.orbis.matching.matching_engine``.

A composition: codes and amax by ``golden.orbis.matching.quantization_engine``, weights and the loop by
``golden.orbis.matching.datm``, and where no dst
are given, those that ``golden.orbis.matching.dst_chooser`` draws.
"""

from __future__ import annotations

import numpy as np

from zoetrope.golden.orbis.matching.datm import WEIGHT_BITS, Match, match, weights
from zoetrope.golden.orbis.matching.dst_chooser import choose
from zoetrope.golden.orbis.matching.quantization_engine import quantize


def matching_engine(
    x: np.ndarray,
    *,
    k: int,
    dst: np.ndarray | None = None,
    slots: int | None = None,
    seed: int = 0,
    eps: int = 1,
    cap: int = 16,
    weight_bits: int = WEIGHT_BITS,
    shared: int = 1,
) -> Match:
    """The pairs of a matrix of tokens, and all else that ``golden.orbis.matching.datm.match`` tells of them.

    Parameters
    ----------
    x : (M, d) ``float16``, or binary16 codes as ``uint16``; finite
    k : pairs that are kept, 0 to M - K
    dst : (K,) distinct tokens to begin with; or ``slots``, how many ``seed`` chooses
    eps, cap : where the loop stops, as in ``match``
    weight_bits : of a channel's weight
    shared : channels in a row that have the weight of the first of them

    ``ValueError``, naming what was wrong, for anything else.
    """
    if (dst is None) == (slots is None):
        raise ValueError("either dst or slots is needed")
    codes, amax = quantize(x)
    dst = choose(len(codes), slots, seed) if dst is None else dst
    w = weights(amax, weight_bits)
    return match(codes, dst, k=k, weights=w[np.arange(len(w)) // shared * shared], eps=eps, cap=cap)


def tables(found: Match) -> tuple[np.ndarray, np.ndarray]:
    """What memory holds behind a job: pairs (k, 3) of src, slot, distance, and the dst (K,); ``int64``."""
    return np.stack([found.src, found.slot, found.distance], axis=1), found.dst
