# SPDX-License-Identifier: Apache-2.0
"""The dst chooser: uniform over tokens, pairs and sets, each golden choice by hand, benches, thousands of choices in RTL."""

import itertools

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.orbis.matching.dst_chooser import WARM_UP, ZERO_SEED, check, choose, choose_and_count, xorshift
from zoetrope.hw.catalogue import find
from zoetrope.hw.orbis.matching import dst_chooser as hardware
from zoetrope.hw.orbis.matching.dst_chooser import DstChooser, DstChooserConfig
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.orbis.dst_chooser import Job, as_bytes

SEEDS = 4000


def chi_square(counts, expected):
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def within(value, freedom):
    """Whether a chi-square statistic is within five standard deviations of its mean."""
    return abs(value - freedom) < 5 * np.sqrt(2 * freedom)


def test_every_choice_is_distinct_ascending_and_reproducible():
    for tokens in (2, 3, 10, 33):
        for count in range(1, tokens):
            chosen = choose(tokens, count, seed=tokens * count)
            assert len(chosen) == count and (np.diff(chosen) > 0).all()
            assert chosen.min() >= 0 and chosen.max() < tokens
            np.testing.assert_array_equal(chosen, choose(tokens, count, seed=tokens * count))


def test_the_generator_by_hand():
    assert xorshift(1) == 0x00042021
    assert xorshift(0x00042021) == 0x04080601
    state = 1
    for _ in range(1000):
        state = xorshift(state)
        assert 0 < state < 1 << 32
    np.testing.assert_array_equal(choose(50, 9, 0), choose(50, 9, ZERO_SEED))
    assert (hardware.DstChooserConfig.warm_up, hardware.ZERO_SEED) == (WARM_UP, ZERO_SEED)


@pytest.mark.parametrize("tokens, count", [(40, 10), (33, 1), (17, 16)])
def test_tokens_are_equally_likely(tokens, count):
    """Successive seeds, the least random there are. The counts of a fixed number of tokens vary by 1 - K / M less."""
    counts = np.zeros(tokens)
    for seed in range(SEEDS):
        counts[choose(tokens, count, seed)] += 1
    expected = SEEDS * count / tokens
    assert within(chi_square(counts, expected) / (1 - count / tokens) * (tokens - 1) / tokens, tokens - 1)


def test_sets_are_equally_likely():
    sets = {chosen: 0 for chosen in itertools.combinations(range(7), 3)}
    for seed in range(SEEDS):
        sets[tuple(choose(7, 3, seed * 0x9E3779B1 & 0xFFFFFFFF).tolist())] += 1
    assert within(chi_square(list(sets.values()), SEEDS / len(sets)), len(sets) - 1)


def test_draws_are_as_few_as_published():
    tokens = 17_550
    chosen, draws = choose_and_count(tokens, tokens // 2, 7)
    assert len(chosen) == tokens // 2
    assert 1.3 < draws / tokens < 1.5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: choose(5, 0, 1), "the number of dst tokens must be 1 to 4 for 5 tokens, not 0"),
        (lambda: choose(5, 5, 1), "the number of dst tokens must be 1 to 4 for 5 tokens, not 5"),
        (lambda: choose(5, 2, -1), "a seed has 32 bits; -1 has not"),
        (lambda: choose(5, 2, 1 << 32), "a seed has 32 bits"),
        (lambda: check(5, [1, 2, 1]), "dst token 1 is given 2 times"),
        (lambda: check(5, [1, 5]), "dst token 5 is out of range: there are 5 tokens"),
        (lambda: check(5, [-1]), "dst token -1 is out of range"),
        (lambda: check(5, []), "dst must be a list of integers, not float64"),
        (lambda: check(2, [0, 1]), "the number of dst tokens must be 1 to 1 for 2 tokens, not 2"),
        (lambda: check(5, [0.5]), "dst must be a list of integers, not float64"),
    ],
)
def test_golden_refuses_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_given_list_keeps_its_order():
    assert check(9, [4, 0, 8]).tolist() == [4, 0, 8]


@pytest.mark.parametrize("preset", find("dst_chooser").presets)
def test_rtl(preset):
    assert vectors("dst_chooser", preset) > 60


def test_choices_of_every_size_through_the_rtl():
    """Every size up to 70 with several counts, then a clip of 17,550 tokens, drawn and given."""
    c = DstChooserConfig(max_tokens=17_550)
    native = Native.build(DstChooser(config=c), "dst_chooser")
    rng = np.random.default_rng(1)
    jobs = [
        Job(tokens, count, seed=int(rng.integers(0, 1 << 32)))
        for tokens in range(2, 71)
        for count in sorted({1, tokens // 3, tokens - 1} - {0})
    ]
    jobs += [Job(17_550, count, seed=count) for count in (1, 1_755, 17_549)]
    jobs += [Job(17_550, 1_755, given=rng.permutation(17_550)[:1_755]), Job(17_550, 17_549, given=range(17_549, 0, -1))]
    jobs += [Job(17_550, 4, given=[5, 17_549, 0, 5])]
    expected = [job.expected(c) for job in jobs]
    tokens = np.concatenate([chosen for chosen, *_ in expected]).astype(np.uint64)
    got, moves, _ = native.streams(
        {
            "i_command": [job.command(c) for job in jobs],
            "i": [token for job in jobs for token in job.given or ()],
        },
        {"o": len(tokens), "o_status": len(jobs)},
    )
    np.testing.assert_array_equal(got["o"], as_bytes(tokens, c.token_bits))
    assert got["o_status"].ravel().tolist() == [status for _, status, _ in expected]
    assert (moves["o_status"] - moves["i_command"]).tolist() == [cycles for *_, cycles in expected]


@pytest.mark.parametrize(
    "config, message",
    [
        ({"max_tokens": 1}, "max_tokens must be at least 2, not 1"),
        ({"mark_bits": 12}, "mark_bits must be a power of two, not 12"),
        ({"mark_bits": 0}, "mark_bits must be a power of two, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        DstChooserConfig(**config)
