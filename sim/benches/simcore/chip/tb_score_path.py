# SPDX-License-Identifier: Apache-2.0
"""Bench of the score path: scores of slices from both arrays, what is kept, masks, and the prediction unit's rows."""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP32, fp32
from zoetrope.golden.memory.words import words
from zoetrope.golden.simcore.chip.score_path import score_path
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion
from zoetrope.sim.benches.softmax.tb_sfu import Row
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.inside.memory import read, served
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors

ARRAYS = ("fp16", "lut")


class Task(NamedTuple):
    """Scores, FP32 codes (rows, tokens) of each slice, the values of the key tile, and whose scores they are."""

    scores: list
    values: np.ndarray
    array: str


@bench_test()
async def clip(bench):
    """Scores of the clip's Q and K, importance of its V; without a clip, of seeded tensors."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    d = min(c.max_channels, tensors["q"].shape[-1])
    q, k, v = (tensors[name].reshape(-1, tensors[name].shape[-1])[:, :d].astype(np.float32) for name in "qkv")
    tokens = min(c.keys, len(k))
    s = fp32(q[: c.rows] @ k[:tokens].T)
    given = [Task([s], np.ascontiguousarray(v[:tokens].astype(np.float16)), name) for name in ARRAYS]
    await check(bench, given, d)


@bench_test(codes_v=(1, 0))
async def tasks(bench, codes_v):
    """Rounds of a task for each place, one after the other from either array; all columns, hardly any."""
    c, rng = bench.config, bench.rng
    for p_a in (0.65, 0.0) if codes_v else (1.0,):
        channels = int(rng.integers(1, c.max_channels + 1))
        given = [draw(c, rng, channels) for _ in range(c.tiles)]
        await check(bench, given, channels, p_a, codes_v)


@bench_test(stalls=("none", "both"))
async def edges(bench):
    """Tiles of one token and of all, of one channel and of all."""
    c, rng = bench.config, bench.rng
    for tokens in sorted({1, c.sfu.lanes + 1, min(c.keys, 20)}):
        channels = c.max_channels if tokens % 2 else 1
        await check(bench, [draw(c, rng, channels, tokens) for _ in range(2)], channels)


@bench_test()
async def rows_of_the_map(bench):
    """The prediction unit's rows go through the SFU, and nothing is kept of them."""
    c, rng = bench.config, bench.rng
    await bench.reset()
    rows = [Row(fp32(3 * rng.standard_normal(int(rng.integers(1, min(c.sfu.max_row, 9) + 1)))), normalise=False)]
    rows += [Row(fp32(rng.standard_normal(min(c.sfu.max_row, 7)))) for _ in range(6)]
    bench.send("i_scores", np.concatenate([row.sent(c.sfu) for row in rows]))
    want = np.concatenate([row.expected(c.sfu) for row in rows])
    bench.compare(await bench.collect("o_probabilities", len(want)), want, unit="words of the map")
    bench.equal("ready", bench.get("ready"), 0)


async def check(bench, given, channels, p_a=0.65, codes_v=1):
    """A task in each place, those of an array in order; then all that is kept of each slice."""
    c = bench.config
    await bench.reset()
    scale = int(fp32(np.array([1 / np.sqrt(channels)]))[0])
    p = proportion(p_a, c.p_bits)
    head = {"channels": channels, "codes_v": codes_v, "p_a": int(p), "score_scale": scale}
    bench.set("head", integer(c.head_layout, **head))
    tiles = []
    for task in given:
        counts = [len(rows) for rows in task.scores] + [0] * (c.slices - len(task.scores))
        tiles.append({"tokens": len(task.values), "rows": counts})
    tiles += [{}] * (c.tiles - len(tiles))
    bench.set(
        "tasks", sum(c.tile_layout.const(t).as_value().value << k * c.tile_layout.size for k, t in enumerate(tiles))
    )
    bench.set("begun", (1 << c.tiles) - 1)
    await bench.cycles(1)
    bench.set("begun", 0)
    bench.set("values_ready", (1 << c.tiles) - 1)
    with served(bench, v=memory_of(c, given).__getitem__):
        for name in ARRAYS:
            mine = [results(c, name, place, task) for place, task in enumerate(given) if task.array == name]
            if mine:
                bench.send(f"i_{name}", np.concatenate(mine))
        wanted = sum(1 << slice_of(c, s, place) for place, task in enumerate(given) for s in range(len(task.scores)))
        while bench.get("ready") != wanted:
            await bench.cycles(1)
    for place, task in enumerate(given):
        for number, scores in enumerate(task.scores):
            found = score_path(
                scores,
                scale,
                task.values.view(np.uint16),
                p_a if codes_v else None,
                t=c.rows,
                lanes=c.sfu.lanes,
                running=c.sfu.add_stages,
                p_bits=c.p_bits,
            )
            await compare(bench, found, number, place, channels)
    bench.set("begun", 1)
    await bench.cycles(1)
    bench.set("begun", 0)
    await bench.cycles(2)
    own = sum(1 << slice_of(c, s, 0) for s in range(c.slices))
    bench.equal("ready when place 0 is another's", bench.get("ready"), wanted & ~own)


async def compare(bench, found, number, place, channels):
    c = bench.config
    here = slice_of(c, number, place)
    where = f"slice {number} of place {place}"
    e = words(found.e, c.load_lanes)
    rows, per_row = e.shape[:2]
    addresses = [integer(c.e_address, word=w, row=r, slice=here) for r in range(rows) for w in range(per_row)]
    # What is behind a row's last word of the SFU has not been written.
    written = words(found.e, c.sfu.lanes).shape[1] * c.sfu.lanes - (per_row - 1) * c.load_lanes
    for port in ("e_fp16", "e_lut"):
        got = await read(bench, port, addresses)
        kept = (1 << 16 * written) - 1
        got = [x & (kept if k % per_row == per_row - 1 else -1) for k, x in enumerate(got)]
        got = np.array([list(x.to_bytes(2 * c.load_lanes, "little")) for x in got], np.uint8)
        want = e.reshape(-1, c.load_lanes).astype("<u2")
        bench.compare(got, want, unit="words of e", describe=lambda k: f"{where}, row {k // per_row}")
    got = await read(bench, "sums", [integer(c.sums_address, row=r, slice=here) for r in range(rows)])
    want = [int(m) | int(t) << 32 for m, t in zip(found.maximum, found.total)]
    bench.equal(f"maxima and sums of {where}", [hex(x) for x in got], [hex(x) for x in want])
    mask = sum(int(bit) << k for k, bit in enumerate(found.mask)) | (1 << c.max_channels) - (1 << channels)
    for port in ("mask_fp16", "mask_lut", "mask_merge"):
        bench.equal(f"{port} of {where}", [hex(x) for x in await read(bench, port, [here])], [hex(mask)])


def slice_of(c, number, place):
    return integer(c.slice_layout, slice=number, place=place)


def memory_of(c, given):
    """V, word by word."""
    memory = {}
    for place, task in enumerate(given):
        for token, row in enumerate(words(task.values.view(np.uint16), c.load_lanes)):
            for w, word in enumerate(row):
                address = integer(c.v_address, word=w, token=token, place=place)
                memory[address] = sum(int(code) << 16 * k for k, code in enumerate(word))
    return memory


def results(c, name, place, task):
    """The array's words of a task's scores."""
    array = c.engine.array(name)
    columns = c.arrays[name].outputs
    found = []
    for number, scores in enumerate(task.scores):
        padded = words(scores, columns)
        rows, per_row = padded.shape[:2]
        at = np.arange(rows * per_row)
        same = [np.full(len(at), value) for value in (0, number, place)]
        fields = [*same, at // per_row, at % per_row, at == len(at) - 1, *padded.reshape(-1, columns).T]
        widths = [shape.width for _, shape in array.o_layout][:-1] + [FP32.width] * columns
        found.append(pack(*fields, widths=widths))
    return np.concatenate(found)


def draw(c, rng, channels, tokens=None):
    tokens = int(rng.integers(1, min(c.keys, 9) + 1)) if tokens is None else tokens
    slices = [
        fp32(5 * rng.standard_normal((int(rng.integers(1, c.rows + 1)), tokens)))
        for _ in range(int(rng.choice([1, c.slices])))
    ]
    values = rng.standard_normal((tokens, channels)).astype(np.float16)
    return Task(slices, values, ARRAYS[int(rng.integers(2))])
