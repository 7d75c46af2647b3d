# SPDX-License-Identifier: Apache-2.0
"""The distance accumulation unit: golden against exact fractions, benches, every pair of codes through the RTL."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.orbis.matching.datm import distances
from zoetrope.golden.orbis.matching.distance_accumulation_unit import distance_accumulation_unit
from zoetrope.hw.catalogue import find
from zoetrope.hw.orbis.matching.distance_accumulation_unit import (
    FORMS,
    DistanceAccumulationUnit,
    DistanceAccumulationUnitConfig,
)
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.orbis.distance_accumulation_unit import rows


def test_golden_is_the_squared_distance_of_dequantized_tokens():
    rng = np.random.default_rng(1)
    src, dst, w = rng.integers(-7, 8, (3, 9)), rng.integers(-7, 8, (4, 9)), rng.integers(0, 256, 9)
    got = distance_accumulation_unit(src, dst, w)
    for s in range(3):
        for t in range(4):
            # With w = scale^2 * 3: the scale is irrational, its square is not.
            squares = [Fraction(int(c), 3) * (Fraction(int(a)) - int(b)) ** 2 for a, b, c in zip(src[s], dst[t], w)]
            assert got[s, t] == 3 * sum(squares)
    np.testing.assert_array_equal(got, distances(src, dst, w))


@pytest.mark.parametrize("preset", find("distance_accumulation_unit").presets)
def test_rtl(preset):
    assert vectors("distance_accumulation_unit", preset) > 500


@pytest.mark.parametrize("form", ["table", "multiplier"])
def test_every_pair_of_codes_with_every_weight(form):
    """15 x 15 codes and 256 weights through one lane."""
    config = DistanceAccumulationUnitConfig(dst_lanes=1, channel_lanes=1, max_channels=1, form=form)
    a, b, w = (x.ravel() for x in np.meshgrid(np.arange(-7, 8), np.arange(-7, 8), np.arange(256)))
    native = Native.build(DistanceAccumulationUnit(config=config), "distance_accumulation_unit")
    sent = pack(a & 15, b & 15, w, np.ones(len(a)), widths=[4, 4, 8, 1])
    got, *_ = native.streams({"i": sent}, {"o": len(a)})
    np.testing.assert_array_equal(got["o"], pack(w * (a - b) ** 2, widths=[config.distance_bits]))


def test_widths_hold_the_largest_distance_and_no_more():
    for channels in (1, 13, 64, 3072):
        config = DistanceAccumulationUnitConfig(max_channels=channels)
        assert config.distance_bits == (255 * 196 * channels).bit_length()
    assert DistanceAccumulationUnitConfig(max_channels=3072).distance_bits == 28


def test_unused_channels_are_filled_with_what_would_count():
    config = DistanceAccumulationUnitConfig(dst_lanes=1, channel_lanes=4, max_channels=4)
    (row,) = rows(config, np.zeros((1, 1), int), np.zeros((1, 1), int), np.array([1]))
    assert row[:4].tolist() == [0x70, 0x77, 0x90, 0x99]


@pytest.mark.parametrize(
    "config, message",
    [
        ({"src_lanes": 0}, "src_lanes must be at least 1, not 0"),
        ({"dst_lanes": 0}, "dst_lanes must be at least 1, not 0"),
        ({"channel_lanes": 0}, "channel_lanes must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"weight_bits": 0}, "weight_bits must be 1 to 16, not 0"),
        ({"form": "shift"}, "form must be one of"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        DistanceAccumulationUnitConfig(**config)


def test_lanes_are_counted():
    assert {DistanceAccumulationUnitConfig(form=form).lanes for form in FORMS} == {128}
