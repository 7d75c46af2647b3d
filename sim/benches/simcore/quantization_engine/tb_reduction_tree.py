# SPDX-License-Identifier: Apache-2.0
"""Bench of the reduction tree: matrices of every awkward shape back to back, what is not finite, and when sums come."""

import numpy as np

from zoetrope.golden.formats import FP16
from zoetrope.golden.simcore.quantization_engine.reduction_tree import inverse, reduction_tree
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.quantization_engine import reduction_cycles
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes
from zoetrope.sim.stimulus.outer_product import seeded_tensors

_INF, _NAN = FP16.inf, FP16.nan


@bench_test()
async def shapes(bench):
    """1 row, 1 channel, one word and its neighbours, one row a sum, sums of the most rows, ragged last sums."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    channels = sorted({1, min(2, d), min(c.lanes, d), min(c.lanes + 1, d), max(1, d - 1), d})
    most = min(c.max_rows, 9)
    matrices = [Matrix(finite(rng, (m, n)), N) for n in channels for m, N in ((1, 1), (5, 1), (2 * most, most))]
    matrices += [Matrix(finite(rng, (2 * most + 1, n)), min(3, c.max_rows)) for n in channels]
    matrices += [Matrix(finite(rng, (m, d)), c.max_rows) for m in (1, min(most, c.max_rows))]
    await check(bench, matrices)


@bench_test()
async def not_finite(bench):
    """NaN and infinities reach their own sums alone; what is beyond the last channel reaches none; errors stick."""
    c, rng = bench.config, bench.rng
    d, rows = c.max_channels, min(2, c.max_rows)
    clean = Matrix(finite(rng, (5, max(1, d - 1))), rows)
    await check(bench, [clean])
    bench.equal("error", bench.get("error"), 0)
    for code in (_INF, _INF | 0x8000, _NAN, 0xFD01):
        x = finite(rng, (5, d))
        x[rng.integers(5), rng.integers(d)] = code
        await check(bench, [Matrix(x, rows), clean])
        bench.equal("error", bench.get("error"), 1)
        await clear(bench)
    x = finite(rng, (4, d))
    x[0], x[1] = _INF, _INF | 0x8000
    await check(bench, [Matrix(x, rows)])
    bench.equal("error", bench.get("error"), 1)


@bench_test(stalls=("none", "both"))
async def impossible_jobs(bench):
    """No rows or no channels count as one, too many as the most; the next job is right."""
    c, rng = bench.config, bench.rng
    right = Matrix(finite(rng, (3, c.max_channels)), 1)
    wrong = [Matrix(finite(rng, (3, c.max_channels)), 1, rows_sent=0), Matrix(finite(rng, (3, 1)), 1, channels_sent=0)]
    if (c.max_rows + 1).bit_length() == c.max_rows.bit_length():
        matrix = finite(rng, (min(c.max_rows, 3), c.max_channels))
        wrong.append(Matrix(matrix, c.max_rows, rows_sent=c.max_rows + 1))
    if (c.max_channels + 1).bit_length() == c.max_channels.bit_length():
        wrong.append(Matrix(finite(rng, (3, c.max_channels)), 1, channels_sent=c.max_channels + 1))
    for matrix in wrong:
        await check(bench, [matrix, right])
        bench.equal("error", bench.get("error"), 1)
        await clear(bench)


@bench_test()
async def clip(bench):
    """Means of frames of the clip's Q and K: a word a cycle, from the first to the last, and the latency."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    channels = min(c.max_channels, tensors["q"].shape[2])
    rows = min(c.max_rows, tensors["q"].shape[1])
    matrices = []
    for name in ("q", "k"):
        x = np.ascontiguousarray(tensors[name][:2, :, :channels]).view(np.uint16).reshape(-1, channels)
        matrices.append(Matrix(x[: max(1, len(x) - 3)], rows))
    await check(bench, matrices)
    if bench.stall == "none":
        ends = bench.transfers("o")[[-len(matrices[1].expected(c)) - 1, -1]]
        stated = reduction_cycles(*matrices[1].x.shape, rows, lanes=c.lanes, outputs=c.outputs)
        bench.equal("cycles of a matrix", ends[1] - ends[0], stated)
    first = matrices[0].words(c) * min(rows, len(matrices[0].x)) - matrices[0].words(c)
    bench.measure(latency=("i", first, "o", 0))
    if c.outputs == c.lanes:
        bench.measure(interval="i")


class Matrix:
    """A matrix of codes (M, d), the rows of a sum, and what the job says where that is wrong."""

    def __init__(self, x, rows, rows_sent=None, channels_sent=None):
        self.x, self.rows = x, rows
        self.rows_sent = rows if rows_sent is None else rows_sent
        self.channels_sent = x.shape[1] if channels_sent is None else channels_sent
        rest = len(x) % rows
        self.factors = inverse(rows), inverse(rest or rows)

    def words(self, c):
        return -(-self.x.shape[1] // c.lanes)

    def job(self, c):
        fields, widths = [self.rows_sent, self.channels_sent], [c.max_rows.bit_length(), c.max_channels.bit_length()]
        if c.scaled:
            fields, widths = [*fields, *self.factors], [*widths, 32, 32]
        return pack(*([value] for value in fields), widths=widths)

    def sent(self, c):
        """Rows of bytes of ``i``; NaN beyond the last channel, and ``last`` anyhow where it does not count."""
        words = self.words(c)
        padded = np.full((len(self.x), words * c.lanes), _NAN, np.uint16)
        padded[:, : self.x.shape[1]] = self.x
        last = np.arange(len(self.x) * words) % 2
        last[::words] = 0
        last[-words] = 1
        return pack(*padded.reshape(-1, c.lanes).T, last, widths=[16] * c.lanes + [1])

    def expected(self, c):
        factors = self.factors if c.scaled else ()
        sums, _ = reduction_tree(self.x, self.rows, *factors)
        words, groups = -(-sums.shape[1] // c.outputs), len(sums)
        padded = np.zeros((groups, words * c.outputs), sums.dtype)
        padded[:, : sums.shape[1]] = sums
        place = np.tile(np.arange(words), groups)
        last = place == words - 1
        count = np.where(last, sums.shape[1] - (words - 1) * c.outputs, c.outputs)
        final = np.repeat(np.arange(groups) == groups - 1, words)
        widths = [c.target.width] * c.outputs + [c.outputs.bit_length(), 1, 1]
        return pack(*padded.reshape(-1, c.outputs).T, count, last, final, widths=widths)


async def check(bench, matrices):
    """Send ``matrices`` back to back and compare every word of their sums."""
    c = bench.config
    bench.send("i_job", np.concatenate([matrix.job(c) for matrix in matrices]))
    bench.send("i", np.concatenate([matrix.sent(c) for matrix in matrices]))
    expected = [matrix.expected(c) for matrix in matrices]
    names = [f"{m.x.shape}, N = {m.rows}" for m, words in zip(matrices, expected) for _ in words]
    words = np.concatenate(expected)
    got = await bench.collect("o", len(words))
    bench.compare(got, words, unit="words", describe=lambda i: names[i])


async def clear(bench):
    bench.set("clear", 1)
    await bench.cycles(2)
    bench.set("clear", 0)
    await bench.cycles(2)
    bench.equal("error", bench.get("error"), 0)


def finite(rng, shape):
    """Random finite FP16 codes of every class."""
    codes = random_codes(rng, FP16, int(np.prod(shape))).astype(np.uint16).reshape(shape)
    return np.where((codes & FP16.inf) == FP16.inf, codes ^ 0x4000, codes)
