# SPDX-License-Identifier: Apache-2.0
"""The bitonic sorter: golden against Python's stable sort, every row of zeros and ones through the RTL, wide rows seeded."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.tree.bitonic_sorter import bitonic_sort, columns
from zoetrope.hw.catalogue import find
from zoetrope.hw.tree.bitonic_sorter import BitonicSorterConfig, BitonicSorterStream, CompareExchangeConfig
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.bitonic_sorter import as_bitonic, indices, packed, random_rows, special_rows, stable_order
from zoetrope.sim.stimulus.operators import SideBySide, run

#: Rows of up to this many lanes are tried with all their 2**lanes patterns of two keys.
EXHAUSTIVE = 16

#: Rows a merge leaves: rotations of a rise and a fall.
BITONIC = (1, 2, 4, 8, 16)


def two_key_config(lanes, bitonic=False):
    return BitonicSorterConfig(lanes=lanes, key_bits=1, index_bits=4, bitonic=bitonic, columns_per_stage=3)


@pytest.fixture(scope="module")
def network():
    configs = [two_key_config(n) for n in range(1, EXHAUSTIVE + 1)] + [two_key_config(n, True) for n in BITONIC]
    sorters = [BitonicSorterStream(config=config) for config in configs]
    return Native.build(SideBySide(*sorters), "bitonic_networks")


def patterns(lanes):
    """All rows of zeros and ones."""
    return (np.arange(1 << lanes, dtype=np.uint64)[:, None] >> np.arange(lanes, dtype=np.uint64)) & np.uint64(1)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 8, 26, 33])
def test_golden_is_a_stable_sort(lanes, descending):
    c = BitonicSorterConfig(lanes=lanes, descending=descending)
    rng = np.random.default_rng(lanes)
    keys = random_rows(rng, c, 60)
    index = indices(rng, c, 60)
    payload = rng.integers(0, 99, keys.shape)
    got = bitonic_sort(keys, index, payload, descending=descending)
    for row in range(60):
        order = stable_order(keys[row], index[row], descending)
        for part, values in zip(got, (keys, index, payload)):
            np.testing.assert_array_equal(part[row], values[row][order])


def test_hardware_and_golden_have_the_same_network():
    for lanes in range(1, 70):
        assert BitonicSorterConfig(lanes=lanes).columns == columns(lanes)
    for lanes in (1, 2, 4, 8, 16, 32, 64):
        assert BitonicSorterConfig(lanes=lanes, bitonic=True).columns == columns(lanes, bitonic=True)


def test_published_counts_of_comparators():
    """Batcher's n / 4 * p * (p + 1) for n = 2**p."""
    assert [BitonicSorterConfig(lanes=1 << p).comparators for p in range(6)] == [0, 1, 6, 24, 80, 240]
    assert BitonicSorterConfig(lanes=9).comparators == 37


@pytest.mark.campaign
def test_every_row_of_two_keys_through_the_rtl(network):
    """The 0-1 principle: a network that sorts all rows of zeros and ones sorts all rows. Equal indices, then unequal."""
    for k, lanes in enumerate(range(1, EXHAUSTIVE + 1)):
        c, keys = two_key_config(lanes), patterns(lanes)
        for index in (np.zeros_like(keys), indices(np.random.default_rng(lanes), c, len(keys))):
            got = run(network, k, packed(c, keys, index, index))
            assert got.shape[0] == 1 << lanes
            # Of unequal entries the order is the stable sort's, of (key, index) as one number.
            entries = np.sort(keys << np.uint64(4) | index, axis=1, kind="stable")
            np.testing.assert_array_equal(got, packed(c, entries >> np.uint64(4), entries & np.uint64(15), index))


@pytest.mark.campaign
def test_every_bitonic_row_of_two_keys_through_the_rtl(network):
    for k, lanes in enumerate(BITONIC):
        c, keys = two_key_config(lanes, True), patterns(lanes)
        rises = (keys != np.roll(keys, 1, axis=1)).sum(axis=1)
        keys = keys[rises <= 2]
        assert len(keys) == max(2, lanes * (lanes - 1) + 2)
        index = np.zeros_like(keys)
        got = run(network, EXHAUSTIVE + k, packed(c, keys, index, index))
        np.testing.assert_array_equal(got, packed(c, np.sort(keys, axis=1), index, index))


@pytest.mark.parametrize("preset", find("bitonic_sorter").presets)
def test_rtl(preset):
    assert vectors("bitonic_sorter", preset) > 1200


def test_wide_rows_through_the_rtl():
    """FP16-wide keys, 26 lanes (a column of frames), against Python's sort by way of one wide integer."""
    c = BitonicSorterConfig(lanes=26, payload_bits=7, descending=True, columns_per_stage=5)
    rng = np.random.default_rng(7)
    keys = random_rows(rng, c, 1 << 15)
    index = indices(rng, c, len(keys))
    native = Native.build(BitonicSorterStream(config=c), "bitonic_sorter_wide")
    got = native.streams({"i": packed(c, keys, index, index)}, {"o": len(keys)})[0]["o"]
    order = np.argsort((np.uint64(0xFFFF) - keys) << np.uint64(8) | index, axis=1, kind="stable")
    expected = [np.take_along_axis(x, order, 1) for x in (keys, index, index)]
    np.testing.assert_array_equal(got, packed(c, *expected))


def test_bitonic_rows_are_bitonic():
    c = BitonicSorterConfig(lanes=16, bitonic=True)
    rng = np.random.default_rng(3)
    keys, index = as_bitonic(rng, random_rows(rng, c, 50), indices(rng, c, 50), False)
    whole = keys << np.uint64(8) | index
    falls = np.roll(whole, -1, axis=1) < whole
    assert ((falls != np.roll(falls, 1, axis=1)).sum(axis=1) == 2).all()
    assert (falls[:, -1] != falls[:, 0]).any()


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"lanes": 6, "bitonic": True}, "lanes must be a power of two, not 6: rows come bitonic"),
        ({"columns_per_stage": -1}, "columns_per_stage must be at least 0, not -1"),
        ({"key_bits": 0}, "key_bits must be 1 to 64, not 0"),
        ({"index_bits": -1}, "index_bits must be 0 to 64, not -1"),
        ({"payload_bits": 65}, "payload_bits must be 0 to 64, not 65"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        BitonicSorterConfig(**config)
    if not {"lanes", "columns_per_stage"} & set(config):
        with pytest.raises(ValueError, match=message):
            CompareExchangeConfig(**config)


@pytest.mark.parametrize("bits", [(1, 2, 0), (63, 3, 1), (64, 64, 64)])
@pytest.mark.campaign
def test_narrowest_and_widest_entries(bits):
    """float64 has 53 bits: a ramp of wider keys made in it ended beyond the greatest."""
    config = BitonicSorterConfig(4, *bits)
    keys, names = special_rows(config)
    assert keys[names.index("in order")].tolist() == sorted(keys[names.index("in order")].tolist())
    assert keys[names.index("in order"), -1] == (1 << bits[0]) - 1
    assert simulate("bitonic_sorter", config=config).vectors > 300


def test_golden_refuses_what_is_no_row():
    with pytest.raises(ValueError, match=r"keys must have shape \(rows, lanes\), not \(4,\)"):
        bitonic_sort(np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match="a bitonic row has a power of two of lanes, not 3"):
        bitonic_sort(np.zeros((1, 3)), np.zeros(3), bitonic=True)
    with pytest.raises(ValueError, match="lanes must be at least 1, not 0"):
        columns(0)
