# SPDX-License-Identifier: Apache-2.0
"""Floating-point addition: the golden against exact rationals, the RTL against the golden, millions of pairs."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.formats import FP16, FP17, FP32, is_finite, to_float64
from zoetrope.hw.arith.float_add import FloatAddConfig, FloatAddStream
from zoetrope.hw.catalogue import find
from zoetrope.hw.formats import FP16 as HW_FP16
from zoetrope.hw.formats import FP17 as HW_FP17
from zoetrope.sim.packing import pack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import corner_pairs, random_pairs, running_sums

PAIRS = 10_000_000


@pytest.mark.parametrize("fmt", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_golden_against_exact_rationals(fmt):
    rng = np.random.default_rng(3)
    pairs = np.stack(np.hstack([corner_pairs(fmt)[:2], random_pairs(rng, fmt, 3000)]), axis=1)
    pairs = pairs[is_finite(pairs, fmt).all(axis=1)]
    got = to_float64(float_add(*pairs.T, fmt), fmt)
    a, b = (to_float64(codes, fmt) for codes in pairs.T)
    expected = np.array([rounded(Fraction(x) + Fraction(y), fmt) for x, y in zip(a, b)])
    np.testing.assert_array_equal(got, expected)
    zero = (got == 0) & (a == 0) & (b == 0)
    np.testing.assert_array_equal(np.signbit(got[zero]), (np.signbit(a) & np.signbit(b))[zero])


def test_nan_and_infinities():
    inf, nan = FP32.inf, FP32.nan
    minus = 1 << 31
    cases = {(inf, inf): inf, (inf, minus | inf): nan, (inf, nan): nan, (inf + 1, 0): nan, (inf, 5): inf, (minus, 0): 0}
    for (a, b), expected in cases.items():
        assert float_add(np.uint32(a), np.uint32(b)) == expected


@pytest.mark.parametrize("preset", find("float_add").presets)
def test_rtl(preset):
    assert vectors("float_add", preset) > 4000


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.campaign
def test_rtl_of_every_number_of_stages(stages):
    simulate("float_add", config=FloatAddConfig(stages=stages))


@pytest.mark.parametrize(
    "config, a, b",
    [
        (FloatAddConfig(stages=2), FP32, FP32),
        (FloatAddConfig(a=HW_FP16, b=HW_FP16, stages=2), FP16, FP16),
        (FloatAddConfig(b=HW_FP17, stages=2, subnormals=False), FP32, FP17),
    ],
    ids=["fp32", "fp16", "accumulate"],
)
@pytest.mark.campaign
def test_ten_million_pairs_through_the_rtl(config, a, b):
    rng = np.random.default_rng(4)
    native = Native.build(FloatAddStream(config=config), "float_add")
    compared = 0
    while compared < PAIRS:
        pairs = np.stack(random_pairs(rng, a, 1 << 20, b), axis=1)
        pairs = pairs if config.subnormals else running_sums(pairs, a, b)
        native.reset()
        rows = pack(*pairs.T, widths=[a.width, b.width])
        got = native.streams({"i": rows}, {"o": len(pairs)}, max_cycles=len(pairs) + 100)[0]["o"]
        expected = float_add(*pairs.T, a, b)
        np.testing.assert_array_equal(got.view(expected.dtype).ravel(), expected)
        compared += len(pairs)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"stages": 7}, "stages must be 0 to 6, not 7"),
        ({"a": HW_FP16}, "b .FP32. must not be wider than a .FP16."),
        ({"b": HW_FP16}, "subnormals need both operands in one format, not FP32 and FP16"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        FloatAddConfig(**config)
