# SPDX-License-Identifier: Apache-2.0
"""Bench of the value buffer: tiles of every size read back word by word, with and without codes; places, flags, cycles."""

import numpy as np

from zoetrope.golden.memory.words import words
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.inside.memory import read
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors
from zoetrope.sim.stimulus.tokens import finite, of_memory, sent_codes, to_encode

BASE = 0x40


@bench_test()
async def clip(bench):
    """Tiles of the clip's V; without a clip, of seeded tensors."""
    c = bench.config
    v = (bench.tensors or seeded_tensors(bench.rng))["v"]
    v = np.ascontiguousarray(v.reshape(-1, v.shape[-1])[:, : c.max_channels]).view(np.uint16)
    count = min(c.max_tokens, len(v) // 2, 20)
    await check(bench, [v[:count], v[count : count + 1]], codes=True)


@bench_test(codes=(False, True))
async def sizes(bench, codes):
    """Tiles of 1 channel, of all, and of every edge of a word of memory and of operands; of one token and of all."""
    c, rng = bench.config, bench.rng
    edges = {1, c.max_channels - 1, c.max_channels}
    for size in (c.lanes, c.load_lanes):
        edges |= {size - 1, size, size + 1}
    for d in sorted(d for d in edges if 0 < d <= c.max_channels):
        counts = [1, min(c.max_tokens, 3), min(c.max_tokens, 17)][: c.tiles]
        await check(bench, [finite(rng, n, d) for n in counts], codes)


@bench_test(stalls=("none", "both"))
async def places(bench):
    """A tile stays until its place is begun anew, and is then not ready before it has come whole."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    first = [finite(rng, 1, d) for _ in range(c.tiles)]
    await check(bench, first, codes=True)
    await begin(bench, 0)
    bench.equal("ready", bench.get("ready"), (1 << c.tiles) - 2)
    send_task(bench, 0, 1, 0)
    await bench.collect("o_command", 1, more=True)
    bench.send("i_data", of_memory(first[1], c.lanes)[:-1])
    await bench.cycles(200)
    bench.equal("ready with half of a tile", bench.get("ready"), (1 << c.tiles) - 2)
    bench.send("i_data", of_memory(first[1], c.lanes)[-1:])
    bench.send("i_codes", sent_codes(first[1] & 0xFF, c.lanes))
    await bench.collect("o_encode", words(first[1], c.lanes).shape[1])
    await bench.cycles(100)
    bench.equal("ready", bench.get("ready"), (1 << c.tiles) - 1)
    await compare(bench, 0, first[1], codes=True)
    for place in range(1, c.tiles):
        await compare(bench, place, first[place], codes=True)


@bench_test(stalls=("none",))
async def no_numbers(bench):
    """NaN and infinities are flagged, those behind the last channel are not looked at and not kept."""
    c, rng = bench.config, bench.rng
    d = c.max_channels - (c.max_channels % c.lanes == 0 and c.lanes > 1)
    tile = finite(rng, 1, d)
    await check(bench, [tile], codes=False, behind=0x7C00)
    bench.equal("not_finite", bench.get("not_finite"), 0)
    for code in (0x7C00, 0xFC00, 0x7E00):
        for channel in (0, d - 1):
            await bench.reset()
            wrong = tile.copy()
            wrong[0, channel] = code
            await check(bench, [wrong], codes=False)
            bench.equal(f"not_finite with {code:#x} in channel {channel}", bench.get("not_finite"), 1)


@bench_test(stalls=("none",))
async def cycles(bench):
    """A tile takes as many cycles as it has words, and one."""
    c = bench.config
    tile = finite(bench.rng, c.max_tokens, c.max_channels)
    await check(bench, [tile], codes=False)
    moves = bench.transfers("i_data")
    bench.equal("cycles of the words", int(moves[-1] - moves[0]) + 1, len(moves))
    bench.equal("cycles to the end", int(bench.transfers("i_task")[0] - moves[-1]), 1)


async def check(bench, tiles, codes, behind=0):
    """Load ``tiles``, arrays (tokens, d) of FP16 codes, into places 0 and on, and read them back."""
    c, rng = bench.config, bench.rng
    d = tiles[0].shape[1]
    per_token = words(tiles[0], c.lanes).shape[1]
    set_head(bench, d, codes)
    offset = 0
    for place, tile in enumerate(tiles):
        await begin(bench, place)
        before = len(bench.transfers("i_task"))
        send_task(bench, place, len(tile), offset)
        length = len(tile) * per_token * c.lanes
        address = BASE + offset * 2 * c.lanes
        command = pack([address], [length], widths=[c.address_bits, c.length_bits])
        bench.compare(await bench.collect("o_command", 1, more=True), command, unit="commands")
        bench.send("i_data", of_memory(tile, c.lanes, behind))
        if codes:
            want = to_encode(tile, c.lanes)
            bench.compare(await bench.collect("o_encode", len(want), more=True), want, unit="words to be coded")
            bench.send("i_codes", sent_codes(tile & 0xFF, c.lanes))
        while len(bench.transfers("i_task")) == before:
            await bench.cycles(1)
        await bench.cycles(2)
        bench.equal(f"ready of place {place}", bench.get("ready") >> place & 1, 1)
        offset += int(rng.integers(1, 4))
    for place, tile in enumerate(tiles):
        await compare(bench, place, tile, codes)


async def compare(bench, place, tile, codes):
    c = bench.config
    ports = [("v_fp16", tile, 16), ("v_importance", tile, 16)] + ([("v_lut", tile & 0xFF, 8)] if codes else [])
    for port, values, width in ports:
        want = words(values, c.load_lanes)
        names = [(token, word) for token in range(len(tile)) for word in range(want.shape[1])]
        layout = c.address_layout
        found = await read(bench, port, [integer(layout, place=place, token=t, word=w) for t, w in names])
        # Words of memory behind a token's last have not been written.
        written = words(tile, c.lanes).shape[1] * c.lanes
        kept = (1 << width * (written - (want.shape[1] - 1) * c.load_lanes)) - 1
        found = [value & (kept if w == want.shape[1] - 1 else -1) for value, (_, w) in zip(found, names)]
        rows = np.array([list(x.to_bytes(c.load_lanes * width // 8, "little")) for x in found], np.uint8)
        want = want.reshape(len(names), -1).astype("<u2" if width == 16 else "u1")
        where = [f"{port}, place {place}, token {t}, word {w}" for t, w in names]
        bench.compare(rows, want, unit="words", describe=where.__getitem__)


def set_head(bench, d, codes):
    c = bench.config
    bench.set("head", integer(c.head_layout, channels=d, words=-(-d // c.lanes), codes_v=int(codes), v=BASE))


async def begin(bench, place):
    bench.set("begun", 1 << place)
    await bench.cycles(1)
    bench.set("begun", 0)
    await bench.cycles(2)


def send_task(bench, place, tokens, offset):
    bench.send("i_task", [integer(bench.config.task_layout, place=place, tokens=tokens, offset=offset)])
