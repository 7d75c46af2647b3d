# SPDX-License-Identifier: Apache-2.0
"""Bench of the reorder and recover unit: rows of the clip skipped and given back, permutations, tables that are wrong."""

import numpy as np

from zoetrope.golden.simcore.sparsification_engine.reorder_recover_unit import (
    MODES,
    ZERO,
    check_table,
    column_groups,
    moves,
    token_major,
    word_addresses,
)
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.sparsification_engine import reorder_cycles
from zoetrope.sim.packing import pack

#: Cycles from a read to its word of ``answered``: the bench sees it at one edge, drives at the next, offers at the third.
ANSWER = 2


@bench_test()
async def clip(bench):
    """Tokens of two frames of the clip, compacted and recovered by the table of similar ones, and in token-major order."""
    c = bench.config
    q = (bench.tensors or {"q": bench.rng.standard_normal((2, 9, 16)).astype(np.float16)})["q"]
    x = q[: min(2, c.max_rows)]
    x = x[:, : min(14, c.max_rows // len(x))]
    frames, tokens, d = x.shape
    table = sparsify(x, (frames, 1, tokens)).table
    x = row_words(x.reshape(-1, d), c.width)[:, : c.max_words]
    layout = token_major(frames, tokens)
    await check(bench, [*pair(table, x), Job("gather", layout, x)])
    bench.measure(latency=("i_table", 0, "o_read", 0))


@bench_test()
async def corners(bench):
    """Tables of no entry, of one and of all that fit; every entry the first, the last, its own; text; groups of columns."""
    c = bench.config
    rng, n = bench.rng, min(c.max_rows, 11)
    jobs = [Job(mode, [], random_words(rng, c, 0, 1)) for mode in MODES]
    for count in {1, min(2, n), n}:
        own = np.arange(count)
        for table in (own, 0 * own, 0 * own + count - 1, own - own % 3):
            jobs += pair(table, random_words(rng, c, count, int(rng.integers(1, min(c.max_words, 3) + 1))))
    for words in {c.max_words - 1, c.max_words} - {0}:
        jobs += pair(seeded_table(rng, n, 0.5), random_words(rng, c, n, words))
    jobs += [
        Job("gather", own[::-1], random_words(rng, c, n, 1)),
        Job("scatter", own[::-1], random_words(rng, c, n, 1)),
    ]
    if n >= 9:
        jobs += [Job(mode, token_major(2, 3, 1, 2), random_words(rng, c, 9, 1)) for mode in ("gather", "scatter")]
    jobs += [Job("gather", column_groups(rng.integers(0, 2, n)), random_words(rng, c, n, 1))]
    # As many as fit, or over the border of a few blocks.
    many = min(c.max_rows, 4 * c.rank_block + 3)
    jobs += pair(seeded_table(rng, many, 0.5), random_words(rng, c, many, 1))
    await check(bench, jobs)


@bench_test()
async def wrong(bench):
    """Entries out of range or at removed tokens, commands that are refused, and after each of them one that is right."""
    c = bench.config
    rng, n = bench.rng, min(c.max_rows, 7)
    highest = (1 << c.index_bits) - 1
    good = seeded_table(rng, n, 0.5)
    jobs = pair(good, random_words(rng, c, n, 1))
    for place in {0, n // 2, n - 1}:
        for entry in {min(n, highest), highest}:
            bad = good.copy()
            bad[place] = entry
            x = random_words(rng, c, n, min(2, c.max_words))
            jobs += pair(bad, x)
            jobs += [Job("gather", bad, x), Job("scatter", bad, x), *pair(good, x)]
    # Every entry points to a token that another table's compaction removed, or to the next, which is removed as well.
    jobs += [Job("compact", 0 * good, x), Job("expand", np.minimum(np.arange(n) + 1, n - 1), x), *pair(good, x)]
    # More rows than entries, and fewer.
    jobs += [Job("gather", [n - 1, 0][:n], x), Job("scatter", [n - 1], x), Job("gather", [0] * n, x[:1])]
    wide, long = 1 << c.max_rows.bit_length(), 1 << c.max_words.bit_length()
    refusals = [("gather", n, n, 0), ("compact", n, n, 0), ("expand", n - 1, n, 1), ("expand", n + 1, n, 1)]
    refusals += [("gather", k, 0, 1) for k in {c.max_rows + 1, wide - 1} if c.max_rows < k < wide]
    refusals += [("scatter", 1, k, 1) for k in {c.max_rows + 1, wide - 1} if c.max_rows < k < wide]
    refusals += [("compact", 1, 1, k) for k in {c.max_words + 1, long - 1} if c.max_words < k < long]
    for mode, count, rows, words in refusals:
        if count < wide:
            jobs += [Refused(mode, count, rows, words), Job("expand", good, x), *pair(good, x)]
    await check(bench, jobs)


@bench_test()
async def mixed(bench):
    """Tables of all kinds and lengths one after the other."""
    c = bench.config
    jobs = []
    for _ in range(3):
        n, words = (int(bench.rng.integers(1, most + 1)) for most in (min(c.max_rows, 50), min(c.max_words, 4)))
        x = random_words(bench.rng, c, n, words)
        jobs += pair(seeded_table(bench.rng, n, bench.rng.random()), x)
        order = bench.rng.permutation(n)
        jobs += [Job("gather", order, x), Job("scatter", order, x[order])]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def reset_within_rows(bench):
    """A reset while rows are on their way leaves nothing of them."""
    c = bench.config
    n = min(c.max_rows, 7)
    jobs = pair(seeded_table(bench.rng, n, 0.4), random_words(bench.rng, c, n, c.max_words))
    send(bench, jobs)
    await bench.cycles(bench.component.latency + n * c.max_words // 2)
    await bench.reset()
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def memory(bench):
    """Words come only after they were asked for: a word a cycle all the same, for as many rows as may be in flight."""
    c = bench.config
    n = min(c.max_rows, 30)
    order = bench.rng.permutation(n)
    for words in {1, c.max_words}:
        x = random_words(bench.rng, c, n, words)
        for mode, table in (("compact", seeded_table(bench.rng, n, 0.6)), ("gather", order)):
            await bench.reset()
            await answered(bench, Job(mode, table, x))
    if n * words > 2 and c.rows_in_flight * words > words + ANSWER:
        bench.measure(interval="o_write")
        bench.equal(
            "cycles",
            reorder_cycles([1] * n, words, rows_in_flight=bench.config.rows_in_flight, memory=ANSWER),
            8 + ANSWER + n * words,
        )


class Job:
    """A command, its table and its rows, (rows, words, bytes of a word). Rows are those that entries may point to."""

    refused = False

    def __init__(self, mode, table, x):
        self.mode, self.table, self.x = mode, np.asarray(table, np.int64), x
        self.rows, self.words = x.shape[:2]
        self.count = len(self.table)

    def run(self, kept):
        """What the unit shall do after a compaction that kept ``kept``, and what the next finds kept."""
        self.moves = moves(self.mode, self.table, self.rows, kept)
        if self.mode == "compact":
            kept = self.table == np.arange(self.count)
        return kept

    @property
    def reads(self):
        source = self.moves.source
        return word_addresses(source[source != ZERO], self.words)

    @property
    def data(self):
        """What the memory answers, a row of bytes a word."""
        return self.x.reshape(-1, self.x.shape[2])[self.reads]

    @property
    def writes(self):
        """(addresses, data)."""
        data = np.zeros((len(self.moves.source), *self.x.shape[1:]), np.uint8)
        data[self.moves.source != ZERO] = self.data.reshape(-1, *self.x.shape[1:])
        return word_addresses(self.moves.target, self.words), data.reshape(-1, self.x.shape[2])

    @property
    def status(self):
        return len(self.moves.target), 0, self.moves.index_error, self.moves.root_error

    @property
    def moving(self):
        """The argument of ``ReorderRecoverUnit.cycles``."""
        if self.mode in ("expand", "gather"):
            return np.where(self.moves.source == ZERO, 2, 1).tolist()
        return np.isin(np.arange(self.count), self.moves.source).astype(int).tolist()


class Refused(Job):
    """A command that is not carried out: no table is sent with it."""

    refused = True

    def __init__(self, mode, count, rows, words):
        super().__init__(mode, [], np.zeros((rows, words, 1), np.uint8))
        self.count = count

    def run(self, kept):
        self.moves = moves("gather", [])
        return kept

    data = np.zeros((0, 1), np.uint8)
    writes = np.zeros(0, np.int64), data
    status = 0, 1, 0, 0
    moving = ()


def pair(table, x):
    """Compaction of rows ``x`` by a table, right or wrong, and recovery of what is kept."""
    table = np.asarray(table)
    kept = x[: len(table)][table == np.arange(len(table))]
    return [Job("compact", table, x[: len(table)]), Job("expand", table, np.concatenate([kept, x])[: len(table)])]


def run_all(jobs):
    """``Job.run`` of each in order; none is kept after reset."""
    kept = np.zeros(0, bool)
    for job in jobs:
        kept = job.run(kept)


def commands(c, jobs):
    """Rows of the stream ``i_command``."""
    bits = [2, c.max_rows.bit_length(), c.max_rows.bit_length(), c.max_words.bit_length()]
    return pack(*zip(*((MODES.index(job.mode), job.count, job.rows, job.words) for job in jobs)), widths=bits)


def addressed(c, addresses, words, data=None):
    """Rows of the streams ``o_read`` and, with ``data``, ``o_write``: the last word of each row of ``words`` is marked."""
    fields, widths = [addresses, np.arange(len(addresses)) % max(1, words) == words - 1], [c.address_bits, 1]
    if data is not None:
        fields += list(data.T)
        widths += [min(8, c.width - 8 * k) for k in range((c.width + 7) // 8)]
    return pack(*fields, widths=widths)


def send(bench, jobs):
    run_all(jobs)
    bench.send("i_command", commands(bench.config, jobs))
    bench.send("i_table", [entry for job in jobs for entry in job.table.tolist()])
    for job in jobs:
        if len(job.data):
            bench.send("i_data", job.data)


async def check(bench, jobs):
    """Carry ``jobs`` out with their words ready to be read, and compare every address, word and status."""
    send(bench, jobs)
    await compare(bench, jobs)
    if bench.stall == "none":
        for job, start, end in zip(jobs, bench.transfers("i_command"), bench.transfers("o_status")):
            name = f"cycles of {job.mode}, {job.count} tokens, {job.words} words"
            bench.equal(
                name,
                end - start,
                reorder_cycles(job.moving, job.words, rows_in_flight=bench.config.rows_in_flight, memory=0),
            )


async def compare(bench, jobs):
    """Every read, write and status of ``jobs``."""
    c = bench.config
    reads = [addressed(c, job.reads, job.words) for job in jobs if not job.refused]
    writes = [addressed(c, job.writes[0], job.words, job.writes[1]) for job in jobs if not job.refused]
    names = [f"{job.mode}, {job.count} tokens" for job, rows in zip(jobs, writes) for _ in rows]
    timeout = 4 * max(job.count * max(1, job.words) for job in jobs) + 4000
    for stream, rows in (("o_read", np.concatenate(reads)), ("o_write", np.concatenate(writes))):
        got = await bench.collect(stream, len(rows), more=True, timeout=timeout)
        bench.compare(got, rows, unit=stream, describe=lambda i: names[i])
    bits = [c.max_rows.bit_length(), 1, 1, 1]
    status = await bench.collect("o_status", len(jobs), timeout=timeout)
    expected = pack(*zip(*(job.status for job in jobs)), widths=bits)
    bench.compare(status, expected, unit="statuses", describe=lambda i: f"{jobs[i].mode} of {jobs[i].count} tokens")
    # Each status comes after the last write of all commands up to its own.
    written = np.cumsum([len(job.writes[0]) for job in jobs])
    last = np.concatenate([[-1], bench.transfers("o_write")])[written]
    bench.equal("statuses before the last write", int((bench.transfers("o_status") <= last).sum()), 0)


async def answered(bench, job):
    """Carry ``job`` out on a memory that answers ``ANSWER`` cycles after a read."""
    run_all([job])
    bench.send("i_command", commands(bench.config, [job]))
    bench.send("i_table", job.table)
    data, sent = job.data, 0
    limit = bench.cycle + 100 + 4 * len(data)
    while not len(bench.transfers("o_status")) and bench.cycle < limit:
        await bench.cycles(1)
        asked = len(bench.transfers("o_read"))
        if asked > sent:
            bench.send("i_data", data[sent:asked])
            sent = asked
    await compare(bench, [job])
    spent = bench.transfers("o_status")[0] - bench.transfers("i_command")[0]
    bench.equal(
        "cycles",
        spent,
        reorder_cycles(job.moving, job.words, rows_in_flight=bench.config.rows_in_flight, memory=ANSWER),
    )


def row_words(x, width):
    """Rows (n, d) of FP16 as words (n, words, bytes of a word); the last word is filled up with zeros."""
    bits = np.unpackbits(np.ascontiguousarray(x).view(np.uint8), axis=1, bitorder="little")
    words = -(-bits.shape[1] // width)
    padded = np.zeros((len(x), words * width), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded.reshape(len(x), words, width), axis=2, bitorder="little")


def random_words(rng, c, rows, words):
    """(rows, words, bytes of a word), no two alike as far as that goes."""
    bits = rng.integers(0, 2, (rows, words, c.width), dtype=np.uint8)
    return np.packbits(bits, axis=2, bitorder="little")


def seeded_table(rng, tokens, removed):
    """An index table; about the share ``removed`` of the tokens repeat one that stands anywhere."""
    kept = rng.random(tokens) >= removed
    if tokens and not kept.any():
        kept[rng.integers(tokens)] = True
    table = np.where(kept, np.arange(tokens), rng.choice(np.flatnonzero(kept), tokens) if tokens else 0)
    return check_table(table)
