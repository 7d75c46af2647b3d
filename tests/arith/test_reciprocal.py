# SPDX-License-Identifier: Apache-2.0
"""The reciprocal: the golden against exact rationals, the RTL against the golden for every significand."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden.arith.reciprocal import reciprocal
from zoetrope.golden.formats import FP16, FP32, is_finite, to_float64
from zoetrope.hw import formats as hw
from zoetrope.hw.arith.reciprocal import ReciprocalConfig, ReciprocalStream
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import corners, random_codes
from zoetrope.sim.stimulus.operators import SideBySide, check, golden_format

CONFIGS = [
    ReciprocalConfig(stages=8),
    ReciprocalConfig(stages=0),
    ReciprocalConfig(fmt=hw.FP16, stages=6),
    ReciprocalConfig(fmt=hw.FP16, stages=0),
]


@pytest.mark.parametrize("fmt", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_golden_against_exact_rationals(fmt):
    codes = np.concatenate(
        [np.array(list(corners(fmt).values()), np.uint64), random_codes(np.random.default_rng(9), fmt, 5000)]
    )
    values = to_float64(codes, fmt)
    number = is_finite(codes, fmt) & (values != 0)
    got = to_float64(reciprocal(codes, fmt), fmt)
    expected = [rounded(1 / Fraction(value), fmt) for value in values[number]]
    np.testing.assert_array_equal(got[number], expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(values[number]))


@pytest.mark.parametrize("fmt", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_zeros_infinities_and_nan(fmt):
    minus = 1 << (fmt.width - 1)
    got = reciprocal(np.array([0, minus, fmt.inf, minus | fmt.inf, fmt.inf + 1]), fmt)
    assert got.tolist() == [fmt.inf, minus | fmt.inf, 0, minus, fmt.nan]


@pytest.fixture(scope="module")
def native():
    operators = (ReciprocalStream(config=config) for config in CONFIGS)
    return Native.build(SideBySide(*operators), "reciprocals")


@pytest.mark.campaign
def test_every_significand_of_fp32_through_the_rtl(native):
    """2^23 significands in [1, 2): what the estimate promises holds for all of them, and for all other exponents."""
    for start in range(127 << 23, 128 << 23, 1 << 20):
        codes = np.arange(start, start + (1 << 20), dtype=np.uint32)
        check(native, 0, codes, reciprocal(codes))


@pytest.mark.parametrize("k", [0, 1])
def test_random_and_extreme_operands_of_fp32_through_the_rtl(native, k):
    """Corners, random codes, and the exponents at which operand or result is subnormal."""
    rng = np.random.default_rng(10)
    extreme = rng.integers(0, 1 << 23, 1 << 20) | rng.choice([0, 1, 252, 253, 254], 1 << 20) << 23
    codes = np.concatenate([list(corners(FP32).values()), random_codes(rng, FP32, 1 << 20), extreme])
    codes = codes.astype(np.uint32)[: None if k == 0 else 1 << 18]
    check(native, k, codes, reciprocal(codes))


@pytest.mark.parametrize("k", [2, 3])
def test_every_code_of_fp16_through_the_rtl(native, k):
    codes = np.arange(1 << 16, dtype=np.uint16)
    check(native, k, pack(codes, widths=[16]), reciprocal(codes, golden_format(CONFIGS[k].fmt)))


@pytest.mark.parametrize("preset", ["default", "fp16"])
def test_rtl(preset):
    assert vectors("reciprocal", preset) > 10_000


@pytest.mark.parametrize(
    "config, message",
    [
        ({"stages": 9}, "stages must be 0 to 8, not 9"),
        ({"fmt": hw.FP16, "stages": 7}, "stages must be 0 to 6, not 7"),
        ({"fmt": hw.FP17}, "fmt must be FP16 or FP32, not FP17"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ReciprocalConfig(**config)
