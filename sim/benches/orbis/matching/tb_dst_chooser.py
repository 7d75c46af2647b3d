# SPDX-License-Identifier: Apache-2.0
"""Bench of the dst chooser: sizes at the edges, seeds, given lists good and bad, refused commands; cycles counted."""

import numpy as np

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.orbis.dst_chooser import Job, as_bytes


@bench_test()
async def drawn(bench):
    """All but one, one, half; sizes around a power of two; seeds 0, 1, the greatest and random ones."""
    most = bench.config.max_tokens
    sizes = {2, 3, 4, 5, 31, 32, 33, 64, 65, 100, most} & set(range(2, most + 1))
    seeds = [0, 1, 0xFFFFFFFF, *bench.rng.integers(0, 1 << 32, 40).tolist()]
    jobs = [(m, k) for m in sorted(sizes) for k in sorted({1, m // 2, m - 1} - {0}) if k * m < 60_000]
    await check(bench, [Job(m, k, seed=seeds[n % len(seeds)]) for n, (m, k) in enumerate(jobs)])


@bench_test()
async def given(bench):
    """Lists in any order; first and last token; out of range by one and by much; a repeat at once, late, and of the last."""
    most, rng = bench.config.max_tokens, bench.rng
    jobs = []
    for tokens in sorted({2, 3, 33, 64, 100, most}):
        if tokens > most:
            continue
        for count in sorted({1, min(40, tokens - 1)}):
            jobs.append(Job(tokens, count, given=rng.permutation(tokens)[:count]))
        jobs.append(Job(tokens, 1, given=[tokens]))
        jobs.append(Job(tokens, 1, given=[(1 << bench.config.count_bits) - 1]))
        if tokens > 3:
            jobs += [Job(tokens, 3, given=bad) for bad in ([0, 0, 1], [tokens - 1, 1, tokens - 1], [2, tokens, 2])]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def refused(bench):
    """No dst, no src, no tokens, too many tokens; and a command that is right after each."""
    most = bench.config.max_tokens
    jobs = []
    for tokens, count in ((most, 0), (most, most), (most, most + 1), (1, 1), (0, 0), (most + 1, 1), (most + 1, 0)):
        jobs += [Job(tokens, count), Job(2, 1, seed=tokens), Job(tokens, count, given=[]), Job(2, 1, given=[1])]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def reset_within_a_choice(bench):
    """A reset while numbers are drawn and while a list is taken leaves nothing behind."""
    most = bench.config.max_tokens
    for job in (Job(most, most - 1, seed=5), Job(most, most - 1, given=np.arange(1, most))):
        job.send(bench)
        await bench.cycles(34 + most // 2)
        await bench.reset()
        await check(bench, [Job(most, 1, seed=6), Job(most, 1, given=[0])])


async def check(bench, jobs):
    """Send all jobs back to back; compare tokens and statuses, and without stalls the cycles."""
    c = bench.config
    before = [len(bench.transfers(stream)) for stream in ("i_command", "o_status")]
    for job in jobs:
        job.send(bench)
    tokens, statuses, cycles = zip(*(job.expected(c) for job in jobs))
    names = [job.name for job, chosen in zip(jobs, tokens) for _ in chosen]
    want = np.array([token for chosen in tokens for token in chosen], np.uint64)
    got = await bench.collect("o", len(want), more=True, timeout=10_000)
    bench.compare(got, as_bytes(want, c.token_bits), unit="tokens", describe=lambda i: names[i])
    got = await bench.collect("o_status", len(jobs), timeout=10_000)
    bench.compare(got, np.array(statuses, np.uint8)[:, None], unit="statuses", describe=lambda i: jobs[i].name)
    if bench.stall == "none":
        begun, ended = (bench.transfers(stream)[n:] for stream, n in zip(("i_command", "o_status"), before))
        for job, start, end, due in zip(jobs, begun, ended, cycles):
            bench.equal(f"cycles of {job.name}", end - start, due)
