# SPDX-License-Identifier: Apache-2.0
"""Whether the o of a captured head is the attention of its q, k and v: recomputed densely, in ``float64``, and
compared.

The recomputation starts from numbers that were rounded to FP16, and the model rounded too, so the two differ. How
much they may is a bound of each element of o that holds for these very numbers; beyond it, the file is not what the
model computed. With hats for what the file has, p = softmax(s) and s = scale q k^T:

1. **q, k and v were rounded.** An x that the model had differs from the file's by e(x), half a unit in the last place
   of FP16; by nothing if the model computes in FP16; by at most 2^-25, and only below 2^-16, if in bfloat16, whose 8
   bits FP16 holds. So a score is off by at most D = scale (|q| e(k) + e(q) |k| + e(q) e(k)), summed over d.
2. **The model summed scores in FP32**, whatever the order: D grows by (d + 4) 2^-24 scale |q| |k|, and a further
   2^-21 (1 + |s - max s|) is for its exponential. In ``float64`` the same holds with 2^-53 in place of 2^-24.
3. **The softmax of scores that are off by up to D.** With L = sum p exp(-D) and H = sum p exp(D), each of a row,
   every p_j is off by at most the factor r_j = max(exp(D_j) / L - 1, 1 - exp(-D_j) / H). Both sets of probabilities
   sum to 1, so o moves by at most sum_j p_j r_j |v_j - o|: how far the values that share the weight differ from their
   mean. (Cauchy and Schwarz make products of matrices of it, sqrt(sum p r  sum p r (v - o)^2): a third less time, and
   twice the bound where a row has one large probability.)
4. **The model's probabilities and sums.** They are rounded to its own format, of unit roundoff u (2^-11 for FP16,
   2^-8 for bfloat16, 2^-24 for FP32), and summed over T tokens in FP32: (u + (T + 8) 2^-24) sum p (1 + r) |v|. In
   FP16 a weight below the subnormal numbers is lost: 2^-25 sum |v| / l, with l the sum of the exponentials.
5. **v** is off by e(v), so o by sum p (1 + r) e(v); **o** was rounded by the model, u |o| + 2^-25, and for the file,
   e(o).

The bound is their sum. It supposes what PyTorch's kernels do: scores and sums in FP32 at least, each probability
rounded once. A kernel that computes scores in less, such as TF32 or FP8, is beyond it, and rightly so: its o is not
that of these q and k.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoetrope.sim.input.captured import Captured

#: Unit roundoff of the formats that a model computes in.
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}

#: Scores that are recomputed of an entry unless all are asked for: of more, evenly spaced queries stand for all.
SCORES = 1 << 22

#: Queries that are recomputed at a time.
_SCORES_AT_A_TIME = 1 << 20


class Comparison(NamedTuple):
    """Of one entry: ``error``, the largest |o - o recomputed|; ``bound``, where the error takes its largest share of
    it; ``share``, that share: at most 1 if all is well. ``rms`` of o. ``queries``, of how many this is.
    """

    error: float
    bound: float
    share: float
    rms: float
    queries: int

    @property
    def holds(self) -> bool:
        return self.share <= 1


def rounding(x, dtype):
    """By how much each number of a file may differ from the one that a model in ``dtype`` had, in ``float64``."""
    if dtype == "float16":
        return np.zeros(x.shape)
    if dtype == "bfloat16":
        return np.where(np.abs(x) >= 2.0**-16, 0.0, 2.0**-25)
    return np.spacing(np.abs(x.astype(np.float16))).astype(np.float64) / 2


def recomputed(q, k, v, o, scale, dtype):
    """(o recomputed, its bound), ``float64``, for some queries: q and o of (queries, d), k and v of (tokens, d)."""
    eq, ek, ev, eo = (rounding(x, dtype) for x in (q, k, v, o))
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    u = ROUNDOFF[dtype]
    wide = u if dtype == "float64" else 2.0**-24  # of its scores and sums
    s = scale * (q @ k.T)
    off = s - s.max(axis=1, keepdims=True)
    p = np.exp(off)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    out = p @ v
    d = scale * (np.abs(q) @ ek.T + eq @ (np.abs(k) + ek).T) + (q.shape[1] + 4) * wide * scale * (
        np.abs(q) @ np.abs(k).T
    )
    d += 8 * wide * (1 - off)
    up = np.exp(d)
    low, high = (p / up).sum(axis=1, keepdims=True), (p * up).sum(axis=1, keepdims=True)
    weight = p * np.maximum(up / low - 1, 1 - 1 / (up * high))
    bound = np.empty_like(out)
    for column in range(v.shape[1]):  # |v - o| for every pair is too much at a time
        bound[:, column] = (weight * np.abs(v[:, column] - out[:, column, None])).sum(axis=1)
    most = p + weight
    bound += (u + (len(k) + 8) * wide) * (most @ np.abs(v)) + most @ ev
    if dtype == "float16":
        bound += 2.0**-25 * np.abs(v).sum(axis=0) / total
    return out, bound + u * (np.abs(out) + bound) + eo + (0 if dtype == "float64" else 2.0**-25)


def compare(captured: Captured, index: int, every: bool = False) -> Comparison:
    """One entry of a file. Of a long one some queries, evenly spaced, or ``every`` one."""
    q, k, v, o = (getattr(captured, name)[index] for name in "qkvo")
    tokens = len(q)
    count = tokens if every else max(1, min(tokens, SCORES // tokens))
    queries = np.unique(np.linspace(0, tokens - 1, count).astype(int))
    error = bound = share = 0.0
    size = max(1, _SCORES_AT_A_TIME // tokens)
    for start in range(0, len(queries), size):
        some = queries[start : start + size]
        out, limits = recomputed(q[some], k, v, o[some], captured.scale, captured.dtype)
        errors = np.abs(out - o[some].astype(np.float64))
        shares = errors / limits
        worst = np.unravel_index(np.argmax(shares), shares.shape)
        if shares[worst] >= share:
            share, bound = float(shares[worst]), float(limits[worst])
        error = max(error, float(errors.max()))
    return Comparison(error, bound, share, float(np.sqrt(np.mean(o.astype(np.float64) ** 2))), len(queries))
