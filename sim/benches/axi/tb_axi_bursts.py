"""Bench of the burst splitter: every corner of address and length, then random commands all over the address space."""

import numpy as np

from zoetrope.golden.axi.axi_bursts import OKAY, bursts, refusal
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.axi import ARENA, arguments, command_rows, labelled_commands, random_commands


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


def anywhere(rng, c, count):
    """Random commands in several places of the address space."""
    cases = []
    pages = rng.integers(0, ((1 << c.address_bits) - ARENA) // 4096, 3).tolist()
    for page in [0, ((1 << c.address_bits) - ARENA) // 4096, *pages]:
        cases += random_commands(rng, c, 4096 * page, count // 5)
    return [case for case in cases if case[2] < 1 << c.length_bits]


async def check(bench, cases):
    c = bench.config
    expected, names = expected_rows(c, cases)
    bench.send("i", command_rows(c, cases))
    got = await bench.collect("o", len(expected))
    bench.compare(without_refused(c, got), expected, unit="bursts", describe=lambda i: names[i])


def widths(c):
    return [c.address_bits, max(1, c.burst_bits), 1, max(1, c.element_bits), 3]


def expected_rows(c, cases):
    """Rows of ``o``, of a refused command all but ``last`` and ``cause`` 0, and the name of the command of each."""
    fields, names = [], []
    for name, address, length in cases:
        found = bursts(address, length, burst=c.burst, **arguments(c))
        for k, (start, words) in enumerate(found.tolist()):
            fields.append((start, words - 1, k == len(found) - 1, length % c.elements, OKAY))
        if not len(found):
            fields.append((0, 0, 1, 0, refusal(address, length, **arguments(c))))
        names += [name] * max(1, len(found))
    columns = [np.array(column, np.uint64) for column in zip(*fields)]
    return pack(*columns, widths=widths(c)), names


def without_refused(c, rows):
    """The rows as they came, but 0 where a refused command has nothing to say."""
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    start = sum(widths(c)[:-1])
    refused = bits[:, start : start + 3].any(axis=1)
    kept = np.zeros(bits.shape[1], bool)
    kept[sum(widths(c)[:2])] = True
    kept[start : start + 3] = True
    bits[np.ix_(refused, ~kept)] = 0
    return np.packbits(bits, axis=1, bitorder="little")
