# SPDX-License-Identifier: Apache-2.0
"""Bench of the key stream: tokens of every width in words of operands, in FP16 or as codes; flags, cycles."""

import numpy as np

from zoetrope.golden.memory.words import words
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors
from zoetrope.sim.stimulus.tokens import finite, of_memory, sent_codes, to_encode


@bench_test()
async def clip(bench):
    """Tokens of the clip's K; without a clip, of seeded tensors."""
    c = bench.config
    k = (bench.tensors or seeded_tensors(bench.rng))["k"]
    await check(bench, np.ascontiguousarray(k.reshape(-1, k.shape[-1])[:40, : c.max_channels]).view(np.uint16))


@bench_test()
async def widths(bench):
    """Tokens of 1 channel, of all, and of every edge of a word of memory and of operands."""
    c = bench.config
    edges = {1, c.max_channels - 1, c.max_channels}
    for size in (c.lanes, c.load_lanes):
        edges |= {size - 1, size, size + 1, 2 * size + 1}
    for d in sorted(d for d in edges if 0 < d <= c.max_channels):
        await check(bench, finite(bench.rng, 2 * c.max_tokens + 1 if c.max_tokens < 9 else 9, d))


@bench_test(stalls=("none",))
async def no_numbers(bench):
    """NaN and infinities are flagged, those behind the last channel are not looked at and not kept."""
    c = bench.config
    d = c.max_channels - (c.max_channels % c.lanes == 0 and c.lanes > 1)
    keys = finite(bench.rng, 1, d)
    await check(bench, keys, behind=0x7C00)
    bench.equal("not_finite", bench.get("not_finite"), 0)
    for code in (0x7C00, 0xFC00, 0x7E00):
        for channel in (0, d - 1):
            await bench.reset()
            wrong = keys.copy()
            wrong[0, channel] = code
            await check(bench, wrong)
            bench.equal(f"not_finite with {code:#x} in channel {channel}", bench.get("not_finite"), 1)


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word of memory a cycle; a word of operands follows its last part in ``latency`` cycles."""
    c = bench.config
    stream = "i_codes" if c.codes else "i_data"
    await check(bench, finite(bench.rng, 20, c.max_channels))
    bench.measure(interval=stream)
    await bench.reset()
    await check(bench, finite(bench.rng, 1, 1))
    bench.measure(latency=(stream, 0, "o", 0))


async def check(bench, keys, behind=0):
    """Send tokens (n, d) of FP16 codes and compare the words of operands."""
    bench.set("head", head(bench.config, keys.shape[1]))
    send(bench, keys, behind)
    await compare(bench, keys)


def send(bench, keys, behind=0):
    c = bench.config
    bench.send("i_data", of_memory(keys, c.lanes, behind))
    if c.codes:
        bench.send("i_codes", sent_codes(keys & 0xFF, c.lanes))


async def compare(bench, keys):
    c = bench.config
    if c.codes:
        want = to_encode(keys, c.lanes)
        bench.compare(await bench.collect("o_encode", len(want), more=True), want, unit="words to be coded")
    values = words((keys & 0xFF).astype(np.uint8) if c.codes else keys, c.load_lanes)
    want = pack(*values.reshape(-1, c.load_lanes).T, widths=[8 if c.codes else 16] * c.load_lanes)
    names = [f"{keys.shape[1]} channels, token {t}, word {w}" for t in range(len(keys)) for w in range(values.shape[1])]
    bench.compare(await bench.collect("o", len(want)), want, unit="words", describe=names.__getitem__)


def head(c, channels):
    return integer(c.head_layout, channels=channels, words=-(-channels // c.lanes))
