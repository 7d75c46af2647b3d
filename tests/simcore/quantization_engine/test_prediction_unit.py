# SPDX-License-Identifier: Apache-2.0
"""The prediction unit: goldens against float64 and by hand, the papers' overheads, benches, the whole chain on the clip."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden import reference
from zoetrope.golden.formats import FP16, fp16, to_float64
from zoetrope.golden.simcore.quantization_engine.prediction_unit import (
    importance_of_a,
    importance_of_p,
    overhead,
    reduced_product,
)
from zoetrope.golden.simcore.quantization_engine.reduction_tree import means
from zoetrope.hw.catalogue import find
from zoetrope.hw.formats import FP16 as HW_FP16
from zoetrope.hw.simcore.quantization_engine.prediction_unit import PredictionUnit, PredictionUnitConfig
from zoetrope.hw.softmax.sfu import SfuConfig
from zoetrope.sim.benches.simcore.quantization_engine.tb_prediction_unit import Head, normal
from zoetrope.sim.input import clips
from zoetrope.sim.model.quantization_engine import Prediction, frame_cycles
from zoetrope.sim.packing import pack, unpack
from zoetrope.sim.run.native import Native


@pytest.fixture(scope="module")
def clip():
    """Q, K, V of the clip (tokens, d) and the tokens of a frame."""
    tensors = clips.load()
    return *(x.reshape(-1, x.shape[-1]) for x in (tensors.q, tensors.k, tensors.v)), tensors.q.shape[1]


def codes(x):
    return np.ascontiguousarray(x).view(np.uint16)


def test_importance_of_p_of_the_clip(clip):
    q, k, _, rows = clip
    found = importance_of_p(q, k, rows)
    ideal, scores = reference.importance_of_p(codes(q), codes(k), rows, 2662 / 4096)
    assert found.map.shape == (30, 30) and not found.error
    # Scores are near 1/30, where a unit of FP16 is 1.5e-5 or 3e-5; X_r and Y_r are rounded too.
    assert np.abs(to_float64(found.scores, FP16) - scores).max() < 4e-5
    # The map differs only where the ideal one was a near thing.
    wrong = found.map != ideal
    assert wrong.mean() < 0.02
    assert (found.map.sum(axis=1) >= 1).all()


def test_every_row_holds_more_than_p_and_no_tile_too_many(clip):
    q, k, _, rows = clip
    found = importance_of_p(q, k, rows)
    scores = to_float64(found.scores, FP16)
    held = np.where(found.map, scores, 0).sum(axis=1)
    least = np.where(found.map, scores, 2).min(axis=1)
    assert (held > 2662 / 4096 * scores.sum(axis=1)).all()
    assert (held - least <= 2662 / 4096 * scores.sum(axis=1)).all()


def test_p_of_0_and_1(clip):
    q, k, _, rows = clip
    assert (importance_of_p(q, k, rows, 0.0).map.sum(axis=1) == 1).all()
    assert importance_of_p(q, k, rows, 1.0).map.all()


@pytest.mark.parametrize("m, rows", [(1, 1), (5, 9), (10, 3), (7, 1), (26, 4)])
def test_sizes_and_ragged_frames(m, rows):
    rng = np.random.default_rng(m)
    q, k = (fp16(rng.standard_normal((m, 5)) * 3) for _ in range(2))
    frames = -(-m // rows)
    found = importance_of_p(q, k, rows)
    assert found.map.shape == (frames, frames)
    x = to_float64(means(q, rows)[0], FP16)
    own = [np.mean(to_float64(q[f * rows : (f + 1) * rows], FP16), axis=0) for f in range(frames)]
    np.testing.assert_allclose(x, own, rtol=1e-3, atol=1e-6)
    _, scores = reference.importance_of_p(q, k, rows, 0.65)
    np.testing.assert_allclose(to_float64(found.scores, FP16), scores, rtol=0.02, atol=1e-5)


def test_text_is_always_important():
    rng = np.random.default_rng(2)
    q, k = (fp16(rng.standard_normal((12, 4)) * 6) for _ in range(2))
    video, found = importance_of_p(q, k, 3, 0.5), importance_of_p(q, k, 3, 0.5, text=True)
    assert found.map.shape == (5, 5)
    assert found.map[0].all() and found.map[:, 0].all()
    np.testing.assert_array_equal(found.map[1:, 1:], video.map)


def test_what_is_not_finite_makes_its_rows_important():
    rng = np.random.default_rng(3)
    q, k = (fp16(rng.standard_normal((12, 4))) for _ in range(2))
    assert not importance_of_p(q, k, 3, 0.0).map[1].all()
    q[4, 2] = FP16.nan
    found = importance_of_p(q, k, 3, 0.0)
    assert found.error and found.map[1].all()
    assert (np.delete(found.map, 1, axis=0).sum(axis=1) == 1).all()
    k[0, 0] = FP16.inf
    found = importance_of_p(q, k, 3, 0.0)
    assert found.error


def softmax_rows(q, k, count):
    scores = q[:count].astype(np.float64) @ k.astype(np.float64).T / np.sqrt(q.shape[1])
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return fp16(e / e.sum(axis=1, keepdims=True))


def test_importance_of_a_of_the_clip(clip):
    q, k, v, _ = clip
    rows = softmax_rows(q, k, 16)
    found = importance_of_a(rows, v)
    ideal, scores = reference.importance_of_a(rows, codes(v), 2662 / 4096)
    assert found.map.shape == (64,) and not found.error
    np.testing.assert_allclose(np.abs(to_float64(found.scores, FP16)), scores, rtol=0.01, atol=0.01)
    assert np.count_nonzero(found.map != ideal) <= 1
    # Rows that repeat, as they would if P_c were recovered, only scale all sums.
    np.testing.assert_array_equal(importance_of_a(np.concatenate([rows, rows]), v).map, found.map)


def test_columns_are_chosen_by_magnitude():
    rows = fp16(np.full((2, 3), 0.5))
    v = fp16(np.array([[1.0, -8.0, 0.0], [1.0, -8.0, 0.5], [1.0, -8.0, -0.5]]))
    found = importance_of_a(rows, v, 0.5)
    assert found.map.tolist() == [False, True, False]
    assert to_float64(found.scores, FP16).tolist() == [3.0, -24.0, 0.0]


def test_reduced_product_sums_in_the_order_of_the_channels():
    big, one = float(2**15), 1.0
    x = fp16(np.array([[big, one, big]]))
    y = fp16(np.array([[big, one, -big]]))
    # 2^30 + 1 is 2^30 in FP32: the one is lost, and would not be in another order.
    assert reduced_product(x, y).tolist() == [[0]]


def test_overheads_beside_the_published_ones():
    found = overhead(35_100, 1350, 64)
    assert round(100 * found.p_published, 2) == 3.92
    assert round(100 * found.a_published, 2) == 1.57
    assert round(100 * found.a, 2) == 1.57
    assert round(100 * found.p, 4) == 0.0058
    assert found.p == pytest.approx(2 / 35_100 + 1 / 1350**2)


def test_impossible_arguments_are_refused_by_name():
    q = np.zeros((6, 2), np.float16)
    with pytest.raises(ValueError, match="rows of a sum must be at least 1, not 0"):
        importance_of_p(q, q, 0)
    with pytest.raises(ValueError, match=r"p must be between 0 and 1, not 1\.5"):
        importance_of_p(q, q, 2, 1.5)
    with pytest.raises(ValueError, match="the score buffer holds 3 tiles a row, not 4"):
        importance_of_p(q, q, 2, text=True, tiles=3)
    with pytest.raises(ValueError, match="q and k must have the same channels, not 2 and 3"):
        importance_of_p(q, np.zeros((6, 3), np.float16), 2)
    with pytest.raises(ValueError, match="a column for each row of v, not 2 for 3"):
        importance_of_a(q, np.zeros((3, 4), np.float16))
    with pytest.raises(ValueError, match="tokens must be at least 1, not 0"):
        overhead(0, 1350, 64)


@pytest.mark.parametrize("preset", ["default", "bitonic"])
def test_rtl(preset):
    assert vectors("prediction_unit", preset) > 60


@pytest.mark.campaign
def test_the_whole_chain_on_the_whole_clip(clip):
    """30 frames of Q and K through reduction, product, softmax, sort and buffer in RTL: every tile, and how long it takes.

    Then a part of it, with gaps, and frames of 1,350 tokens, the last of them ragged.
    """
    q, k, _, rows = clip
    config = find("prediction_unit").config("whole")
    model = Prediction.of(config)
    native = Native.build(PredictionUnit(config=config), "prediction_unit")
    heads = [Head(config, q, k, rows, 0.65, text=True), Head(config, k[:1000], q[:1000], rows, 0.65)]
    heads.append(Head(config, *normal(np.random.default_rng(8), 2 * 1350 + 226, 64), 1350, 0.65))
    gaps = np.random.default_rng(1).random(997) < 0.5
    for head in heads:
        tiles = len(head.map)
        sent, jobs = head.sent(config), head.job(config)
        got, cycles, _ = native.streams(
            {"i_job": jobs, "i": sent}, {"o_map": 1}, gaps={"i": gaps} if head is heads[1] else None
        )
        assert [int(x[0]) for x in unpack(got["o_map"], [6, 6, 1])] == [tiles, tiles, 0]
        reads = pack(np.arange(tiles), np.zeros(tiles, int), widths=[6, 6])
        got, *_ = native.streams({"i_read": reads}, {"o": tiles})
        bits = np.array(unpack(got["o"], [1] * 32 + [1])).T[:, :tiles].astype(bool)
        np.testing.assert_array_equal(bits[head.text :], head.map[head.text :])
        assert bits[: head.text].all()
        if head is heads[2]:
            # Reading K and Q at a word a cycle, and what the last frame takes behind its last word.
            tree, product, sort = frame_cycles(1350, 64, 3, 3, model)
            assert cycles["i"][-1] - cycles["i"][0] < 2 * (2 * 1350 + 226) * 16 + 6 * 64 + 32
            assert cycles["o_map"][0] - cycles["i"][-1] < product + sort + 400
        if head is heads[0]:
            tree, product, sort = frame_cycles(rows, 64, 30, int(head.map.sum(axis=1).max()), model)
            # A frame of 99 tokens is shorter than its 30 products a channel; one of 1,350 is not. What the last frame
            # adds is its own way through the unit.
            assert product == max(tree, product, sort)
            least = 30 * tree + 30 * product
            assert least < cycles["o_map"][0] - cycles["i"][0] < least + tree + product


def test_a_frame_of_the_paper_is_longer_than_its_products():
    tree, product, sort = frame_cycles(1350, 64, 26, 26, Prediction.of(PredictionUnitConfig()))
    assert (tree, product) == (1350 * 16 + 48, 64 * 26)
    assert sort < product < tree


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"max_rows": 0}, "max_rows must be at least 1, not 0"),
        ({"max_tiles": 0}, "max_row must be at least 1, not 0"),
        ({"select": "quick"}, "build must be one of serial, bitonic, not 'quick'"),
        ({"p_bits": 20}, "p_bits must be 1 to 16, not 20"),
        ({"add_stages": 7}, "stages must be 0 to 6, not 7"),
        ({"product_stages": 0}, "product_stages must be 1 to 3, not 0"),
        ({"sfu": SfuConfig(max_row=31)}, "sfu must take scaled FP32 scores and rows of max_tiles, 32, not 31"),
        ({"sfu": SfuConfig(scores=HW_FP16)}, "sfu must take scaled FP32 scores .* FP16"),
        ({"sfu": SfuConfig(scaled=False)}, "sfu must take scaled FP32 scores .* scaled False"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        PredictionUnitConfig(**config)


@pytest.mark.parametrize(
    "job, message",
    [
        ((35_100, 0, 64, 0.65), "rows must be 1 to 1350, not 0"),
        ((35_100, 1351, 64, 0.65), "rows must be 1 to 1350, not 1351"),
        ((35_100, 1350, 129, 0.65), "channels must be 1 to 128, not 129"),
        ((0, 1350, 64, 0.65), "tokens must be at least 1, not 0"),
        ((35_100, 1350, 64, -0.1), r"p must be between 0 and 1, not -0\.1"),
        ((35_100, 1000, 64, 0.65), "the score buffer holds 32 x 32 tiles, not 36 x 36"),
        ((43_200, 1350, 64, 0.65, True), "the score buffer holds 32 x 32 tiles, not 33 x 33"),
    ],
)
def test_heads_that_do_not_fit_are_refused_by_name(job, message):
    PredictionUnitConfig().check(35_100, 1350, 64, 0.65, text=True)
    with pytest.raises(ValueError, match=message):
        PredictionUnitConfig().check(*job)
