# SPDX-License-Identifier: Apache-2.0
"""The LUT PE: its golden against exact rationals, its RTL exhaustively, its stalls for many widths and depths."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from products import WORDS, all_products, expected_products
from rational import rounded

from zoetrope.golden.formats import FP16, FP17, FP32, fp16, int8_encode, to_float64
from zoetrope.golden.pe.lut_multiplier import lut_multiplier
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.reference import outer_product
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.lut_pe import LutPE, LutPEConfig
from zoetrope.sim.run.harness import simulate


def test_golden_against_exact_rationals():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 1 << 16, (3, 60), dtype=np.uint16)
    x[(x & FP16.inf) == FP16.inf] ^= 0x4000
    w = rng.integers(0, 256, (3, 60, 4), dtype=np.uint8)
    products = to_float64(lut_multiplier(x[..., None], w), FP17)
    expected = np.zeros((3, 4))
    for k in range(60):
        for place in np.ndindex(3, 4):
            expected[place] = rounded(Fraction(expected[place]) + Fraction(products[place[0], k, place[1]]), FP32)
    np.testing.assert_array_equal(to_float64(lut_pe(x, w), FP32), expected)


def test_order_is_part_of_the_meaning():
    """1 + 2^25 - 2^25 in the order of k, 2^21 at a time: the one is lost when it comes first, kept when it comes last."""
    first = lut_pe(
        fp16(np.array([1.0] + [32768.0] * 16 + [-32768.0] * 16)), int8_encode(np.array([1] + [64] * 32))[:, None]
    )
    last = lut_pe(
        fp16(np.array([32768.0] * 16 + [-32768.0] * 16 + [1.0])), int8_encode(np.array([64] * 32 + [1]))[:, None]
    )
    assert to_float64(last, FP32) == 1.0
    assert to_float64(first, FP32) == 0.0


@pytest.mark.parametrize("reading, bound", [("odd16", 2.1e-4), ("byte128", 2.7e-3)])
def test_published_error_of_a_dot_product(reading, bound):
    """rms error of 64-term dot products over their rms, normal operands: what the README publishes, as a bound."""
    rng = np.random.default_rng(2)
    x = fp16(rng.standard_normal((200, 64)))
    w = int8_encode(np.clip(np.rint(rng.standard_normal((200, 64, 16)) * 42), -127, 127).astype(int))
    ideal = outer_product(x, w)
    error = to_float64(lut_pe(x, w, reading), FP32) - ideal
    assert np.sqrt((error**2).mean() / (ideal**2).mean()) < bound


@pytest.mark.parametrize("shapes", [((3,), (4, 8)), ((2, 0), (2, 0, 8)), ((3,), (3,))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="x must be"):
        lut_pe(np.zeros(shapes[0], np.uint16), np.zeros(shapes[1], np.uint8))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"words": 0}, "words must be at least 1, not 0"),
        ({"add_stages": 7}, "stages must be 0 to 6, not 7"),
        ({"product_stages": 3}, "product_stages must be 1 to 2, not 3"),
        ({"reading": "x"}, "reading must be one of odd16, byte128, not 'x'"),
        ({"copy_width": 5}, "copy_width must be a power of two from 1 to 64, not 5"),
        ({"accumulator": "int"}, "accumulator must be one of fp32, fixed, not 'int'"),
        ({"accumulator": "fixed", "add_stages": 3}, "add_stages must be 0 to 2, not 3: sums are in fixed point"),
        ({"accumulator": "fixed", "max_operands": 0}, "max_operands must be at least 1, not 0"),
        ({"slices": "rom"}, "slices must be one of buffer, generator, not 'rom'"),
        ({"tables": "row"}, "tables must be one of multiplier, pe, not 'row'"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        LutPEConfig(**config)


@pytest.mark.parametrize("preset", find("lut_pe").small_presets)
def test_rtl(preset):
    assert vectors("lut_pe", preset) > 1000


@pytest.mark.parametrize(
    "config",
    [
        LutPEConfig(lanes=1, words=1, copy_width=64, add_stages=0),  # the smallest: C = 1, A = 2
        LutPEConfig(lanes=2, words=1, copy_width=1, add_stages=5),  # C = 64 hides behind nothing
        LutPEConfig(lanes=3, words=2, copy_width=32, add_stages=5),  # A = 7 is the longest
        LutPEConfig(lanes=2, words=5, copy_width=16, add_stages=3),  # A = 5 = D > C
        LutPEConfig(lanes=2, words=7, copy_width=8, add_stages=1),  # C = D + 1
        LutPEConfig(lanes=2, words=64, copy_width=1, add_stages=2),  # C = D, just hidden
        LutPEConfig(lanes=2, words=33, copy_width=2, add_stages=4),  # hidden; D is no power of two
        LutPEConfig(lanes=2, words=3, copy_width=128, add_stages=0, reading="byte128", tables="pe", product_stages=2),
    ],
    ids=lambda c: f"D{c.words}-W{c.copy_width}-A{c.turnaround}-{c.reading}",
)
@pytest.mark.campaign
def test_stalls_are_those_of_the_formula(config):
    """The bench compares cycles and stalls with the formula; here for widths, depths and adders of every relation."""
    simulate("lut_pe", config=config, testcase="sums")


@pytest.mark.parametrize(
    "config",
    [
        LutPEConfig(words=WORDS, copy_width=32),
        LutPEConfig(words=WORDS, copy_width=32, reading="byte128"),
        LutPEConfig(words=WORDS, copy_width=64, slices="generator", accumulator="fixed", add_stages=0),
        LutPEConfig(
            words=WORDS, copy_width=64, reading="byte128", slices="generator", accumulator="fixed", add_stages=2
        ),
    ],
    ids=lambda c: f"{c.slices}-{c.reading}-{c.accumulator}",
)
@pytest.mark.campaign
def test_all_products_through_the_rtl(config):
    """Every FP16 code times every INT8 code through the PE, slices, tables and sums included: 2^24 sums of one product."""
    got, cycles = all_products(LutPE(config=config), "lut_pe")
    np.testing.assert_array_equal(got, expected_products(config.reading))
    assert cycles < 131_072 + (1 << 21) + 100  # one word a cycle once the table is filled


@pytest.mark.parametrize(
    "config",
    [
        LutPEConfig(
            lanes=2, words=1, copy_width=64, slices="generator", add_stages=0
        ),  # C = 1: five slices on their way
        LutPEConfig(lanes=2, words=3, copy_width=8, slices="generator"),  # C = 8 > A > D
        LutPEConfig(lanes=2, words=2, copy_width=32, rows=2, columns=2, slices="generator", accumulator="fixed"),
    ],
    ids=lambda c: f"D{c.words}-W{c.copy_width}-{c.pes}PE",
)
@pytest.mark.campaign
def test_stalls_with_generated_slices(config):
    simulate("lut_pe", config=config, testcase="sums")
