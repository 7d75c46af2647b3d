# SPDX-License-Identifier: Apache-2.0
"""Bench of the special function unit: rows of every awkward length and content, their results, and when they come."""

import numpy as np

from zoetrope.golden import formats
from zoetrope.golden.formats import FP32, fp16, fp32
from zoetrope.golden.softmax.sfu import sfu, tile
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.softmax import gapless_words, row_interval
from zoetrope.sim.packing import pack

ONE = np.uint32(0x3F800000)

#: A standard deviation of scores for which some exponentials are subnormal in FP16 and some are zero.
SPREAD = 5.0


@bench_test()
async def lengths(bench):
    """0, 1, a word and its neighbours, 26, a prime, the longest, and one and two words more; then one that is right."""
    c = bench.config
    longest = c.max_row
    counts = [0, 1, c.lanes - 1, c.lanes, c.lanes + 1, 26, 47, longest - 1, longest, longest + 1]
    counts += [3, longest + 2 * c.lanes, longest]
    counts = [n for n in counts if n <= longest + 2 * c.lanes]
    rows = [Row(scores(bench.rng, c, n), normalise=bool(k % 2), scale=scale_of(k)) for k, n in enumerate(counts)]
    if c.tiles:
        rows += [Row(scores(bench.rng, c, n), scale=scale_of(k), tile=True) for k, n in enumerate(counts)]
    await check(bench, rows)


@bench_test()
async def contents(bench):
    """Rows that softmax must not get wrong, in both modes, among ordinary ones; and rows that end with an empty word."""
    c = bench.config
    rows = [
        Row(codes, normalise=normalise, scale=scale_of(1), name=name)
        for name, codes in special_rows(c).items()
        for normalise in (False, True)
    ]
    if c.tiles:
        rows += [Row(codes, scale=scale_of(1), name=name, tile=True) for name, codes in special_rows(c).items()]
    full = c.max_row // c.lanes
    for words in {1, min(5, full), full} if full else ():
        rows += [Row(scores(bench.rng, c, words * c.lanes), scale=scale_of(1), empty_end=True)]
    await check(bench, rows)


@bench_test()
async def mixed(bench):
    """Many short rows and some long ones, modes and scales at random: all queues and both buffers fill up."""
    c = bench.config
    short = bench.rng.integers(0, 3 * c.lanes, 60)
    long = bench.rng.integers(0, c.max_row + 1, 3)
    counts = bench.rng.permutation(np.concatenate([short, long])).tolist()
    rows = [
        Row(scores(bench.rng, c, n), bool(bench.rng.integers(2)), scale_of(int(bench.rng.integers(3)))) for n in counts
    ]
    if c.tiles:
        for row in rows:
            row.tile = bool(bench.rng.integers(2))
    await check(bench, rows)


@bench_test(stalls=("none",))
async def reset_within_rows(bench):
    """A reset while a row is in every pass and one has half come leaves nothing of them."""
    c = bench.config
    rows = [Row(scores(bench.rng, c, c.max_row)) for _ in range(3)]
    bench.send("i", np.concatenate([row.sent(c) for row in rows])[:-1])
    await bench.cycles(2 * c.words + bench.component.latency)
    await bench.reset()
    await check(bench, [Row(scores(bench.rng, c, n)) for n in (c.max_row, 1, 0)])


@bench_test(stalls=("none",))
async def throughput(bench):
    """Equal rows: a word a cycle from the first result to the last, or as many rows as ``row_interval`` says."""
    c, unit = bench.config, bench.component
    longest = -(-c.max_row // c.lanes)
    gapless = gapless_words(inverse_latency=c.inverse_latency, rows=c.rows)
    for words in sorted({1, gapless - 1, gapless, gapless + 1, longest} - {0}):
        if words > longest:
            continue
        count = min(words * c.lanes, c.max_row)
        await bench.reset()
        rows = [Row(scores(bench.rng, c, count)) for _ in range(4 if words == longest else 5 * c.rows)]
        await check(bench, rows)
        # Rows leave in groups of c.rows where these are the limit.
        ends = bench.transfers("o")[words - 1 :: words]
        group = c.rows if words < gapless else 1
        periods = (len(ends) - 1) // group
        mean = (ends[periods * group] - ends[0]) / (periods * group)
        stated = row_interval(words, inverse_latency=c.inverse_latency, rows=c.rows)
        bench.equal(f"cycles a row of {words} words", mean, stated)
        first = bench.transfers("o")[0] - bench.transfers("i")[words - 1]
        bench.equal(f"latency of a row of {words} words", first, unit.latency + words - 1)
        if words == 1:
            bench.measure(latency=("i", 0, "o", 0))
    if longest >= gapless:
        bench.measure(interval="o")


class Row:
    """A row of score codes, how it is sent, and what comes back."""

    def __init__(self, codes, normalise=True, scale=ONE, empty_end=False, name="", tile=False):
        self.codes, self.normalise, self.scale, self.empty_end, self.tile = codes, normalise, scale, empty_end, tile
        self.name = name or f"{len(codes)} scores"

    def words(self, lanes):
        return max(1, -(-len(self.codes) // lanes)) + self.empty_end

    def sent(self, c):
        """Rows of bytes of the stream ``i``. What does not count is filled with NaN or says otherwise.

        A full last word has the largest count that the port holds, all others have none and the other mode.
        """
        words = self.words(c.lanes)
        padded = np.full(words * c.lanes, formats.FP16.nan if c.scores.width == 16 else FP32.nan, np.uint32)
        padded[: len(self.codes)] = self.codes
        last = np.arange(words) == words - 1
        rest = len(self.codes) - (words - 1) * c.lanes
        count = np.where(last, rest if rest < c.lanes else (1 << c.lanes.bit_length()) - 1, 0)
        fields = [*padded.reshape(words, c.lanes).T, count, last, np.where(last, self.normalise, not self.normalise)]
        widths = [c.scores.width] * c.lanes + [c.lanes.bit_length(), 1, 1]
        if c.scaled:
            fields, widths = [*fields, np.full(words, self.scale)], [*widths, 32]
        if c.tiles:
            fields, widths = [*fields, np.where(last, self.tile, not self.tile)], [*widths, 1]
        return pack(*fields, widths=widths)

    def expected(self, c):
        """Rows of bytes of the stream ``o``."""
        fmt = getattr(formats, c.scores.name)
        error = len(self.codes) > c.max_row
        order = {"lanes": c.lanes, "running": c.add_stages, "fmt": fmt}
        order |= {"words": self.words(c.lanes), "max_row": c.max_row}
        arguments = self.codes[None], self.scale if c.scaled else None
        results, maximum, total = tile(*arguments, **order)
        reciprocal = total
        if not self.tile:
            results, reciprocal = sfu(*arguments, normalise=self.normalise, **order)
        words = c.words if error else self.words(c.lanes)
        padded = np.zeros(words * c.lanes, np.uint16)
        padded[: results.size] = results[0]
        last = np.arange(words) == words - 1
        count = np.where(last, results.size - (words - 1) * c.lanes, c.lanes)
        fields = [*padded.reshape(words, c.lanes).T, count, last, np.full(words, error), np.repeat(reciprocal, words)]
        fields += [np.repeat(maximum, words)] if c.tiles else []
        return pack(*fields, widths=[16] * c.lanes + [c.lanes.bit_length(), 1, 1, 32] + [32] * c.tiles)


async def check(bench, rows):
    """Send ``rows`` back to back and compare every word that comes."""
    c = bench.config
    bench.send("i", np.concatenate([row.sent(c) for row in rows]))
    expected = [row.expected(c) for row in rows]
    names = [row.name for row, words in zip(rows, expected) for _ in words]
    words = np.concatenate(expected)
    got = await bench.collect("o", len(words), timeout=4 * c.words + 2000)
    bench.compare(got, words, unit="words", describe=lambda i: names[i])


def scores(rng, c, count):
    """Normal scores as codes of the config's format."""
    values = rng.standard_normal(count) * SPREAD
    return (fp16 if c.scores.width == 16 else fp32)(values)


def scale_of(k):
    """1, 1/8 for d = 64, or -1/sqrt(128), which is no power of two, and turns the order round."""
    return fp32(np.array([1.0, 0.125, -1 / np.sqrt(128)]))[k % 3]


def special_rows(c):
    """Codes of rows by name. Values are for a scale of 1/8 where there is one."""
    encode, unit = (fp16 if c.scores.width == 16 else fp32), 8.0 if c.scaled else 1.0
    n = min(c.max_row, 3 * c.lanes + 1)
    ramp = np.linspace(-9, 1, n)

    def with_one(value, place):
        row = ramp.copy()
        row[place] = value
        return row

    inf, nan = np.inf, np.nan
    values = {
        "one": np.array([3.0]),
        "one -inf": np.array([-inf]),
        "all equal": np.full(n, -2.5),
        "all zero, both signs": np.where(np.arange(n) % 2, 0.0, -0.0),
        "all -inf": np.full(n, -inf),
        "all but one -inf": np.where(np.arange(n) == n - 1, -7.0, -inf),
        "some -inf": with_one(-inf, slice(1, None, 2)),
        "a +inf": with_one(inf, n // 2),
        "all +inf": np.full(n, inf),
        "+inf and -inf": np.where(np.arange(n) % 2, inf, -inf),
        "a NaN first": with_one(nan, 0),
        "a NaN last": with_one(nan, -1),
        "a NaN among -inf": np.where(np.arange(n) == n // 2, nan, -inf),
        "huge spread": np.where(np.arange(n) == n // 2, 3000.0, -3000.0),
        "subnormal results": np.concatenate([[0.0], np.full(n - 1, -12.5)]),
        "the least results": np.concatenate([[0.0], np.linspace(-18, -16, n - 1)]),
        "large and negative": np.linspace(-60, -50, n) * 100,
    }
    return {name: encode(row * unit) for name, row in values.items()}
