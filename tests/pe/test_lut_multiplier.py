# SPDX-License-Identifier: Apache-2.0
"""The LUT multiplier: its golden against independent arithmetic, exhaustively; its RTL against the golden."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.formats import FP16, FP17, int8_decode, to_float64
from zoetrope.golden.pe.lut_multiplier import lut_multiplier, product_table
from zoetrope.hw.pe.lut_multiplier import LutMultiplierConfig
from zoetrope.hw.pe.product_table import READINGS

X = np.arange(1 << 16, dtype=np.uint16)[:, None]
W = np.arange(1 << 8, dtype=np.uint8)[None]


@pytest.fixture(scope="module")
def products():
    return {reading: lut_multiplier(X, W, reading) for reading in READINGS}


@pytest.mark.campaign
def test_every_finite_product_is_the_one_of_numpy_float16(products):
    """2^16 x 2^8 products against IEEE's multiplication in NumPy, wherever that is finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        ieee = X.view(np.float16) * int8_decode(W).astype(np.float16)
        ours = to_float64(products["odd16"], FP17).astype(np.float16)
    finite = np.isfinite(ieee)
    assert finite.sum() == 13_319_364
    np.testing.assert_array_equal(ours.view(np.uint16)[finite], ieee.view(np.uint16)[finite])


def test_products_beyond_fp16_are_rounded_once_to_11_bits(products):
    """Where FP16 overflows, against float64, whose products of 11 and 7 bits are exact."""
    with np.errstate(invalid="ignore"):
        exact = to_float64(X, FP16) * int8_decode(W)
        fraction, exponent = np.frexp(exact)
        rounded = np.ldexp(np.round(fraction * 2048) / 2048, exponent)  # NumPy rounds halves to even
    finite = np.isfinite(exact)
    assert np.abs(exact[finite]).max() > 65504
    np.testing.assert_array_equal(to_float64(products["odd16"], FP17)[finite], rounded[finite])


@pytest.mark.parametrize("reading", READINGS)
def test_infinities_nan_and_zeros_follow_ieee(products, reading):
    with np.errstate(over="ignore", invalid="ignore"):
        ieee = X.view(np.float16).astype(np.float64) * int8_decode(W)
    ours = to_float64(products[reading], FP17)
    special = ~np.isfinite(ieee) | (ieee == 0)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(ieee))
    number = special & ~np.isnan(ieee)
    np.testing.assert_array_equal(ours[number], ieee[number])
    np.testing.assert_array_equal(np.signbit(ours[number]), np.signbit(ieee[number]))
    assert set(np.unique(products[reading][np.isnan(ours)])) == {FP17.nan}


@pytest.mark.parametrize("reading", READINGS)
def test_minus_zero_weight_is_zero(products, reading):
    np.testing.assert_array_equal(products[reading][:, 0x80], products[reading][:, 0])


def test_byte128_is_the_table_it_says(products):
    """Every entry against exact rationals; every product within half a unit of the entry, 0.25 of the weight's unit."""
    table = product_table("byte128")
    assert table.nbytes == 128 * 1024
    for f, m in [(0, 127), (1023, 127), (256, 1), (768, 1), (512, 3), (1, 1), (1000, 64)]:
        assert table[f, m] == round(Fraction(f * m, 512))
    np.testing.assert_array_equal(table, np.rint(np.arange(1024)[:, None] * np.arange(128) / 512))
    x = np.arange(0x3C00, 0x4000, dtype=np.uint16)[:, None]  # 1 <= x < 2: the unit of the weight is 1
    error = to_float64(lut_multiplier(x, W, "byte128"), FP17) - to_float64(x, FP16) * int8_decode(W)
    assert np.abs(error).max() == 0.25


def test_odd16_table_holds_128_kib_and_every_entry_is_the_rounded_product():
    table = product_table("odd16")
    assert table.nbytes == 128 * 1024
    increment, fraction = (table >> 10).astype(np.int64), (table & 1023).astype(np.int64)
    value = np.ldexp(1 + fraction / 1024, increment)
    exact = (1 + np.arange(1024)[:, None] / 1024) * (2 * np.arange(64) + 1)
    assert np.abs(value / exact - 1).max() <= 2.0**-11
    assert increment.max() == 7 and (table >> 13).max() == 0


def test_unknown_reading_is_refused():
    with pytest.raises(ValueError, match="reading must be one of odd16, byte128, not 'odd8'"):
        lut_multiplier(X, W, "odd8")


@pytest.mark.parametrize(
    "config, message",
    [
        ({"reading": "odd8"}, "reading must be one of odd16, byte128, not 'odd8'"),
        ({"copy_width": 3}, "copy_width must be a power of two from 1 to 64, not 3"),
        ({"copy_width": 128}, "copy_width must be a power of two from 1 to 64, not 128"),
        ({"copy_width": 0}, "copy_width must be a power of two from 1 to 64, not 0"),
        ({"stages": 0}, "stages must be 1 to 2, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        LutMultiplierConfig(**config)


@pytest.mark.parametrize("preset", ["default", "deep", "byte128"])
def test_rtl(preset):
    assert vectors("lut_multiplier", preset) > 10_000
