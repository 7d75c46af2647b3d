# SPDX-License-Identifier: Apache-2.0
"""Conversions: the golden against exact rationals, the RTL against the golden, exhaustively for 16-bit sources."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden.arith.float_convert import float_convert, integer_convert
from zoetrope.golden.formats import FP16, FP17, FP29, FP32, fp32, int8_decode, is_finite, to_float64
from zoetrope.hw import formats as hw
from zoetrope.hw.arith.float_convert import FloatConvertConfig, FloatConvertStream, Integer
from zoetrope.sim.packing import pack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import corners, integers, normal, random_codes, random_integers
from zoetrope.sim.stimulus.operators import SideBySide, check, golden_format

CONFIGS = [
    FloatConvertConfig(stages=0),
    FloatConvertConfig(stages=3),
    FloatConvertConfig(source=hw.FP16, target=hw.FP32, stages=0),
    FloatConvertConfig(source=hw.FP16, target=hw.FP32, stages=3),
    FloatConvertConfig(source=hw.FP29, stages=1),
    FloatConvertConfig(source=hw.FP29, target=hw.FP32, stages=1, subnormals=False),
    FloatConvertConfig(source=hw.FP17, stages=2),
]
INTEGER_CONFIGS = [
    FloatConvertConfig(source=Integer(8, sign_magnitude=True), stages=0),
    FloatConvertConfig(source=Integer(8, sign_magnitude=True), target=hw.FP32, stages=4),
    FloatConvertConfig(source=Integer(8), stages=1),
    FloatConvertConfig(source=Integer(16), stages=4),
    FloatConvertConfig(source=Integer(27), target=hw.FP32, stages=0),
    FloatConvertConfig(source=Integer(32), stages=2),
    FloatConvertConfig(source=Integer(32), target=hw.FP32, stages=4),
    FloatConvertConfig(source=Integer(2), stages=1),
    FloatConvertConfig(source=Integer(63), target=hw.FP32, stages=4),
    FloatConvertConfig(source=Integer(64), target=hw.FP32, stages=2),
    FloatConvertConfig(source=Integer(64), stages=0),
    FloatConvertConfig(source=Integer(64, sign_magnitude=True), target=hw.FP32, stages=3),
]


@pytest.mark.parametrize(
    "source, target", [(FP32, FP16), (FP16, FP32), (FP29, FP16), (FP29, FP32), (FP17, FP16)], ids=lambda fmt: fmt.name
)
def test_golden_against_exact_rationals(source, target):
    codes = random_codes(np.random.default_rng(6), source, 3000)
    codes = codes[is_finite(codes, source)]
    got = to_float64(float_convert(codes, source, target), target)
    values = to_float64(codes, source)
    np.testing.assert_array_equal(got, [rounded(Fraction(value), target) for value in values])
    np.testing.assert_array_equal(np.signbit(got), np.signbit(values))


@pytest.mark.parametrize("target", [FP16, FP32], ids=lambda fmt: fmt.name)
@pytest.mark.campaign
def test_golden_of_integers_against_exact_rationals(target):
    for source in (Integer(2), Integer(32), Integer(63), Integer(64), Integer(64, sign_magnitude=True)):
        values = integers(random_integers(np.random.default_rng(7), source, 3000), source)
        expected = [rounded(Fraction(int(value)), target) for value in values]
        np.testing.assert_array_equal(to_float64(integer_convert(values, target), target), expected)
    assert integer_convert(np.array([0]), target) == 0
    with pytest.raises(ValueError, match="integer_convert takes integers, not float64"):
        integer_convert(np.array([0.5]), target)


def test_integers_beyond_float64_are_rounded_once():
    """2^62 + 2^38 is a tie of FP32; the 1 below it decides, and is lost where the number is first rounded to 53 bits."""
    tie = (1 << 62) + (1 << 38)
    values = np.array([tie - 1, tie, tie + 1, tie + (1 << 39), -tie - 1, 2**63 - 1, -(2**63)])
    wanted = [0x5E800000, 0x5E800000, 0x5E800001, 0x5E800002, 0xDE800001, 0x5F000000, 0xDF000000]
    assert integer_convert(values, FP32).tolist() == wanted
    assert integer_convert(np.array([2**64 - 1, (1 << 63) + (1 << 39) + 1, 0], np.uint64), FP32).tolist() == [
        0x5F800000,
        0x5F000001,
        0,
    ]
    assert integer_convert(np.array([-128, -1, 127], np.int8)).tolist() == [0xD800, 0xBC00, 0x57F0]


def test_codes_of_the_widest_integers():
    assert integers(np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 1], np.uint64), Integer(64)).tolist() == [
        0,
        1,
        2**63 - 1,
        -(2**63),
        -1,
    ]
    assert integers(np.array([2**63, 2**64 - 1], np.uint64), Integer(64, sign_magnitude=True)).tolist() == [
        0,
        1 - 2**63,
    ]
    assert integers(np.array([2**62, 2**63 - 1], np.uint64), Integer(63)).tolist() == [-(2**62), -1]


def test_infinities_and_nan():
    assert float_convert(np.array([FP32.inf, FP32.inf | 1 << 31, FP32.inf + 1])).tolist() == [0x7C00, 0xFC00, 0x7E00]
    assert float_convert(np.array([0xFC00, 0x7C01]), FP16, FP32).tolist() == [0xFF800000, 0x7FC00000]


@pytest.fixture(scope="module")
def native():
    operators = (FloatConvertStream(config=config) for config in CONFIGS + INTEGER_CONFIGS)
    return Native.build(SideBySide(*operators), "float_converts")


@pytest.mark.parametrize("k", range(len(CONFIGS)))
@pytest.mark.campaign
def test_codes_through_the_rtl(native, k):
    c = CONFIGS[k]
    source, target = golden_format(c.source), golden_format(c.target)
    if source == FP16:
        codes = np.arange(1 << 16, dtype=np.uint64)
    else:
        codes = random_codes(np.random.default_rng(k), source, 1 << 20)
        codes = np.concatenate([np.array(list(corners(source).values()), np.uint64), codes])
    codes = codes if c.subnormals and source in (FP16, FP32) else normal(codes, source)
    check(native, k, pack(codes, widths=[source.width]), float_convert(codes, source, target))


@pytest.mark.parametrize("k", [0, 1])
def test_every_midpoint_of_fp16_and_its_neighbours_through_the_rtl(native, k):
    """Every non-negative FP16 value, every midpoint between two, and of each the FP32 numbers beside it; both signs."""
    values = to_float64(np.arange(FP16.inf), FP16)
    middles = (values[:-1] + values[1:]) / 2
    exact = fp32(np.concatenate([values, middles, [65520.0]])).astype(np.int64)
    codes = np.concatenate([np.maximum(exact + step, 0) for step in (-1, 0, 1)])
    codes = np.concatenate([codes, codes | 1 << 31])
    check(native, k, pack(codes, widths=[32]), float_convert(codes))


@pytest.mark.parametrize("k", range(len(INTEGER_CONFIGS)))
@pytest.mark.campaign
def test_integers_through_the_rtl(native, k):
    c = INTEGER_CONFIGS[k]
    if c.source.width <= 16:
        codes = np.arange(1 << c.source.width, dtype=np.uint64)
    else:
        codes = random_integers(np.random.default_rng(k), c.source, 1 << 20)
    values = integers(codes, c.source)
    if c.source == Integer(8, sign_magnitude=True):
        np.testing.assert_array_equal(values, int8_decode(codes.astype(np.uint8)))
    expected = integer_convert(values, golden_format(c.target))
    check(native, len(CONFIGS) + k, pack(codes, widths=[c.source.width]), expected)


@pytest.mark.parametrize("preset", ["default", "int32"])
def test_rtl(preset):
    assert vectors("float_convert", preset) > 5_000


@pytest.mark.parametrize("source", [Integer(2), Integer(63), Integer(64), Integer(64, sign_magnitude=True)])
@pytest.mark.campaign
def test_benches_of_the_narrowest_and_the_widest_integers(source):
    config = FloatConvertConfig(source=source, target=hw.FP32, stages=2)
    assert simulate("float_convert", config=config).vectors > 2_000


@pytest.mark.parametrize(
    "config, message",
    [
        ({"stages": 4}, "stages must be 0 to 3, not 4"),
        ({"source": Integer(8), "stages": 5}, "stages must be 0 to 4, not 5"),
        ({"source": hw.FP16}, "source and target must differ, not both FP16"),
        ({"source": hw.FP32, "target": hw.FP29}, "target must be FP16 or FP32, not FP29"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        FloatConvertConfig(**config)


def test_impossible_integers_are_refused_by_name():
    with pytest.raises(ValueError, match="width of an integer must be 2 to 64, not 1"):
        Integer(1)
