# SPDX-License-Identifier: Apache-2.0
"""The plain PE: the control, bit for bit the LUT PE; and with exact products."""

import numpy as np
import pytest
from benches import vectors
from products import WORDS, all_products, check_mixed_tiles, expected_products

from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.plain_pe import PlainPE, PlainPEConfig
from zoetrope.sim.run.harness import simulate


@pytest.mark.parametrize("preset", find("plain_pe").presets)
def test_rtl(preset):
    assert vectors("plain_pe", preset) > 1000


@pytest.mark.parametrize(
    "config",
    [
        PlainPEConfig(lanes=1, words=1, add_stages=0),
        PlainPEConfig(lanes=3, words=2, add_stages=5, product_stages=2),
        PlainPEConfig(lanes=3, words=1, add_stages=2, product_stages=2, exact=True, accumulator="fixed"),
        PlainPEConfig(lanes=2, words=3, rows=2, columns=2, exact=True, accumulator="fixed", max_operands=5),  # too few
    ],
    ids=lambda c: f"D{c.words}-A{c.turnaround}-{c.accumulator}",
)
@pytest.mark.campaign
def test_stalls_are_those_of_the_formula(config):
    simulate("plain_pe", config=config, testcase="sums")


@pytest.mark.parametrize(
    "config",
    [
        PlainPEConfig(words=WORDS),
        PlainPEConfig(words=WORDS, exact=True),
        PlainPEConfig(words=WORDS, exact=True, accumulator="fixed", add_stages=2),
        PlainPEConfig(words=WORDS, accumulator="fixed", add_stages=0),
    ],
    ids=lambda c: f"{'exact' if c.exact else 'rounded'}-{c.accumulator}",
)
@pytest.mark.campaign
def test_all_products_through_the_rtl(config):
    got, _ = all_products(PlainPE(config=config), "plain_pe")
    np.testing.assert_array_equal(got, expected_products("exact" if config.exact else "odd16"))


@pytest.mark.parametrize(
    "config",
    [
        PlainPEConfig(lanes=4, words=3),
        PlainPEConfig(lanes=4, words=3, exact=True, accumulator="fixed", max_operands=5),
    ],
    ids=lambda c: c.accumulator,
)
def test_tiles_of_many_lengths(config):
    """Infinities and NaN count for their whole sum; a fixed-point sum of too many operands is NaN, the next is not."""
    lengths = np.random.default_rng(6).integers(1, 8, 300)

    def golden(x, w):
        reading = "exact" if config.exact else "odd16"
        return lut_pe(x, w, reading, config.accumulator, config.max_operands)

    check_mixed_tiles(PlainPE(config=config), "plain_pe", golden, lengths)


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="product_stages must be 1 to 2, not 0"):
        PlainPEConfig(product_stages=0)
