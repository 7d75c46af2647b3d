# SPDX-License-Identifier: Apache-2.0
"""Floating-point multiplication: the golden against exact rationals, the RTL against the golden, millions of pairs."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, FP29, FP32, is_finite, to_float64
from zoetrope.hw import formats as hw
from zoetrope.hw.arith.float_multiply import FloatMultiplyConfig, FloatMultiplyStream
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import corner_pairs, corners, random_pairs
from zoetrope.sim.stimulus.operators import SideBySide, check, golden_format

CONFIGS = [
    FloatMultiplyConfig(stages=3),
    FloatMultiplyConfig(product=hw.FP16, stages=5),
    FloatMultiplyConfig(operand=hw.FP32, product=hw.FP32, stages=6),
    FloatMultiplyConfig(stages=0),
    FloatMultiplyConfig(product=hw.FP16, stages=0),
    FloatMultiplyConfig(operand=hw.FP32, product=hw.FP32, stages=0),
    FloatMultiplyConfig(product=hw.FP32, stages=1),
    FloatMultiplyConfig(product=hw.FP16, factor=hw.FP32, stages=6),
]


@pytest.mark.parametrize(
    "operand, product", [(FP16, FP29), (FP16, FP16), (FP16, FP32), (FP32, FP32)], ids=lambda fmt: fmt.name
)
def test_golden_against_exact_rationals(operand, product):
    rng = np.random.default_rng(5)
    a, b = np.hstack([corner_pairs(operand)[:2], random_pairs(rng, operand, 2000)])
    finite = is_finite(a, operand) & is_finite(b, operand)
    a, b = a[finite], b[finite]
    got = to_float64(float_multiply(a, b, operand, product), product)
    x, y = to_float64(a, operand), to_float64(b, operand)
    exact = [Fraction(p) * Fraction(q) for p, q in zip(x, y)]
    np.testing.assert_array_equal(got, [rounded(value, product) for value in exact])
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x) ^ np.signbit(y))
    if product == FP29:
        assert all(Fraction(g) == e for g, e in zip(got, exact))


@pytest.mark.parametrize("operand, product", [(FP16, FP29), (FP16, FP16), (FP32, FP32)], ids=lambda fmt: fmt.name)
def test_infinities_and_nan(operand, product):
    inf, nan, minus = operand.inf, operand.nan, 1 << (operand.width - 1)
    cases = {
        (inf, 5): product.inf,
        (inf, minus | inf): product.inf | 1 << (product.width - 1),
        (inf, 0): product.nan,
        (minus, inf): product.nan,
        (inf + 1, 0): product.nan,
        (5, minus | nan): product.nan,
    }
    for (a, b), expected in cases.items():
        assert float_multiply(np.array([a]), np.array([b]), operand, product) == expected


@pytest.fixture(scope="module")
def native():
    operators = (FloatMultiplyStream(config=config) for config in CONFIGS)
    return Native.build(SideBySide(*operators), "float_multiplies")


@pytest.mark.parametrize("k", range(len(CONFIGS)))
@pytest.mark.campaign
def test_millions_of_pairs_through_the_rtl(native, k):
    """Every pair of corners; 4, 3 and 3 million random pairs through the deepest pipelines, fewer through the others."""
    operand, factor, product = (golden_format(getattr(CONFIGS[k], name)) for name in ("operand", "b", "product"))
    rng = np.random.default_rng(k)
    for part in range((4, 3, 3, 1, 1, 1, 1, 2)[k]):
        pairs = random_pairs(rng, operand, 1 << 20, factor)
        a, b = np.hstack([corner_pairs(operand, factor)[:2], pairs]) if part == 0 else pairs
        expected = float_multiply(a, b, operand, product, factor)
        check(native, k, pack(a, b, widths=[operand.width, factor.width]), expected)


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.campaign
def test_every_fp16_code_against_every_corner(native, k):
    every = np.arange(1 << 16, dtype=np.uint64)
    for corner in corners(FP16).values():
        other = np.full(1 << 16, corner, np.uint64)
        check(native, k, pack(every, other, widths=[16, 16]), float_multiply(every, other, FP16, (FP29, FP16)[k]))


@pytest.mark.parametrize("preset", ["default", "fp32"])
def test_rtl(preset):
    assert vectors("float_multiply", preset) > 10_000


@pytest.mark.parametrize(
    "config, message",
    [
        ({"stages": 4}, "stages must be 0 to 3, not 4"),
        ({"product": hw.FP16, "stages": 7}, "stages must be 0 to 6, not 7"),
        ({"product": hw.FP17}, "product must be FP16 or hold every product of two FP16 exactly, not FP17"),
        (
            {"factor": hw.FP32},
            "factor must be None, or FP32 with an FP16 operand and product, not FP32 with FP16 and FP29",
        ),
        ({"operand": hw.FP32}, "product must be FP32 or hold every product of two FP32 exactly, not FP29"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        FloatMultiplyConfig(**config)


def test_golden_of_fp16_by_fp32_against_exact_rationals():
    rng = np.random.default_rng(6)
    a, b = np.hstack([corner_pairs(FP16, FP32)[:2], random_pairs(rng, FP16, 2000, FP32)])
    finite = is_finite(a, FP16) & is_finite(b, FP32)
    a, b = a[finite], b[finite]
    got = to_float64(float_multiply(a, b, FP16, FP16, FP32), FP16)
    x, y = to_float64(a, FP16), to_float64(b, FP32)
    np.testing.assert_array_equal(got, [rounded(Fraction(p) * Fraction(q), FP16) for p, q in zip(x, y)])
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x) ^ np.signbit(y))
    special = {(FP16.inf, 0): FP16.nan, (FP16.inf, 1): FP16.inf, (0x8000, FP32.inf): FP16.nan, (0, FP32.nan): FP16.nan}
    for (p, q), code in special.items():
        assert float_multiply(np.array([p]), np.array([q]), FP16, FP16, FP32) == code
    with pytest.raises(ValueError, match="FP16 by FP32 to FP16"):
        float_multiply(a, b, FP16, FP29, FP32)


def test_golden_refuses_a_product_it_would_have_to_round():
    with pytest.raises(ValueError, match="products of FP32 are rounded to FP32 or exact, not FP29"):
        float_multiply(np.uint32(1), np.uint32(1), FP32, FP29)
