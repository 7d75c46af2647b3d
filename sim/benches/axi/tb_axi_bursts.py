# SPDX-License-Identifier: Apache-2.0
"""Bench of the burst splitter: every corner of address and length, then random commands all over the address space."""

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.axi import ARENA, command_rows, labelled_commands
from zoetrope.sim.stimulus.axi_bursts import anywhere, expected_rows, without_refused


@bench_test()
async def corners(bench):
    c = bench.config
    await check(bench, [*labelled_commands(c, 0), *labelled_commands(c, (1 << c.address_bits) - ARENA)])


@bench_test()
async def random(bench):
    await check(bench, anywhere(bench.rng, bench.config, 150))


@bench_test(stalls=("none",))
async def throughput(bench):
    """Commands of one, two and more bursts, back to back: a burst a cycle."""
    c = bench.config
    size = c.burst * c.elements
    cases = [("", 4096 * (k % 12), size * (1 + k % 3)) for k in range(20)]  # within 64 KiB
    await check(bench, cases)
    bench.measure(latency=("i", 0, "o", 0), interval="o")


async def check(bench, cases):
    c = bench.config
    expected, names = expected_rows(c, cases)
    bench.send("i", command_rows(c, cases))
    got = await bench.collect("o", len(expected))
    bench.compare(without_refused(c, got), expected, unit="bursts", describe=lambda i: names[i])
