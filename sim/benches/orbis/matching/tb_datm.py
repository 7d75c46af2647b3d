"""Bench of the matching engine: whole jobs, one after the other, in every index, loss, count and address read.

Memory answers in the order of the golden's reads, so an engine that read anything else would be shown wrong by what it
reads and by what comes of it.
"""

import numpy as np

from zoetrope.golden.orbis.matching.datm import weights as weights_of
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.hw.orbis.matching.datm_config import Statistic, Status
from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.stimulus.datm import SINKS, SOURCES, Job, statistics, wrong_statistics
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


def expected_cycles(engine, job):
    """Cycles of each stage of a job, all pairings together."""
    passes = job.found.iterations
    sizes = job.tokens, job.slots, job.channels
    return {
        Statistic.LOAD: passes * engine.load_cycles(job.slots, job.channels),
        Statistic.PAIR: passes * engine.pair_cycles(*sizes),
        Statistic.SUM: (passes - 1) * engine.sum_cycles(job.tokens, job.channels),
        Statistic.UPDATE: (passes - 1) * engine.update_cycles(*sizes),
        Statistic.TOP_K: engine.top_k_cycles(job.tokens, job.slots, job.k),
    }


def corner_jobs(rng, c):
    """Jobs at the limits of ``c`` that a bench runs in a few thousand cycles."""
    tokens, slots = c.max_tokens, c.max_slots
    odd = min(tokens, c.flag_bits + 5)  # a word of flags and a part of one
    few = min(slots, c.tile + 1)  # a tile and a slot of the next
    most = min(slots, odd - 1)
    jobs = [
        random_job(rng, c, 2, 1, pairs=1),
        random_job(rng, c, 2, 1, pairs=0),
        random_job(rng, c, odd, 1, channels=1),
        random_job(rng, c, odd, most, pairs=odd - most),
        random_job(rng, c, tokens, few, cap=2),
        random_job(rng, c, tokens - 1, min(slots, tokens - 2), cap=1, channels=1),
        random_job(rng, c, odd, min(most, 4), spread=2, channels=2, name="ties"),
        random_job(rng, c, odd, min(most, 3), spread=2, eps=0, cap=4, name="cap"),
        random_job(rng, c, odd, min(most, 3), eps=(1 << c.loss_bits) - 1, name="eps"),
    ]
    equal = np.full((odd, c.max_channels), -7)
    jobs.append(Job(equal, odd // 2, dst=[odd - 1, 1][:most], name="all equal"))
    twice = np.repeat(rng.integers(-7, 8, ((odd + 1) // 2, c.max_channels)), 2, axis=0)[:odd]
    jobs.append(Job(twice, 1, dst=list(range(min(most, 3))), cap=5, name="duplicates"))
    return jobs


def random_job(rng, c, tokens, slots, *, channels=None, pairs=None, spread=8, **options):
    channels = channels or c.max_channels
    codes = rng.integers(1 - spread, spread, (tokens, channels))
    dst = rng.permutation(tokens)[:slots].tolist()
    pairs = int(rng.integers(0, tokens - slots + 1)) if pairs is None else pairs
    weights = rng.integers(0, 1 << c.weight_bits, channels)
    settings = {"cap": 3, "name": f"{tokens} tokens, {slots} dst, {channels} channels"} | options
    return Job(codes, pairs, dst=dst, weights=weights, **settings)


def bad(rng, c):
    """A job for every error, given dst of the right and of the wrong length among them, and good ones between."""
    tokens = min(c.max_tokens, 10)
    slots = min(c.max_slots, 4, tokens - 1)
    dst = list(range(slots))
    sizes = {"tokens": tokens, "channels": 1, "dst": dst, "k": 1}

    def job(status, **changes):
        return Job(None, status=status, name=status.name, **(sizes | changes))

    jobs = [
        job(Status.TOKENS, tokens=1),
        job(Status.TOKENS, tokens=0, dst=None, slots=1),
        job(Status.TOKENS, tokens=(1 << c.count_bits) - 1),
        job(Status.CHANNELS, channels=0),
        job(Status.CHANNELS, channels=c.max_channels + 1) if c.max_channels & (c.max_channels + 1) else None,
        job(Status.SLOTS, slots=0, dst=[0, 0, 0]),
        job(Status.SLOTS, slots=tokens),
        job(Status.SLOTS, slots=tokens, dst=None),
        job(Status.PAIRS, k=tokens - slots + 1),
        job(Status.ITERATIONS, cap=0),
        random_job(rng, c, tokens, slots),
        job(Status.LIST, dst=[*dst[:-1], tokens]) if tokens < 1 << c.token_bits else None,
        job(Status.LIST, dst=dst, slots=slots - 1),
        job(Status.LIST, dst=dst[:-1], slots=slots),
        job(Status.LIST, dst=[dst[0], dst[0], *dst[2:]]),
        job(Status.LIST, dst=[*dst[:-1], dst[0]]),
        job(Status.WEIGHTS, weight_count=2),
        job(Status.WEIGHTS, weight_count=1, channels=c.channel_lanes + 1),
        random_job(rng, c, tokens, slots),
    ]
    return [one for one in jobs if one is not None]


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
