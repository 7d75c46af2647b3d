# SPDX-License-Identifier: Apache-2.0
"""The aligned PE: its golden against exact sums, rationals and its own bound; its RTL; rows longer than it keeps."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from products import WORDS, all_products, check_mixed_tiles, expected_products

from zoetrope.golden.formats import FP16, FP32, fp16, int8_decode, int8_encode, to_float64
from zoetrope.golden.pe.aligned_pe import aligned_pe, error_bound
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.reference import outer_product
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.aligned_pe import AlignedPE, AlignedPEConfig
from zoetrope.sim.run.harness import simulate


def weights(rng, shape):
    return int8_encode(np.clip(np.rint(rng.standard_normal(shape) * 42), -127, 127).astype(int))


def random_codes(rng, shape):
    x = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    x[(x & FP16.inf) == FP16.inf] ^= 0x4000
    return x


def test_all_bits_kept_are_the_exact_sum():
    rng = np.random.default_rng(1)
    x, w = random_codes(rng, (50, 30)), rng.integers(0, 256, (50, 30, 4), dtype=np.uint8)
    x[0, :3], x[1, 4] = (FP16.inf, 0xFC00, 0x3C00), FP16.nan
    np.testing.assert_array_equal(aligned_pe(x, w, bits=41), lut_pe(x, w, "exact", "fixed"))


@pytest.mark.parametrize("bits", [12, 16])
def test_golden_against_exact_rationals(bits):
    """Operands rounded by Python, ties to even, to multiples of the unit; the sum of their products rounded by NumPy."""
    rng = np.random.default_rng(2)
    x, w = random_codes(rng, (20, 9)), rng.integers(0, 256, (20, 9, 3), dtype=np.uint8)
    x[:5] &= 0x83FF  # rows of subnormals
    values = to_float64(x, FP16)
    got = to_float64(aligned_pe(x, w, bits), FP32)
    for row, numbers in enumerate(values):
        # Below one power of two lie the row's largest exponent and 2**-14, the least of normal numbers.
        top = max(np.frexp(np.abs(numbers).max())[1], -13)
        unit = Fraction(2) ** int(top - (bits - 1))
        aligned = [round(Fraction(float(number)) / unit) * unit for number in numbers]
        for output in range(3):
            total = sum(q * int(v) for q, v in zip(aligned, int8_decode(w[row, :, output])))
            assert got[row, output] == np.float32(float(total))  # fewer than 53 bits


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_error_is_within_the_bound(bits):
    rng = np.random.default_rng(3)
    x, w = random_codes(rng, (300, 40)), weights(rng, (300, 40, 8))
    error = np.abs(to_float64(aligned_pe(x, w, bits), FP32) - outer_product(x, w))
    bound = error_bound(x, w, bits)
    assert (error <= bound).all()
    assert (error > bound / 20).any()  # and it is no empty promise


def rows_of(kind, rng):
    if kind == "normal":
        return rng.standard_normal((200, 128))
    if kind == "softmax":
        scores = np.exp(3 * rng.standard_normal((200, 128)))
        return scores / scores.sum(axis=1, keepdims=True)
    rows = 0.01 * rng.standard_normal((200, 128))
    rows[:, 5] = 1 + rng.random(200)
    return rows


@pytest.mark.parametrize("kind, bound", [("normal", 1.4e-5), ("softmax", 1.3e-4), ("one large", 1.4e-4)])
def test_published_error(kind, bound):
    """The default keeps the error below that of rounding products to 11 bits, on easy rows and on hard ones."""
    rng = np.random.default_rng(4)
    x, w = fp16(rows_of(kind, rng)), weights(rng, (200, 128, 16))
    ideal = outer_product(x, w)

    def error(codes):
        return np.sqrt(((to_float64(codes, FP32) - ideal) ** 2).mean() / (ideal**2).mean())

    assert error(aligned_pe(x, w)) < bound < error(lut_pe(x, w))


@pytest.mark.parametrize("preset", find("aligned_pe").presets)
def test_rtl(preset):
    """The small one keeps 5 operands a row: the bench's tiles of 24 are NaN, and flagged."""
    assert vectors("aligned_pe", preset) > 1000


@pytest.mark.parametrize(
    "config",
    [
        AlignedPEConfig(lanes=2, words=1, max_operands=7),
        AlignedPEConfig(lanes=2, words=3, rows=3, columns=2, bits=13, digits=()),
    ],
    ids=lambda c: f"D{c.words}-{c.rows}x{c.columns}",
)
@pytest.mark.campaign
def test_stalls_are_those_of_the_schedule(config):
    simulate("aligned_pe", config=config, testcase="sums")


def test_array_corners():
    """Infinities and NaN in one row leave the exponents and the sums of the others alone."""
    config = AlignedPEConfig(lanes=2, words=3, rows=3, columns=2, bits=13, digits=())
    assert simulate("aligned_pe", config=config, testcase="corners").vectors > 100


@pytest.mark.parametrize("longest", [5, 13])
def test_tiles_of_many_lengths(longest):
    """An infinity counts for its whole sum and for no exponent; a tile too long is NaN and leaves the next alone."""
    config = AlignedPEConfig(lanes=4, words=3, max_operands=5)
    lengths = np.random.default_rng(6).integers(1, longest + 1, 300)
    check_mixed_tiles(AlignedPE(config=config), "aligned_pe", lambda x, w: aligned_pe(x, w, 16, 5), lengths)


@pytest.mark.campaign
def test_all_products_through_the_rtl():
    """An operand alone in its row keeps all its bits."""
    got, _ = all_products(AlignedPE(config=AlignedPEConfig(words=WORDS, bits=12)), "aligned_pe")
    np.testing.assert_array_equal(got, expected_products("exact"))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"bits": 11}, "bits must be 12 to 41, not 11"),
        ({"bits": 42}, "bits must be 12 to 41, not 42"),
        ({"accumulator": "fp32"}, "accumulator must be one of fixed, not 'fp32': aligned operands have integer sums"),
        ({"max_operands": 0}, "max_operands must be at least 1, not 0"),
        ({"digits": (4, 4)}, r"digits must be at least 1 each and 7 together, not \(4, 4\)"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        AlignedPEConfig(**config)
