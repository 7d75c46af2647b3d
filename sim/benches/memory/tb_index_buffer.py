# SPDX-License-Identifier: Apache-2.0
"""Bench of the index buffer: chains of every kind, clips back to back, the table read back, entries that cannot be."""

import numpy as np

from zoetrope.golden.memory.index_buffer import resolve
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors


@bench_test()
async def chains(bench):
    """Matches of the entry just before, of the first, of random ones, and none: one table after another."""
    depth = min(bench.config.depth, 200)
    own = np.arange(depth)
    random = bench.rng.integers(0, own + 1)
    for match in (own, np.maximum(own - 1, 0), np.zeros(depth, int), random, np.maximum(own - 1 - own % 3, 0)):
        await _check(bench, match)
        bench.equal("error", bench.get("error"), 0)
        bench.set("clear", 1)
        await bench.cycles(1)
        bench.set("clear", 0)


@bench_test()
async def clip(bench):
    """The index table of the clip's first frames; without a clip, of seeded tensors."""
    q = (bench.tensors or seeded_tensors(bench.rng))["q"][:8]
    match = sparsify(q, (len(q), 1, q.shape[1]), tau=4.0).match
    match = match[: bench.config.depth]
    await _check(bench, match)
    if len(match) > 1:
        bench.measure(latency=("i", 0, "o", 0), interval="o")


@bench_test(stalls=("none",))
async def impossible_entries(bench):
    """A match of a later token is written as kept; an entry too many comes out as kept; either raises ``error``."""
    c = bench.config
    if c.depth > 1 and 1 << c.index_bits > 2:
        await _check(bench, np.array([0, 2, 1]), np.array([0, 1, 1]))
        bench.equal("error after a match ahead", bench.get("error"), 1)
        await bench.reset()
    if c.depth < 100:
        own = np.arange(c.depth)
        await _check(bench, own)
        bench.equal("error of a full table", bench.get("error"), 0)
        bench.send("i", pack([0], [0], widths=[c.index_bits, c.tag_bits]))
        got = await bench.collect("o", 1)
        extra = c.depth % (1 << c.index_bits)
        bench.compare(got, pack([extra], [1], [0], widths=[c.index_bits, 1, c.tag_bits]))
        bench.equal("error of an entry too many", bench.get("error"), 1)
        await _read(bench, own)


async def _check(bench, match, table=None):
    """Write entries and compare what comes out and what can be read."""
    c = bench.config
    table = resolve(match) if table is None else table
    # A tag may be wider than any integer of NumPy.
    parts = [min(32, c.tag_bits - start) for start in range(0, c.tag_bits, 32)]
    tags = [bench.rng.integers(0, 1 << bits, len(match)) for bits in parts]
    bench.send("i", pack(match, *tags, widths=[c.index_bits, *parts]))
    got = await bench.collect("o", len(match))
    kept = table == np.arange(len(table))
    bench.compare(got, pack(table, kept, *tags, widths=[c.index_bits, 1, *parts]), unit="entries")
    await _read(bench, table[:50])


async def _read(bench, table):
    got = []
    for address in range(len(table)):
        bench.set("r_en", 1)
        bench.set("r_addr", address)
        await bench.cycles(2)
        bench.equal("r_ready of an idle buffer", bench.get("r_ready"), 1)
        got.append(bench.get("r_data"))
    bench.set("r_en", 0)
    bench.compare(np.array(got, np.uint32)[:, None], np.asarray(table, np.uint32)[:, None], unit="entries read")
