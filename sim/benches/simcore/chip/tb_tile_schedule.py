# SPDX-License-Identifier: Apache-2.0
"""Bench of the tile schedule: heads of every kind, whose tasks come in the golden's order to all who take them."""

import numpy as np

from zoetrope.golden.simcore.chip.head_geometry import head_geometry
from zoetrope.golden.simcore.chip.tile_schedule import tile_schedule
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.simcore.chip.tile_schedule import CONSUMERS
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import integer


@bench_test()
async def heads(bench):
    """Random heads, with text before, behind and without, with and without the map."""
    c, rng = bench.config, bench.rng
    for codes_k in (1, 0, 1, 1):
        text = int(rng.integers(0, min(c.max_text, 2 * c.keys) + 1)) * int(rng.integers(2))
        frames = int(rng.integers(1, min(c.max_frames, 5) + 1))
        height = int(rng.integers(1, 4))
        width = int(rng.integers(1, min(c.max_frame_tokens // height, 2 * c.keys) + 1))
        await check(bench, Geometry(frames, height, width, text, bool(rng.integers(2))), codes_k)


@bench_test(stalls=("none", "both"))
async def largest(bench):
    """As many frames as there can be; all important, none, and one in three."""
    c = bench.config
    for density in (0, 0.3, 1):
        await check(bench, Geometry(c.max_frames, 1, min(c.max_frame_tokens, 3)), 1, density)


@bench_test(stalls=("none",))
async def cycles(bench):
    """A block's tasks take 2 cycles a part and 3 a tile at most, where nobody waits."""
    c = bench.config
    for frames in (1, min(4, c.max_frames)):
        geometry = Geometry(frames, 1, c.max_frame_tokens)
        tasks, _ = await check(bench, geometry, 1)
        moves, blocks = bench.transfers("o_values"), bench.transfers("i_block")
        for block in range(len(blocks) - 1):
            here = [move for move, task in zip(moves, tasks) if task.block == block]
            spent = int(here[-1] - blocks[block])
            bench.equal(
                f"cycles of {len(here)} tiles in {frames} frames", spent <= 4 * frames + 3 * len(here) + 6, True
            )


async def check(bench, geometry, codes_k, density=None):
    """A head whose blocks are random: every task, the map's rows that are read, counters, and places."""
    c, rng = bench.config, bench.rng
    await bench.reset()
    density = rng.choice([0, 0.2, 0.5, 0.8, 1]) if density is None else density
    important = rng.random((geometry.frames, geometry.frames)) < density
    blocks = blocks_of(c, rng, geometry)
    tiles = [block["tile"] + (geometry.text > 0 and geometry.text_first) for block in blocks]
    tiles = [geometry.text_tile if block["text"] else tile for block, tile in zip(blocks, tiles)]
    channels = int(rng.integers(1, 4))
    words = head_geometry(geometry, channels, 1, c.keys)
    tasks = tile_schedule(geometry, c.keys, channels, tiles, important if codes_k else None)
    bench.set("head", head(c, geometry, words, codes_k))
    bench.set("run", 1)
    asked = [block["tile"] for block in blocks if codes_k and not block["text"]]
    rows = [sum(int(bit) << frame for frame, bit in enumerate(important[tile])) for tile in asked]
    bench.send("i_block", [block_integer(c, **block) for block in blocks] + [block_integer(c, end=1)])
    bench.send("i_bits", [integer(c.buffer.o_layout, bits=row, bit=0) for row in rows])
    for name in CONSUMERS:
        layout = c.consumer_layout(name)
        fields = [task_fields(c, k, task, blocks[task.block]) for k, task in enumerate(tasks)]
        want = [layout.const({name: each[name] for name in layout.members}).as_value().value for each in fields]
        size = (layout.size + 7) // 8
        want = np.array([list(value.to_bytes(size, "little")) for value in want], np.uint8)
        bench.compare(await bench.collect(f"o_{name}", len(want), more=True), want, unit=f"tasks of {name}")
    if asked:
        layout = c.buffer.read_layout
        want = [integer(layout, row=tile, column=0).to_bytes((layout.size + 7) // 8, "little") for tile in asked]
        want = np.array([list(row) for row in want], np.uint8)
        bench.compare(await bench.collect("o_read", len(asked), more=True), want, unit="rows of the map")
    await bench.cycles(8)
    bench.equal("ended", bench.get("ended"), 1)
    slices = [sum(blocks[t.block]["slices"] for t in tasks if t.important == kind) for kind in (True, False)]
    bench.equal("slices of tasks", [bench.get("tiles_fp16"), bench.get("tiles_lut")], slices)
    taken = np.array([bench.transfers(f"o_{name}") for name in CONSUMERS])
    bench.equal(
        "a place is another task's only when all have done with the one before",
        bool((taken[:, : -c.tiles].max(axis=0) < taken[:, c.tiles :].min(axis=0)).all()),
        True,
    )
    return tasks, blocks


def blocks_of(c, rng, geometry):
    """Blocks as the row fetcher gives them: of each query tile one or two, but of few where there are many."""
    found = []
    for tile in range(len(geometry.tiles)):
        text = tile == geometry.text_tile
        frame = tile - (geometry.text_first and geometry.text > 0)
        for _ in range(rng.integers(1, 3) if geometry.frames < 9 else int(tile < 3)):
            found.append(
                {
                    "tile": 0 if text else frame,
                    "text": int(text),
                    "bank": len(found) % 2,
                    "slices": int(rng.integers(1, c.slices + 1)),
                    "rows": rng.integers(1, c.rows + 1, c.slices).tolist(),
                }
            )
    return found


def block_integer(c, **fields):
    return c.block_layout.const(fields).as_value().value


def task_fields(c, number, task, block):
    shared = {name: block[name] for name in ("bank", "slices", "rows")}
    own = {name: int(getattr(task, name)) for name in ("tokens", "offset", "important", "first", "last")}
    return {"place": number % c.tiles, **own, **shared}


def head(c, geometry, sizes, codes_k):
    names = ("frame_words", "text_words", "tile_words", "frame_tiles", "text_tiles", "frame_tokens")
    return integer(
        c.head_layout,
        frames=geometry.frames,
        text=geometry.text,
        text_first=int(geometry.text_first),
        codes_k=codes_k,
        **{name: getattr(sizes, name) for name in names},
    )
