# SPDX-License-Identifier: Apache-2.0
"""Comparison: the golden against Python's floats, the RTL against the golden, millions of pairs."""

import math

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.arith.float_compare import float_compare
from zoetrope.golden.formats import FP16, FP32, to_float64
from zoetrope.hw import formats as hw
from zoetrope.hw.arith.float_compare import FloatCompareConfig, FloatCompareStream
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import corner_pairs, ordered_pairs
from zoetrope.sim.stimulus.operators import SideBySide, check, golden_format, operands_and_results

CONFIGS = [FloatCompareConfig(stages=2), FloatCompareConfig(fmt=hw.FP16, stages=2), FloatCompareConfig(stages=0)]


@pytest.mark.parametrize("fmt", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_golden_against_python_floats(fmt):
    a, b = np.hstack([corner_pairs(fmt)[:2], ordered_pairs(np.random.default_rng(8), fmt, 5000)])
    for x, y, p, q, less, equal, least, most in zip(
        a.tolist(), b.tolist(), to_float64(a, fmt), to_float64(b, fmt), *float_compare(a, b, fmt)
    ):
        key_p, key_q = (math.isnan(p), 0 if math.isnan(p) else p), (math.isnan(q), 0 if math.isnan(q) else q)
        x, y = (fmt.nan if math.isnan(p) else x), (fmt.nan if math.isnan(q) else y)
        assert (less, equal) == (key_p < key_q, key_p == key_q)
        assert least == (y if key_q < key_p else x)
        assert most == (y if key_p < key_q else x)


def test_zeros_and_nan():
    minus, nan = 1 << 31, FP32.nan
    less, equal, least, most = float_compare(np.array([minus, 0, nan, 5]), np.array([0, minus, 5, FP32.inf + 1]))
    assert less.tolist() == [False, False, False, True]
    assert equal.tolist() == [True, True, False, False]
    assert least.tolist() == [minus, 0, 5, 5]
    assert most.tolist() == [minus, 0, nan, nan]


@pytest.fixture(scope="module")
def native():
    operators = (FloatCompareStream(config=config) for config in CONFIGS)
    return Native.build(SideBySide(*operators), "float_compares")


@pytest.mark.parametrize("k", range(len(CONFIGS)))
@pytest.mark.campaign
def test_millions_of_pairs_through_the_rtl(native, k):
    """Every pair of corners, and 10 million random pairs in all."""
    fmt = golden_format(CONFIGS[k].fmt)
    rng = np.random.default_rng(k)
    for part in range((5, 4, 1)[k]):
        pairs = ordered_pairs(rng, fmt, 1 << 20)
        a, b = np.hstack([corner_pairs(fmt)[:2], pairs]) if part == 0 else pairs
        check(native, k, *operands_and_results(a, b, fmt))


@pytest.mark.parametrize("preset", ["default"])
def test_rtl(preset):
    assert vectors("float_compare", preset) > 10_000


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="stages must be 0 to 2, not 3"):
        FloatCompareConfig(stages=3)
