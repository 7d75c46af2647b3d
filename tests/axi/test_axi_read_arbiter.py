# SPDX-License-Identifier: Apache-2.0
"""The AXI4 read arbiter: golden by hand, benches, readers of different speed on one memory through the RTL."""

import numpy as np
import pytest
from benches import vectors
from formal import holds, stable

from zoetrope.golden.axi.axi_read_arbiter import grants, owners, saturated
from zoetrope.hw.axi.axi_read_arbiter import AxiReadArbiter, AxiReadArbiterConfig
from zoetrope.hw.catalogue import find
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.axi import address_rows


@pytest.mark.parametrize("preset", find("axi_read_arbiter").presets)
def test_rtl(preset):
    assert vectors("axi_read_arbiter", preset) > 500


def test_golden_by_hand():
    assert saturated([3, 0, 1, 2]).tolist() == [0, 2, 3, 0, 3, 0]
    assert saturated([1, 1, 1], last=0).tolist() == [1, 2, 0]
    assert grants(np.array([[0, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]])).tolist() == [1, 0, 1, 0]
    assert owners([2, 0], [3, 1]).tolist() == [2, 2, 2, 0]
    with pytest.raises(ValueError, match="grant 0 needs a reader that waits"):
        grants(np.zeros((1, 2)))


def test_whoever_waits_is_passed_over_once_by_each():
    rng = np.random.default_rng(5)
    waiting = np.zeros(5, bool)
    passed, last = np.zeros((5, 5), int), -1
    for _ in range(2000):
        waiting |= rng.random(5) < 0.3
        if not waiting.any():
            continue
        last = int(grants(waiting[None], last)[0])
        waiting[last] = False
        passed[waiting, last] += 1
        passed[last] = 0
        assert passed.max() <= 1


def test_every_turn_of_thousands_is_the_goldens():
    """Whoever had offered a burst when one was granted, under gaps and stalls of every stream; all words to their owner."""
    c = AxiReadArbiterConfig(readers=4, outstanding=5, data_bits=32)
    native = Native.build(AxiReadArbiter(config=c), "axi_read_arbiter")
    rng = np.random.default_rng(9)
    beats, counts = 3, [1500, 700, 40, 1100]
    starts = np.cumsum([0, *counts])
    number = np.arange(starts[-1], dtype=np.uint64)
    bursts = address_rows(c, np.stack([number << np.uint64(4), np.full(len(number), beats, np.uint64)], axis=1))
    words = rng.integers(0, 256, (beats * len(number), 5), dtype=np.uint8) & np.array([255, 255, 255, 255, 7], np.uint8)
    sources = {f"i_ar__{k}": bursts[starts[k] : starts[k + 1]] for k in range(4)} | {"i_r": words}
    sinks = {"o_ar": len(number), **{f"o_r__{k}": beats * counts[k] for k in range(4)}}
    for rate in (0, 0.3, 0.8):
        gaps = {name: rng.random(997) < (rate if name != "i_r" else rate / 4) for name in sources}
        stalls = {name: rng.random(991) < rate / 2 for name in sinks}
        native.reset()
        got, cycles, _ = native.streams(sources, sinks, gaps=gaps, stalls=stalls)
        place = np.frombuffer(np.ascontiguousarray(got["o_ar"][:, :4]), "<u4") >> 4
        order = np.searchsorted(starts, place, side="right") - 1
        np.testing.assert_array_equal(got["o_ar"], bursts[place])
        taken = [cycles[f"i_ar__{k}"] for k in range(4)]
        offered = [offers(gaps[f"i_ar__{k}"], taken[k]) for k in range(4)]
        waiting = np.array(
            [[((offered[k] <= t) & (t <= taken[k])).any() for k in range(4)] for t in np.sort(np.concatenate(taken))]
        )
        np.testing.assert_array_equal(order, grants(waiting))
        whose = owners(order, [beats] * len(order))
        for k in range(4):
            np.testing.assert_array_equal(got[f"o_r__{k}"], words[whose == k])


def offers(gap, taken):
    """The cycle from which on each payload is offered: the first without a gap behind the transfer of the one before."""
    free = np.flatnonzero(~np.resize(gap, int(taken[-1]) + 1))
    return free[np.searchsorted(free, np.concatenate([[0], taken[:-1] + 1]))]


def test_what_is_offered_stays():
    assert holds(find("axi_read_arbiter").build("three"), stable("o_ar"))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"readers": 0}, "readers must be at least 1, not 0"),
        ({"outstanding": 0}, "outstanding must be at least 1, not 0"),
        ({"data_bits": 48}, "data_bits must be one of 32, 64, 128, 256, 512, not 48"),
        ({"address_bits": 12}, "address_bits must be 13 to 64, not 12"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        AxiReadArbiterConfig(**config)
