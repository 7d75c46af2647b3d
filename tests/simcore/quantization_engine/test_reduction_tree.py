# SPDX-License-Identifier: Apache-2.0
"""The reduction tree: golden against exact rationals and float64, benches, frames of 1,350 rows through the RTL."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors
from rational import rounded

from zoetrope.golden import reference
from zoetrope.golden.formats import FP16, FP32, fp16, fp32, to_float64
from zoetrope.golden.simcore.quantization_engine.reduction_tree import inverse, means, reduction_tree
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.quantization_engine.reduction_tree import ReductionTree, ReductionTreeConfig
from zoetrope.sim.benches.simcore.quantization_engine.tb_reduction_tree import Matrix, finite
from zoetrope.sim.run.native import Native

_INF, _MINUS_INF = FP16.inf, FP16.inf | 0x8000


@pytest.mark.parametrize("m, rows", [(1, 1), (1, 5), (7, 1), (9, 3), (10, 3), (50, 1350), (27, 26)])
def test_sums_are_exact_rationals_rounded_once(m, rows):
    rng = np.random.default_rng(m)
    x = finite(rng, (m, 3))
    sums, error = reduction_tree(x, rows)
    assert not error and sums.shape == (-(-m // rows), 3) and sums.dtype == np.uint32
    ragged = m % rows or rows
    factor, last = inverse(rows), inverse(ragged)
    scaled, _ = reduction_tree(x, rows, factor, last)
    for (f, c), sum_code in np.ndenumerate(sums):
        group = [Fraction(float(v)) for v in to_float64(x[f * rows : (f + 1) * rows, c], FP16)]
        exact = rounded(sum(group), FP32)
        assert to_float64(sum_code, FP32) == exact
        code = last if f == len(sums) - 1 else factor
        product = rounded(Fraction(exact) * Fraction(float(to_float64(np.uint32(code), FP32))), FP32)
        assert to_float64(scaled[f, c], FP16) == rounded(Fraction(product), FP16)


def test_means_of_a_frame_whose_sum_overflows_fp16():
    rng = np.random.default_rng(4)
    x = fp16(60 + rng.standard_normal((1350 * 2 + 100, 4)))
    got, error = means(x, 1350)
    assert not error
    sums = reference.column_sums(x, 1350)
    assert sums[:2].min() > 65504
    ideal = sums / np.array([1350, 1350, 100])[:, None]
    # Half a unit in the last place, 2^-5 at 60, and two roundings in FP32.
    assert np.abs(to_float64(got, FP16) - ideal).max() < 2.0**-6 * 1.001


def test_sums_that_cancel_lose_nothing():
    x = fp16(np.array([[65504.0], [2.0**-24], [-65504.0]]))
    assert to_float64(reduction_tree(x, 3)[0], FP32)[0, 0] == 2.0**-24
    assert reduction_tree(fp16(np.array([[-0.0], [-0.0]])), 2)[0].tolist() == [[0]]


@pytest.mark.parametrize(
    "column, expected",
    [
        ([_INF, 0x3C00], FP32.inf),
        ([0x3C00, _MINUS_INF], FP32.inf | 1 << 31),
        ([_INF, _MINUS_INF], FP32.nan),
        ([0x3C00, 0x7D01], FP32.nan),
        ([0xFE00, _INF], FP32.nan),
    ],
)
def test_what_is_not_finite_is_an_error(column, expected):
    x = np.array([column, [0x3C00, 0x3C00]], np.uint16).T
    sums, error = reduction_tree(x, 2)
    assert error and sums.tolist() == [[expected, int(fp32(2.0))]]


def test_impossible_arguments_are_refused_by_name():
    x = np.zeros((2, 2), np.float16)
    for rows in (0, -1):
        with pytest.raises(ValueError, match=f"rows of a sum must be at least 1, not {rows}"):
            reduction_tree(x, rows)
        with pytest.raises(ValueError, match=f"rows of a sum must be at least 1, not {rows}"):
            means(x, rows)
    with pytest.raises(ValueError, match="must be float16, or binary16 codes in uint16, not float64"):
        reduction_tree(np.zeros((2, 2)), 1)
    with pytest.raises(ValueError, match="of 2 dimensions"):
        reduction_tree(np.zeros((0, 2), np.float16), 1)


@pytest.mark.parametrize("preset", find("reduction_tree").presets)
def test_rtl(preset):
    assert vectors("reduction_tree", preset) > 100


def test_frames_of_1350_and_columns_of_the_clip_through_the_rtl():
    """Sums of ragged frames of Q, and column sums of rows of P in flight, back to back: a word a cycle throughout."""
    config = ReductionTreeConfig(lanes=4, max_channels=2_970)
    rng = np.random.default_rng(6)
    frames = Matrix(fp16(60 + rng.standard_normal((1350 * 2 + 226, 64))), 1350)
    columns = Matrix(fp16(rng.random((16, 2_970)) ** 8 / 100), 1350)
    matrices = [frames, columns, frames]
    sent = np.concatenate([matrix.sent(config) for matrix in matrices])
    expected = np.concatenate([matrix.expected(config) for matrix in matrices])
    native = Native.build(ReductionTree(config=config), "reduction_tree")
    jobs = np.concatenate([matrix.job(config) for matrix in matrices])
    got, cycles, _ = native.streams({"i_job": jobs, "i": sent}, {"o": len(expected)})
    np.testing.assert_array_equal(got["o"], expected)
    assert cycles["i"][-1] - cycles["i"][0] == len(sent) - 1


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"lanes": 0}, "lanes must be a power of two, not 0"),
        ({"max_rows": 0}, "max_rows must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"outputs": 3}, "outputs must be a power of two from 1 to 8, not 3"),
        ({"outputs": 16}, "outputs must be a power of two from 1 to 8, not 16"),
        ({"multiply_stages": 7}, "multiply_stages must be 0 to 6, not 7"),
        ({"convert_stages": 4}, "convert_stages must be 0 to 3, not 4"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ReductionTreeConfig(**config)
