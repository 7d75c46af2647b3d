# SPDX-License-Identifier: Apache-2.0
"""The row fetcher: the golden against the flow's slices and token by token, benches, neighbours, wrong configs."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.simcore.chip.simcore import Settings, slices_of
from zoetrope.golden.simcore.computing_engine.row_fetcher import row_fetcher
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import KEPT, TEMPORAL
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.row_writer import RowWriterConfig
from zoetrope.hw.simcore.computing_engine.row_fetcher import RowFetcher, RowFetcherConfig


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("geometry", [Geometry(3, 2, 5), Geometry(2, 3, 3, 7), Geometry(1, 1, 1, 1, False)])
def test_blocks_have_the_slices_of_the_flow(geometry, compact):
    rng = np.random.default_rng(5)
    for keep in (0.1, 0.5, 1):
        kept = rng.random(geometry.tokens) < keep
        blocks = row_fetcher(geometry, kept, 4, 2, compact)
        kind = np.where(kept, KEPT, TEMPORAL)
        flow = slices_of(kind, geometry, Settings(rows=4, compact=compact)) if kept.any() else None
        assert [len(s) for block in blocks for s in block.slices] == ([] if flow is None else flow.rows.tolist())
        assert [t for block in blocks for t in block.tokens] == np.flatnonzero(kept).tolist()
        for block in blocks:
            assert 1 <= len(block.slices) <= 2
            for part in block.slices:
                assert geometry.tiles[block.tile].start <= part[0] <= part[-1] < geometry.tiles[block.tile].stop
                assert compact or part[-1] - part[0] < 4


def test_wrong_arguments():
    with pytest.raises(ValueError, match="kept must have a value for each of 4 tokens"):
        row_fetcher(Geometry(1, 2, 2), [True], 4, 2)
    with pytest.raises(ValueError, match="slices must be at least 1, not 0"):
        row_fetcher(Geometry(1, 1, 1), [True], 4, 0)


def test_its_streams_join_its_neighbours():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    unit = RowFetcher(config=RowFetcherConfig())
    axi = AxiConfig()
    assert unit.o_command.payload.shape() == axi.command_layout and unit.i_data.payload.shape() == axi.data_layout
    assert unit.o_place.payload.shape() == RowWriterConfig(rows=64).place_layout


@pytest.mark.parametrize("preset", find("row_fetcher").presets)
def test_rtl(preset):
    assert vectors("row_fetcher", preset) > 300


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"load_lanes": 4}, "load_lanes must be a power of two of at least 8, not 4"),
        ({"rows": 1}, "rows must be a power of two of at least 2, not 1"),
        ({"slices": 3}, "slices must be a power of two of at least 2, not 3"),
        *(({name: 0}, f"{name} must be at least 1, not 0") for name in ("max_channels", "max_frames", "max_text")),
        *(({name: 0}, f"{name} must be at least 1, not 0") for name in ("max_frame_tokens", "max_tokens")),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        RowFetcherConfig(**config)
