# SPDX-License-Identifier: Apache-2.0
"""The index buffer: golden by hand, benches, every table of seven entries through the RTL."""

import itertools

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.memory.index_buffer import capacity, resolve
from zoetrope.hw.catalogue import find
from zoetrope.hw.memory.index_buffer import IndexBuffer, IndexBufferConfig
from zoetrope.sim.packing import unpack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native


def test_golden_by_hand():
    assert resolve(np.array([0, 0, 2, 1, 3, 2])).tolist() == [0, 0, 2, 0, 0, 2]
    assert resolve(np.array([0])).tolist() == [0]
    assert resolve(np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_a_match_of_a_later_token_is_refused():
    for match in ([0, 2, 2], [-1, 0]):
        with pytest.raises(ValueError, match="must match itself or one before"):
            resolve(match)


def test_capacity():
    assert capacity(16384) == 9362 == IndexBufferConfig().depth
    for size in range(1, 300):
        bits = [IndexBufferConfig(depth=depth).bits for depth in (capacity(size), capacity(size) + 1)]
        assert bits[0] <= 8 * size < bits[1]


@pytest.mark.parametrize("preset", find("index_buffer").presets)
def test_rtl(preset):
    assert vectors("index_buffer", preset) > 0


def test_a_tag_wider_than_an_integer():
    """66 bits, as the sparsification unit has beside its entries."""
    assert simulate("index_buffer", config=IndexBufferConfig(depth=5, tag_bits=66)).vectors > 100


def test_every_table_of_seven_entries_through_the_rtl():
    """All 5,040 sequences of matches: entries are the roots, and no entry points to one that is not kept."""
    native = Native.build(IndexBuffer(config=IndexBufferConfig(depth=7)), "index_buffer_7")
    for match in itertools.product(*(range(k + 1) for k in range(7))):
        native.reset()
        got = native.streams({"i": np.array(match)}, {"o": 7}, quiet=1)[0]["o"]
        root, kept = unpack(got, [3, 1])
        assert root.tolist() == resolve(np.array(match)).tolist()
        assert kept[root].all() and kept.tolist() == (root == np.arange(7)).tolist()


@pytest.mark.parametrize(
    "config, message",
    [({"depth": 0}, "depth must be at least 1, not 0"), ({"tag_bits": -1}, "tag_bits must be at least 0, not -1")],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        IndexBufferConfig(**config)
