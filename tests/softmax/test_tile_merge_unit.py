# SPDX-License-Identifier: Apache-2.0
"""The tile merge unit: golden number by number and against float64 attention, benches, a thousand slices through the RTL."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden import reference
from zoetrope.golden.arith.exp import exp
from zoetrope.golden.formats import FP16, FP32, fp16, fp32, to_float64
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.softmax import sfu
from zoetrope.golden.softmax.tile_merge_unit import finish, merge, start, tile_merge_unit
from zoetrope.hw.catalogue import find
from zoetrope.hw.softmax.tile_merge_unit import TileMergeUnit, TileMergeUnitConfig
from zoetrope.sim.benches.softmax import tb_tile_merge_unit as bench
from zoetrope.sim.model.softmax import Merge, merge_cycles, merge_gapless
from zoetrope.sim.run.native import Native

#: Published figures of SFU, sums of e V and merge together, on normal data: largest error of A in units of P |V|, and rms
#: of the error over that of A.
LARGEST, RMS = 5e-4, 4e-4

TILES, ROWS, CHANNELS = 26, 4, 8
ONE, INF, NAN = 0x3F800000, FP32.inf, FP32.nan
MINUS_INF = INF | 1 << 31


@pytest.mark.parametrize("tokens", [99, 1350])
@pytest.mark.parametrize("spread", [1.0, 3.0, 8.0])
def test_tiles_are_within_the_published_error_of_attention(tokens, spread):
    """Rows of 26 frames, each a tile: SFU, sums of e V on the FP16 array, merge."""
    rng = np.random.default_rng([tokens, int(spread)])
    scores = fp32(8 * spread * rng.standard_normal((ROWS, TILES * tokens)))
    v, scale = fp16(rng.standard_normal((TILES * tokens, CHANNELS))), fp32(np.array([0.125]))
    tiles = scores.reshape(ROWS, TILES, tokens).transpose(1, 0, 2)
    e, maxima, sums = sfu.tile(tiles.reshape(-1, tokens), scale)
    values = fp16_pe(e.reshape(TILES, ROWS, tokens), v.reshape(TILES, 1, tokens, CHANNELS))
    got = to_float64(tile_merge_unit(maxima.reshape(TILES, ROWS), sums.reshape(TILES, ROWS), values), FP16)
    ideal, magnitudes = reference.tile_merge_unit(scores, v, scale)
    off = 3 * 2.0**-24 * np.abs(to_float64(scores, FP32) / 8).max(axis=1)
    assert (
        np.abs(got - ideal) <= reference.merged_bound(ideal, magnitudes, to_float64(v, FP16), off, TILES, tokens)
    ).all()
    largest = np.max(np.abs(got - ideal) / magnitudes)
    rms = np.sqrt(np.mean((got - ideal) ** 2) / np.mean(ideal**2))
    print(f"26 x {tokens} tokens, spread {spread}: largest {largest:.2e} of P |V|, rms {rms:.2e}")
    assert largest < LARGEST and rms < RMS


def test_every_step_number_by_number():
    """Both weights multiplied, as the formula says, in NumPy's own binary32."""
    rng = np.random.default_rng(7)
    m_g = (4 * rng.standard_normal((9, 5))).astype(np.float32)
    m_g[3] = m_g[2]
    l_g = rng.uniform(1, 99, (9, 5)).astype(np.float32)
    a_g = (l_g[..., None] * rng.standard_normal((9, 5, 7))).astype(np.float32)
    got = tile_merge_unit(*(x.view(np.uint32) for x in (m_g, l_g, a_g)))
    for r in range(5):
        m, total, acc = m_g[0, r], l_g[0, r], a_g[0, r]
        for g in range(1, 9):
            top = max(m, m_g[g, r])
            alpha, beta = (
                exp(np.array([x - top]).view(np.uint32), FP32, FP32).view(np.float32)[0] for x in (m, m_g[g, r])
            )
            assert 1 in (alpha, beta)
            m, total = top, total * alpha + l_g[g, r] * beta
            acc = acc * alpha + a_g[g, r] * beta
        want = (acc * (np.float32(1) / total)).astype(np.float16)
        np.testing.assert_array_equal(got[r], want.view(np.uint16))


def test_a_single_tile_comes_back_divided():
    zero, minus_zero = 0, 1 << 31
    values = np.array([[[zero, minus_zero, ONE, ONE | 1 << 31]]], np.uint32)
    state = merge(start(1, 4), np.array([5], np.uint32), np.array([0x40000000], np.uint32), values[0])
    assert [x.tolist() for x in state] == [[5], [0x40000000], values[0].tolist()]
    assert finish(state).tolist() == [[0, 0x8000, 0x3800, 0xB800]]


@pytest.mark.parametrize(
    "maxima, sums, values, result",
    [
        ([MINUS_INF], [0], [0], 0),
        ([MINUS_INF] * 3, [0] * 3, [0] * 3, 0),
        ([MINUS_INF, ONE], [0, ONE], [0, ONE], 0x3C00),
        ([ONE, MINUS_INF], [ONE, 0], [ONE, 0], 0x3C00),
        ([ONE, ONE], [ONE, ONE], [ONE, ONE], 0x3C00),
        ([ONE, NAN], [ONE, NAN], [ONE, NAN], FP16.nan),
        ([NAN, ONE], [ONE, ONE], [ONE, ONE], FP16.nan),
        ([NAN], [NAN], [NAN], FP16.nan),
        ([0xFFC12345], [ONE], [ONE], FP16.nan),
        ([MINUS_INF, 0x7F800001], [0, ONE], [0, ONE], FP16.nan),
        ([ONE, ONE], [ONE, ONE], [INF, MINUS_INF], FP16.nan),
        ([ONE], [ONE], [INF], FP16.inf),
        ([INF, ONE], [ONE, ONE], [ONE, ONE], 0x3C00),
        ([0xFF7FFFFF, 0x7F7FFFFF], [ONE, ONE], [0x40000000, ONE], 0x3C00),
        ([ONE], [INF], [ONE], 0),
    ],
)
def test_special_rows_by_hand(maxima, sums, values, result):
    maxima, sums, values = (np.array(x, np.uint32)[:, None] for x in (maxima, sums, values))
    assert tile_merge_unit(maxima, sums, values[:, :, None]).tolist() == [[result]]


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"values must be \(tiles, rows, channels\) with at least one tile"):
        tile_merge_unit(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2, 3)))
    codes = np.zeros(2, np.uint32)
    with pytest.raises(ValueError, match=r"a tile has m and l of shape \(2,\) and values of shape \(2, 3\)"):
        merge(start(2, 3), codes, codes, np.zeros((2, 4), np.uint32))


@pytest.mark.parametrize("preset", find("tile_merge_unit").presets)
def test_rtl(preset):
    assert vectors("tile_merge_unit", preset) > 800


def test_slices_of_rows_of_26_tiles_through_the_rtl():
    """63 and 64 channels, full and ragged slices of the default config, in the cycles that its formula says."""
    config, rng = TileMergeUnitConfig(), np.random.default_rng(26)
    unit = TileMergeUnit(config=config)
    native = Native.build(unit, "tile_merge_unit")
    for rows, channels in ((16, 64), (16, 63), (1, 64), (5, 128)):
        tiles = bench.seeded(rng, rows, TILES, channels)
        sources = {"i_tile": bench.sent_tiles(tiles, config), "i": bench.sent_words(tiles, config)}
        want = bench.expected(tiles, config)
        got, cycles, _ = native.streams(sources, {"o": len(want)})
        np.testing.assert_array_equal(got["o"], want)
        words = -(-channels // config.lanes)
        assert words >= merge_gapless(Merge.of(config))
        closed = rows * words * (TILES + 1) + config.factor_cycle + config.out_latency
        assert cycles["o"][-1] - cycles["i_tile"][0] == closed
        gaps = {name: rng.random(1009 + k) < 0.4 for k, name in enumerate(sources)}
        got, *_ = native.streams(sources, {"o": len(want)}, gaps=gaps, stalls={"o": rng.random(997) < 0.5})
        np.testing.assert_array_equal(got["o"], want)


@pytest.mark.parametrize("config", [TileMergeUnitConfig(), *find("tile_merge_unit").presets.values()])
def test_the_closed_form_holds_from_gapless_on(config):
    unit = Merge.of(config)
    gapless = merge_gapless(unit)
    for rows in range(1, 6):
        for tiles in range(1, 6):
            for words in range(gapless, gapless + 4):
                closed = rows * words * (tiles + 1) + config.factor_cycle + config.out_latency
                assert merge_cycles(rows, tiles, words, unit) == closed, (rows, tiles, words)
    if gapless > 1:
        closed = (gapless - 1) * 2 + config.factor_cycle + config.out_latency
        assert merge_cycles(1, 1, gapless - 1, unit) > closed
    assert TileMergeUnit(config=config).latency == merge_cycles(1, 1, 1, unit)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"rows": 0}, "rows must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"ahead": 1}, "ahead must be at least 2, not 1"),
        ({"multiply_stages": 7}, "multiply_stages must be 0 to 6, not 7"),
        ({"add_stages": -1}, "add_stages must be 0 to 6, not -1"),
        ({"exp_stages": 12}, "exp_stages must be 0 to 11, not 12"),
        ({"reciprocal_stages": 9}, "reciprocal_stages must be 0 to 8, not 9"),
        ({"convert_stages": 4}, "convert_stages must be 0 to 3, not 4"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        TileMergeUnitConfig(**config)
