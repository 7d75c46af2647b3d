"""Operands that find bugs: labelled corner codes of a format, and random codes of every class."""

import itertools

import numpy as np

from golden.formats import Float


def corners(fmt: Float) -> dict[str, int]:
    """Codes that an operator may get wrong, by name."""
    one = fmt.bias << fmt.fraction_bits
    least_normal = 1 << fmt.fraction_bits
    positive = {
        "zero": 0,
        "smallest subnormal": 1,
        "largest subnormal": least_normal - 1,
        "smallest normal": least_normal,
        "one": one,
        "just over one": one + 1,
        "just under one": one - 1,
        "ulp of one": one - (fmt.fraction_bits << fmt.fraction_bits),
        "half an ulp of one": one - ((fmt.fraction_bits + 1) << fmt.fraction_bits),
        "largest": fmt.inf - 1,
        "half of the largest": fmt.inf - 1 - least_normal,
        "infinity": fmt.inf,
        "quiet NaN": fmt.nan,
        "signalling NaN": fmt.inf + 1,
        "NaN, all ones": fmt.inf + least_normal - 1,
    }
    sign = 1 << (fmt.width - 1)
    return positive | {f"minus {name}": sign | code for name, code in positive.items()}


def corner_pairs(a: Float, b: Float) -> np.ndarray:
    """Every pair of corner codes of two formats, ``uint64`` (n, 2)."""
    return np.array(list(itertools.product(corners(a).values(), corners(b).values())), np.uint64)


def random_codes(rng, fmt: Float, count: int) -> np.ndarray:
    """Random codes, ``uint64``: half of them uniform, half of them near one another in exponent, so that sums cancel."""
    uniform = rng.integers(0, 1 << fmt.width, count, dtype=np.uint64)
    exponent = fmt.bias + rng.integers(-3, 4, count)
    near = rng.integers(0, 1 << fmt.fraction_bits, count) | exponent << fmt.fraction_bits
    near |= rng.integers(0, 2, count) << (fmt.width - 1)
    return np.where(rng.random(count) < 0.5, uniform, near.astype(np.uint64))
