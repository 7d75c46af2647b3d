"""Bench of conversion to floating point: corner and random codes, or integers, of the source."""

import numpy as np

from zoetrope.golden.arith.float_convert import float_convert, integer_convert
from zoetrope.hw.arith.float_convert import Integer
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes
from zoetrope.sim.stimulus.operators import check_rows, golden_format


@bench_test()
async def values(bench):
    c = bench.config
    if isinstance(c.source, Integer):
        codes = random_integers(bench.rng, c.source, 2000)
        expected = integer_convert(integers(codes, c.source), golden_format(c.target))
    else:
        source = golden_format(c.source)
        codes = np.concatenate(
            [np.array(list(corners(source).values()), np.uint64), random_codes(bench.rng, source, 2000)]
        )
        codes = codes if c.subnormals else normal(codes, source)
        expected = float_convert(codes, source, golden_format(c.target))
    await check_rows(bench, pack(codes, widths=[c.source.width]), expected, lambda i: f"{codes[i]:#x}")


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
