# SPDX-License-Identifier: Apache-2.0
"""Bench of the score buffer: rows written in any order, every tile and what lies outside read back."""

import numpy as np

from zoetrope.golden.simcore.quantization_engine.score_buffer import read
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack


@bench_test()
async def tiles(bench):
    """Two maps one after the other, each read by every tile and beyond; rows that were not written are important."""
    c, rng = bench.config, bench.rng
    for turn in range(2):
        map, written = rng.integers(0, 2, (c.rows, c.columns)).astype(bool), rng.random(c.rows) < 0.8
        written[0] = True
        bench.set("clear", 1)
        await bench.cycles(1)
        bench.set("clear", 0)
        await write(bench, map, rng.permutation(np.flatnonzero(written)))
        places = np.indices((c.rows, c.columns)).reshape(2, -1)
        await check(bench, map, written, *places[:, rng.permutation(places.shape[1])[:600]])
        bench.equal("error", bench.get("error"), 0)
        if turn == 0:
            bench.measure(latency=("i_read", 0, "o", 0), interval="o")


@bench_test(stalls=("none", "both"))
async def outside(bench):
    """Writes outside are dropped, reads outside find ones, and both are errors."""
    c, rng = bench.config, bench.rng
    map = rng.integers(0, 2, (c.rows, c.columns)).astype(bool)
    await write(bench, map, np.arange(c.rows))
    written = np.ones(c.rows, bool)
    await check(bench, map, written, np.array([0]), np.array([0]))
    bench.equal("error", bench.get("error"), 0)
    cases = [(c.rows, 0), (0, c.columns), (c.rows, c.columns)]
    for row, column in cases:
        await check(bench, map, written, np.array([row]), np.array([column]))
        bench.equal("error", bench.get("error"), 1)
        bench.set("clear", 1)
        await bench.cycles(2)
        bench.set("clear", 0)
        await write(bench, map, np.arange(c.rows))
        bench.equal("error", bench.get("error"), 0)
    await write(bench, np.zeros((c.rows + 1, c.columns), bool), np.array([c.rows]))
    bench.equal("error", bench.get("error"), 1)
    await check(bench, map, written, np.arange(c.rows), np.zeros(c.rows, int))


@bench_test(stalls=("none", "both"))
async def read_while_written(bench):
    """A read that meets the write of its row finds the row before or after it, never a mixture."""
    c = bench.config
    rows = np.arange(60) % c.rows
    ones = np.ones((c.rows, c.columns), bool)
    await write(bench, ones, np.arange(c.rows))
    for k in range(0, len(rows), 2):
        send_rows(bench, ones, rows[k : k + 2])
        bench.send("i_read", packed_places(c, rows[k : k + 2], np.zeros(2, int)))
    got = await bench.collect("o", len(rows))
    lines, bits = read(ones, np.ones(c.rows, bool), rows, np.zeros(len(rows), int))
    bench.compare(got, packed_rows(c, lines, bits), unit="reads")


def send_rows(bench, map, order):
    c = bench.config
    fields = [*map[order].T.astype(np.uint8), order]
    bench.send("i", pack(*fields, widths=[1] * c.columns + [c.rows.bit_length()]))


async def write(bench, map, order):
    there = len(bench.transfers("i")) + len(order)
    send_rows(bench, map, order)
    while len(bench.transfers("i")) < there:
        await bench.cycles(1)
    await bench.cycles(1)


def packed_places(c, row, column):
    return pack(row, column, widths=[c.rows.bit_length(), c.columns.bit_length()])


def packed_rows(c, lines, bits):
    return pack(*lines.T.astype(np.uint8), bits, widths=[1] * (c.columns + 1))


async def check(bench, map, written, row, column):
    c = bench.config
    bench.send("i_read", packed_places(c, row, column))
    lines, bits = read(map, written, row, column)
    got = await bench.collect("o", len(row))
    bench.compare(got, packed_rows(c, lines, bits), unit="reads", describe=lambda i: f"tile {row[i]}, {column[i]}")
