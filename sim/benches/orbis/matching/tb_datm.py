# SPDX-License-Identifier: Apache-2.0
"""Bench of the matching engine: whole jobs, one after the other, in every index, loss, count and address read.

Memory answers in the order of the golden's reads, so an engine that read anything else would be shown wrong by what it
reads and by what comes of it.
"""

import numpy as np

from zoetrope.golden.orbis.matching.datm import weights as weights_of
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.hw.orbis.matching.datm_config import Statistic
from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.stimulus.orbis.datm import (
    SINKS,
    SOURCES,
    Job,
    bad,
    corner_jobs,
    expected_cycles,
    random_job,
    statistics,
    wrong_statistics,
)
from zoetrope.sim.stimulus.outer_product import seeded_tensors


@bench_test()
async def corners(bench):
    """Sizes at their limits and beside them, ties of every kind, the cap, and a convergence by eps."""
    await check(bench, corner_jobs(bench.rng, bench.config))


@bench_test()
async def clip(bench):
    """Tokens of V, of the clip where there is one, dst chosen by seed. A clip's only token has itself for a pair."""
    c = bench.config
    v = (bench.tensors or seeded_tensors(bench.rng))["v"]
    x = v.reshape(-1, v.shape[-1])[: c.max_tokens, : c.max_channels]
    x = x.repeat(2, axis=0) if len(x) == 1 else x
    codes, amax = quantize(x)
    tokens = len(codes)
    slots = min(max(1, tokens // 8), c.max_slots)
    job = Job(codes, tokens // 2, slots=slots, seed=2026, weights=weights_of(amax, c.weight_bits), cap=5, name="clip")
    await check(bench, [job])


@bench_test()
async def bad_jobs(bench):
    """Every error has its status, nothing else comes, and the job behind it is right."""
    await check(bench, bad(bench.rng, bench.config))
    bench.equal("idle", bench.get("idle"), 1)


@bench_test(stalls=("none",))
async def reset_within_a_job(bench):
    """A reset in the middle of a pass leaves nothing behind."""
    c = bench.config
    first, second = (random_job(bench.rng, c, c.max_tokens, min(5, c.max_slots)) for _ in range(2))
    send(bench, [first])
    await bench.cycles(300)
    await bench.reset()
    await check(bench, [second])


@bench_test(stalls=("none",))
async def cycles(bench):
    """Each stage takes as long as the engine says, where the search for src does not meet a run of dst at an end."""
    c, engine = bench.config, bench.component
    tokens = c.max_tokens
    jobs = [random_job(bench.rng, c, tokens, slots) for slots in sorted({1, min(tokens // 2, c.max_slots)})]
    jobs = [
        Job(job.codes, job.k, dst=list(range(1, 2 * job.slots, 2)), weights=job.weights, cap=1) for job in jobs
    ] + jobs
    for job, words in zip(jobs, await check(bench, jobs)):
        got = {kind: value for kind, value, _ in words}
        words = -(-job.channels // c.channel_lanes)
        busy = (tokens - job.slots) * -(-job.slots // c.dst_lanes) * words * job.found.iterations
        bench.row.utilisation = busy / got[Statistic.PAIR]  # of the distance lanes, in the pairing pass
        # What the search may cost: nothing in the first jobs, where every other token is a dst.
        search = 0 if job.cap == 1 else -(-tokens // c.flag_bits) * (len(range(0, job.slots, c.tile)) + 1)
        for kind, expected in expected_cycles(engine, job).items():
            # The top-k unit takes a src a cycle, so it waits for each word of flags without one.
            slack = tokens // c.flag_bits if kind == Statistic.TOP_K else search * job.found.iterations
            if not expected <= got[kind] <= expected + slack:
                raise BenchError(f"{kind.name}, {job.name}: {got[kind]} cycles, the engine says {expected}")


def send(bench, jobs):
    for name, rows in SOURCES.items():
        bench.send(name, np.concatenate([rows(job, bench.config) for job in jobs]))


async def check(bench, jobs):
    """Run ``jobs`` back to back, compare all that comes, and return the statistics of each as (kind, value, last)."""
    c = bench.config
    send(bench, jobs)
    counts = [len(job.statistics()) for job in jobs]
    patience = 200 * c.max_tokens + 5000
    got = statistics(await bench.collect("o_stats", sum(counts), timeout=patience), c)
    for name, rows in SINKS.items():
        expected = [rows(job, c) for job in jobs]
        names = [job.name for job, part in zip(jobs, expected) for _ in part]
        rows = np.concatenate(expected)
        bench.compare(await bench.collect(name, len(rows)), rows, unit=name, describe=lambda i, names=names: names[i])
    wrong = wrong_statistics(got, jobs)
    if wrong:
        raise BenchError("\n".join([f"{len(wrong)} of {len(got)} statistics differ", *wrong[:4]]))
    ends = np.cumsum(counts)
    return [got[end - count : end] for count, end in zip(counts, ends)]
