"""SIMCORE's schedule of tasks against the golden's order of key tiles: heads of every kind, each consumer slow in turn."""

import numpy as np
import pytest

from zoetrope.golden.simcore.chip.simcore import Geometry, key_tiles, order_of
from zoetrope.hw import catalogue
from zoetrope.hw.simcore.chip.tile_schedule import CONSUMERS, TileSchedule
from zoetrope.sim.run.native import Native

CONFIG = catalogue.find("simcore").config("tiny")


@pytest.fixture(scope="module")
def native():
    return Native.build(TileSchedule(config=CONFIG), "tile_schedule")


def bits(layout, **fields):
    return layout.const(fields).as_value().value


def blocks_of(rng, geometry):
    """Blocks as the row fetcher gives them: of each query tile one or two."""
    found = []
    for tile in range(len(geometry.tiles)):
        text = tile == geometry.text_tile
        frame = tile - (geometry.text_first and geometry.text > 0)
        for _ in range(rng.integers(1, 3)):
            found.append(
                {
                    "tile": 0 if text else frame,
                    "text": int(text),
                    "bank": len(found) % 2,
                    "slices": int(rng.integers(1, CONFIG.slices + 1)),
                    "rows": rng.integers(1, CONFIG.rows + 1, CONFIG.slices).tolist(),
                }
            )
    return found


def tasks_of(geometry, channels, blocks, important):
    """What each consumer must get; ``important``: boolean (frames, frames), of video tiles."""
    words = -(-channels // CONFIG.lanes)
    keys = key_tiles(geometry, CONFIG.keys)
    tasks = []
    for block in blocks:
        of_tile = np.ones(len(geometry.tiles), bool)
        if not block["text"]:
            of_tile[[k for k in range(len(of_tile)) if k != geometry.text_tile]] = important[block["tile"]]
        of_key = of_tile[[key.tile for key in keys]]
        for step, g in enumerate(order_of(of_key)):
            place = keys[g].place
            tasks.append(
                {
                    "place": len(tasks) % CONFIG.tiles,
                    "tokens": place.stop - place.start,
                    "offset": place.start * words,
                    "important": int(of_key[g]),
                    **{name: block[name] for name in ("bank", "slices", "rows")},
                    "first": int(step == 0),
                    "last": int(step == len(keys) - 1),
                }
            )
    return tasks


def check(native, rng, geometry, channels, codes_k, slow=None):
    """``slow``: a consumer that is ready in one cycle of 30. Returns the number of tasks."""
    c = CONFIG
    density = rng.choice([0, 0.2, 0.5, 0.8, 1])
    important = rng.random((geometry.frames, geometry.frames)) < density
    blocks = blocks_of(rng, geometry)
    tasks = tasks_of(geometry, channels, blocks, important if codes_k else np.ones_like(important))
    native.reset()
    head = {name: getattr(geometry, name) for name in ("frames", "height", "width", "text")}
    head |= {"frame_tokens": geometry.rows, "text_first": int(geometry.text_first), "codes_k": int(codes_k)}
    head |= {"channels": channels, "words": -(-channels // c.lanes)}
    native.set("head", bits(c.head_layout, **head))
    native.set("run", 1)
    asked = [block["tile"] for block in blocks if codes_k and not block["text"]]
    rows = [sum(int(bit) << frame for frame, bit in enumerate(important[tile])) for tile in asked]
    buffer = c.prediction.buffer
    sent = [bits(c.block_layout, **block) for block in blocks] + [bits(c.block_layout, end=1)]
    sources = {"i_block": sent}
    sinks = {f"o_{name}": len(tasks) for name in CONSUMERS}
    if asked:
        sources["i_bits"] = [bits(buffer.o_layout, bits=row) for row in rows]
        sinks["o_read"] = len(asked)
    stalls = {f"o_{name}": rng.random(101) < rng.choice([0, 0.5, 0.9]) for name in CONSUMERS}
    if slow:
        stalls = {f"o_{slow}": np.arange(30) > 0}
    got, cycles, _ = native.streams(sources, sinks, stalls=stalls)
    want = np.array([bits(c.task_layout, **task) for task in tasks], np.uint64)
    for name in CONSUMERS:
        found = np.zeros((len(tasks), 8), np.uint8)
        found[:, : got[f"o_{name}"].shape[1]] = got[f"o_{name}"]
        np.testing.assert_array_equal(found.view("<u8")[:, 0], want, err_msg=name)
    if asked:
        read = [bits(buffer.read_layout, row=tile) for tile in asked]
        assert [int.from_bytes(row.tobytes(), "little") for row in got["o_read"]] == read
    # A place is another task's only when all have done with the one before.
    taken = np.array([cycles[f"o_{name}"] for name in CONSUMERS])
    assert (taken[:, : -c.tiles].max(axis=0) < taken[:, c.tiles :].min(axis=0)).all()
    assert native.get("ended")
    slices = [sum(t["slices"] for t in tasks if t["important"] == kind) for kind in (1, 0)]
    assert [native.get("tiles_fp16"), native.get("tiles_lut")] == slices
    return len(tasks)


@pytest.mark.parametrize("slow", [None, *CONSUMERS])
def test_tasks_come_in_the_order_of_the_golden(native, slow):
    rng = np.random.default_rng(1)
    c = CONFIG
    cases = [(Geometry(1, 1, 1), 1, True), (Geometry(4, 4, 4, 8), 16, True), (Geometry(4, 4, 4, 8, False), 16, False)]
    for _ in range(30):
        text = int(rng.integers(0, c.max_text + 1)) * int(rng.integers(2))
        size = [int(rng.integers(1, most + 1)) for most in (c.max_frames, c.max_height, c.max_width)]
        channels = int(rng.integers(1, c.max_channels + 1))
        cases.append((Geometry(*size, text, bool(rng.integers(2))), channels, bool(rng.integers(4))))
    assert sum(check(native, rng, *case, slow) for case in cases) > 500
