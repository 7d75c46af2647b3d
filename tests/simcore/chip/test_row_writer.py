# SPDX-License-Identifier: Apache-2.0
"""The row writer: golden element by element, benches, rows through it and the AXI writer into memory."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.simcore.chip.row_writer import row_writer
from zoetrope.hw.axi.axi_writer import AxiConfig, AxiWriter
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.row_writer import RowWriter, RowWriterConfig
from zoetrope.hw.softmax.tile_merge_unit import TileMergeUnit, TileMergeUnitConfig
from zoetrope.sim.benches.simcore.chip import tb_row_writer as bench
from zoetrope.sim.run.native import Native


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 64])
def test_words_element_by_element(d):
    rows = np.random.default_rng(d).integers(1 << 16, size=(5, d)).astype(np.uint16)
    words = row_writer(rows, 8)
    assert words.shape == (5, -(-d // 8), 8)
    for r in range(5):
        for k in range(words.shape[1] * 8):
            assert words[r, k // 8, k % 8] == (rows[r, k] if k < d else 0)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="results must be FP16 codes"):
        row_writer(np.zeros((2, 2)), 4)
    with pytest.raises(ValueError, match="elements must be at least 1, not 0"):
        row_writer(np.zeros((2, 2), np.uint16), 0)


def test_its_streams_join_its_neighbours():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    unit = RowWriter(config=RowWriterConfig())
    axi = AxiWriter(config=AxiConfig())
    assert unit.i.payload.shape() == TileMergeUnit(config=TileMergeUnitConfig()).o.payload.shape()
    assert unit.o_command.payload.shape() == axi.i_command.payload.shape()
    assert unit.o_data.payload.shape() == axi.i_data.payload.shape()


@pytest.mark.parametrize("preset", find("row_writer").presets)
def test_rtl(preset):
    assert vectors("row_writer", preset) > 100


def test_thousands_of_rows_through_the_rtl():
    """64, 63 and 1 channels: every word and command, without a gap of ``i``, and with stalls of all streams."""
    config, rng = RowWriterConfig(), np.random.default_rng(63)
    native = Native.build(RowWriter(config=config), "row_writer")
    for channels in (64, 63, 1):
        native.reset()
        native.set("channels", channels)
        addresses = bench.draw(rng, config, config.rows)
        native.streams({"i_place": [r | int(a) << config.row_bits for r, a in enumerate(addresses)]}, {})
        ids = rng.integers(config.rows, size=1000)
        rows = bench.codes(rng, len(ids), channels)
        words = row_writer(rows, config.elements)
        sources, sinks = {"i": bench.sent(rows, ids, config)}, {"o_command": len(ids), "o_data": words[..., 0].size}
        for stalls in ({}, {"o_command": rng.random(997) < 0.8, "o_data": rng.random(991) < 0.6}):
            gaps = {"i": rng.random(1009) < 0.2} if stalls else {}
            got, cycles, _ = native.streams(sources, sinks, gaps=gaps, stalls=stalls)
            data = np.ascontiguousarray(got["o_data"])[:, :-1].copy().view("<u2")
            np.testing.assert_array_equal(data, words.reshape(-1, config.elements))
            last = np.tile(np.arange(words.shape[1]) == words.shape[1] - 1, len(ids))
            np.testing.assert_array_equal(got["o_data"][:, -1], last)
            command = np.ascontiguousarray(got["o_command"])
            np.testing.assert_array_equal(command[:, :4].copy().view("<u4")[:, 0], addresses[ids])
            np.testing.assert_array_equal(command[:, 4:6].copy().view("<u2")[:, 0], channels)
            if not stalls:
                gapless = len(ids) * 3 // 2 - 1 if channels == 1 else len(sources["i"])
                assert cycles["i"][-1] - cycles["i"][0] + 1 == gapless
        assert not native.get("wrong_length") and not native.get("pending")


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"elements": 0}, "elements must be at least 1, not 0"),
        ({"elements": 6}, "elements must be a multiple of lanes, 4; 6 is not"),
        ({"rows": 0}, "rows must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"queue_rows": 1}, "queue_rows must be at least 2, not 1"),
        ({"address_bits": 0}, "address_bits must be at least 1, not 0"),
        ({"length_bits": 0}, "length_bits must be at least 1, not 0"),
        ({"length_bits": 7}, "length_bits must be at least 8, as max_channels is 128, not 7"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        RowWriterConfig(**config)
