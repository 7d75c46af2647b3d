# SPDX-License-Identifier: Apache-2.0
"""Sort-and-select: golden against a loop over exact rationals, benches of both builds."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden import reference
from zoetrope.golden.formats import FP16, fp16, to_float64
from zoetrope.golden.simcore.quantization_engine.sort_select import P_BITS, proportion, sort_select
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.quantization_engine.sort_select import SortSelectConfig
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.stimulus.codes import random_codes


def by_hand(codes, p, magnitude):
    """The definition, score by score."""
    values = [Fraction(float(v)) for v in to_float64(np.array(codes, np.uint16), FP16)]
    weights = [abs(v) if magnitude else max(v, Fraction(0)) for v in values]
    ranked = sorted(range(len(weights)), key=lambda j: (-weights[j], j))
    taken, running = set(), Fraction(0)
    for j in ranked:
        if running > p * sum(weights):
            break
        taken.add(j)
        running += weights[j]
    return [j in taken for j in range(len(weights))]


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 26, 64, 128])
def test_golden_is_the_definition(n, magnitude):
    rng = np.random.default_rng(n)
    codes = random_codes(rng, FP16, 8 * n).astype(np.uint16).reshape(8, n)
    codes = np.where((codes & FP16.inf) == FP16.inf, codes ^ 0x4000, codes)
    codes[4:] = fp16(rng.integers(1, 4, (4, n)) / 8)  # ties
    if not magnitude:
        codes[2:] &= 0x7FFF
    for q in (0, 1, 1000, proportion(0.65), 4095, 4096):
        taken, error = sort_select(codes, q, magnitude=magnitude)
        for row, got, wrong in zip(codes, taken, error):
            assert got.tolist() == by_hand(row.tolist(), Fraction(q, 1 << P_BITS), magnitude)
            assert wrong == (not magnitude and bool((row > 0x8000).any()))


def test_special_rows():
    one, nan, inf = 0x3C00, 0x7E00, 0x7C00
    cases = [
        # scores, q, magnitude, taken, error
        ([0, 0x8000, 0], 0, False, [1, 1, 1], False),
        ([one] * 4, 2048, False, [1, 1, 1, 0], False),
        ([one] * 4, 2047, False, [1, 1, 0, 0], False),
        ([one] * 4, 0, False, [1, 0, 0, 0], False),
        ([one, 0, one], 4096, False, [1, 1, 1], False),
        ([one, 0, one], 4095, False, [1, 0, 1], False),
        ([0x3400], 0, False, [1], False),
        ([0], 4096, False, [1], False),
        ([0xBC00, 0x3800], 0, False, [0, 1], True),
        ([0xBC00, 0x3800], 0, True, [1, 0], False),
        ([0xBC00, one], 0, True, [1, 0], False),
        ([0x3800, nan, one], 0, False, [1, 1, 1], True),
        ([0x3800, inf, one], 0, False, [1, 1, 1], True),
        ([0x3800, 0xFC00, one], 0, True, [1, 1, 1], True),
        ([0x3800, 0, one], 5000, False, [1, 1, 1], True),
    ]
    for scores, q, magnitude, expected, wrong in cases:
        taken, error = sort_select(np.array([scores], np.uint16), q, magnitude=magnitude)
        assert taken[0].astype(int).tolist() == expected, scores
        assert bool(error[0]) == wrong, scores


def test_agrees_with_float64_but_for_the_rounding_of_p():
    rng = np.random.default_rng(9)
    codes = fp16(rng.random((300, 26)) / 13)
    taken, error = sort_select(codes, proportion(0.65))
    assert not error.any()
    ideal = reference.taken(to_float64(codes, FP16), proportion(0.65) / (1 << P_BITS))
    np.testing.assert_array_equal(taken, ideal)


@pytest.mark.parametrize("p", [-0.1, 1.001, float("nan"), float("inf")])
def test_p_outside_its_range_is_refused_by_name(p):
    with pytest.raises(ValueError, match="p must be between 0 and 1, not"):
        proportion(p)


@pytest.mark.parametrize("preset", find("sort_select").presets)
def test_rtl(preset):
    assert vectors("sort_select", preset) > 200


@pytest.mark.parametrize("build", ["serial", "bitonic"])
def test_rtl_of_one_score(build):
    simulate("sort_select", config=SortSelectConfig(build=build, max_scores=1, lanes=2, p_bits=1))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"build": "quick"}, "build must be one of serial, bitonic, not 'quick'"),
        ({"max_scores": 0}, "max_scores must be at least 1, not 0"),
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"columns_per_stage": 0}, "columns_per_stage must be at least 1, not 0"),
        ({"p_bits": 0}, "p_bits must be 1 to 16, not 0"),
        ({"p_bits": 17}, "p_bits must be 1 to 16, not 17"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        SortSelectConfig(**config)
