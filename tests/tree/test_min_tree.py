# SPDX-License-Identifier: Apache-2.0
"""The minimum tree: golden by hand, benches, every row of small keys through the RTL."""

import itertools

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.formats import FP32, fp32, order_key
from zoetrope.golden.tree.min_tree import min_tree
from zoetrope.hw.catalogue import find
from zoetrope.hw.tree.min_tree import MinTree, MinTreeConfig, MinTreeStream
from zoetrope.sim.packing import pack, unpack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.min_tree import corner_keys


def test_golden_by_hand():
    keys = np.uint32([[3, 1, 2, 1], [0, 0, 0, 0], [7, 6, 5, 4]])
    assert [x.tolist() for x in min_tree(keys)] == [[1, 0, 4], [1, 0, 3]]
    for row in np.random.default_rng(1).integers(0, 4, (100, 7), np.uint32):
        key, index = min_tree(row)
        assert (key, index) == min((int(value), k) for k, value in enumerate(row))


def test_codes_of_distances_are_keys():
    values = fp32(np.array([0.0, 2.0**-149, 1e-30, 1.0, 6.25, 3e38, np.inf, np.nan]))
    np.testing.assert_array_equal(np.argsort(values, kind="stable"), np.arange(len(values)))
    np.testing.assert_array_equal(np.argsort(order_key(values, FP32), kind="stable"), np.arange(len(values)))


@pytest.mark.parametrize("keys, message", [([1, 2], "unsigned"), (np.zeros((2, 0), np.uint8), "at least one key")])
def test_bad_arguments_of_the_golden_are_refused_by_name(keys, message):
    with pytest.raises(ValueError, match=message):
        min_tree(np.asarray(keys))


@pytest.mark.parametrize("preset", find("min_tree").presets)
def test_rtl(preset):
    assert vectors("min_tree", preset) > 200


@pytest.mark.parametrize("width", [1, 64])
def test_narrowest_and_widest_keys(width):
    config = MinTreeConfig(leaves=3, width=width)
    assert int(corner_keys(3, width).max()) == (1 << width) - 1
    assert width == 1 or (1 << width) - 2 in corner_keys(3, width).ravel().tolist()  # float64 would have one of the two
    assert simulate("min_tree", config=config).vectors > 200


@pytest.mark.parametrize("leaves, width, stages", [(5, 2, 2)])
def test_every_row_of_small_keys_through_the_rtl(leaves, width, stages):
    config = MinTreeConfig(leaves=leaves, width=width, stages=stages)
    keys = np.array(list(itertools.product(range(1 << width), repeat=leaves)), np.uint8)
    native = Native.build(MinTreeStream(config=config), f"min_tree_{leaves}")
    got = native.streams({"i": pack(*keys.T, widths=[width] * leaves)}, {"o": len(keys)})[0]["o"]
    for found, expected in zip(unpack(got, [width, config.index_bits]), min_tree(keys)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("leaves", [1, 2, 3, 5, 16, 17])
def test_stages_are_spread_over_the_levels(leaves):
    levels = MinTreeConfig(leaves=leaves, stages=0).levels
    for stages in range(levels + 1):
        config = MinTreeConfig(leaves=leaves, stages=stages)
        registered = [level for level in range(1, levels + 1) if config.registered(level)]
        assert len(registered) == stages == MinTree(config=config).latency
        assert not stages or registered[-1] == levels


@pytest.mark.parametrize(
    "config, message",
    [
        ({"leaves": 0}, "leaves must be at least 1, not 0"),
        ({"width": 0}, "width must be 1 to 64, not 0"),
        ({"width": 65}, "width must be 1 to 64, not 65"),
        ({"leaves": 5, "stages": 4}, "stages must be 0 to 3, not 4: the tree has 3 levels"),
        ({"leaves": 1, "stages": 1}, "stages must be 0 to 0, not 1: the tree has 0 levels"),
        ({"stages": -1}, "stages must be 0 to 4, not -1: the tree has 4 levels"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        MinTreeConfig(**config)
