# SPDX-License-Identifier: Apache-2.0
"""The top-k unit: golden against Python's sort, benches, 17,550 entries and hundreds of sizes through the RTL."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.orbis.matching.top_k import top_k
from zoetrope.hw.catalogue import find
from zoetrope.hw.orbis.matching.top_k import TopK, TopKConfig
from zoetrope.sim.model.matching import top_k_cycles, top_k_of
from zoetrope.sim.payloads import as_rows
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.orbis.top_k import Job, entries

LONGEST = 17_550


@pytest.fixture(scope="module")
def native():
    return Native.build(TopK(config=TopKConfig(max_entries=LONGEST, index_bits=15, payload_bits=12)), "top_k")


def through(native, jobs):
    """Results and statuses of ``jobs``, sent back to back, and the cycles of each."""
    rows = np.concatenate([job.packed() for job in jobs])
    wanted = sum(len(job.expected()) for job in jobs)
    total = sum(job.cycles + 1 for job in jobs)
    got, moves, _ = native.streams(
        {"i_command": [job.command() for job in jobs], "i": rows},
        {"o": wanted, "o_status": len(jobs)},
        max_cycles=total + 1000,
    )
    return got["o"], got["o_status"], moves["o_status"] - moves["i_command"]


def check(native, jobs):
    results, statuses, cycles = through(native, jobs)
    np.testing.assert_array_equal(results, np.concatenate([job.expected() for job in jobs]))
    np.testing.assert_array_equal(statuses, as_rows(np.array([[job.status] for job in jobs], np.uint8)))
    assert cycles.tolist() == [job.cycles for job in jobs]


def test_golden_is_the_start_of_a_stable_sort():
    rng = np.random.default_rng(1)
    for n in (0, 1, 2, 7, 50, 301):
        keys, index = rng.integers(0, 9, n), rng.permutation(n)
        order = sorted(range(n), key=lambda i: (int(keys[i]), int(index[i])))
        for k in {0, min(1, n), n // 2, n}:
            assert top_k(keys, index, k).tolist() == order[:k]
    assert top_k(np.zeros(5, int), np.arange(5), 3).tolist() == [0, 1, 2]


def test_golden_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="k must be 0 to 3, not 4"):
        top_k(np.zeros(3, int), np.arange(3), 4)
    with pytest.raises(ValueError, match="vectors of one length"):
        top_k(np.zeros(3, int), np.arange(4), 1)
    with pytest.raises(ValueError, match="keys and index must be whole numbers, not float64"):
        top_k(np.array([np.nan, 1, 2]), np.arange(3), 1)


@pytest.mark.parametrize("preset", find("top_k").presets)
def test_rtl(preset):
    assert vectors("top_k", preset) > 900


def test_every_small_size_through_the_rtl(native):
    """Every n up to five rows with every k, and cycles of each."""
    c, rng = native_config(), np.random.default_rng(2)
    check(native, [entries(rng, c, n, k) for n in range(5 * c.lanes + 1) for k in range(n + 1)])


def test_hundreds_of_sizes_through_the_rtl(native):
    c, rng = native_config(), np.random.default_rng(3)
    sizes = rng.integers(1, 900, 250).tolist()
    check(native, [entries(rng, c, n, int(rng.integers(0, n + 1))) for n in sizes])


def test_a_clip_of_tokens_through_the_rtl(native):
    c, rng = native_config(), np.random.default_rng(4)
    sizes = [
        (LONGEST, LONGEST),
        (LONGEST, 1),
        (LONGEST, LONGEST // 2),
        (LONGEST - 1, 0),
        (13_500, 6_750),
        (8_193, 8_000),
    ]
    jobs = [entries(rng, c, n, k) for n, k in sizes]
    check(native, [*jobs, Job(c, np.full(4_097, 5), np.arange(4_097), 4_097)])


def native_config():
    return TopKConfig(max_entries=LONGEST, index_bits=15, payload_bits=12)


@pytest.mark.parametrize("bits", [(1, 6, 0), (63, 64, 64)])
@pytest.mark.campaign
def test_narrowest_and_widest_entries(bits):
    assert simulate("top_k", config=TopKConfig(2, 32, *bits)).vectors > 500


def test_the_published_cycles():
    """The figure in the unit's docstring."""
    c = TopKConfig(max_entries=LONGEST)
    assert f"{top_k_cycles(13_500, 6_750, top_k_of(c)):,} cycles" in TopK.__doc__


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 6}, "lanes must be a power of two, not 6"),
        ({"lanes": 0}, "lanes must be a power of two, not 0"),
        ({"max_entries": 0}, "max_entries must be at least 1, not 0"),
        ({"key_bits": 64}, "key_bits must be 1 to 63, not 64"),
        ({"index_bits": 65}, "index_bits must be 0 to 64, not 65"),
        ({"payload_bits": -1}, "payload_bits must be 0 to 64, not -1"),
        ({"columns_per_stage": -1}, "columns_per_stage must be at least 0, not -1"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        TopKConfig(**config)
