# SPDX-License-Identifier: Apache-2.0
"""Exact sums: the golden against exact rationals, in any order, to the last operand that fits; the order of FP32 beside."""

from fractions import Fraction

import numpy as np
import pytest

from zoetrope.golden.formats import FP16, FP24, FP32, fp16, int8_decode, int8_encode, to_float64
from zoetrope.golden.pe.exact_product import exact_product
from zoetrope.golden.pe.fixed_sum import MAX_OPERANDS, fixed_sum
from zoetrope.golden.pe.lut_pe import lut_pe, order_error


def random_codes(rng, shape):
    x = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    x[(x & FP16.inf) == FP16.inf] ^= 0x4000
    return x


def nearest_fp32(value):
    """A rational to the nearest binary32, ties to even, from integers alone; for normal results."""
    if value == 0:
        return 0.0
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    return float(round(value / unit) * unit)


def test_exact_products_are_exact():
    x, w = np.arange(1 << 16, dtype=np.uint16)[::7, None], np.arange(256, dtype=np.uint8)
    products = exact_product(x, w)
    with np.errstate(invalid="ignore"):
        expected = to_float64(x, FP16) * int8_decode(w)
    np.testing.assert_array_equal(to_float64(products, FP24), expected)
    # The sign of a zero is that of x where w is zero.
    zero = np.isfinite(expected) & (expected == 0)
    negative = (x >> 15 == 1) ^ ((w > 0x80) & (w & 0x7F > 0))
    np.testing.assert_array_equal((products >> 23 == 1)[zero], np.broadcast_to(negative, zero.shape)[zero])


@pytest.mark.parametrize("operands", [1, 2, 60])
def test_golden_against_exact_rationals(operands):
    rng = np.random.default_rng(operands)
    x, w = random_codes(rng, (20, operands)), rng.integers(0, 256, (20, operands, 3), dtype=np.uint8)
    terms = [[Fraction(float(v)) for v in row] for row in to_float64(x, FP16)]
    weights = int8_decode(w).astype(int).tolist()
    expected = [
        [nearest_fp32(sum((v * r[j] for v, r in zip(row, rows)), Fraction(0))) for j in range(3)]
        for row, rows in zip(terms, weights)
    ]
    np.testing.assert_array_equal(to_float64(lut_pe(x, w, "exact", "fixed"), FP32), expected)


def test_ties_go_to_even_and_a_cancelled_sum_is_plus_zero():
    """2^24 + 1 and 2^24 + 3 lie between two binary32; the sums reach them with products of at most 64 x 32768."""
    x = fp16(np.array([[32768.0] * 8 + [1.0]]))
    w = int8_encode(np.array([64] * 8 + [1]))[None, :, None]
    assert to_float64(lut_pe(x, w, "exact", "fixed"), FP32).item() == 2.0**24
    w = int8_encode(np.array([64] * 8 + [3]))[None, :, None]
    assert to_float64(lut_pe(x, w, "exact", "fixed"), FP32).item() == 2.0**24 + 4
    w = int8_encode(np.array([64, -64] * 4 + [0]))[None, :, None]
    assert lut_pe(x | 0x8000, w, "exact", "fixed").item() == 0


@pytest.mark.parametrize("reading", ["odd16", "byte128", "exact"])
def test_any_order_gives_the_same_bits(reading):
    rng = np.random.default_rng(3)
    x, w = random_codes(rng, (4, 300)), rng.integers(0, 256, (4, 300, 5), dtype=np.uint8)
    order = rng.permutation(300)
    np.testing.assert_array_equal(lut_pe(x, w, reading, "fixed"), lut_pe(x[:, order], w[:, order], reading, "fixed"))


def test_the_largest_sum_fits():
    products = np.broadcast_to(exact_product(np.uint16(0xFBFF), np.uint8(127)), (MAX_OPERANDS, 1))
    assert to_float64(fixed_sum(products, FP24), FP32).item() == np.float32(-65504.0 * 127 * MAX_OPERANDS)
    too_many = np.broadcast_to(products[:1], (MAX_OPERANDS + 1, 1))
    assert np.isnan(to_float64(fixed_sum(too_many, FP24), FP32).item())


def test_infinities_and_nan_as_ieee_has_them():
    inf, one, nan = FP16.inf, 0x3C00, FP16.nan
    w = int8_encode(np.array([1, -1, 0]))
    rows = [[inf, one], [inf, inf], [inf, inf | 0x8000], [one, nan], [one, one]]
    got = lut_pe(np.array(rows, np.uint16), np.broadcast_to(w, (5, 2, 3)), "exact", "fixed")
    with np.errstate(invalid="ignore"):
        values = to_float64(np.array(rows, np.uint16), FP16)
        expected = (values[..., None] * np.array([1.0, -1.0, 0.0])).sum(axis=1)
    np.testing.assert_array_equal(to_float64(got, FP32), expected)


@pytest.mark.parametrize("operands, bound", [(64, 4.5e-8), (1350, 2.8e-7)])
def test_published_error_of_the_fp32_order(operands, bound):
    """rms difference of FP32 sums in the order of k from exact ones, over their rms, normal operands, exact products."""
    rng = np.random.default_rng(2)
    x = fp16(rng.standard_normal((50, operands)))
    w = int8_encode(np.clip(np.rint(rng.standard_normal((50, operands, 16)) * 42), -127, 127).astype(int))
    assert 0 < order_error(x, w) < bound


def test_unknown_accumulator():
    with pytest.raises(ValueError, match="accumulator must be fp32 or fixed, not 'int'"):
        lut_pe(np.zeros(3, np.uint16), np.zeros((3, 2), np.uint8), accumulator="int")
