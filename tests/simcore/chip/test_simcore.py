# SPDX-License-Identifier: Apache-2.0
"""The flow of a head: against the parts' goldens in plain loops, and against float64 written here from the definitions."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from heads import codes, cut, head, in_turn, plain

from zoetrope.golden import reference
from zoetrope.golden.method.quality import quality
from zoetrope.golden.simcore.chip.simcore import FP16_ONLY, Settings, attend, prepare, simcore, slices_of
from zoetrope.golden.simcore.chip.tile_schedule import order_of
from zoetrope.golden.simcore.geometry import Geometry, key_tiles
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngineConfig
from zoetrope.hw.simcore.quantization_engine.column_importance import ColumnImportanceConfig
from zoetrope.hw.simcore.quantization_engine.prediction_unit import PredictionUnitConfig
from zoetrope.hw.simcore.sparsification_engine.sparsification_unit import SparsificationUnitConfig
from zoetrope.hw.softmax.sfu import SfuConfig
from zoetrope.sim.input import clips

ALL = Settings(rows=4, tau=1.5)
SWITCHES = ("sparsify", "speculate_p", "speculate_a", "quantize")


GEOMETRIES = [
    (Geometry(1, 1, 1), 1),
    (Geometry(1, 1, 1, text=1), 3),
    (Geometry(3, 1, 1), 2),
    (Geometry(1, 3, 5), 8),
    (Geometry(4, 2, 3), 63),
    (Geometry(3, 3, 4, text=5), 64),
    (Geometry(3, 2, 3, text=9, text_first=False), 16),
    (Geometry(2, 1, 9), 128),
]


@pytest.mark.parametrize("geometry, d", GEOMETRIES)
@pytest.mark.campaign
def test_the_flow_is_that_of_its_parts(geometry, d):
    q, k, v = head(geometry, d)
    low = replace(ALL, rows=5, p_p=0.2, p_a=0.3)
    for settings in (ALL, FP16_ONLY, low, replace(low, keys=4), replace(ALL, p_p=0, p_a=0, rows=1)):
        found = simcore(q, k, v, geometry, settings)
        np.testing.assert_array_equal(codes(found.a), plain(q, k, v, geometry, settings))
        assert found.a.dtype == np.float16 and found.a.shape == q.shape


@pytest.mark.parametrize("on", list(itertools.product((False, True), repeat=4)))
def test_every_combination_of_switches(on):
    geometry = Geometry(3, 2, 4, text=3)
    q, k, v = head(geometry, 12, seed=1)
    settings = replace(ALL, p_p=0.4, p_a=0.4, **dict(zip(SWITCHES, on)))
    found = simcore(q, k, v, geometry, settings)
    np.testing.assert_array_equal(codes(found.a), plain(q, k, v, geometry, settings))
    counted = found.statistics
    assert (counted.temporal + counted.spatial > 0) == settings.sparsify
    assert (counted.qk_lut > 0) == (settings.quantize and settings.speculate_p)
    assert (counted.pv_lut > 0) == (settings.quantize and settings.speculate_a)


def test_other_orders_and_windows():
    geometry = Geometry(3, 4, 5, text=2)
    q, k, v = head(geometry, 24, seed=12)
    other = Settings(rows=7, lanes=8, running=2, distance_lanes=8, p_bits=6, window=2, group=3, tau=2.0)
    found = simcore(q, k, v, geometry, other)
    np.testing.assert_array_equal(codes(found.a), plain(q, k, v, geometry, other))


def test_defaults_are_those_of_the_units():
    s, sfu, engine = Settings(), SfuConfig(), ComputingEngineConfig()
    assert (s.lanes, s.running) == (sfu.lanes, sfu.add_stages)
    assert s.distance_lanes == SparsificationUnitConfig().lanes
    assert s.p_bits == PredictionUnitConfig().p_bits == ColumnImportanceConfig().p_bits
    assert (engine.lut.reading, engine.lut.accumulator) == ("odd16", "fp32")


# Key tiles and their order.


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("keys", [1, 3, 4, 5, 7, 9])
def test_key_tiles_smaller_than_a_frame(keys, first):
    """A frame of 8 tokens, and text of 5: ragged last tiles of either, neither, or no cut at all."""
    geometry = Geometry(3, 2, 4, text=5, text_first=first)
    q, k, v = head(geometry, 6, seed=13)
    settings = replace(ALL, keys=keys, p_p=0.4)
    found = simcore(q, k, v, geometry, settings)
    np.testing.assert_array_equal(codes(found.a), plain(q, k, v, geometry, settings))
    parts = [[min(keys, n - start) for start in range(0, n, keys)] for n in ([5] if first else []) + [8] * 3 + [5]]
    sizes = [size for part in parts[:4] for size in part]
    made = key_tiles(geometry, keys)
    assert [place.stop - place.start for place, _ in made] == sizes
    assert [token for place, _ in made for token in range(place.start, place.stop)] == list(range(29))
    assert [of for _, of in made] == [n for n, part in enumerate(parts[:4]) for _ in part]
    counted = found.statistics
    of_tile = found.map_p[:, [of for _, of in made]]
    assert found.map_p.shape == (4, 4) and found.map_a.shape == (counted.slices, len(sizes), 6)
    assert counted.tiles == counted.slices * len(sizes)
    assert counted.important == sum(of_tile[f].sum() for f in found.slices.tile)
    assert 0 < counted.important < counted.tiles
    assert counted.pv_fp16 == sum(
        int(rows) * size * int(columns.sum())
        for rows, of_slice in zip(found.slices.rows, found.map_a)
        for size, columns in zip(sizes, of_slice)
    )
    whole = simcore(q, k, v, geometry, replace(settings, keys=None))
    np.testing.assert_array_equal(found.map_p, whole.map_p)
    assert (counted.qk_fp16, counted.qk_lut) == (whole.statistics.qk_fp16, whole.statistics.qk_lut)
    assert counted.predicted == whole.statistics.predicted and counted.dense == whole.statistics.dense
    if keys >= 8:
        np.testing.assert_array_equal(codes(found.a), codes(whole.a))
        np.testing.assert_array_equal(found.map_a, whole.map_a)
        assert counted == whole.statistics


def test_frames_are_whole_where_only_text_is_cut():
    geometry = Geometry(2, 1, 3, text=8)
    assert key_tiles(geometry, 5) == [(slice(0, 5), 0), (slice(5, 8), 0), (slice(8, 11), 1), (slice(11, 14), 2)]
    assert [place for place, _ in key_tiles(geometry, 8)] == geometry.tiles
    assert key_tiles(geometry) == key_tiles(geometry, 8)


def test_order_of_all_patterns():
    for count in range(1, 10):
        for important in itertools.product((False, True), repeat=count):
            order = order_of(np.array(important))
            np.testing.assert_array_equal(order, in_turn(important))
            np.testing.assert_array_equal(np.sort(order), np.arange(count))
            taken = np.array(important)[order]
            for kind in (False, True):
                assert (np.diff(order[taken == kind]) > 0).all()
            total = sum(important)
            assert [int(taken[:k].sum()) for k in range(count + 1)] == [k * total // count for k in range(count + 1)]
            if total in (0, count):
                np.testing.assert_array_equal(order, np.arange(count))


@pytest.mark.parametrize("count, total", [(26, 1), (26, 25), (27, 9), (573, 200), (1000, 999)])
def test_order_of_many(count, total):
    rng = np.random.default_rng((14, count))
    important = rng.permutation(np.arange(count) < total)
    order = order_of(important)
    np.testing.assert_array_equal(order, in_turn(important.tolist()))
    np.testing.assert_array_equal(np.cumsum(important[order]), np.arange(1, count + 1) * total // count)


@pytest.mark.parametrize("keys", [None, 2])
def test_the_order_shows_in_the_result(keys):
    """Large values cancel: what is left of the small ones depends on which of them the large ones have met before."""
    geometry = Geometry(8, 1, 3)
    rng = np.random.default_rng(15)
    q = np.zeros((24, 16), np.float16)
    v = rng.standard_normal((8, 3, 16))
    v[[1, 4]] += np.array([30000.0, -30000.0])[:, None, None]
    v = v.reshape(q.shape).astype(np.float16)
    settings = replace(ALL, keys=keys, p_p=0.4, speculate_a=False)
    found = simcore(q, q, v, geometry, settings)
    np.testing.assert_array_equal(found.map_p, np.arange(8) < np.full((8, 1), 4))  # each tile is 1/8: four exceed 0.4
    total = np.zeros((1, 16), np.float32)
    cuts = cut(geometry.tiles, keys)
    for g in in_turn([n < 4 for _, _, n in cuts]):
        part = np.zeros((1, 16), np.float32)
        for row in v[slice(*cuts[g][:2])].astype(np.float32):
            part += row
        total += part
    a = (total * (np.float32(1) / np.float32(24))).astype(np.float16)
    np.testing.assert_array_equal(codes(found.a), codes(np.repeat(a, 24, axis=0)))
    tokens = simcore(q, q, v, geometry, replace(settings, speculate_p=False)).a
    assert (codes(found.a) != codes(tokens)).mean() > 0.5


def test_text_has_a_part_in_the_scales_and_in_nothing_else_that_is_made_before():
    geometry = Geometry(3, 2, 4, text=3)
    q, k, v = head(geometry, 6, seed=16)
    before = prepare(q, k, v, geometry, ALL)
    q[:3], k[1, 2], v[2, 4] = 2 * q[:3], 100, -200
    after = prepare(q, k, v, geometry, ALL)
    np.testing.assert_array_equal(after.map_p, before.map_p)
    np.testing.assert_array_equal(after.table, before.table)
    assert not after.map_p.all() and (after.table != np.arange(27)).any()
    for x, made in ((k, after.k_codes), (v, after.v_codes)):
        np.testing.assert_array_equal(made, quantize(x)[0])
    assert (after.k_codes[3:, 2] != before.k_codes[3:, 2]).any() and (
        after.k_codes[3:, 3] == before.k_codes[3:, 3]
    ).all()
    assert (
        after.v_scales[4] == np.float32(200 / 127).view(np.uint32) and (after.v_scales[:4] == before.v_scales[:4]).all()
    )


def test_codes_and_values_are_the_same_input():
    geometry = Geometry(2, 2, 3)
    q, k, v = head(geometry, 5)
    a, b = (simcore(*x, geometry, ALL) for x in ((q, k, v), map(codes, (q, k, v))))
    np.testing.assert_array_equal(codes(a.a), codes(b.a))


def test_a_slice_alone_is_the_same_as_among_others():
    geometry = Geometry(2, 3, 5)
    prepared = prepare(*head(geometry, 7), geometry, ALL)
    kept = np.flatnonzero(prepared.kind == 0)
    slices = slices_of(prepared.kind, geometry, ALL)
    for f in range(2):
        mine = np.flatnonzero(slices.tile == f)
        rows = [kept[first : first + count] for first, count in zip(slices.first[mine], slices.rows[mine])]
        together = attend(prepared, np.concatenate(rows), slices.rows[mine], f, geometry, ALL)
        alone = [attend(prepared, part, np.array([len(part)]), f, geometry, ALL) for part in rows]
        for one, many in zip(together, zip(*alone)):
            np.testing.assert_array_equal(one, np.concatenate(many))


# Switches and settings that come to the same.


def test_switches_that_come_to_the_same():
    geometry = Geometry(4, 2, 4, text=3)
    q, k, v = head(geometry, 16, seed=2)

    def a(**options):
        return codes(simcore(q, k, v, geometry, replace(ALL, **options)).a)

    np.testing.assert_array_equal(a(quantize=False), a(speculate_p=False, speculate_a=False))
    np.testing.assert_array_equal(a(p_p=1.0, p_a=1.0), a(quantize=False))
    np.testing.assert_array_equal(a(p_p=1.0), a(speculate_p=False))
    np.testing.assert_array_equal(a(p_a=1.0), a(speculate_a=False))
    np.testing.assert_array_equal(a(tau=0.0), a(sparsify=False))
    np.testing.assert_array_equal(a(window=1, group=1, tau=0.0), a(sparsify=False))
    assert (a() != a(quantize=False)).any() and (a() != a(sparsify=False)).any()


@pytest.mark.parametrize("options", [{"quantize": False}, {"speculate_a": False}])
def test_rows_that_are_kept_do_not_notice_that_others_are_skipped(options):
    """Where nothing depends on a slice: the importance of A's columns does, that of P's tiles does not."""
    geometry = Geometry(3, 2, 5, text=2)
    q, k, v = head(geometry, 9, seed=3)
    sparse, dense = (simcore(q, k, v, geometry, replace(ALL, sparsify=on, **options)) for on in (True, False))
    kept = sparse.kind == 0
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(codes(sparse.a)[kept], codes(dense.a)[kept])


@pytest.mark.parametrize("first", [True, False])
def test_recovered_rows_are_their_roots(first):
    geometry = Geometry(4, 3, 4, text=5, text_first=first)
    q, k, v = head(geometry, 8, seed=4)
    found = simcore(q, k, v, geometry, ALL)
    np.testing.assert_array_equal(found.a, found.a[found.table])
    np.testing.assert_array_equal(found.kind == 0, found.table == np.arange(geometry.tokens))
    expected = reference.sparsify(codes(q[geometry.video]), (4, 3, 4), ALL.tau, ALL.window, ALL.group)
    np.testing.assert_array_equal(found.table[geometry.video], expected + geometry.video.start)
    text = np.delete(np.arange(geometry.tokens), geometry.video)
    np.testing.assert_array_equal(found.table[text], text)


def test_text_behind_is_text_in_front_but_for_the_order_of_tiles():
    front, behind = (Geometry(3, 2, 4, text=6, text_first=first) for first in (True, False))
    tensors = head(front, 16, seed=5)
    moved = [np.concatenate([x[6:], x[:6]]) for x in tensors]
    one, two = simcore(*tensors, front, ALL), simcore(*moved, behind, ALL)
    np.testing.assert_array_equal(one.map_p, np.roll(two.map_p, (1, 1), (0, 1)))
    assert one.map_p[0].all() and one.map_p[:, 0].all() and not one.map_p.all()
    np.testing.assert_array_equal(one.table[6:], two.table[:-6] + 6)
    assert one.statistics == two.statistics
    np.testing.assert_allclose(np.roll(two.a, 6, axis=0).astype(float), one.a.astype(float), atol=0.01)


def test_statistics_are_counted():
    geometry = Geometry(4, 3, 5, text=4)
    q, k, v = head(geometry, 6, seed=6)
    found = simcore(q, k, v, geometry, ALL)
    counted, tiles = found.statistics, geometry.tiles
    sizes = [place.stop - place.start for place in tiles]
    rows = [int((found.kind[place] == 0).sum()) for place in tiles]
    assert counted.tokens == 64 and counted.dense == 64 * 64 * 6
    assert counted.temporal + counted.spatial == 64 - sum(rows)
    assert counted.slices == sum(-(-count // 4) for count in rows) == len(found.map_a)
    assert counted.tiles == 5 * counted.slices
    assert counted.qk_fp16 + counted.qk_lut == counted.pv_fp16 + counted.pv_lut == sum(rows) * 64 * 6
    fp16 = sum(6 * rows[f] * sizes[g] for f in range(5) for g in range(5) if found.map_p[f, g])
    assert counted.qk_fp16 == fp16
    fp16 = 0
    for count, columns in zip(found.slices.rows, found.map_a):
        fp16 += sum(int(count * sizes[g] * columns[g].sum()) for g in range(5))
    assert counted.pv_fp16 == fp16
    assert counted.predicted == counted.slices * 64 * 6
    assert counted.share == pytest.approx((counted.qk_share + counted.pv_share) / 2)
    seen = []
    simcore(q, k, v, geometry, ALL, lambda *now: seen.append(now))
    assert seen == [(n, 5) for n in range(1, 6)]


# Against float64.


def ideal(q, k, v, found, geometry, settings):
    """The flow in float64 with the golden's maps: (A, bound of the golden's error), both (tokens, d).

    Rounded as in the hardware are only codes, since they are a matter of definition. A bound of the difference: a score is
    off by x, so P by exp(2 x); e and a product of the LUT multiplier by 2^-11, and A; sums by their number times 2^-24; a
    merge by 2^-18.
    """
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    t, d = q.shape
    dequantized = [int8(x) for x in (k, v)]
    slice_of = np.repeat(np.arange(len(found.slices.rows)), found.slices.rows)
    a, bound = np.zeros((t, d)), np.zeros((t, d))
    tile_of, key_of = np.zeros(t, int), np.zeros(t, int)
    for n, place in enumerate(geometry.tiles):
        tile_of[place] = n
    for n, (first, end, _) in enumerate(cut(geometry.tiles, settings.keys)):
        key_of[first:end] = n
    for position, row in enumerate(np.flatnonzero(found.kind == 0)):
        exact = found.map_p[tile_of[row]][tile_of]
        keys = np.where(exact[:, None], k, dequantized[0])
        scores = keys @ q[row] / np.sqrt(d)
        size = np.abs(keys) @ np.abs(q[row]) / np.sqrt(d)
        off = (size * np.where(exact, d * 2.0**-24, 2.0**-10 + d * 2.0**-23)).max() + 2.0**-20
        p = np.exp(scores - scores.max())
        p /= p.sum()
        values = np.where(found.map_a[slice_of[position]][key_of], v, dequantized[1])
        a[row] = p @ values
        relative = np.expm1(2 * off) + 2.0**-10 * (1 + 2.0**-6) + t * 2.0**-24 + found.map_a.shape[1] * 2.0**-18
        bound[row] = relative * (p @ np.abs(values)) + 2.0**-11 * np.abs(a[row]) + t * 2.0**-24 * np.abs(values).max()
    return a[found.table], bound[found.table]


def int8(x):
    amax = np.abs(x).max(axis=0)
    scale = np.where(amax > 0, amax / 127, 1)
    return np.rint(x / scale) * scale


@pytest.mark.parametrize("geometry, d", [*GEOMETRIES, (Geometry(6, 5, 7, text=11), 64)])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_error_against_float64_is_within_its_bound(geometry, d, spread):
    tensors = head(geometry, d, seed=7, spread=spread)
    for settings in (ALL, replace(ALL, p_p=0.0, p_a=0.0), replace(ALL, speculate_a=False, keys=7), FP16_ONLY):
        found = simcore(*tensors, geometry, settings)
        a, bound = ideal(*tensors, found, geometry, settings)
        assert (np.abs(found.a - a) <= bound).all()


@pytest.mark.parametrize("geometry, d", [*GEOMETRIES, (Geometry(6, 5, 7, text=11), 64)])
def test_dense_attention_within_the_published_bound(geometry, d):
    """All features off against ``softmax(Q K^T / sqrt(d)) V``, by the formula of ``golden.simcore.chip.simcore``."""
    q, k, v = head(geometry, d, seed=8)
    for keys in (None, 4):
        places = [place for place, _ in key_tiles(geometry, keys)]
        a, bound = reference.attention_bound(q, k, v, len(places), max(x.stop - x.start for x in places))
        np.testing.assert_allclose(reference.attention(q, k, v), a, rtol=1e-9, atol=1e-12)
        error = simcore(q, k, v, geometry, replace(FP16_ONLY, keys=keys)).a.astype(np.float64) - a
        assert (np.abs(error) <= bound).all()
        if len(q) > 100:
            assert np.sqrt((error**2).mean() / (a**2).mean()) < 4e-4


def test_maps_are_those_of_float64():
    geometry = Geometry(5, 4, 6)
    q, k, v = head(geometry, 64, seed=9)
    settings = replace(ALL, sparsify=False, rows=8)
    found = simcore(q, k, v, geometry, settings)
    expected, _ = reference.importance_of_p(codes(q), codes(k), 24, settings.p_p)
    np.testing.assert_array_equal(found.map_p, expected)
    wrong = 0
    for f, first, count, important in zip(*found.slices, found.map_a):
        for g, place in enumerate(geometry.tiles):
            keys = k[place].astype(float) if expected[f, g] else int8(k.astype(float))[place]
            x = q[first : first + count].astype(float) @ keys.T / 8
            e = np.exp(x - x.max(axis=1, keepdims=True)).astype(np.float16)
            wrong += (reference.importance_of_a(codes(e), codes(v[place]), settings.p_a)[0] != important[g]).sum()
    assert wrong <= 0.01 * found.map_a.size  # scores within FP16's rounding of each other


def test_share_of_q_k_is_that_of_golden_quality():
    geometry = Geometry(5, 3, 4, text=7)
    q, k, v = head(geometry, 16, seed=11)
    counted = simcore(q, k, v, geometry, replace(ALL, sparsify=False)).statistics
    assert counted.qk_share == pytest.approx(quality(q, k, v, 12, (0.65,), text=7)[0].p_products)


def test_what_the_features_cost_on_the_clip():
    """Six frames of the sample clip: what the rounding, speculation and skipping of rows do to A, in rms."""
    tensors = clips.from_clip(frames=21)
    geometry = Geometry(*tensors.grid)
    q, k, v = (x.reshape(-1, x.shape[2]) for _, x in tensors.items())
    a = reference.attention(q, k, v)

    def error(settings):
        found = simcore(q, k, v, geometry, settings).a.astype(np.float64)
        return np.sqrt(((found - a) ** 2).mean() / (a**2).mean())

    assert error(FP16_ONLY) < 3e-4
    assert error(Settings(sparsify=False)) < 1e-3
    assert 0.01 < error(Settings()) < 0.1


# Extremes and errors.
