# SPDX-License-Identifier: Apache-2.0
"""The split PE: every product exact or rounded, for two ways to split a weight; its stalls."""

import numpy as np
import pytest
from benches import vectors
from products import WORDS, all_products, expected_products

from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.split_pe import SplitPE, SplitPEConfig
from zoetrope.sim.run.harness import simulate


@pytest.mark.parametrize("preset", find("split_pe").presets)
def test_rtl(preset):
    assert vectors("split_pe", preset) > 1000


@pytest.mark.parametrize(
    "config",
    [
        SplitPEConfig(lanes=1, words=1, add_stages=0),
        SplitPEConfig(lanes=3, words=2, rows=2, columns=2, exact=True, accumulator="fixed", digits=(1, 2, 4)),
    ],
    ids=lambda c: f"D{c.words}-A{c.turnaround}",
)
@pytest.mark.campaign
def test_stalls_are_those_of_the_formula(config):
    simulate("split_pe", config=config, testcase="sums")


@pytest.mark.parametrize(
    "config",
    [
        SplitPEConfig(words=WORDS, digits=(4, 3)),
        SplitPEConfig(words=WORDS, exact=True),
        SplitPEConfig(words=WORDS, exact=True, accumulator="fixed"),
    ],
    ids=lambda c: f"{'exact' if c.exact else 'rounded'}-{c.accumulator}",
)
@pytest.mark.campaign
def test_all_products_through_the_rtl(config):
    got, _ = all_products(SplitPE(config=config), "split_pe")
    np.testing.assert_array_equal(got, expected_products("exact" if config.exact else "odd16"))


@pytest.mark.parametrize("digits", [(4, 4), (), (7, 0)])
def test_impossible_configs_are_refused_by_name(digits):
    with pytest.raises(ValueError, match=r"digits must be at least 1 each and 7 together, not \("):
        SplitPEConfig(digits=digits)
