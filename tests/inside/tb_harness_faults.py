# SPDX-License-Identifier: Apache-2.0
"""Benches that are wrong themselves, each in the way its name says; the harness must fail them all."""

import numpy as np
from harness_parts import BUGS
from tb_harness_parts import operands

from zoetrope.sim.inside.bench import bench_test

once = bench_test(stalls=("none",))


async def send_and_collect(bench, sent, collected, **how):
    pairs, expected = operands(bench, sent)
    bench.send("i", pairs)
    return await bench.collect("o", collected, **how), expected[:collected]


@once
async def compares_nothing(bench):
    await send_and_collect(bench, 10, 10)


@once
async def collects_too_few(bench):
    bench.compare(*await send_and_collect(bench, 10, 8))


@once
async def collects_too_many(bench):
    await send_and_collect(bench, 10, 11)


@once
async def leaves_some(bench):
    bench.compare(*await send_and_collect(bench, 10, 8, more=True))


@once
async def compares_other_shapes(bench):
    got, expected = await send_and_collect(bench, 10, 10)
    bench.compare(got, expected.astype(np.uint32))


@once
async def shows_the_lane(bench):
    expected = np.zeros((3, 8), np.uint16)
    got = expected.copy()
    got[1, 5] = 0x1234
    bench.compare(got, expected, unit="rows")


@bench_test(stalls=("sink",))
async def sends_in_vain(bench):
    bench.set("bug", BUGS.index("waits"))
    bench.send("i", range(5))
    await bench.cycles(0)


@once
async def names_no_stream(bench):
    bench.send("nothing", [1])


@once
async def sends_too_wide(bench):
    bench.send("i", [1, 1 << 32])


@once
async def raises(bench):
    raise ArithmeticError("of the bench")


@once
async def waits_in_vain(bench):
    await bench.until("count", timeout=100)


@once
async def sets_an_output(bench):
    bench.set("count", 1)


@once
async def measures_too_few(bench):
    bench.compare(*await send_and_collect(bench, 1, 1))
    bench.measure(interval="o")


@once
async def counts_wrong(bench):
    bench.equal("operands taken", bench.get("count"), 3)
