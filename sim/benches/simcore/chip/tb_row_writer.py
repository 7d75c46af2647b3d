# SPDX-License-Identifier: Apache-2.0
"""Bench of the row writer: rows of every width, places, no command before a whole row, halves dropped, flags, cycles."""

import numpy as np

from zoetrope.golden.formats import FP16
from zoetrope.golden.simcore.chip.row_writer import row_writer
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes
from zoetrope.sim.stimulus.outer_product import seeded_tensors

#: Rows of the clip that a bench takes.
ROWS = 40


@bench_test()
async def clip(bench):
    """Rows of the clip's V; without a clip, of seeded tensors."""
    c = bench.config
    v = (bench.tensors or seeded_tensors(bench.rng))["v"]
    rows = np.ascontiguousarray(v.reshape(-1, v.shape[-1])[:ROWS, : c.max_channels]).view(np.uint16)
    await check(bench, rows)


@bench_test()
async def widths(bench):
    """Rows of 1 channel, of all, and of every edge of a word of lanes and of elements."""
    c = bench.config
    edges = {1, 63, 64, c.max_channels - 1, c.max_channels}
    for size in (c.lanes, c.elements):
        edges |= {size - 1, size, size + 1, 2 * size + 1}
    for d in sorted(d for d in edges if 0 < d <= c.max_channels):
        await check(bench, codes(bench.rng, 3 * c.queue_rows, d))
    bench.equal("wrong_length", bench.get("wrong_length"), 0)


@bench_test()
async def places(bench):
    """An address serves until the next one comes for its row, and no longer."""
    c, rng = bench.config, bench.rng
    d = min(c.max_channels, c.elements + 1)
    addresses = draw(rng, c, c.rows)
    place(bench, np.arange(c.rows), addresses)
    await bench.cycles(c.rows * 10 + 100)
    for _ in range(3):
        ids = rng.integers(c.rows, size=9)
        rows = codes(rng, len(ids), d)
        bench.set("channels", d)
        bench.send("i", sent(rows, ids, c))
        await compare(bench, rows, addresses[ids])
        addresses[ids[0]] = draw(rng, c, 1)[0]
        place(bench, ids[:1], addresses[ids[:1]])
        await bench.cycles(200)


@bench_test(stalls=("none", "source"))
async def whole_rows_only(bench):
    """No command and no word before a row's last; both then, the command no later than the first word."""
    c, rng = bench.config, bench.rng
    rows = codes(rng, 1, c.max_channels)
    bench.set("channels", c.max_channels)
    words = sent(rows, np.zeros(1, int), c)
    addresses = draw(rng, c, 1)
    place(bench, np.zeros(1, int), addresses)
    bench.send("i", words[:-1])
    await bench.cycles(40 * len(words) + 20)
    for stream in ("o_command", "o_data"):
        bench.equal(f"{stream} of half of a row", len(bench.transfers(stream)), 0)
    bench.equal("pending of half of a row", bench.get("pending"), 0)
    bench.send("i", words[-1:])
    await compare(bench, rows, addresses)
    last, command, word = (bench.transfers(name) for name in ("i", "o_command", "o_data"))
    bench.equal("cycles from a row's last word to its command", int(command[0] - last[-1]), 2)
    bench.equal("cycles from a row's last word to its first", int(word[0] - last[-1]), 3)


@bench_test(stalls=("none", "sink"))
async def dropped(bench):
    """``drop`` within a row, at each of its words: those before it leave whole, nothing of it does, the next is right."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    per_row = -(-d // c.lanes)
    bench.set("channels", d)
    for count in sorted({1, 2, per_row // 2, per_row - 1}):
        if not 0 < count < per_row:
            continue
        await bench.reset()
        rows, addresses = codes(rng, 2, d), draw(rng, c, 2)
        ids = np.arange(2) % c.rows
        place(bench, ids[:1], addresses[:1])
        await bench.cycles(100)
        bench.send("i", sent(rows, ids, c)[: per_row + count])
        while len(bench.transfers("i")) < per_row + count:
            await bench.cycles(1)
        bench.set("drop", 1)
        await bench.cycles(3)
        bench.set("drop", 0)
        await compare(bench, rows[:1], addresses[:1])
        bench.equal("pending after the rows have left", bench.get("pending"), 0)
        await check(bench, codes(rng, 2 * c.queue_rows, d))
    bench.equal("wrong_length", bench.get("wrong_length"), 0)


@bench_test(stalls=("none",))
async def drop_holds(bench):
    """While ``drop`` is high nothing is taken, and the rows that are whole leave; ``pending`` falls with the last word."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    bench.set("channels", d)
    rows, addresses = codes(rng, 1, d), draw(rng, c, 1)
    place(bench, np.zeros(1, int), addresses)
    await bench.cycles(10)
    bench.send("i", sent(rows, np.zeros(1, int), c))
    while len(bench.transfers("i")) < -(-d // c.lanes):
        await bench.cycles(1)
    bench.set("drop", 1)
    bench.send("i", sent(rows, np.zeros(1, int), c))
    place(bench, np.zeros(1, int), addresses)
    await bench.cycles(2)
    bench.equal("pending of a whole row", bench.get("pending"), 1)
    await bench.cycles(4 * c.words + 20)
    bench.equal("pending after it", bench.get("pending"), 0)
    bench.equal("words taken", len(bench.transfers("i")), -(-d // c.lanes))
    bench.equal("places taken", len(bench.transfers("i_place")), 1)
    bench.set("drop", 0)
    await compare(bench, np.concatenate([rows, rows]), np.concatenate([addresses, addresses]))


@bench_test(stalls=("none",))
async def dropped_near_the_end(bench):
    """``drop`` in every cycle around a row's last word: the row leaves whole if that was taken, else nothing of it does."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    per_row = -(-d // c.lanes)
    for wait in range(max(1, per_row - 2), per_row + 6):
        await bench.reset()
        bench.set("channels", d)
        rows, addresses = codes(rng, 1, d), draw(rng, c, 1)
        place(bench, [0], addresses)
        await bench.cycles(4)
        bench.send("i", sent(rows, np.zeros(1, int), c))
        await bench.cycles(wait)
        bench.set("drop", 1)
        await bench.cycles(1 if len(bench.transfers("i")) == per_row else 4 * c.words + 8)
        bench.set("drop", 0)
        if len(bench.transfers("i")) == per_row:
            await compare(bench, rows, addresses)
            await check(bench, codes(rng, 2 * c.queue_rows, d))
        else:
            bench.equal("words of half of a row", len(bench.transfers("o_data")), 0)


@bench_test(stalls=("none", "sink"))
async def pending_until_the_last(bench):
    """``pending`` is up exactly from the cycle after a row's last word until its command and its last word have left."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    for _ in range(4):
        rows, addresses = codes(rng, 1, d), draw(rng, c, 1)
        bench.set("channels", d)
        place(bench, [0], addresses)
        await bench.cycles(4)
        start = [len(bench.transfers(name)) for name in ("i", "o_command", "o_data")]
        bench.send("i", sent(rows, np.zeros(1, int), c))
        for _ in range(4 * c.words * c.elements + 200):
            taken, commands, words = (
                len(bench.transfers(name)) - before for name, before in zip(("i", "o_command", "o_data"), start)
            )
            whole = taken == -(-d // c.lanes)
            await bench.cycles(1)
            bench.equal("pending", bench.get("pending"), int(whole and (commands < 1 or words < c.words)))
        await compare(bench, rows, addresses)


@bench_test(stalls=("none", "both"))
async def wrong_lengths(bench):
    """Rows of fewer and of more results than ``channels``, and one that is cut: flagged, and the next is right."""
    c, rng = bench.config, bench.rng
    capacity = c.words * c.elements
    for d, channels in ((1, 2), (2, 1), (capacity + 1, c.max_channels), (3 * capacity, c.max_channels)):
        if channels > c.max_channels:
            continue
        await bench.reset()
        rows, addresses = codes(rng, 1, d), draw(rng, c, 1)
        place(bench, np.zeros(1, int), addresses)
        await bench.cycles(100)
        bench.set("channels", channels)
        bench.send("i", sent(rows, np.zeros(1, int), c))
        await compare(bench, rows[:, :capacity], addresses, channels)
        bench.equal(f"wrong_length of {d} results where {channels} are due", bench.get("wrong_length"), 1)
        while len(bench.transfers("i")) < -(-d // c.lanes):
            await bench.cycles(1)
        bench.set("drop", 1)
        await bench.cycles(2)
        bench.set("drop", 0)
        await check(bench, codes(rng, 3, min(c.max_channels, c.elements)))
        bench.equal("wrong_length after drop", bench.get("wrong_length"), 0)


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word of ``i`` a cycle, of rows of ``max_channels``."""
    c = bench.config
    rows, addresses = codes(bench.rng, 20, c.max_channels), draw(bench.rng, c, 1)
    bench.set("channels", c.max_channels)
    place(bench, [0], addresses)
    await bench.cycles(4)
    bench.send("i", sent(rows, np.zeros(20, int), c))
    await compare(bench, rows, np.repeat(addresses, 20))
    bench.measure(interval="i")
    await bench.reset()
    await check(bench, codes(bench.rng, 1, 1))
    bench.measure(latency=("i", 0, "o_data", 0))


async def check(bench, rows):
    """Send rows with ids in turn, each id's address before the row that it is for, and compare commands and words."""
    c, rng = bench.config, bench.rng
    bench.set("channels", rows.shape[1])
    ids = np.arange(len(rows)) % c.rows
    addresses = draw(rng, c, len(rows))
    for start in range(0, len(rows), c.rows):
        part = slice(start, start + c.rows)
        before = len(bench.transfers("i_place"))
        place(bench, ids[part], addresses[part])
        while len(bench.transfers("i_place")) < before + len(ids[part]):
            await bench.cycles(1)
        bench.send("i", sent(rows[part], ids[part], c))
        await compare(bench, rows[part], addresses[part])


async def compare(bench, rows, addresses, channels=None):
    c = bench.config
    words = row_writer(rows, c.elements)
    commands = [int(a) | (rows.shape[1] if channels is None else channels) << c.address_bits for a in addresses]
    width = (c.address_bits + c.length_bits + 7) // 8
    want = np.array([list(x.to_bytes(width, "little")) for x in commands], np.uint8)
    bench.compare(await bench.collect("o_command", len(want), more=True), want, unit="commands")
    last = np.tile(np.arange(words.shape[1]) == words.shape[1] - 1, len(words))
    want = pack(*words.reshape(-1, c.elements).T, last, widths=[16] * c.elements + [1])
    names = [f"{rows.shape[1]} channels, row {r}, word {k}" for r in range(len(words)) for k in range(words.shape[1])]
    bench.compare(await bench.collect("o_data", len(want)), want, unit="words", describe=names.__getitem__)


def place(bench, ids, addresses):
    c = bench.config
    bench.send("i_place", [int(r) | int(a) << c.row_bits for r, a in zip(ids, addresses)])


def draw(rng, c, count):
    """Addresses of words, of any size."""
    return rng.integers(1 << min(c.address_bits, 63), size=count)


def sent(rows, ids, c):
    """Rows of the stream ``i``; a count that does not count is 0."""
    count, d = rows.shape
    words = -(-d // c.lanes)
    padded = np.zeros((count, words * c.lanes), np.uint16)
    padded[:, :d] = rows
    last = np.tile(np.arange(words) == words - 1, count)
    counts = np.where(last, d - (words - 1) * c.lanes, 0)
    fields = [*padded.reshape(-1, c.lanes).T, counts, last, np.repeat(ids, words)]
    return pack(*fields, widths=[16] * c.lanes + [c.lanes.bit_length(), 1, c.row_bits])


def codes(rng, rows, d):
    return random_codes(rng, FP16, rows * d).astype(np.uint16).reshape(rows, d)
