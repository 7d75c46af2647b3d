# SPDX-License-Identifier: Apache-2.0
"""Bench of recovery: a memory of rows behind its streams, tables of every kind, errors, and cycles."""

import contextlib

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from zoetrope.golden.simcore.sparsification_engine.recovery import copies, recovery
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.sparsification_engine import recovery_cycles
from zoetrope.sim.packing import pack, unpack

OKAY, SLVERR = 0, 4


class Job:
    """Rows of A, an index table, and all that should come."""

    def __init__(self, c, table, rows, address=0x1000, pitch=None, causes=None):
        self.c, self.table, self.rows, self.address = c, np.asarray(table), rows, address
        self.words = -(-rows.shape[1] // c.lanes)
        self.pitch = pitch or self.words
        self.copies = copies(self.table)
        self.causes = np.zeros(len(self.copies.target), int) if causes is None else causes
        self.error = bool(self.causes.any())

    @property
    def channels(self):
        return self.rows.shape[1]

    def job(self, **wrong):
        c = self.c
        values = {"tokens": len(self.table), "words": self.pitch, "channels": self.channels, "address": self.address}
        widths = [field.width for _, field in c.job_layout]
        return pack(*([(values | wrong)[name]] for name, _ in c.job_layout), widths=widths)

    def commands(self, rows):
        addresses = self.address + rows * self.pitch * self.c.word_bytes
        return pack(addresses, np.full(len(rows), self.channels), widths=[self.c.address_bits, self.c.length_bits])

    def data(self):
        """The rows read, in words; rows that are read are never written."""
        padded = np.zeros((len(self.copies.source), self.words * self.c.lanes), np.uint16)
        padded[:, : self.channels] = self.rows[self.copies.source]
        last = np.tile(np.arange(self.words) == self.words - 1, len(padded))
        return pack(*padded.reshape(-1, self.c.lanes).T, last, widths=[16] * self.c.lanes + [1])

    def done(self):
        found = self.copies
        return pack([len(found.target)], [self.error], [found.index_error], widths=[self.c.tokens.bit_length(), 1, 1])


@bench_test()
async def tables(bench):
    """Nothing copied, all from one row, pairs, seeded roots, one token, none; rows of one channel and of all."""
    c, rng = bench.config, bench.rng
    n = min(c.tokens, 23)
    given = [np.arange(n), np.full(n, n // 2), np.arange(n) // 2 * 2, seeded(rng, n, 0.3), [0], [], seeded(rng, n, 0.9)]
    channels = [c.max_channels, 1, c.max_channels, min(c.max_channels, c.lanes + 1)]
    jobs = [Job(c, table, values(rng, len(table), channels[k % 4])) for k, table in enumerate(given)]
    jobs.append(Job(c, seeded(rng, n, 0.5), values(rng, n, 1), address=0x2040, pitch=c.max_words))
    for job in jobs:
        await check(bench, job)


@bench_test()
async def clip(bench):
    """The table of frames of the clip; without a clip, a seeded one. Recovered rows are those of the golden."""
    c = bench.config
    if bench.tensors is None:
        table = seeded(bench.rng, min(c.tokens, 60), 0.3)
    else:
        q, (_, height, width) = bench.tensors["q"][:3], bench.tensors["grid"].tolist()
        q = q.reshape(len(q), height, width, -1)[:, :4, :5]
        table = sparsify(q.reshape(len(q), -1, q.shape[-1]), q.shape[:3], tau=2.5).table
    job = Job(c, table, values(bench.rng, len(table), min(c.max_channels, 64)))
    written = await check(bench, job)
    memory = job.rows.copy()
    memory[job.copies.target] = written
    bench.compare(memory, recovery(job.rows, table), unit="rows of A")


@bench_test(stalls=("none", "both"))
async def what_must_not_be(bench):
    """Writes that fail, entries that are no token, rows that do not fit: errors, no hang, and the next job is right."""
    c, rng = bench.config, bench.rng
    n = min(c.tokens, 9)
    table = seeded(rng, n, 0.6)
    rows = values(rng, n, c.max_channels)
    right = Job(c, table, rows)
    causes = np.where(np.arange(len(right.copies.target)) == 1, SLVERR, OKAY)
    beyond = table.copy()
    beyond[[1, n - 1]] = n, (1 << c.table.width) - 1
    for job in (Job(c, table, rows, causes=causes), right, Job(c, beyond, rows), right):
        await check(bench, job)
    for channels in (0, c.max_channels + 1):
        bench.send("i_job", right.job(channels=channels))
        got = await bench.collect("o_done", 1)
        bench.compare(got, pack([0], [1], [0], widths=[c.tokens.bit_length(), 1, 1]), unit="ends")
    await check(bench, right)


@bench_test(stalls=("none",))
async def reset_within_a_job(bench):
    """A reset while rows are on their way leaves nothing of them."""
    c, rng = bench.config, bench.rng
    n = min(c.tokens, 20)
    job = Job(c, seeded(rng, n, 0.5), values(rng, n, c.max_channels))
    for cycles in (5, 15, 40):
        with index_buffer(bench, job.table):
            bench.send("i_job", job.job())
            bench.send("i_data", job.data())
            await bench.cycles(cycles)
            await bench.reset()
    await check(bench, job)


@bench_test(stalls=("none",))
async def cycles(bench):
    """Jobs of few and many copies, of short and long rows, take the cycles that the component says."""
    c, rng = bench.config, bench.rng
    n = min(c.tokens, 60)
    for channels in sorted({1, c.max_channels, *(min(c.max_channels, k * c.lanes) for k in (2, 3))}):
        for share in (0.0, 0.1, 0.5, 1.0):
            job = Job(c, seeded(rng, n, share), values(rng, n, channels))
            await bench.reset()
            await check(bench, job)
            moving = job.table != np.arange(n)
            taken = int(bench.transfers("o_done")[0] - bench.transfers("i_job")[0])
            stated = recovery_cycles(moving, job.words, rows_in_flight=bench.config.rows_in_flight)
            bench.equal(f"cycles of {moving.sum()} rows", taken, stated)
            if share == 1.0:
                bench.measure(busy=int(moving.sum()) * job.words)


@contextlib.contextmanager
def index_buffer(bench, table):
    """The memory of the table at the read port; its port is lent to another now and then, but without stalls."""
    task = cocotb.start_soon(_serve(bench, [int(entry) for entry in table] or [0]))
    try:
        yield
    finally:
        task.cancel()


async def _serve(bench, table):
    dut, rng = bench.dut, np.random.default_rng(len(table))
    ready = False
    while True:
        await RisingEdge(dut.clk)
        read = ready and int(dut.r_en.value)
        # What is not read is not there either: all ones.
        dut.r_data.value = table[int(dut.r_addr.value)] if read else (1 << bench.config.table.width) - 1
        ready = bench.stall == "none" or bool(rng.random() < 0.7)
        dut.r_ready.value = ready


async def check(bench, job):
    """One job, all that it sends and says compared. Returns the rows written, ``uint16`` (rows, channels)."""
    c, found = bench.config, job.copies
    rows = len(found.target)
    with index_buffer(bench, job.table):
        bench.send("i_data", job.data())
        bench.send("i_status", pack(job.causes, widths=[3]))
        await bench.cycles(1)
        bench.send("i_job", job.job())
        got = await bench.collect("o_done", 1)
        bench.compare(got, job.done(), unit="ends")
    if not rows:
        return np.zeros((0, job.channels), np.uint16)
    bench.compare(await bench.collect("o_read_command", rows), job.commands(found.source), unit="reads")
    bench.compare(await bench.collect("o_write_command", rows), job.commands(found.target), unit="writes")
    got = await bench.collect("o_write_data", rows * job.words)
    bench.compare(got, job.data(), unit="words")
    return unpack_words(c, got).reshape(rows, -1)[:, : job.channels]


def unpack_words(c, got):
    return np.stack(unpack(got, [16] * c.lanes + [1])[:-1], axis=1).astype(np.uint16)


def seeded(rng, n, share):
    """An index table: about ``share`` of the tokens, but the first, repeat a kept one before or behind them."""
    kept = rng.random(n) >= share
    kept[0] = True
    return np.where(kept, np.arange(n), rng.choice(np.flatnonzero(kept), n))


def values(rng, rows, channels):
    return rng.integers(0, 1 << 16, (rows, channels)).astype(np.uint16)
