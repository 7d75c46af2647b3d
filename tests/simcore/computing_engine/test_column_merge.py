# SPDX-License-Identifier: Apache-2.0
"""The column merge: golden number by number, benches, thousands of rows through the RTL, joins to its neighbours."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.formats import FP32
from zoetrope.golden.simcore.computing_engine.column_merge import column_merge
from zoetrope.golden.simcore.computing_engine.scale_unit import scale_unit
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.computing_engine.column_merge import ColumnMerge, ColumnMergeConfig
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnit, QuantizationUnitConfig
from zoetrope.hw.softmax.tile_merge_unit import TileMergeUnit, TileMergeUnitConfig
from zoetrope.sim.benches.simcore.computing_engine import tb_column_merge as bench
from zoetrope.sim.model.computing_engine import row_cycles
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import random_codes

ONE, NAN = 0x3F800000, FP32.nan


def test_every_column_comes_from_its_array_number_by_number():
    """Walked column by column, in NumPy's own binary32."""
    rng = np.random.default_rng(11)
    for d in (1, 2, 7, 64):
        mask = rng.random((9, d)) < 0.5
        fp16, lut = ((50 * rng.standard_normal(count)).astype(np.float32) for count in (mask.sum(), (~mask).sum()))
        scales = rng.uniform(0.01, 0.1, d).astype(np.float32)
        got = column_merge(mask, fp16.view(np.uint32), lut.view(np.uint32), scales.view(np.uint32)).view(np.float32)
        from_fp16, from_lut = iter(fp16), iter(lut)
        for r in range(9):
            for c in range(d):
                assert got[r, c] == (next(from_fp16) if mask[r, c] else next(from_lut) * scales[c])


def test_extremes_agree_with_the_scale_unit():
    rng = np.random.default_rng(12)
    codes, scales = (random_codes(rng, FP32, 4096).astype(np.uint32) for _ in range(2))
    none = np.zeros((1, 4096), bool)
    empty = np.zeros(0, np.uint32)
    np.testing.assert_array_equal(column_merge(none, empty, codes, scales), scale_unit(codes[None], scales, FP32))
    passed = column_merge(~none, codes, empty)
    is_nan = codes & 0x7FFFFFFF > FP32.inf
    np.testing.assert_array_equal(passed[0], np.where(is_nan, NAN, codes))
    assert is_nan.any()


def test_wrong_arguments():
    two, one = np.zeros(2, np.uint32), np.zeros(1, np.uint32)
    mask = np.array([[True, False]])
    with pytest.raises(ValueError, match="mask must be bool"):
        column_merge(mask[0], one, one, two)
    with pytest.raises(ValueError, match="fp16 must be 1 FP32 codes"):
        column_merge(mask, two, one, two)
    with pytest.raises(ValueError, match="lut must be 1 FP32 codes"):
        column_merge(mask, one, two, two)
    with pytest.raises(ValueError, match="scales must be 2 FP32 codes"):
        column_merge(mask, one, one, one)
    with pytest.raises(ValueError, match="scales may be None only where the mask is set throughout"):
        column_merge(mask, one, one)


def test_its_streams_join_its_neighbours():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    unit = ColumnMerge(config=ColumnMergeConfig())
    merge = TileMergeUnit(config=TileMergeUnitConfig())
    assert unit.o.payload.shape() == merge.i.payload.shape()
    assert unit.i_scale.payload.shape() == QuantizationUnit(config=QuantizationUnitConfig()).o_scale.payload.shape()


@pytest.mark.parametrize("preset", find("column_merge").presets)
def test_rtl(preset):
    assert vectors("column_merge", preset) > 100


def test_thousands_of_rows_through_the_rtl():
    """Of 64 and 63 channels and of any widths, at random masks, in the cycles that the docs say, and with stalls."""
    config, rng = ColumnMergeConfig(), np.random.default_rng(64)
    unit = ColumnMerge(config=config)
    native = Native.build(unit, "column_merge")
    for channels in ([64] * 1000, [63] * 1000, [128] * 500):
        scales = random_codes(rng, FP32, channels[0]).astype(np.uint32)
        rows = [bench.seeded(rng, rng.random(d) < share) for d, share in zip(channels, rng.random(len(channels)))]
        sources = {
            "i_scale": bench.sent_scales(scales),
            "i_row": [bench.sent_row(row, config) for row in rows],
            "i_fp16": bench.sent_words([row.fp16 for row in rows], config.fp16_outputs),
            "i_lut": bench.sent_words([row.lut for row in rows], config.lut_outputs),
        }
        want = bench.expected(rows, scales, config)
        native.reset()
        got, cycles, _ = native.streams(sources, {"o": len(want)})
        np.testing.assert_array_equal(got["o"], want)
        assert cycles["o"][-1] - cycles["o"][0] + 1 == sum(row_cycles(d, lanes=config.lanes) for d in channels)
        gaps = {name: rng.random(1009 + k) < 0.4 for k, name in enumerate(sources)}
        native.reset()
        got, *_ = native.streams(sources, {"o": len(want)}, gaps=gaps, stalls={"o": rng.random(997) < 0.5})
        np.testing.assert_array_equal(got["o"], want)
        assert not native.get("wrong_length")


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"lanes": 3}, "lanes must divide fp16_outputs, 4; 3 does not"),
        ({"lut_outputs": 6}, "lanes must divide lut_outputs, 6; 4 does not"),
        ({"fp16_outputs": 0}, "fp16_outputs must be at least 1, not 0"),
        ({"lut_outputs": 0}, "lut_outputs must be at least 1, not 0"),
        ({"multiply_stages": 7}, "multiply_stages must be 0 to 6, not 7"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ColumnMergeConfig(**config)
