# SPDX-License-Identifier: Apache-2.0
"""Column sums of every N consecutive rows of a matrix (SIMPICKER III-B, IV-C).

Hardware: ``hw.simcore.quantization_engine.reduction_tree``.

A finite binary16 is an integer multiple of 2**-24 below 2**16 in magnitude: a sum of n of them is an integer of
41 + log2(n) bits, exact, and the same in every order. It is rounded to FP32 once, and to FP16 once more where a factor
(1/N for a mean) is asked for. A frame sum in FP16 would overflow from a mean of 48.5 on, at N = 1,350.
"""

import numpy as np

from zoetrope.golden.arith.float_convert import float_convert
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, FP32, fields, fp32, is_finite, to_float64
from zoetrope.golden.pe.fixed_sum import to_fp32


def as_codes(x: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """``float16`` values, or their binary16 codes in ``uint16``, as codes; ``ValueError`` for any other dtype or shape."""
    x = np.asarray(x)
    if x.dtype not in (np.float16, np.uint16):
        raise ValueError(f"FP16 values must be float16, or binary16 codes in uint16, not {x.dtype}")
    if x.ndim != dimensions or 0 in x.shape:
        raise ValueError(f"an array of {dimensions} dimensions, none of them 0, is needed, not one of shape {x.shape}")
    return np.ascontiguousarray(x).view(np.uint16)


def inverse(count: int) -> int:
    """1 / count as an FP32 code, rounded once."""
    if count < 1:
        raise ValueError(f"rows of a sum must be at least 1, not {count}")
    return int(fp32(np.array([1.0 / count]))[0])


def reduction_tree(
    x: np.ndarray, rows: int, factor: int | None = None, last_factor: int | None = None
) -> tuple[np.ndarray, bool]:
    """(sums, error): the sum of every ``rows`` consecutive rows of ``x``, the last of what is left.

    Parameters
    ----------
    x : (M, d), ``float16`` or binary16 codes
    rows : N, at least 1, else ``ValueError``; more than M is M
    factor : FP32 code; None for plain sums
    last_factor : FP32 code for the last sum where it has fewer than N rows; ``factor`` if None

    Returns
    -------
    sums (ceil(M / N), d): FP32 codes (``uint32``) of the exact sums, rounded once; with a factor FP16 codes (``uint16``)
    of ``fp16(fp32(sum) * factor)``, the product rounded to FP32 and then to FP16.
    error : an element is not finite. A sum with an infinity is that infinity; with both, or a NaN, it is NaN.
    """
    x = as_codes(x)
    if rows < 1:
        raise ValueError(f"rows of a sum must be at least 1, not {rows}")
    finite = is_finite(x, FP16)
    sign, _, fraction = fields(x, FP16)
    nan, minus = ~finite & (fraction != 0), ~finite & (sign == 1)
    units = (np.where(finite, to_float64(x, FP16), 0) * 2.0**24).astype(np.int64)
    # A NaN counts as both infinities: one flag each, as in hardware.
    starts = np.arange(0, len(x), rows)
    positive = np.logical_or.reduceat(~finite & ~minus | nan, starts, axis=0)
    negative = np.logical_or.reduceat(minus | nan, starts, axis=0)
    sums = to_fp32(np.add.reduceat(units, starts, axis=0), -24, positive, negative)
    error = not finite.all()
    if factor is None:
        return sums, error
    factors = np.full(len(starts), factor, np.uint32)
    if len(x) % rows and last_factor is not None:
        factors[-1] = last_factor
    scaled = float_multiply(sums, np.broadcast_to(factors[:, None], sums.shape), FP32, FP32)
    return float_convert(scaled, FP32, FP16), error


def means(x: np.ndarray, rows: int) -> tuple[np.ndarray, bool]:
    """(means, error): FP16 codes of the mean of every ``rows`` rows, a ragged last one over its own number of rows."""
    rest = len(x) % rows if rows > 0 else 0
    return reduction_tree(x, rows, inverse(rows), inverse(rest) if rest else None)
