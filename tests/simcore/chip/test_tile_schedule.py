# SPDX-License-Identifier: Apache-2.0
"""SIMCORE's schedule of tasks: the golden against the definition, benches, each consumer slow in turn, wrong configs."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.simcore.chip.head_geometry import head_geometry
from zoetrope.golden.simcore.chip.tile_schedule import tile_schedule
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.tile_schedule import CONSUMERS, TileSchedule, TileScheduleConfig
from zoetrope.sim.benches.simcore.chip import tb_tile_schedule as bench
from zoetrope.sim.packing import integer
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.heads import geometries

CONFIG = find("tile_schedule").config("tiny")


def test_tasks_are_cut_and_ordered_by_hand():
    """Two frames of 5 tokens, 3 of text in front, key tiles of 4, two words a token; the first frame alone is important."""
    geometry = Geometry(2, 1, 5, 3)
    important = np.array([[True, False], [False, False]])
    tasks = tile_schedule(geometry, 4, 2, [0, 1], important)
    # Key tiles: text 3, frame 0: 4 and 1, frame 1: 4 and 1, from tokens 0, 3, 7, 8, 12 on.
    assert [(t.block, t.tokens, t.offset // 2, t.important) for t in tasks] == [
        *((0, tokens, start, True) for tokens, start in ((3, 0), (4, 3), (1, 7), (4, 8), (1, 12))),
        # acc = 3, 6, 4, 7, 5 of 5: another, important, another, important, important
        *((1, *rest) for rest in ((4, 8, False), (3, 0, True), (1, 12, False), (4, 3, True), (1, 7, True))),
    ]
    assert [(t.first, t.last) for t in tasks[:5]] == [(True, False), *[(False, False)] * 3, (False, True)]


@pytest.mark.parametrize("preset", find("tile_schedule").presets)
def test_rtl(preset):
    assert vectors("tile_schedule", preset) > 500


@pytest.fixture(scope="module")
def native():
    return Native.build(TileSchedule(config=CONFIG), "tile_schedule")


@pytest.mark.parametrize("slow", CONSUMERS)
def test_one_consumer_is_slow(native, slow):
    """One that is ready in one cycle of 30 changes nothing but when."""
    c, rng = CONFIG, np.random.default_rng(1)
    compared = 0
    for geometry in geometries(rng, {"frames": 4, "height": 4, "width": 4, "text": 8}, 20):
        important = rng.random((geometry.frames, geometry.frames)) < rng.random()
        blocks = bench.blocks_of(c, rng, geometry)
        first = geometry.text > 0 and geometry.text_first
        tiles = [geometry.text_tile if block["text"] else block["tile"] + first for block in blocks]
        tasks = tile_schedule(geometry, c.keys, 3, tiles, important)
        native.reset()
        native.set("head", bench.head(c, geometry, head_geometry(geometry, 3, 1, c.keys), 1))
        native.set("run", 1)
        asked = [block["tile"] for block in blocks if not block["text"]]
        rows = [sum(int(bit) << frame for frame, bit in enumerate(important[tile])) for tile in asked]
        sources = {"i_block": [bench.block_integer(c, **block) for block in blocks] + [bench.block_integer(c, end=1)]}
        sources["i_bits"] = [integer(c.buffer.o_layout, bits=row, bit=0) for row in rows]
        sinks = {f"o_{name}": len(tasks) for name in CONSUMERS} | {"o_read": len(asked)}
        got, *_ = native.streams(sources, sinks, stalls={f"o_{slow}": np.arange(30) > 0})
        for name in CONSUMERS:
            layout = c.consumer_layout(name)
            fields = [bench.task_fields(c, k, task, blocks[task.block]) for k, task in enumerate(tasks)]
            want = [layout.const({key: each[key] for key in layout.members}).as_value().value for each in fields]
            assert [int.from_bytes(row.tobytes(), "little") for row in got[f"o_{name}"]] == want
        compared += len(tasks)
    assert compared > 300


@pytest.mark.parametrize(
    "config, message",
    [
        ({"keys": 0}, "keys must be at least 1, not 0"),
        ({"rows": 3}, "rows must be a power of two of at least 2, not 3"),
        ({"slices": 1}, "slices must be a power of two of at least 2, not 1"),
        ({"tiles": 6}, "tiles must be a power of two of at least 2, not 6"),
        *(({name: 0}, f"{name} must be at least 1, not 0") for name in ("max_frames", "max_frame_tokens", "max_text")),
        ({"matrix_words": 0}, "matrix_words must be at least 1, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        TileScheduleConfig(**config)
