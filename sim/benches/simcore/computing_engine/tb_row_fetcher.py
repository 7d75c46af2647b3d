# SPDX-License-Identifier: Apache-2.0
"""Bench of the row fetcher: heads with tables of every kind, a memory behind it, blocks read back while the next comes."""

import numpy as np

from zoetrope.golden.memory.words import words
from zoetrope.golden.simcore.computing_engine.row_fetcher import row_fetcher
from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.quantization_engine.quantization_unit import scales_of
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.inside.memory import read, served
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors
from zoetrope.sim.stimulus.tokens import of_memory

Q, A = 0x100, 0x2000


@bench_test()
async def clip(bench):
    """Rows of the clip's Q, half of them kept; without a clip, of seeded tensors."""
    c = bench.config
    q = (bench.tensors or seeded_tensors(bench.rng))["q"]
    q = np.ascontiguousarray(q.reshape(-1, q.shape[-1])[:, : c.max_channels])
    geometry = Geometry(2, 1, min(c.max_frame_tokens, len(q) // 2, 9))
    await check(bench, geometry, q[: geometry.tokens], keep=0.5)


@bench_test()
async def heads(bench):
    """Text before, behind and without; sparse and not, compact and not, folded and not; all kept, hardly any."""
    c, rng = bench.config, bench.rng
    frames, width = min(c.max_frames, 3), min(c.max_frame_tokens // 2, 2 * c.rows + 1)
    shapes = [
        (Geometry(frames, 2, width), {}),
        (Geometry(frames, 2, width, min(c.max_text, 5)), {"keep": 0.4}),
        (Geometry(1, 1, 1), {"keep": 0}),
        (Geometry(frames, 1, width, min(c.max_text, 3), False), {"keep": 0.5, "compact": 0}),
        (Geometry(frames, 1, width), {"keep": 0.1, "codes_k": 0}),
        (Geometry(2 if c.max_frames > 1 else 1, 1, width, 1), {"sparsify": 0, "compact": 0}),
    ]
    for geometry, options in shapes:
        channels = int(rng.choice([1, c.lanes + 1, c.max_channels, int(rng.integers(1, c.max_channels + 1))]))
        await check(bench, geometry, values(rng, geometry.tokens, min(channels, c.max_channels)), **options)


@bench_test(stalls=("none",))
async def no_numbers(bench):
    """NaN in Q, what is behind the last channel, and a row that K's scale brings beyond FP16."""
    c, rng = bench.config, bench.rng
    d = c.max_channels - (c.max_channels % c.lanes == 0 and c.lanes > 1)
    rows = values(rng, 1, d)
    await check(bench, Geometry(1, 1, 1), rows, behind=0x7E00)
    bench.equal("not_finite", bench.get("not_finite"), 0)
    wrong = rows.copy()
    wrong[0, d - 1] = np.nan
    await check(bench, Geometry(1, 1, 1), wrong, codes_k=0)
    bench.equal("not_finite of NaN", bench.get("not_finite"), 1)
    wrong[0, d - 1] = 60000
    await check(bench, Geometry(1, 1, 1), wrong, amax=60000)
    bench.equal("overflow", [bench.get("not_finite"), bench.get("overflow")], [0, 1])


@bench_test(stalls=("none",))
async def cycles(bench):
    """3 cycles a token that is not kept; 4, or its words, for one that is, where memory keeps up."""
    c = bench.config
    count = min(c.max_frame_tokens, 2 * c.rows)
    head = Geometry(1, 1, count)
    channels = min(c.max_channels, 4 * c.lanes)
    await check(bench, head, values(bench.rng, count, channels), codes_k=0)
    moves = bench.transfers("o_command")[: c.rows * c.slices]
    bench.equal("cycles from row to row", np.unique(np.diff(moves)).tolist(), [4] if len(moves) > 1 else [])


async def check(bench, geometry, q, keep=1.0, *, sparsify=1, compact=1, codes_k=1, amax=2.0, behind=0):
    """A head: commands, places, blocks, and what both memories hold of each block."""
    c, rng = bench.config, bench.rng
    await bench.reset()
    bits = q.view(np.uint16)
    d = q.shape[1]
    pitch = words(bits, c.lanes).shape[1]
    table = table_of(rng, geometry, keep)
    kept = np.ones(geometry.tokens, bool)
    kept[geometry.video] = (table == np.arange(len(table))) | (not sparsify)
    blocks = row_fetcher(geometry, kept, c.rows, c.slices, bool(compact))
    scales = scales_of(np.full(d, amax, np.float16))
    with np.errstate(over="ignore"):
        folded = fold_key_scales(q, scales).view(np.uint16)
    head = {"frames": geometry.frames, "frame_tokens": geometry.rows, "text": geometry.text, "channels": d}
    head |= {"words": pitch, "text_first": int(geometry.text_first), "sparsify": sparsify, "compact": compact}
    bench.set("head", integer(c.head_layout, **head, codes_k=codes_k, q=Q, a=A))
    if codes_k:
        bench.send("i_scale", pack(scales.view(np.uint32), np.arange(d) == d - 1, widths=[32, 1]))
    bench.set("table_ready", 1)
    with served(bench, table=table.tolist()):
        bench.set("run", 1)
        await fetched(bench, geometry, blocks, bits, folded if codes_k else None, pitch, behind)
    bench.equal("rows kept", bench.get("rows_kept"), int(kept.sum()))
    bench.equal("slices", bench.get("slices"), sum(len(block.slices) for block in blocks))
    bench.set("run", 0)


async def fetched(bench, geometry, blocks, q, folded, pitch, behind):
    """Serve the memory, and compare block by block; its rows are done with when it has been read."""
    c = bench.config
    for number, block in enumerate(blocks):
        bank = number % 2
        tokens = block.tokens
        ids = [
            integer(c.row_layout, row=r, slice=s, bank=bank)
            for s, part in enumerate(block.slices)
            for r in range(len(part))
        ]
        want = pack(Q + tokens * pitch * 2 * c.lanes, np.full(len(tokens), pitch * c.lanes), widths=bits_of_commands(c))
        for k in range(len(tokens)):
            got = await bench.collect("o_command", 1, more=True)
            bench.compare(got, want[k : k + 1], unit="commands")
            bench.send("i_data", of_memory(q[tokens[k] : tokens[k] + 1], c.lanes, behind))
        places = pack(ids, A + tokens * pitch * 2 * c.lanes, widths=[c.row_layout.size, c.address_bits])
        bench.compare(await bench.collect("o_place", len(ids), more=True), places, unit="places")
        text = block.tile == geometry.text_tile
        tile = 0 if text else block.tile - (geometry.text > 0 and geometry.text_first)
        await compare_block(bench, block, bank, tile if not text else None, geometry)
        await compare_memory(bench, "q_fp16", block, bank, q)
        if folded is not None:
            await compare_memory(bench, "q_lut", block, bank, folded)
        bench.set("written_bank", bank)
        bench.set("written", 1)
        await bench.cycles(len(tokens))
        bench.set("written", 0)
    got = await bench.collect("o_block", 1)
    end = int.from_bytes(got[0].tobytes(), "little") >> (c.block_layout.size - 1)
    bench.equal("end behind the last block", end, 1)


async def compare_block(bench, block, bank, tile, geometry):
    """``tile``: the frame, None of the text, whose number is not looked at."""
    c = bench.config
    got = int.from_bytes((await bench.collect("o_block", 1, more=True))[0].tobytes(), "little")
    counts = [len(part) for part in block.slices] + [0] * (c.slices - len(block.slices))
    fields = {"text": int(tile is None), "bank": bank, "slices": len(block.slices), "rows": counts, "end": 0}
    found = c.block_layout.from_bits(got)
    if tile is not None:
        bench.equal("frame of a block", int(found["tile"]), tile)
    bench.equal("a block", {name: plain(found[name]) for name in fields}, fields)


def plain(value):
    return int(value) if isinstance(value, int) else [int(each) for each in value]


async def compare_memory(bench, port, block, bank, values):
    c = bench.config
    want = words(values, c.load_lanes)
    last = words(values, c.lanes).shape[1] * c.lanes - (want.shape[1] - 1) * c.load_lanes
    addresses, rows = [], []
    for s, part in enumerate(block.slices):
        for r, token in enumerate(part):
            for w in range(want.shape[1]):
                row = {"row": r, "slice": s, "bank": bank}
                addresses.append(integer(c.address_layout, word=w, row=integer(c.row_layout, **row)))
                rows.append(want[token, w])
    found = await read(bench, port, addresses)
    kept = (1 << 16 * last) - 1  # words of memory behind a token's last have not been written
    found = [x & (kept if k % want.shape[1] == want.shape[1] - 1 else -1) for k, x in enumerate(found)]
    found = np.array([list(x.to_bytes(2 * c.load_lanes, "little")) for x in found], np.uint8)
    bench.compare(found, np.array(rows, "<u2"), unit=f"words of {port}")


def table_of(rng, geometry, keep):
    """An index table of video tokens: the first is kept, others with probability ``keep``, or they are an earlier one's."""
    count = geometry.frames * geometry.rows
    table = np.arange(count)
    for k in range(1, count):
        if rng.random() >= keep:
            table[k] = table[rng.integers(k)]
    return table


def values(rng, tokens, channels):
    return rng.standard_normal((tokens, channels)).astype(np.float16)


def bits_of_commands(c):
    return [c.address_bits, c.length_bits]
