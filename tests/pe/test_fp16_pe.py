# SPDX-License-Identifier: Apache-2.0
"""The FP16 PE: its golden against exact rationals, its RTL against the golden, alone and in arrays."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden.formats import FP16, FP32, to_float64
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.sim.run.harness import simulate


def test_golden_against_exact_rationals():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 1 << 16, (3, 40), dtype=np.uint16)
    w = rng.integers(0, 1 << 16, (3, 40, 4), dtype=np.uint16)
    x[(x & FP16.inf) == FP16.inf] ^= 0x4000
    w[(w & FP16.inf) == FP16.inf] ^= 0x4000
    a, b = to_float64(x, FP16), to_float64(w, FP16)
    expected = np.zeros((3, 4))
    for k in range(40):
        for i, j in np.ndindex(3, 4):
            expected[i, j] = rounded(Fraction(expected[i, j]) + Fraction(a[i, k]) * Fraction(b[i, k, j]), FP32)
    np.testing.assert_array_equal(to_float64(fp16_pe(x, w), FP32), expected)


@pytest.mark.parametrize("preset", find("fp16_pe").small_presets)
def test_rtl(preset):
    assert vectors("fp16_pe", preset) > 1000


@pytest.mark.parametrize(
    "config",
    [
        FP16PEConfig(lanes=1, words=1, add_stages=0),
        FP16PEConfig(lanes=3, words=2, add_stages=5, product_stages=2),
        FP16PEConfig(lanes=2, words=3, rows=3, columns=2, add_stages=1),
    ],
    ids=lambda c: f"D{c.words}-A{c.turnaround}-{c.rows}x{c.columns}",
)
@pytest.mark.campaign
def test_stalls_are_those_of_the_formula(config):
    simulate("fp16_pe", config=config, testcase="sums")


@pytest.mark.parametrize("shapes", [((3,), (4, 8)), ((2, 0), (2, 0, 8)), ((3,), (3,))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="x must be"):
        fp16_pe(np.zeros(shapes[0], np.uint16), np.zeros(shapes[1], np.uint16))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"product_stages": 4}, "product_stages must be 1 to 3, not 4"),
        ({"accumulator": "fixed"}, "accumulator must be fp32"),
        ({"rows": 0}, "rows must be at least 1, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        FP16PEConfig(**config)
