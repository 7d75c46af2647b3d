# SPDX-License-Identifier: Apache-2.0
"""All that speculation prepares for a head, from Q, K and V of any size (SIMPICKER III-B): maps, codes and scales.

Bit by bit what the prediction unit, the quantization unit and the scale unit write. What it is worth:
``golden.method.quality``.
"""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales
from zoetrope.golden.simcore.quantization_engine.prediction_unit import Importance, importance_of_p
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantization_unit


class Speculation(NamedTuple):
    """Of one head, M tokens of d channels.

    Attributes
    ----------
    p : importance of the tiles of P: map, scores, error (``golden.simcore.quantization_engine.prediction_unit.Importance``)
    k_codes, v_codes : INT8, ``uint8`` (M, d)
    k_scales, v_scales : ``float32`` (d,)
    q_folded : ``float16`` (M, d), Q times K's scales: the operand that meets K's codes
    not_finite : a value of Q, K or V is NaN or infinite
    """

    p: Importance
    k_codes: np.ndarray
    k_scales: np.ndarray
    v_codes: np.ndarray
    v_scales: np.ndarray
    q_folded: np.ndarray
    not_finite: bool


def speculate(q: np.ndarray, k: np.ndarray, v: np.ndarray, rows: int, p: float = 0.65, *, text: int = 0) -> Speculation:
    """What is known of a head before Q K^T begins.

    Parameters
    ----------
    q, k, v : (M, d), ``float16`` or binary16 codes, text tokens first; Q may have fewer tokens than K and V
    rows : N, tokens of a frame
    p : proportion of a row's sum that important tiles exceed
    text : text tokens in front of q, k and v; they are a tile of their own, always important

    The importance of A's columns is found slice by slice of P, when P is there:
    ``golden.simcore.quantization_engine.prediction_unit.importance_of_a``.
    ``ValueError`` for shapes or types that do not fit, N = 0, p outside 0..1, and text that leaves no token.
    """
    q, k, v = (_codes(x, name) for x, name in ((q, "q"), (k, "k"), (v, "v")))
    if k.shape != v.shape or q.shape[1] != k.shape[1]:
        raise ValueError(f"k and v must be of one shape, q of as many channels, not {q.shape}, {k.shape}, {v.shape}")
    if not 0 <= text < min(len(q), len(k)):
        raise ValueError(f"text must be at least 0 and leave a token of q and k, not {text}")
    importance = importance_of_p(q[text:], k[text:], rows, p, text=bool(text))
    k_codes, k_scales, k_wrong = quantization_unit(k)
    v_codes, v_scales, v_wrong = quantization_unit(v)
    q_wrong = bool((q & 0x7C00 == 0x7C00).any())
    folded = fold_key_scales(q, k_scales)
    return Speculation(importance, k_codes, k_scales, v_codes, v_scales, folded, q_wrong or k_wrong or v_wrong)


def _codes(x: np.ndarray, name: str) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype not in (np.float16, np.uint16) or x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} must be float16 or binary16 codes (tokens, channels), not {x.dtype} {x.shape}")
    return np.ascontiguousarray(x).view(np.uint16)
