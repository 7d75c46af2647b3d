# SPDX-License-Identifier: Apache-2.0
"""The quantization engine: golden against rational arithmetic, benches, every amax and millions of pairs through the RTL."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden.formats import FP16, FP32, to_float64
from zoetrope.golden.orbis.matching.quantization_engine import (
    LARGEST,
    dequantize,
    encode,
    engine,
    quantize,
    scales_of,
    weight_unit,
    weights,
)
from zoetrope.hw.catalogue import find
from zoetrope.hw.orbis.matching.quantization_engine import QuantizationEngine, QuantizationEngineConfig
from zoetrope.hw.orbis.matching.quantize_lane import QuantizeLane, QuantizeLaneConfig
from zoetrope.sim.input import clips
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.orbis.quantization_engine import Job, normal, tie_matrix

#: Every finite code without its sign.
MAGNITUDES = np.arange(LARGEST + 1, dtype=np.uint16)

EVERY = QuantizationEngineConfig(lanes=16, max_channels=len(MAGNITUDES), weight_bits=16)


@pytest.fixture(scope="module")
def lane():
    return Native.build(QuantizeLane(config=QuantizeLaneConfig()), "quantize_lane")


@pytest.fixture(scope="module")
def native():
    return Native.build(QuantizationEngine(config=EVERY), "quantization_engine")


def exact(codes):
    """FP16 codes as rationals."""
    return [Fraction(value) for value in to_float64(codes, FP16).tolist()]


def test_codes_are_the_rational_quotient_rounded_once():
    rng = np.random.default_rng(1)
    for x in (normal(rng, 30, 9), tie_matrix(rng, 9), rng.integers(0, 99, (9, 9)).astype(np.uint16)):
        codes, amax = quantize(x)
        for channel in range(x.shape[1]):
            values = exact(x[:, channel])
            full = max(abs(value) for value in values)
            assert Fraction(float(amax[channel])) == full
            assert codes[:, channel].tolist() == [round(value * 7 / full) if full else 0 for value in values]


def test_ties_go_to_the_even_code():
    x = np.array([[14.0], [1.0], [3.0], [5.0], [7.0], [9.0], [11.0], [13.0], [-1.0], [-3.0]], np.float16)
    assert quantize(x)[0].ravel().tolist() == [7, 0, 2, 2, 4, 4, 6, 6, 0, -2]


def test_every_scale_is_rounded_once():
    got = scales_of(MAGNITUDES.view(np.float16))
    for code in [*range(0, 1200), *range(1200, LARGEST + 1, 97)]:
        assert float(got[code]) == rounded(exact(MAGNITUDES[code : code + 1])[0] / 7, FP32)


def test_weights_are_squares_in_units_of_a_power_of_two():
    rng = np.random.default_rng(2)
    for bits in (1, 3, 8, 16):
        amax = (normal(rng, 1, 50)[0] & 0x7FFF).view(np.float16)
        squares = [Fraction(float(a)) ** 2 for a in amax]
        unit = Fraction(1)
        while unit <= max(squares):
            unit *= 2
        while unit / 2 > max(squares):
            unit /= 2
        expected = [min(round(square / unit * 2**bits), 2**bits - 1) for square in squares]
        assert weights(amax, bits).tolist() == expected
        assert weight_unit(amax, bits) == pytest.approx(float(unit / 2**bits / 49))
    assert weights(np.zeros(3, np.float16), 8).tolist() == [0, 0, 0]


def test_a_code_times_its_scale_is_within_half_a_step():
    x = np.random.default_rng(3).standard_normal((200, 16)).astype(np.float16)
    codes, amax = quantize(x)
    error = np.abs(dequantize(codes, amax) - x.astype(np.float32))
    assert (error <= scales_of(amax) / 2 * (1 + 2**-20)).all()
    assert np.abs(codes).max() == 7


def test_golden_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match="2 values are NaN or infinite, first at"):
        quantize(np.array([[1, np.nan], [np.inf, 0]], np.float16))
    with pytest.raises(ValueError, match="at least one token"):
        quantize(np.zeros((0, 3), np.float16))
    with pytest.raises(ValueError, match="amax must be finite and not negative"):
        encode(np.zeros((1, 1), np.float16), np.array([-1], np.float16))
    with pytest.raises(ValueError, match=r"amax must be float16 of shape \(2,\)"):
        encode(np.zeros((1, 2), np.float16), np.zeros(3, np.float16))


@pytest.mark.parametrize("preset", find("quantization_engine").presets)
def test_rtl(preset):
    assert vectors("quantization_engine", preset) > 1500


def check_lane(lane, x, amax):
    """Codes of pairs of ``x`` (uint16) and ``amax`` (uint16), one pair a cycle."""
    last = np.zeros(2, np.uint16)  # two more cycles, for what is in the pipeline
    inputs = {"x": np.concatenate([x, last]), "amax": np.concatenate([amax, last]), "en": np.ones(len(x) + 2, np.uint8)}
    shown = lane.play(inputs, ["code", "beyond"])
    expected = encode(x.reshape(1, -1), amax.view(np.float16)).ravel()
    np.testing.assert_array_equal(shown["code"][2:, 0], expected.view(np.uint8) & 15)
    np.testing.assert_array_equal(shown["beyond"][1:-1, 0], (x & 0x7FFF) > amax)


def test_every_value_against_some_amax_through_the_rtl(lane):
    some = np.array([0, 1, 6, 7, 1023, 1024, 1025, 14 << 9, 0x3C00, 0x57FF, 0x5800, LARGEST], np.uint16)
    for amax in np.concatenate([some, np.random.default_rng(4).integers(1, LARGEST, 8).astype(np.uint16)]):
        check_lane(lane, np.concatenate([MAGNITUDES, MAGNITUDES | 0x8000]), np.full(2 * len(MAGNITUDES), amax))


@pytest.mark.campaign
def test_every_significand_at_its_ties_through_the_rtl(lane):
    """For each amax of a binade, and of the subnormals, the values around each odd multiple of its fourteenth."""
    amax = np.concatenate([np.arange(15 << 10, 16 << 10), np.arange(1, 1024)]).astype(np.uint16)
    odd = np.arange(1, 15, 2)
    near = to_float64(amax, FP16)[:, None] * odd / 14
    codes = np.float16(near).view(np.uint16).astype(np.int64)
    x = np.clip(codes[..., None] + np.arange(-2, 3), 0, LARGEST).astype(np.uint16)
    check_lane(lane, x.ravel(), np.repeat(amax, x[0].size))


@pytest.mark.campaign
def test_a_million_random_pairs_through_the_rtl(lane):
    rng = np.random.default_rng(5)
    amax = rng.integers(0, LARGEST, 1 << 20, endpoint=True).astype(np.uint16)
    x = np.maximum(amax.astype(np.int64) - rng.integers(0, 5 << 10, len(amax)), 0).astype(np.uint16)
    check_lane(lane, x | (rng.integers(0, 2, len(x)) << 15).astype(np.uint16), amax)


def through(native, job):
    """Codes, channels, status of ``job``, as rows of bytes."""
    codes, channels, status = job.expected(EVERY)
    got, moves, _ = native.streams(
        {"i_command": [job.command(EVERY)], "i": job.sent(EVERY)},
        {"o": len(codes), "o_channels": len(channels), "o_status": 1},
    )
    np.testing.assert_array_equal(got["o_channels"], channels)
    np.testing.assert_array_equal(got["o"], codes)
    assert got["o_status"].tolist() == [[status]]
    assert moves["o_status"][0] - moves["i_command"][0] == job.cycles(EVERY)


def test_scale_of_every_amax_through_the_rtl(native):
    """One token whose channels are all finite magnitudes."""
    through(native, Job(MAGNITUDES[None]))


def test_weights_of_many_amax_through_the_rtl(native):
    """Channels within twelve binades of the greatest, which is anywhere, among the subnormals too."""
    rng = np.random.default_rng(6)
    for greatest in [*range(1, 3000, 333), *rng.integers(1, LARGEST, 40).tolist()]:
        x = np.maximum(0, greatest - rng.integers(0, 13 << 10, (1, 900))).astype(np.uint16)
        x[0, int(rng.integers(900))] = greatest
        through(native, Job(x))


def test_the_clip_through_the_rtl(native):
    v = clips.load().v
    through(native, Job(v.reshape(-1, v.shape[-1]).view(np.uint16)))


def test_the_engine_takes_what_is_not_finite_for_the_greatest():
    made = engine(np.array([[0x7C00, 0x3C00]], np.uint16), np.array([[0xFE00, 0x4000]], np.uint16), 8)
    assert made.amax.tolist() == [65504.0, 1.0]
    assert made.codes.tolist() == [[-7, 7]]
    assert made.not_finite and made.beyond
    assert made.weights.tolist() == [255, 0]


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"weight_bits": 0}, "weight_bits must be 1 to 16, not 0"),
        ({"weight_bits": 17}, "weight_bits must be 1 to 16, not 17"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        QuantizationEngineConfig(**config)
