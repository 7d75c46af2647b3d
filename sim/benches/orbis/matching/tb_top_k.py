"""Bench of the top-k unit: every awkward n and k, ties, distances of the clip, refused commands; all cycles counted."""

import numpy as np

from zoetrope.golden.orbis.matching.top_k import top_k
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack


@bench_test()
async def sizes(bench):
    """n of 0, 1, a row and its neighbours, and no multiple of anything, each with k of 0, 1, n and between."""
    c = bench.config
    counts = {0, 1, 2, c.lanes - 1, c.lanes, c.lanes + 1, 3 * c.lanes + 1, 5 * c.lanes, min(47, c.max_entries)}
    counts = sorted(n for n in counts if n <= c.max_entries)
    await check(
        bench, [entries(bench.rng, c, n, k) for n in counts for k in sorted({0, 1, n // 3, n - 1, n}) if 0 <= k <= n]
    )


@bench_test()
async def kinds(bench):
    """Keys equal, in order, in reverse, of two values, the greatest there are; and those of the clip."""
    c = bench.config
    n = min(c.max_entries, 6 * c.lanes + 1)
    jobs = [
        Job(c, keys, index_of(bench.rng, c, n, name), k) for name, keys in kinds_of(c, n).items() for k in (n, n // 2)
    ]
    jobs += [Job(c, keys, np.arange(len(keys)), len(keys) // 2) for keys in clip_keys(bench.tensors, c)]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def refused(bench):
    """Too many entries, too great a k, both; and a command that is right after each."""
    c = bench.config
    most = (1 << c.count_bits) - 1
    jobs = []
    for n, k in ((c.max_entries + 1, 1), (1, 2), (0, 1), (c.max_entries + 1, most), (most, 0)):
        jobs += [Job(c, np.zeros(0), np.zeros(0), k, claimed=n), entries(bench.rng, c, min(5, c.max_entries), 2)]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def reset_within_a_pass(bench):
    """A reset among entries, in a pass and on the way out leaves nothing of them."""
    c = bench.config
    n = min(c.max_entries, 9 * c.lanes)
    for cycles in (n // 2, (n + c.cycles(n, n)) // 2 - n // 4, c.cycles(n, n) - n // 2):
        job = entries(bench.rng, c, n, n)
        job.send(bench)
        await bench.cycles(cycles)
        await bench.reset()
        await check(bench, [entries(bench.rng, c, min(7, n), min(4, n))])


@bench_test(stalls=("none",))
async def most(bench):
    """As many entries as the unit holds: all of them, and a few."""
    c = bench.config
    await check(bench, [entries(bench.rng, c, c.max_entries, k) for k in (c.max_entries, min(3, c.max_entries))])
    if c.max_entries > 1:
        bench.measure(interval=("o", 0, c.max_entries - 1))


class Job:
    """A command, its entries, and what comes of it."""

    def __init__(self, c, keys, index, k, claimed=None):
        self.config, self.k = c, k
        self.keys, self.index = np.asarray(keys, np.uint64), np.asarray(index, np.uint64)
        self.payload = (self.index * np.uint64(7) + np.uint64(3)) & np.uint64((1 << c.payload_bits) - 1)
        self.count = len(self.keys) if claimed is None else claimed

    @property
    def name(self):
        return f"{self.count} entries, k = {self.k}"

    @property
    def status(self):
        return (self.count > self.config.max_entries) | (self.k > self.count) << 1

    def command(self):
        return self.count | self.k << self.config.count_bits

    def packed(self, picked=slice(None)):
        """Rows of bytes of the streams of entries."""
        c = self.config
        fields = [part[picked] for part in (self.payload, self.index, self.keys)]
        return pack(*fields, widths=[c.payload_bits, c.index_bits, c.key_bits])

    def expected(self):
        return self.packed(slice(0) if self.status else top_k(self.keys, self.index, self.k))

    def send(self, bench):
        bench.send("i_command", [self.command()])
        bench.send("i", self.packed())


async def check(bench, jobs):
    """Send all jobs back to back; compare results and status of each, and without stalls its cycles."""
    for job in jobs:
        job.send(bench)
    expected = [job.expected() for job in jobs]
    names = [job.name for job, rows in zip(jobs, expected) for _ in rows]
    rows = np.concatenate(expected)
    before = [len(bench.transfers(stream)) for stream in ("i_command", "o_status")]
    patience = 1000 + 3 * max(job.config.cycles(job.count, job.k) for job in jobs)
    got = await bench.collect("o", len(rows), timeout=patience, more=True)
    bench.compare(got, rows, unit="entries", describe=lambda i: names[i])
    status = await bench.collect("o_status", len(jobs), timeout=patience)
    bench.compare(
        status, np.array([[job.status] for job in jobs], np.uint8), unit="statuses", describe=lambda i: jobs[i].name
    )
    if bench.stall == "none":
        begun, ended = (bench.transfers(stream)[n:] for stream, n in zip(("i_command", "o_status"), before))
        for job, start, end in zip(jobs, begun, ended):
            bench.equal(f"cycles of {job.name}", end - start, job.config.cycles(job.count, job.k))


def entries(rng, c, n, k):
    """A job of ``n`` random entries, one in two with a key that others have too."""
    keys = rng.integers(0, (1 << c.key_bits) - 1, n, dtype=np.uint64, endpoint=True)
    few = np.uint64(c.key_bits - min(2, c.key_bits))
    keys = np.where(rng.random(n) < 0.5, keys, keys >> few << few)
    return Job(c, keys, rng.permutation(n), k)


def kinds_of(c, n):
    top = (1 << c.key_bits) - 1
    ramp = np.arange(n, dtype=np.uint64) % (top + 1)
    return {
        "all zero": np.zeros(n),
        "all of the greatest": np.full(n, top, np.uint64),
        "in order": np.sort(ramp),
        "in reverse": np.sort(ramp)[::-1],
        "two in turn": np.where(np.arange(n) % 2, 0, top).astype(np.uint64),
        "least last": np.where(np.arange(n) == n - 1, 0, top).astype(np.uint64),
    }


def index_of(rng, c, n, name):
    """Tokens in ascending order as a matching gives them; in one kind the greatest index there is, as padding has."""
    if name == "all of the greatest":
        return np.uint64((1 << c.index_bits) - 1) - np.arange(n, dtype=np.uint64)
    return np.arange(n) if name != "two in turn" else rng.permutation(n)


def clip_keys(tensors, c):
    """Magnitudes of differences of neighbouring tokens of the clip, as keys: smooth data has many ties."""
    if tensors is None:
        return []
    x = tensors["v"].reshape(-1, tensors["v"].shape[-1])[: min(c.max_entries, 600) + 1].astype(np.float64)
    far = ((x[1:] - x[:-1]) ** 2).sum(axis=1)
    return [np.minimum(far * 4, (1 << c.key_bits) - 1).astype(np.uint64)]
