# SPDX-License-Identifier: Apache-2.0
"""The special function unit: golden against float64 and by hand, benches, 17,550 elements through the RTL."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.reciprocal import reciprocal
from zoetrope.golden.formats import FP16, FP32, fp16, fp32, to_float64
from zoetrope.golden.softmax.sfu import sfu, tile, total
from zoetrope.hw.catalogue import find
from zoetrope.hw.formats import FP16 as HW_FP16
from zoetrope.hw.formats import FP17 as HW_FP17
from zoetrope.hw.softmax.sfu import Sfu, SfuConfig
from zoetrope.sim.benches.softmax.tb_sfu import ONE, Row, special_rows
from zoetrope.sim.input import clips
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.studies import softmax_accuracy
from zoetrope.sim.studies.softmax_accuracy import clip_scores, normal_scores

LONGEST = 17_550

#: Published figures of normal scores and the clip's (bounds for any rows are held in test_bounds.py): largest and mean error
#: of results of either mode, in ulp of FP16, and the largest of 1 / s, in ulp of FP32. Half an ulp of FP16 is the last
#: rounding.
LARGEST, MEAN, RECIPROCAL = 0.51, 0.26, 8.0


@pytest.fixture(scope="module")
def tensors():
    return clips.load()


@pytest.fixture(scope="module")
def accuracy(tensors):
    return softmax_accuracy.table(tensors)


def test_golden_is_within_the_published_error(accuracy):
    assert len(accuracy) == 4
    for name, found in accuracy.items():
        assert found["max"] < LARGEST, name
        assert found["mean"] < MEAN, name
        assert found["e max"] < LARGEST, name
        assert found["e mean"] < MEAN, name
        assert found["reciprocal"] < RECIPROCAL, name


def test_small_results_are_kept(accuracy):
    """Of a row of 17,550, most of softmax is subnormal: were it flushed to zero, the attention tail would be gone."""
    assert accuracy["normal, 17,550 elements"]["small"] > 0.5
    codes = normal_scores(LONGEST, 1)
    results, _ = sfu(codes)
    subnormal = results[(results > 0) & (results < 1 << FP16.fraction_bits)]
    assert len(subnormal) > LONGEST // 3


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("running", [1, 3, 4, 6])
def test_total_in_the_stated_order(lanes, running):
    rng = np.random.default_rng(running)
    for n in (0, 1, lanes, lanes + 1, 26, 47):
        e = fp32(rng.random((3, n)))
        words = max(1, -(-n // lanes))
        for row, got in zip(e, total(e, lanes, running)):
            assert got == by_hand(row.tolist() + [0] * (words * lanes - n), lanes, running), (n, lanes, running)


def add(a, b):
    return float_add(np.uint32(a), np.uint32(b))


def tree(values):
    while len(values) > 1:
        pairs = [add(*values[k : k + 2]) for k in range(0, len(values) - 1, 2)]
        values = pairs + values[len(pairs) * 2 :]
    return values[0]


def by_hand(values, lanes, running):
    """The sum of a padded row of codes, number by number."""
    sums = []
    for w in range(len(values) // lanes):
        word = tree(values[w * lanes : (w + 1) * lanes])
        sums.append(add(sums[w - running], word) if w >= running else word)
    return tree(sums[-running:])


def test_special_rows_by_hand():
    one, nan = 0x3C00, FP16.nan
    inf, minus = np.uint32(FP32.inf), np.uint32(FP32.inf | 1 << 31)
    cases = [
        ([], [], 0),
        ([minus], [0], 0),
        ([minus] * 5, [0] * 5, 0),
        ([minus, 0, minus], [0, one, 0], int(ONE)),
        ([0, 1 << 31], [0x3800] * 2, 0x3F000000),
        ([inf, 0, minus], [nan] * 3, FP32.nan),
        ([0, 0x7FC12345, inf], [nan] * 3, FP32.nan),
        ([minus, 0xFFC00000], [nan] * 2, FP32.nan),
        ([int(ONE)] * 5, [0x3266] * 5, 0x3E4CCCCD),
    ]
    for scores, expected, inverse in cases:
        results, reciprocals = sfu(np.array([scores], np.uint32).reshape(1, -1))
        assert results[0].tolist() == expected
        assert reciprocals.tolist() == [inverse]


def test_a_long_row_is_nan_as_long_as_the_longest():
    results, reciprocals = sfu(np.zeros((2, 9), np.uint32), max_row=8)
    np.testing.assert_array_equal(results, np.full((2, 8), FP16.nan))
    np.testing.assert_array_equal(reciprocals, [FP32.nan] * 2)


def test_tiles_by_hand():
    half, one, nan = 0x3F000000, int(ONE), FP32.nan
    inf, minus, negative = int(FP32.inf), int(FP32.inf | 1 << 31), int(ONE) | 1 << 31
    cases = [
        ([], [], minus, 0),
        ([minus] * 5, [0] * 5, minus, 0),
        ([minus, negative, minus], [0, 0x3C00, 0], negative, one),
        ([1 << 31, 0], [0x3C00] * 2, 1 << 31, 0x40000000),
        ([0, 1 << 31], [0x3C00] * 2, 0, 0x40000000),
        ([half] * 5, [0x3C00] * 5, half, 0x40A00000),
        ([inf, 0, minus], [FP16.nan] * 3, nan, nan),
        ([0, 0xFFC12345, inf], [FP16.nan] * 3, nan, nan),
    ]
    for scores, expected, maximum, total_of_e in cases:
        e, m, s = tile(np.array([scores], np.uint32).reshape(1, -1))
        assert (e[0].tolist(), m.tolist(), s.tolist()) == (expected, [maximum], [total_of_e]), scores
    e, m, s = tile(np.zeros((2, 9), np.uint32), max_row=8)
    assert e.shape == (2, 8) and np.all(e == FP16.nan) and np.all(m == nan) and np.all(s == nan)


def test_a_tile_has_the_exponentials_and_the_sum_of_its_softmax():
    codes, scale = normal_scores(26, 50), fp32(np.array([-1 / np.sqrt(128)]))
    e, m, s = tile(codes, scale)
    same, inverse = sfu(codes, scale, normalise=False)
    np.testing.assert_array_equal(e, same)
    np.testing.assert_array_equal(reciprocal(s), inverse)
    x = codes.view(np.float32) * scale.view(np.float32)
    np.testing.assert_array_equal(m.view(np.float32), x.max(axis=1))


def test_unnormalised_results_times_the_reciprocal_are_the_normalised_ones():
    codes = normal_scores(26, 50)
    p, inverse = sfu(codes)
    e, same = sfu(codes, normalise=False)
    np.testing.assert_array_equal(inverse, same)
    np.testing.assert_array_equal(e.max(axis=1), np.full(50, 0x3C00))
    product = to_float64(e, FP16) * to_float64(inverse, FP32)[:, None]
    # Half a unit of p, and half a unit of e, which is one of p where the product loses a binade.
    error = np.abs(to_float64(p, FP16) - product) / softmax_accuracy.ulp(np.maximum(product, 2.0**-24))
    assert error.max() < 1.51


def test_scale_and_formats_agree():
    rng = np.random.default_rng(5)
    halves = fp16(rng.standard_normal((4, 30)) * 8)
    scale = fp32(np.array([0.125]))
    wide = fp32(to_float64(halves, FP16))
    eighths = fp32(to_float64(halves, FP16) / 8)
    expected = sfu(eighths)
    for got in (sfu(halves, scale, fmt=FP16), sfu(wide, scale)):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.parametrize("preset", find("sfu").presets)
def test_rtl(preset):
    assert vectors("sfu", preset) > 1000


@pytest.mark.parametrize(
    "config",
    [
        SfuConfig(lanes=2, max_row=1, rows=3, add_stages=1),
        SfuConfig(lanes=2, max_row=28, scores=HW_FP16, rows=5, memory_stages=2, add_stages=2, multiply_stages=0),
    ],
    ids=["one element", "FP16, scaled"],
)
@pytest.mark.campaign
def test_rtl_of_other_shapes(config):
    simulate("sfu", config=config)


@pytest.mark.campaign
def test_long_rows_through_the_rtl(tensors):
    """Frames of 1,350, rows of the clip, 17,550, one more than that, and what comes after, back to back."""
    config = SfuConfig(max_row=LONGEST)
    clip, scale = clip_scores(tensors, queries=2)
    rows = [Row(codes, normalise=bool(k)) for k, codes in enumerate(normal_scores(1350, 2))]
    rows += [Row(codes, scale=scale[0]) for codes in clip]
    rows += [Row(normal_scores(LONGEST, 1)[0]), Row(normal_scores(LONGEST + 1, 1)[0]), Row(normal_scores(26, 1)[0])]
    expected = np.concatenate([row.expected(config) for row in rows])
    native = Native.build(Sfu(config=config), "sfu")
    got, *_ = native.streams({"i": np.concatenate([row.sent(config) for row in rows])}, {"o": len(expected)})
    np.testing.assert_array_equal(got["o"], expected)


def test_the_bench_has_every_kind_of_row():
    rows = special_rows(SfuConfig())
    assert len(rows) > 15
    reciprocals = {name: int(sfu(codes[None])[1][0]) for name, codes in rows.items()}
    assert sum(code == FP32.nan for code in reciprocals.values()) == 6
    assert [name for name, code in reciprocals.items() if code == 0] == ["one -inf", "all -inf"]
    results, _ = sfu(rows["subnormal results"][None], fp32(np.array([0.125])))
    assert np.all(results[0, 1:] > 0) and np.all(results[0, 1:] < 1 << FP16.fraction_bits)
    assert reciprocals["one"] == reciprocal(ONE)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"lanes": 0}, "lanes must be a power of two, not 0"),
        ({"max_row": 0}, "max_row must be at least 1, not 0"),
        ({"rows": 2}, "rows must be at least 3, not 2"),
        ({"memory_stages": 3}, "memory_stages must be 1 to 2, not 3"),
        ({"add_stages": 0}, "add_stages must be at least 1, not 0"),
        ({"add_stages": 9}, "add_stages must be 0 to 6, not 9"),
        ({"multiply_stages": 9}, "multiply_stages must be 0 to 6, not 9"),
        ({"reciprocal_stages": -1}, "reciprocal_stages must be 0 to 8, not -1"),
        ({"convert_stages": 5}, "convert_stages must be 0 to 3, not 5"),
        ({"scores": HW_FP16, "scaled": False, "tiles": True}, "tiles must be False where scores are kept in FP16"),
        ({"scores": HW_FP17}, "scores must be FP16 or FP32, not FP17"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        SfuConfig(**config)
