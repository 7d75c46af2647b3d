# SPDX-License-Identifier: Apache-2.0
"""Bench of the scale unit: heads of values and scales of any kind, one after the other, and when they come."""

import numpy as np

from zoetrope.golden.formats import FP32
from zoetrope.golden.simcore.computing_engine.scale_unit import scale_unit
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes, random_pairs
from zoetrope.sim.stimulus.operators import golden_format
from zoetrope.sim.stimulus.outer_product import seeded_tensors

#: Tokens of the clip that a bench takes.
TOKENS = 40


@bench_test()
async def clip(bench):
    """Q by the scales of K, or sums of V's codes by the scales of V; without a clip, of seeded tensors."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    name = "k" if c.values.width == 16 else "v"
    x, q = (tensors[n].reshape(-1, tensors[n].shape[-1])[:TOKENS, : capacity(c)] for n in (name, "q"))
    codes, scales = quantize(x)
    values = np.ascontiguousarray(q).view(np.uint16)
    if c.values.width == 32:
        values = np.cumsum(np.where(codes & 0x80, -(codes & 0x7F).astype(np.float32), codes), axis=0, dtype=np.float32)
        values = values.view(np.uint32)
    await check(bench, [(values, scales.view(np.uint32))] * 2)


@bench_test()
async def random_heads(bench):
    """Any codes, one token and more, every number of channels at the edges of a word, heads without a gap."""
    c = bench.config
    fmt = golden_format(c.values)
    heads = []
    widths = {1, 2, c.lanes - 1, c.lanes, c.lanes + 1, 2 * c.lanes, 2 * c.lanes + 1, capacity(c) - 1, capacity(c)}
    for d in sorted(width for width in widths if 0 < width <= capacity(c)):
        for tokens in (1, 2, 5):
            a, b = random_pairs(bench.rng, fmt, d, FP32)
            more = random_codes(bench.rng, fmt, (tokens - 1) * d)
            values = np.concatenate([a, more]).astype(dtype(c)).reshape(tokens, d)
            heads.append((values, b.astype(np.uint32)))
    await check(bench, [heads[k] for k in bench.rng.permutation(len(heads))])


@bench_test(stalls=("none",))
async def flags(bench):
    """Scales beyond the last word are dropped and flagged; a result that is no number is flagged, one beyond d is not."""
    c = bench.config
    full = capacity(c)
    one = 0x3C00 if c.values.width == 16 else 0x3F800000
    values = np.full((2, full), one, dtype(c))
    scales = random_codes(bench.rng, FP32, full + 1).astype(np.uint32) & 0x3FFFFFFF
    await check(bench, [(values, scales)])
    bench.equal("too_long", bench.get("too_long"), 1)
    bench.set("clear", 1)
    await bench.cycles(2)
    bench.set("clear", 0)
    await bench.cycles(1)
    bench.equal("too_long after clear", bench.get("too_long"), 0)
    values[1, -1] = golden_format(c.values).inf
    await check(bench, [(values[:1], scales[:full])])
    bench.equal("not_finite", bench.get("not_finite"), 0)
    await check(bench, [(values, scales[:full])])
    bench.equal("not_finite", bench.get("not_finite"), 1)


@bench_test(stalls=("none",))
async def reset_within_a_head(bench):
    """A reset while scales come, and one while they are in use, leave nothing of them."""
    c = bench.config
    values = random_codes(bench.rng, golden_format(c.values), 2 * capacity(c)).astype(dtype(c)).reshape(2, -1)
    scales = random_codes(bench.rng, FP32, capacity(c)).astype(np.uint32)
    last = np.arange(len(scales)) == len(scales) - 1
    for count in (len(scales) - 1, len(scales)):
        bench.send("i_scale", pack(scales, last, widths=[32, 1])[:count])
        bench.send("i", sent(values, c)[: 2 * c.words - 1])
        await bench.cycles(len(scales) + c.words + 2)
        await bench.reset()
        await check(bench, [(values[:, :1], scales[:1])])


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word a cycle, from head to head too."""
    c = bench.config
    values = random_codes(bench.rng, golden_format(c.values), 40 * capacity(c)).astype(dtype(c)).reshape(40, -1)
    scales = random_codes(bench.rng, FP32, capacity(c)).astype(np.uint32)
    await check(bench, [(values, scales)] * 3)
    bench.measure(latency=("i", 0, "o", 0), interval="o")


async def check(bench, heads):
    """Send pairs of values (tokens, d) and scales (d) or more than there is room for, and compare every word that comes."""
    c = bench.config
    last = [np.arange(scales.size) == scales.size - 1 for _, scales in heads]
    bench.send("i_scale", pack(np.concatenate([s for _, s in heads]), np.concatenate(last), widths=[32, 1]))
    bench.send("i", np.concatenate([sent(values, c) for values, _ in heads]))
    want = [expected(values, scales[: values.shape[1]], c) for values, scales in heads]
    names = [f"{len(v)} tokens of {v.shape[1]} channels" for (v, _), part in zip(heads, want) for _ in part]
    want = np.concatenate(want)
    bench.compare(await bench.collect("o", len(want)), want, unit="words", describe=names.__getitem__)


def sent(values, c):
    """Rows of the stream ``i``; what does not count is NaN and marked as an end."""
    padded, last, end = framed(values, c, golden_format(c.values).nan)
    return pack(*padded.T, end | ~last, widths=[c.values.width] * c.lanes + [1])


def expected(values, scales, c):
    """Rows of the stream ``o``."""
    padded, last, end = framed(scale_unit(values, scales, golden_format(c.values)), c, 0)
    return pack(*padded.T, last, end, widths=[c.values.width] * c.lanes + [1, 1])


def framed(values, c, pad):
    """(words, lanes), whether each is the last of its token, and of all."""
    tokens, d = values.shape
    per_token = -(-d // c.lanes)
    padded = np.full((tokens, per_token * c.lanes), pad, values.dtype)
    padded[:, :d] = values
    place = np.arange(tokens * per_token)
    return padded.reshape(-1, c.lanes), place % per_token == per_token - 1, place == len(place) - 1


def capacity(c):
    return c.words * c.lanes


def dtype(c):
    return np.uint16 if c.values.width == 16 else np.uint32
