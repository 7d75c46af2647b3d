# SPDX-License-Identifier: Apache-2.0
"""Bench of the top-k unit: every awkward n and k, ties, distances of the clip, refused commands; all cycles counted."""

import numpy as np

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.orbis.top_k import Job, clip_keys, entries, index_of, kinds_of


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
    whole = entries(bench.rng, c, n, n).cycles
    for cycles in (n // 2, (n + whole) // 2 - n // 4, whole - n // 2):
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


async def check(bench, jobs):
    """Send all jobs back to back; compare results and status of each, and without stalls its cycles."""
    for job in jobs:
        job.send(bench)
    expected = [job.expected() for job in jobs]
    names = [job.name for job, rows in zip(jobs, expected) for _ in rows]
    rows = np.concatenate(expected)
    before = [len(bench.transfers(stream)) for stream in ("i_command", "o_status")]
    patience = 1000 + 3 * max(job.cycles for job in jobs)
    got = await bench.collect("o", len(rows), timeout=patience, more=True)
    bench.compare(got, rows, unit="entries", describe=lambda i: names[i])
    status = await bench.collect("o_status", len(jobs), timeout=patience)
    bench.compare(
        status, np.array([[job.status] for job in jobs], np.uint8), unit="statuses", describe=lambda i: jobs[i].name
    )
    if bench.stall == "none":
        begun, ended = (bench.transfers(stream)[n:] for stream, n in zip(("i_command", "o_status"), before))
        for job, start, end in zip(jobs, begun, ended):
            bench.equal(f"cycles of {job.name}", end - start, job.cycles)
