# SPDX-License-Identifier: Apache-2.0
"""Bench of the quantization engine: matrices of awkward shapes and contents, tokens of the clip, refused commands."""

import numpy as np

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.orbis.quantization_engine import Job, clip_jobs, normal, special_jobs


@bench_test()
async def matrices(bench):
    """One token, one channel, a word and its neighbours; contents by name; NaN; passes that differ; the clip's tokens."""
    c = bench.config
    rng = bench.rng
    widths = {1, 2, c.lanes - 1, c.lanes, c.lanes + 1, 2 * c.lanes, 2 * c.lanes + 3, c.max_channels}
    jobs = [
        Job(normal(rng, tokens, d), name=f"{tokens} x {d}")
        for tokens in (1, 5)
        for d in sorted(widths)
        if 0 < d <= c.max_channels
    ]
    await check(bench, jobs + special_jobs(rng, c) + clip_jobs(bench.tensors, c))


@bench_test(stalls=("none",))
async def refused(bench):
    """No tokens, no channels, too many of either; and a command that is right after each."""
    c = bench.config
    bad = [
        (0, 1),
        (1, 0),
        (0, 0),
        (c.max_tokens + 1, 1),
        (1, c.max_channels + 1),
        (c.max_tokens + 1, c.max_channels + 1),
    ]
    bad += [(0, c.max_channels + 1)]
    jobs = []
    for shape in bad:
        jobs += [Job(np.zeros((0, 1), np.uint16), claimed=shape), Job(normal(bench.rng, 2, min(3, c.max_channels)))]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def reset_within_a_matrix(bench):
    """A reset in either pass and among the channels leaves nothing behind."""
    c = bench.config
    for part in (3, 2, 1.2):
        job = Job(normal(bench.rng, 9, c.max_channels))
        job.send(bench)
        await bench.cycles(int(job.cycles(c) / part))
        await bench.reset()
        await check(bench, [Job(normal(bench.rng, 3, min(3, c.max_channels)))])


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word a cycle in both passes."""
    c = bench.config
    job = Job(normal(bench.rng, 40, c.max_channels))
    await check(bench, [job])
    count = 40 * c.words
    bench.measure(latency=("i", count, "o", 0), interval=("o", 0, count - 1))


async def check(bench, jobs):
    """Send all jobs back to back; compare codes, channels and statuses, and without stalls the cycles."""
    c = bench.config
    before = [len(bench.transfers(stream)) for stream in ("i_command", "o_status")]
    for job in jobs:
        job.send(bench)
    codes, channels, statuses = zip(*(job.expected(c) for job in jobs))
    for stream, unit, rows in (("o_channels", "channels", channels), ("o", "words", codes)):
        names = [job.name for job, of_job in zip(jobs, rows) for _ in of_job]
        want = np.concatenate(rows)
        got = await bench.collect(stream, len(want), more=True, timeout=100_000)
        bench.compare(got, want, unit=unit, describe=lambda i, names=names: names[i])
    got = await bench.collect("o_status", len(jobs))
    bench.compare(got, np.array(statuses, np.uint8)[:, None], unit="statuses", describe=lambda i: jobs[i].name)
    if bench.stall == "none":
        begun, ended = (bench.transfers(stream)[n:] for stream, n in zip(("i_command", "o_status"), before))
        for job, start, end in zip(jobs, begun, ended):
            bench.equal(f"cycles of {job.name}", end - start, job.cycles(c))
