# SPDX-License-Identifier: Apache-2.0
"""Bench of the tile merge unit: slices of every awkward shape, tiles in any order, contents, flags, and cycles."""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP32, fp16, fp32
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.softmax import sfu
from zoetrope.golden.softmax.tile_merge_unit import finish, merge, start
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.softmax import Merge, merge_cycles, merge_gapless
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes
from zoetrope.sim.stimulus.outer_product import seeded_tensors

#: Of the clip: frames, tokens of each, and rows of Q.
FRAMES, TOKENS, ROWS = 3, 40, 4

ONE = 0x3F800000
MINUS_INF = FP32.inf | 1 << 31


class Tile(NamedTuple):
    """Of one row: FP32 codes m_g, l_g and A_g (d,), whether the row begins or ends with it, and what it is called."""

    row: int
    maximum: int
    total: int
    values: np.ndarray
    first: bool
    last: bool
    name: str = ""


@bench_test()
async def clip(bench):
    """Rows of the clip's Q by frames of its K and V, as the SFU and the FP16 array leave them; else of seeded tensors."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    q, k, v = (tensors[name] for name in "qkv")
    d = min(capacity(c), v.shape[-1])
    rows = q.reshape(-1, q.shape[-1])[: min(ROWS, c.rows)].astype(np.float64)
    scale = fp32(np.array([1 / np.sqrt(q.shape[-1])]))
    maxima, sums, values = [], [], []
    for frame in range(min(FRAMES, len(k))):
        scores = fp32(rows @ k[frame, :TOKENS].astype(np.float64).T)
        e, maximum, total = sfu.tile(scores, scale)
        maxima.append(maximum)
        sums.append(total)
        values.append(fp16_pe(e, fp16(v[frame, :TOKENS, :d])))
    await check(bench, by_tiles(maxima, sums, values, "clip"))


@bench_test()
async def slices(bench):
    """One row and all, one tile and many, 1, 63 and 64 channels and every edge of a word; without a gap between them."""
    c, tiles = bench.config, []
    widths = {1, c.lanes - 1, c.lanes, c.lanes + 1, 2 * c.lanes + 1, 63, 64, capacity(c) - 1, capacity(c)}
    for d in sorted(width for width in widths if 0 < width <= capacity(c)):
        for rows, count in ((1, 1), (1, 5), (min(3, c.rows), 2)):
            tiles += seeded(bench.rng, rows, count, d)
    tiles += seeded(bench.rng, c.rows, 2, min(capacity(c), 2 * c.lanes))
    tiles += seeded(bench.rng, c.rows, 1, 1)
    await check(bench, tiles)


@bench_test()
async def any_order(bench):
    """Tiles of rows at random, the same one again and again too; rows begun anew before they were sent."""
    c, rng = bench.config, bench.rng
    tiles = []
    for d in (min(capacity(c), 3 * c.lanes), 1, min(capacity(c), c.lanes + 1)):
        begun = set()
        for _ in range(50):
            row = int(rng.integers(min(3, c.rows)))
            first, last = row not in begun or rng.random() < 0.1, rng.random() < 0.3
            tiles.append(tile(rng, row, d, first, last))
            (begun.discard if last else begun.add)(row)
    await check(bench, tiles)
    bench.equal("wrong_length", bench.get("wrong_length"), 0)


@bench_test()
async def contents(bench):
    """Masked tiles, infinities, NaN, extreme maxima, equal ones and zeros of both signs; and codes of any kind."""
    c, rng = bench.config, bench.rng
    d = min(capacity(c), c.lanes + 1)
    tiles = []
    for name, (maxima, sums, values) in special_rows().items():
        for k, (m, total, value) in enumerate(zip(maxima, sums, values)):
            codes = np.full(d, value, np.uint32)
            codes[1:] = rng.permutation(seeded(rng, 1, 1, d)[0].values)[1:] if m != MINUS_INF else 0
            tiles.append(Tile(0, m, total, codes, k == 0, k == len(maxima) - 1, name))
    for _ in range(40):
        count = int(rng.integers(1, 4))
        m, total = (random_codes(rng, FP32, count).astype(np.uint32) for _ in range(2))
        values = random_codes(rng, FP32, count * d).astype(np.uint32).reshape(count, 1, d)
        tiles += by_tiles(m[:, None], total[:, None], values, "any codes")
    await check(bench, tiles)


@bench_test(stalls=("none",))
async def flags(bench):
    """A result that is no number; more words than there is room for; another number of channels than before."""
    c, rng = bench.config, bench.rng
    await check(bench, seeded(rng, 1, 2, capacity(c)))
    bench.equal("not_finite", bench.get("not_finite"), 0)
    bench.equal("wrong_length", bench.get("wrong_length"), 0)
    await check(bench, [Tile(0, ONE, ONE, np.array([FP32.inf], np.uint32), True, True)])
    bench.equal("not_finite", bench.get("not_finite"), 1)
    await clear(bench)
    bench.equal("not_finite after clear", bench.get("not_finite"), 0)

    long = tile(rng, 0, capacity(c) + c.lanes, True, True)
    bench.send("i_tile", sent_tiles([long], c))
    bench.send("i", sent_words([long], c))
    await check(bench, [], expected([long._replace(values=long.values[: capacity(c)])], c))
    bench.equal("wrong_length of a long row", bench.get("wrong_length"), 1)
    await clear(bench)

    if capacity(c) > 1:
        tiles = [tile(rng, 0, 1, True, False), tile(rng, 0, 2, False, True)]
        bench.send("i_tile", sent_tiles(tiles, c))
        bench.send("i", sent_words(tiles, c))
        await bench.collect("o", -(-2 // c.lanes))
        bench.equal("wrong_length of unequal tiles", bench.get("wrong_length"), 1)
        await clear(bench)
    await check(bench, seeded(rng, 1, 2, 1))
    bench.equal("wrong_length after clear", bench.get("wrong_length"), 0)


@bench_test(stalls=("none",))
async def reset_within_a_slice(bench):
    """A reset while tiles are merged, and one while results leave, leave nothing of them."""
    c = bench.config
    d = min(capacity(c), 3 * c.lanes)
    for tiles in (seeded(bench.rng, 1, 3, d)[:-1], seeded(bench.rng, c.rows, 1, d)):
        bench.send("i_tile", sent_tiles(tiles, c))
        bench.send("i", sent_words(tiles, c))
        await bench.cycles(2 * c.factor_cycle + 2 * c.words)
        await bench.reset()
        await check(bench, seeded(bench.rng, 1, 2, d))


@bench_test(stalls=("none",))
async def throughput(bench):
    """Slices take the cycles that ``merge_cycles`` says: a word a cycle where it says so."""
    c, unit = bench.config, Merge.of(bench.config)
    gapless = merge_gapless(unit)
    for words in sorted({1, 2, gapless - 1, gapless}):
        for rows, tiles in ((1, 1), (1, 6), (2, 3), (c.rows, 3)):
            if words > c.words or rows > c.rows or rows * tiles * words > 300:
                continue
            await bench.reset()
            await check(bench, seeded(bench.rng, rows, tiles, words * c.lanes))
            shape = f"{rows} rows, {tiles} tiles, {words} words"
            cycles = bench.transfers("o")[-1] - bench.transfers("i_tile")[0]
            bench.equal(f"cycles of {shape}", cycles, merge_cycles(rows, tiles, words, unit))
            if words >= gapless and tiles > 1:
                bench.measure(interval=("i", 0, rows * words * (tiles - 1) - 1))
            if (rows, tiles, words) == (1, 1, 1):
                bench.measure(latency=("i_tile", 0, "o", 0))


async def clear(bench):
    bench.set("clear", 1)
    await bench.cycles(2)
    bench.set("clear", 0)
    await bench.cycles(1)


async def check(bench, tiles, want=None):
    """Send tiles back to back and compare every word of the rows that end."""
    c = bench.config
    if tiles:
        bench.send("i_tile", sent_tiles(tiles, c))
        bench.send("i", sent_words(tiles, c))
    want = expected(tiles, c) if want is None else want
    sent = [(t, -(-len(t.values) // c.lanes)) for t in tiles if t.last]
    names = [f"{t.name or 'seeded'}, row {t.row}, {len(t.values)} channels" for t, words in sent for _ in range(words)]
    got = await bench.collect("o", len(want))
    bench.compare(got, want, unit="words", describe=names.__getitem__ if names else None)


def sent_tiles(tiles, c):
    """Rows of the stream ``i_tile``."""
    fields = [np.array([getattr(t, name) for t in tiles]) for name in ("row", "maximum", "total", "first", "last")]
    return pack(*fields, widths=[c.row_bits, 32, 32, 1, 1])


def sent_words(tiles, c):
    """Rows of the stream ``i``; values that do not count are NaN, and a count that does not is 0."""
    full = (1 << c.lanes.bit_length()) - 1
    return np.concatenate([_words(t.values, c, FP32.nan, 32, full, 0) for t in tiles])


def expected(tiles, c):
    """Rows of the stream ``o``."""
    states, rows = {}, []
    for t in tiles:
        before = start(1, len(t.values)) if t.first else states[t.row]
        one = (np.array([x], np.uint32) for x in (t.maximum, t.total, t.values))
        states[t.row] = merge(before, *one)
        if t.last:
            rows.append(_words(finish(states[t.row])[0], c, 0, 16, c.lanes, c.lanes, t.row))
    return np.concatenate(rows)


def _words(values, c, pad, width, full, between, *row):
    """Words of a row; ``full`` is the count of a full last word, ``between`` that of all others."""
    words = -(-len(values) // c.lanes)
    padded = np.full(words * c.lanes, pad, np.uint32)
    padded[: len(values)] = values
    last = np.arange(words) == words - 1
    rest = len(values) - (words - 1) * c.lanes
    fields = [*padded.reshape(words, c.lanes).T, np.where(last, rest if rest < c.lanes else full, between), last]
    widths = [width] * c.lanes + [c.lanes.bit_length(), 1]
    if row:
        fields, widths = [*fields, np.full(words, row[0])], [*widths, c.row_bits]
    return pack(*fields, widths=widths)


def by_tiles(maxima, sums, values, name=""):
    """Tiles of a slice, (tiles, rows) and (tiles, rows, d) FP32 codes, in the order of tiles."""
    count = len(maxima)
    return [
        Tile(r, int(maxima[g][r]), int(sums[g][r]), values[g][r], g == 0, g == count - 1, name)
        for g in range(count)
        for r in range(len(maxima[g]))
    ]


def seeded(rng, rows, tiles, d):
    """A slice as softmax makes it: normal maxima, sums of at least 1, values of that size."""
    return [tile(rng, r, d, g == 0, g == tiles - 1) for g in range(tiles) for r in range(rows)]


def tile(rng, row, d, first, last):
    m, total = 3 * rng.standard_normal(), rng.uniform(1, 50)
    numbers = fp32(np.concatenate([[m, total], total * rng.standard_normal(d)]))
    return Tile(row, int(numbers[0]), int(numbers[1]), numbers[2:], first, last)


def special_rows():
    """(m_g, l_g, a value of A_g) by tile, FP32 codes, by name."""
    inf, nan, two, minus_zero, most, least = FP32.inf, FP32.nan, 0x40000000, 1 << 31, 0x7F7FFFFF, 0xFF7FFFFF
    return {
        "one tile": ([ONE], [two], [ONE]),
        "one masked tile": ([MINUS_INF], [0], [0]),
        "all masked": ([MINUS_INF] * 3, [0] * 3, [0] * 3),
        "masked, then not": ([MINUS_INF, ONE], [0, two], [0, ONE]),
        "not, then masked": ([ONE, MINUS_INF], [two, 0], [ONE, 0]),
        "masked between": ([ONE, MINUS_INF, two], [two, 0, ONE], [ONE, 0, ONE]),
        "equal maxima": ([ONE] * 3, [ONE, two, ONE], [ONE, two, minus_zero]),
        "rising maxima": ([minus_zero | ONE, 0, ONE], [ONE] * 3, [ONE] * 3),
        "zeros of both signs": ([minus_zero, 0, minus_zero], [ONE] * 3, [minus_zero, 0, minus_zero]),
        "a NaN tile": ([ONE, nan, ONE], [ONE, nan, ONE], [ONE, nan, ONE]),
        "a NaN maximum first": ([nan, ONE], [ONE, ONE], [ONE, ONE]),
        "a NaN maximum only": ([0xFFC12345], [ONE], [ONE]),
        "a NaN sum": ([ONE, ONE], [0x7F800001, ONE], [ONE, ONE]),
        "a NaN value": ([ONE, two], [ONE, ONE], [0xFF812345, ONE]),
        "+inf maxima": ([inf, ONE, inf], [ONE] * 3, [ONE] * 3),
        "inf - inf": ([ONE] * 2, [ONE] * 2, [inf, MINUS_INF]),
        "an infinite sum": ([ONE], [inf], [ONE]),
        "a sum of 0 with values": ([ONE], [0], [ONE]),
        "the whole range of maxima": ([least, most, least], [ONE] * 3, [ONE] * 3),
        "subnormal weights": ([0, 0x42BC0000], [ONE] * 2, [most, ONE]),
        "a subnormal sum": ([0], [1], [1]),
        "results beyond FP16": ([ONE], [ONE], [0x47800000]),
        "subnormal results": ([ONE], [ONE], [0x36000000]),
    }


def capacity(c):
    return c.words * c.lanes
