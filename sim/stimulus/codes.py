# SPDX-License-Identifier: Apache-2.0
"""Floating-point operands for benches: the codes that an operator may get wrong, by name, and seeded random ones."""

import itertools

import numpy as np

from zoetrope.golden.formats import Float, fields, to_float64


def corners(fmt: Float) -> dict[str, int]:
    """Codes of ``fmt`` at the edges of its classes, positive and negative."""
    top = 1 << fmt.fraction_bits
    one = fmt.bias << fmt.fraction_bits
    positive = {
        "zero": 0,
        "smallest subnormal": 1,
        "second subnormal": 2,
        "half the least normal": top >> 1,
        "just above half the least normal": (top >> 1) + 1,
        "largest subnormal": top - 1,
        "smallest normal": top,
        "just above the smallest normal": top + 1,
        "twice the smallest normal": 2 * top,
        "just under one": one - 1,
        "one": one,
        "just above one": one + 1,
        "one and a half": one + (top >> 1),
        "just under two": one + top - 1,
        "two": one + top,
        "square root of the largest": (fmt.bias + fmt.bias // 2 << fmt.fraction_bits) + (top - 1),
        "half the largest power": fmt.inf - 2 * top,
        "largest power of two": fmt.inf - top,
        "just under the largest": fmt.inf - 2,
        "largest": fmt.inf - 1,
        "infinity": fmt.inf,
        "quiet NaN": fmt.nan,
        "signalling NaN": fmt.inf + 1,
        "NaN of all ones": fmt.inf + top - 1,
    }
    sign = 1 << (fmt.width - 1)
    return positive | {f"negative {name}": sign | code for name, code in positive.items()}


def corner_pairs(fmt_a: Float, fmt_b: Float | None = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All pairs of corners: codes of ``fmt_a``, codes of ``fmt_b`` (default: the same format), and the pairs' names."""
    a, b = corners(fmt_a), corners(fmt_b or fmt_a)
    names = [f"{x}, {y}" for x, y in itertools.product(a, b)]
    codes = np.array(list(itertools.product(a.values(), b.values())), np.uint64)
    return codes[:, 0], codes[:, 1], names


def random_codes(rng: np.random.Generator, fmt: Float, count: int) -> np.ndarray:
    """``count`` codes, ``uint64``: half uniform over all codes; the rest subnormal, of few significant bits, or special.

    Few significant bits make ties and exact results, which uniform codes hardly ever do.
    """
    codes = rng.integers(0, 1 << fmt.width, count, dtype=np.uint64)
    fraction = np.uint64((1 << fmt.fraction_bits) - 1)
    kind = rng.integers(0, 16, count)
    kept = rng.integers(1, fmt.fraction_bits + 1, count, dtype=np.uint64)
    short = codes & ~(fraction >> kept)
    codes = np.where((kind >= 8) & (kind < 12), short, codes)
    codes = np.where((kind >= 12) & (kind < 15), codes & ~np.uint64(fmt.inf), codes)
    return np.where(kind == 15, codes | np.uint64(fmt.inf), codes)


def random_pairs(
    rng: np.random.Generator, fmt_a: Float, count: int, fmt_b: Float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` pairs; in half of them the exponents lie close together, where sums cancel and products round."""
    fmt_b = fmt_b or fmt_a
    a, b = random_codes(rng, fmt_a, count), random_codes(rng, fmt_b, count)
    near = np.int64(rng.integers(-3 - fmt_a.fraction_bits, 4 + fmt_a.fraction_bits, count))
    exponent = np.int64(a >> np.uint64(fmt_a.fraction_bits) & np.uint64(fmt_a.exponent_max)) - fmt_a.bias + fmt_b.bias
    exponent = np.clip(exponent + near, 0, fmt_b.exponent_max).astype(np.uint64) << np.uint64(fmt_b.fraction_bits)
    return a, np.where(rng.random(count) < 0.5, b & ~np.uint64(fmt_b.inf) | exponent, b)


def running_sums(operands, a, b):
    """Operands as an accumulator meets them: neither of them, nor their sum, is subnormal."""
    values = [to_float64(codes, fmt) for codes, fmt in zip(operands.T, (a, b))]
    least = 2.0 ** (1 - a.bias)
    with np.errstate(invalid="ignore"):
        normal = [(np.abs(value) >= least) | (value == 0) | ~np.isfinite(value) for value in (*values, sum(values))]
    encodable = ~((fields(operands[:, 1], b)[1] == 0) & (values[1] != 0))
    return operands[np.logical_and.reduce(normal) & encodable]


def ordered_pairs(rng, fmt, count):
    """Random pairs; in a quarter of them the second is the first, its neighbour or its negative."""
    a, b = random_pairs(rng, fmt, count)
    near = a + rng.integers(0, 2, count, dtype=np.uint64) ^ rng.integers(0, 2, count, dtype=np.uint64) << np.uint64(
        fmt.width - 1
    )
    return a, np.where(rng.integers(0, 4, count) == 0, near & np.uint64((1 << fmt.width) - 1), b)


def normal(codes, fmt):
    """``codes`` without the subnormal ones."""
    exponent, fraction = codes & np.uint64(fmt.inf), codes & np.uint64((1 << fmt.fraction_bits) - 1)
    return codes[(exponent != 0) | (fraction == 0)]


def random_integers(rng, source, count):
    """Codes of all magnitudes alike, both signs, the extremes and zeros among them; ``uint64``."""
    bits = source.width - 1
    magnitude = rng.integers(0, 1 << bits, count, dtype=np.uint64) >> rng.integers(0, bits, count, dtype=np.uint64)
    top, all_ones = np.uint64(1 << bits), np.uint64((1 << source.width) - 1)
    # -magnitude modulo 2^64, cut to the width: as a sign and magnitude it is any code with the sign, but -0.
    codes = np.where(rng.integers(0, 2, count) == 1, magnitude, (np.uint64(0) - magnitude) & all_ones)
    one = np.uint64(1)
    return np.concatenate([np.array([0, 1, top - one, top, top + one, all_ones], np.uint64), codes])


def integers(codes, source):
    """The numbers that codes of an ``Integer`` stand for, ``int64``."""
    codes = np.asarray(codes, np.uint64)
    top = np.uint64(1 << (source.width - 1))
    if source.sign_magnitude:
        magnitude = (codes & (top - np.uint64(1))).astype(np.int64)
        return np.where(codes & top != 0, -magnitude, magnitude)
    unused = np.int64(64 - source.width)
    return codes.view(np.int64) << unused >> unused
