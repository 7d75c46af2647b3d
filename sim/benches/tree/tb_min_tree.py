# SPDX-License-Identifier: Apache-2.0
"""Bench of the minimum tree: the least key at every leaf, ties of every pair, then random keys of few and many values."""

import numpy as np

from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_distance
from zoetrope.golden.tree.min_tree import min_tree
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.min_tree import corner_keys
from zoetrope.sim.stimulus.outer_product import seeded_tensors


@bench_test()
async def ties_and_corners(bench):
    """Each leaf alone the least, each pair equal and least, all equal, all padding, FP32's infinity and NaN among keys."""
    await _check(bench, corner_keys(bench.config.leaves, bench.config.width))


@bench_test()
async def random_keys(bench):
    c = bench.config
    few = bench.rng.integers(0, 3, (200, c.leaves), np.uint64)
    greatest = (1 << c.width) - 1
    many = bench.rng.integers(0, greatest, (200, c.leaves), np.uint64, endpoint=True)
    await _check(bench, np.concatenate([few, many]) & np.uint64(greatest))


@bench_test(stalls=("none",))
async def clip_distances(bench):
    """Distances of tokens of the last frame of the clip to as many of the first; without a clip, of seeded tensors."""
    c = bench.config
    q = (bench.tensors or seeded_tensors(bench.rng))["q"]
    leaves = np.arange(c.leaves) % q.shape[1]
    rows = np.arange(min(max(q.shape[1], 2), 40)) % q.shape[1]
    keys = squared_distance(q[-1, rows, None], q[0, leaves])
    await _check(bench, keys.astype(np.uint64) >> np.uint64(max(0, 32 - c.width)))


async def _check(bench, keys):
    c = bench.config
    bench.send("i", pack(*keys.T, widths=[c.width] * c.leaves))
    key, index = min_tree(keys)
    got = await bench.collect("o", len(keys))
    bench.compare(got, pack(key, index, widths=[c.width, c.index_bits]), describe=lambda i: f"keys {keys[i].tolist()}")
    bench.measure(latency=("i", 0, "o", 0), interval="o")
