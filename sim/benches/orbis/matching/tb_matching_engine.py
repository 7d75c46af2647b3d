# SPDX-License-Identifier: Apache-2.0
"""Bench of the matching engine: whole jobs from FP16 tokens to tables in memory, back to back, with errors in between.

The tokens of all jobs are queued as memory would answer, so an engine that asked for others would be shown wrong by what it
asks for; ``o_write`` is compared word for word with the tables, so nothing is written past their ends.
"""

import numpy as np

from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.model.matching import quantization_of, start_cycles
from zoetrope.sim.stimulus.orbis.datm import statistics, wrong_statistics
from zoetrope.sim.stimulus.orbis.matching_engine import (
    SINKS,
    SOURCES,
    bad_runs,
    corner_runs,
    good,
    random_run,
    wrong_stages,
)
from zoetrope.sim.stimulus.outer_product import seeded_tensors


@bench_test()
async def jobs_of_many_sizes(bench):
    """One channel and all, one dst and all but one, no pairs and all, a ragged last word; contents with ties."""
    await check(bench, corner_runs(bench.rng, bench.config))


@bench_test()
async def clip(bench):
    """Tokens of V, of the clip where there is one, dst chosen by seed. A clip's only token has itself for a pair."""
    c = bench.config
    v = (bench.tensors or seeded_tensors(bench.rng))["v"]
    x = v.reshape(-1, v.shape[-1])[: c.datm.max_tokens, : c.datm.max_channels]
    x = x.repeat(2, axis=0) if len(x) == 1 else x
    slots = min(max(1, len(x) // 8), c.datm.max_slots)
    await check(bench, [good(c, x.view(np.uint16), len(x) // 2, slots=slots, seed=2026, cap=4, name="clip")])


@bench_test()
async def errors(bench):
    """Every error has its status, nothing else comes, and the job behind it is right."""
    await check(bench, bad_runs(bench.rng, bench.config))
    bench.equal("idle", bench.get("idle"), 1)


@bench_test(stalls=("none",))
async def reset_within_a_job(bench):
    """A reset in either pass of the quantization, and one in the matching, leave nothing behind."""
    c = bench.config
    for part in (0.3, 0.8, 1.5):
        first, second = (random_run(bench.rng, c, 12, 3) for _ in range(2))
        send(bench, [first])
        await bench.cycles(int(part * start_cycles(*first.x.shape, quantization_of(c.quantization))))
        await bench.reset()
        await check(bench, [second])


def send(bench, runs):
    for name, rows in SOURCES.items():
        bench.send(name, np.concatenate([rows(run, bench.config) for run in runs]))


async def check(bench, runs):
    """Send all jobs back to back, compare all that comes, and without stalls the cycles."""
    c = bench.config
    before = [len(bench.transfers(stream)) for stream in ("i_job", "o_stats")]
    send(bench, runs)
    counts = [len(run.job.statistics()) for run in runs]
    got = statistics(await bench.collect("o_stats", sum(counts), timeout=200 * c.datm.max_tokens + 5000), c.datm)
    for name, rows in SINKS.items():
        expected = [rows(run, c) for run in runs]
        names = [run.name for run, part in zip(runs, expected) for _ in part]
        rows = np.concatenate(expected)
        bench.compare(await bench.collect(name, len(rows)), rows, unit=name, describe=lambda i, names=names: names[i])
    wrong = wrong_statistics(got, [run.job for run in runs])
    if wrong:
        raise BenchError("\n".join([f"{len(wrong)} of {len(got)} statistics differ", *wrong[:4]]))
    if bench.stall != "none":
        return
    begun, ended = (bench.transfers(stream)[n:] for stream, n in zip(("i_job", "o_stats"), before))
    ends = np.cumsum(counts)
    for run, start, end, count in zip(runs, begun, ends, counts):
        words = got[end - count : end]
        taken, (least, most) = ended[end - 1] - start, run.cycles(c, words)
        if not least <= taken <= most:
            raise BenchError(f"{run.name}: {taken} cycles, the engine says {least} to {most}")
        if wrong := wrong_stages(c, run.job, words):
            raise BenchError("\n".join(wrong))
