# SPDX-License-Identifier: Apache-2.0
"""Bench of the array feeder: tasks of scores and of products, jobs against the golden's, operands word by word."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from zoetrope.golden.memory.words import words
from zoetrope.golden.simcore.computing_engine.array_feeder import Products, Scores, array_feeder
from zoetrope.golden.simcore.computing_engine.computing_engine import A, S
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.inside.memory import served
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.tokens import finite

BASE = 0x80


class Round(NamedTuple):
    """A task for each place: what is in the memories, and what is sent."""

    scores: list
    products: list
    memories: dict
    offsets: list
    important: list


@bench_test()
async def tasks(bench):
    """Rounds of a task for each place, of scores and of products at a time, of both kinds and random sizes."""
    c, rng = bench.config, bench.rng
    for _ in range(3):
        channels = int(rng.integers(1, c.array.max_channels + 1))
        await check(bench, draw(bench, channels, min(c.array.max_tokens, 11)), channels)


@bench_test()
async def edges(bench):
    """Tokens and channels at every edge of a word of operands; no column of this array, all, one."""
    c = bench.config
    for channels in sorted({1, c.load_lanes, min(c.load_lanes + 1, c.array.max_channels), c.array.max_channels}):
        for share in (0.0, 1.0):
            await check(bench, draw(bench, channels, min(c.array.max_tokens, c.load_lanes + 1), share), channels)


@bench_test(stalls=("none",))
async def products_first(bench):
    """Where both are ready products come first; without e, or without V, scores do, and products wait."""
    c = bench.config
    given = draw(bench, c.array.max_channels, min(c.array.max_tokens, 5), 1.0, own=True)
    kinds = await check(bench, given, c.array.max_channels)
    bench.equal("kinds of jobs", kinds, sorted(kinds, reverse=True))
    for ready in ((0, -1), (-1, 0)):
        kinds = await check(bench, given, c.array.max_channels, ready)
        bench.equal("kinds of jobs without products", kinds, sorted(kinds))


@bench_test(stalls=("none",))
async def cycles(bench):
    """From job to job: of scores the words of x and 4, or of K and 3; of products those of x or of V and 5."""
    c = bench.config
    channels = c.array.max_channels
    given = draw(bench, channels, min(c.array.max_tokens, 5), 1.0, own=True)
    per_token = -(-channels // c.load_lanes)
    await check(bench, given, channels, products=False)
    jobs = array_feeder(given.scores)
    first = [before is None or not before.keep_w for before in [None, *jobs]]
    loads = [len(job.w) * per_token if loaded else 0 for job, loaded in zip(jobs, first)]
    want = [max(len(job.x) * per_token + 4, load + 3) for job, load in zip(jobs, loads)]
    bench.equal("cycles of scores", np.diff(bench.transfers("o_job")).tolist(), want[:-1])
    await check(bench, given._replace(important=[not c.fp16] * c.tiles), channels)
    jobs = array_feeder(given.products)
    loads = [words(job.x, c.load_lanes).shape[:2] for job in jobs]
    want = [max(rows * each, len(job.w) * per_token) + 5 for (rows, each), job in zip(loads, jobs)]
    bench.equal("cycles of products", np.diff(bench.transfers("o_job")).tolist(), want[:-1])


async def check(bench, given, channels, ready=(-1, -1), products=True):
    """Send a round; ``ready``: bits of V and of e until all scores have gone. Returns the kinds of the jobs in order."""
    c = bench.config
    own = [task for task, important in zip(given.scores, given.important) if important == c.fp16]
    sent = given.products if products else []
    expected = {S: array_feeder(own), A: array_feeder(sent)}
    await bench.reset()
    bench.set("head", integer(c.head_layout, channels=channels, words=-(-channels // c.lanes), k=BASE))
    drive_ready(bench, ready)
    send(bench, given, sent, own)
    with served(bench, **{name: memory.__getitem__ for name, memory in given.memories.items()}):
        late = ready != (-1, -1)
        first = len(expected[S]) if late else 0
        jobs = [*await bench.collect("o_job", first, more=True)]
        if late:
            await bench.cycles(60)
            drive_ready(bench, (-1, -1))
        jobs += [*await bench.collect("o_job", len(expected[S]) + len(expected[A]) - first, more=True)]
        kinds = compare_jobs(bench, jobs, expected, channels)
        await compare_operands(bench, kinds, expected)
        await compare_commands(bench, given, own, channels)
    return kinds


def compare_jobs(bench, jobs, expected, channels):
    c = bench.config
    layout = c.array.job_layout
    at, kinds = Counter(), []
    for number, row in enumerate(jobs):
        found = layout.from_bits(int.from_bytes(row.tobytes(), "little"))
        kind = int(found["kind"].value)
        bench.equal(f"job {number} of kind {kind} is expected", at[kind] < len(expected[kind]), True)
        job = expected[kind][at[kind]]
        at[kind] += 1
        kinds.append(kind)
        want = {"slice": job.slice, "tile": job.tile, "rows": len(job.x), "keep_x": 0, "keep_w": int(job.keep_w)}
        size = (np.shape(job.x)[1], len(job.w)) if kind == S else (len(job.w), channels)
        want |= {"operands": size[0], "outputs": size[1]}
        bench.equal(f"job {number}", {name: int(found[name]) for name in want}, want)
        if kind == A:
            columns = int(found["mask"]) & ((1 << channels) - 1)
            bench.equal(f"columns of job {number}", columns, bits_of(job.mask))
    return kinds


async def compare_operands(bench, kinds, expected):
    """All words of x and of w, in the order of the jobs that came."""
    c = bench.config
    queues = {kind: iter(jobs) for kind, jobs in expected.items()}
    x, w, kept = [], [], False
    for kind in kinds:
        job = next(queues[kind])
        x += [*words(job.x, c.load_lanes).reshape(-1, c.load_lanes)]
        if not (kind == S and kept):
            w += [*words(job.w, c.load_lanes).reshape(-1, c.load_lanes)]
        kept = job.keep_w if kind == S else kept
    for name, rows, width in (("o_x", x, 16), ("o_w", w, c.array.weight_bits)) if kinds else ():
        want = pack(*np.array(rows).T, widths=[width] * c.load_lanes)
        bench.compare(await bench.collect(name, len(want), more=True), want, unit=f"words of {name}")


async def compare_commands(bench, given, own, channels):
    c = bench.config
    offsets = [offset for offset, task in zip(given.offsets, given.scores) if any(task is each for each in own)]
    if own:
        lengths = [len(task.keys) * -(-channels // c.lanes) * c.lanes for task in own]
        addresses = BASE + np.array(offsets) * 2 * c.lanes
        want = pack(addresses, lengths, widths=[c.address_bits, c.length_bits])
        bench.compare(await bench.collect("o_command", len(want)), want, unit="commands")


def send(bench, given, products, own):
    c = bench.config
    width = c.array.weight_bits
    scores = zip(given.scores, given.offsets, given.important)
    bench.send("i_scores", [scores_payload(c, task, offset, important) for task, offset, important in scores])
    bench.send("i_products", [products_payload(c, task) for task in products])
    for task in own:
        rows = words(task.keys, c.load_lanes).reshape(-1, c.load_lanes)
        bench.send("i_k", pack(*rows.T, widths=[width] * c.load_lanes))


def scores_payload(c, task, offset, important):
    fields = {"place": task.place, "tokens": len(task.keys), "offset": offset, "important": int(important)}
    fields |= {"bank": task.place % 2, "slices": len(task.slices), "rows": counts_of(c, task)}
    return c.scores_layout.const(fields).as_value().value


def products_payload(c, task):
    fields = {"place": task.place, "tokens": len(task.values), "slices": len(task.slices), "rows": counts_of(c, task)}
    return c.products_layout.const(fields).as_value().value


def counts_of(c, task):
    return [len(rows) for rows in task.slices] + [0] * (c.slices - len(task.slices))


def drive_ready(bench, ready):
    c = bench.config
    bench.set("values_ready", ready[0] & ((1 << c.tiles) - 1))
    bench.set("slices_ready", ready[1] & ((1 << (1 << c.slice_layout.size)) - 1))


def draw(bench, channels, most, share=None, own=None):
    """A task for each place, of up to ``most`` tokens; rows of Q are those of two banks."""
    c, rng = bench.config, bench.rng
    banks = [blocks(c, rng, channels) for _ in range(2)]
    memories = {name: Memory() for name in ("q", "e", "v", "mask")}
    for bank, slices in enumerate(banks):
        for number, rows in enumerate(slices):
            for r, w, word in places(rows, c.load_lanes, 16):
                row = {"row": r, "slice": number, "bank": bank}
                memories["q"][c.q_address.const({"word": w, "row": row}).as_value().value] = word
    scores, products = [], []
    for place in range(c.tiles):
        tokens = int(rng.integers(1, most + 1))
        block = banks[place % 2]
        values, keys = weights(c, rng, tokens, channels), weights(c, rng, tokens, channels)
        e = [finite(rng, len(rows), tokens) for rows in block]
        columns = [rng.random(channels) < (rng.random() if share is None else share) for _ in block]
        scores.append(Scores(place, block, keys))
        products.append(Products(place, e, values, columns))
        for token, w, word in places(values, c.load_lanes, c.array.weight_bits):
            memories["v"][integer(c.v_address, word=w, token=token, place=place)] = word
        for number, rows in enumerate(e):
            slice_ = integer(c.slice_layout, slice=number, place=place)
            memories["mask"][slice_] = mask_of(c, columns[number], channels)
            for r, w, word in places(rows, c.load_lanes, 16):
                memories["e"][integer(c.e_address, word=w, row=r, slice=slice_)] = word
    important = [bool(rng.integers(2)) if own is None else c.fp16 for _ in scores]
    offsets = rng.integers(0, 8, c.tiles).tolist()
    return Round(scores, products, memories, offsets, important)


def mask_of(c, columns, channels):
    """The map's bits: 1 where a column is the FP16 array's; behind the last channel 1 where any column is, or all bits 0."""
    beyond = (1 << c.array.max_channels) - (1 << channels)
    if c.fp16:
        return bits_of(columns) | (beyond if columns.any() else 0)
    return bits_of(~columns) | beyond


class Memory(dict):
    """Words by address; what was not written is rubbish."""

    def __missing__(self, address):
        return 0x5A


def blocks(c, rng, channels):
    return [finite(rng, int(rng.integers(1, c.rows + 1)), channels) for _ in range(int(rng.integers(1, c.slices + 1)))]


def weights(c, rng, tokens, channels):
    codes = finite(rng, tokens, channels)
    return codes if c.fp16 else (codes & 0xFF).astype(np.uint8)


def places(rows, lanes, width):
    """(row, word of it, that word as an integer) of rows of codes."""
    for r, row in enumerate(words(rows, lanes)):
        for w, word in enumerate(row):
            yield r, w, sum(int(code) << width * k for k, code in enumerate(word))


def bits_of(mask):
    return sum(int(bit) << k for k, bit in enumerate(mask))
