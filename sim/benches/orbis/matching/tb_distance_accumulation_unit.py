# SPDX-License-Identifier: Apache-2.0
"""Bench of the distance accumulation unit: tokens of every length it folds, extremes, and channels that do not count."""

import numpy as np

from zoetrope.golden.orbis.matching.distance_accumulation_unit import distance_accumulation_unit
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.orbis.distance_accumulation_unit import random_tokens, rows
from zoetrope.sim.stimulus.outer_product import seeded_tensors


@bench_test()
async def corners(bench):
    """The largest distance, the least, one channel at a time, and every difference of two codes."""
    c = bench.config
    largest = (1 << c.weight_bits) - 1
    shape = c.max_channels
    tokens = [
        ("opposite ends", np.full((c.src_lanes, shape), 7), np.full((c.dst_lanes, shape), -7), np.full(shape, largest)),
        ("opposite ends", np.full((c.src_lanes, shape), -7), np.full((c.dst_lanes, shape), 7), np.full(shape, largest)),
        ("equal", np.full((c.src_lanes, shape), -7), np.full((c.dst_lanes, shape), -7), np.full(shape, largest)),
        ("dead channels", np.full((c.src_lanes, shape), 7), np.full((c.dst_lanes, shape), -7), np.zeros(shape, int)),
    ]
    for channel in range(min(c.channel_lanes, c.max_channels)):
        weights = np.zeros(shape, int) if c.form != "word" else np.ones(shape, int)
        weights[channel] = largest if c.form != "word" else 1
        tokens.append((f"channel {channel}", *random_tokens(bench.rng, c, shape)[:2], weights))
    values = np.arange(-7, 8)
    for a in values:
        for first in range(0, 15, c.dst_lanes):
            dst = np.resize(np.roll(values, -first), c.dst_lanes)[:, None]
            weights = np.array([bench.rng.integers(largest // 2, largest + 1)])
            tokens.append((f"{a} - {dst[:, 0].tolist()}", np.full((c.src_lanes, 1), a), dst, weights))
    await check(bench, tokens)


@bench_test()
async def random(bench):
    """Random tokens of 1 to the most channels, back to back."""
    c = bench.config
    lengths = [*range(1, min(c.max_channels, 40) + 1), *bench.rng.integers(1, c.max_channels + 1, 40)]
    await check(bench, [(f"{n} channels", *random_tokens(bench.rng, c, int(n))) for n in lengths])
    bench.measure(interval="i")


@bench_test(stalls=("none",))
async def clip(bench):
    """Codes of V, of the clip where there is one, and how long one word takes."""
    c = bench.config
    count = c.src_lanes + c.dst_lanes
    v = (bench.tensors or seeded_tensors(bench.rng))["v"]
    codes = quantize(v.reshape(-1, v.shape[-1])[:, : c.max_channels])[0].astype(int)
    tokens = []
    for start in range(0, 40 * count, count):
        chosen = codes[np.arange(start, start + count) % len(codes)]
        src, dst = chosen[: c.src_lanes], chosen[c.src_lanes :]
        tokens.append((f"tokens from {start}", src, dst, random_tokens(bench.rng, c, codes.shape[1])[2]))
    one = tokens[0][1][:, :1], tokens[0][2][:, :1], tokens[0][3][:1]
    await check(bench, [("one word", *one), *tokens])
    bench.measure(latency=("i", 0, "o", 0))


async def check(bench, tokens):
    """Send all (name, src, dst, weights) back to back and compare the distances."""
    c = bench.config
    bench.send("i", np.concatenate([rows(c, *operands) for _, *operands in tokens]))
    distances = np.stack([distance_accumulation_unit(*operands).ravel() for _, *operands in tokens])
    expected = pack(*distances.T, widths=[c.distance_bits] * c.src_lanes * c.dst_lanes)
    got = await bench.collect("o", len(expected))
    bench.compare(got, expected, unit="sets of distances", describe=lambda i: tokens[i][0])
