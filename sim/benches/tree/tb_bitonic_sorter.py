# SPDX-License-Identifier: Apache-2.0
"""Bench of the bitonic sorter: rows that are equal, sorted, reversed, of two keys, and random ones; scores of the clip."""

import numpy as np

from zoetrope.golden.tree.bitonic_sorter import bitonic_sort
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.bitonic_sorter import as_bitonic, clip_rows, indices, packed, random_rows, special_rows


@bench_test()
async def rows_of_keys(bench):
    c = bench.config
    keys, names = special_rows(c)
    random = random_rows(bench.rng, c, 300)
    keys = np.concatenate([keys, random, clip_rows(bench.tensors, c)])
    names += [f"random {k}" for k in range(len(random))]
    index = indices(bench.rng, c, len(keys))
    payload = bench.rng.integers(0, (1 << c.payload_bits) - 1, keys.shape, dtype=np.uint64, endpoint=True)
    if c.bitonic:
        keys, index = as_bitonic(bench.rng, keys, index, c.descending)
    bench.send("i", packed(c, keys, index, payload))
    got = await bench.collect("o", len(keys))
    expected = packed(c, *bitonic_sort(keys, index, payload, descending=c.descending, bitonic=c.bitonic))
    bench.compare(got, expected, unit="rows", describe=lambda i: names[i] if i < len(names) else "clip")
    bench.measure(latency=("i", 0, "o", 0), interval="o")
