# SPDX-License-Identifier: Apache-2.0
"""Bench of the prediction unit: heads of every awkward shape, their scores on the way to the SFU, and their maps."""

from types import SimpleNamespace

import numpy as np

from zoetrope.golden.formats import FP16, fp16, fp32
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_p, reduced_product
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes, inverse, means
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion
from zoetrope.golden.softmax.sfu import sfu
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.quantization_engine import Prediction, frame_cycles
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors

P = 0.65


@bench_test()
async def heads(bench):
    """Heads back to back: ragged frames, frames of one token, one frame, text, p of 0 and 1, as many tiles as fit."""
    c, rng = bench.config, bench.rng
    d, n = min(c.max_channels, 20), min(c.max_rows, 5)
    shapes = [(1, 1, 1), (2 * n, n, d), (2 * n + 1, n, d), (n, n, max(1, d - 1)), (3, 1, min(2, d))]
    jobs = [
        Head(c, *normal(rng, m, channels), rows, P, text=bool(k % 2)) for k, (m, rows, channels) in enumerate(shapes)
    ]
    jobs += [Head(c, *normal(rng, 3 * n, d), n, p) for p in (0.0, 1.0)]
    jobs += [Head(c, *normal(rng, c.max_tiles - text, min(3, d)), 1, 0.05, text=text) for text in (False, True)]
    await check(bench, jobs)


@bench_test(stalls=("none", "both"))
async def errors(bench):
    """NaN, infinities, N = 0, p above 1, more frames than tiles: an error, a defined map, and the next job is right."""
    c, rng = bench.config, bench.rng
    d, n = min(c.max_channels, 7), min(c.max_rows, 3)
    right = Head(c, *normal(rng, 2 * n, d), n, P)
    jobs = [right]
    for matrix, code in ((0, FP16.nan), (1, FP16.inf)):
        pair = normal(rng, 3 * n, d)
        pair[matrix][n, 0] = code
        jobs += [Head(c, *pair, n, P, text=True), right]
    jobs += [Head(c, *normal(rng, 3, d), 1, P, rows_sent=0), right]
    jobs += [Head(c, *normal(rng, n, d), n, P, p_sent=(2 << c.p_bits) - 1), right]
    for extra, text in ((2, False), (0, True)):
        jobs.append(Head(c, *normal(rng, c.max_tiles + extra, min(3, d)), 1, 0.05, text=text))
    await check(bench, [*jobs, right])


@bench_test(stalls=("none", "both"))
async def clip(bench):
    """Frames of 48 tokens of the clip, p = 0.65; without stalls each takes the cycles that the formula says."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    d = min(c.max_channels, tensors["q"].shape[2])
    rows = min(c.max_rows, tensors["q"].shape[1], 48)
    frames = min(c.max_tiles, 4)
    q, k = (tensors[name][:, :rows, :d].reshape(-1, d)[: frames * rows] for name in "qk")
    head = Head(c, q, k, rows, P)
    await check(bench, [head])
    if bench.stall == "none" and not c.sfu_inside and head.frames > 3:
        ends = bench.transfers("o_scores")[-(-head.frames // c.sfu.lanes) - 1 :: -(-head.frames // c.sfu.lanes)]
        stated = frame_cycles(rows, d, head.frames, head.frames, Prediction.of(bench.config))
        bench.equal("cycles of a frame", int(ends[2] - ends[1]), max(stated))


@bench_test(stalls=("none",))
async def reset_within_a_head(bench):
    """A reset while K comes, while Q comes and while rows are sorted leaves nothing of the head."""
    c, rng = bench.config, bench.rng
    d, n = min(c.max_channels, 7), min(c.max_rows, 3)
    head = Head(c, *normal(rng, 3 * n, d), n, P, text=True)
    words = len(head.sent(c))
    for part in (words // 4, 3 * words // 4, words):
        bench.send("i_job", head.job(c))
        bench.send("i", head.sent(c)[:part])
        await bench.cycles(2 * words + 40)
        await bench.reset()
    await check(bench, [head])


class Head:
    """Q and K of a head, the job that is sent for it, and all that should come."""

    def __init__(self, c, q, k, rows, p, text=False, rows_sent=None, p_sent=None):
        self.q, self.k, self.rows, self.text = as_codes(q), as_codes(k), rows, text
        self.frames = min(-(-len(self.k) // rows), c.max_tiles)
        self.sent_p = proportion(p, c.p_bits) if p_sent is None else p_sent
        self.sent_rows = rows if rows_sent is None else rows_sent
        self.scale = fp32(np.array([1 / np.sqrt(self.q.shape[1])]))[0]
        self.error = rows_sent is not None or p_sent is not None
        self._expect(c, 1.0 if p_sent is not None else p)

    def _expect(self, c, p):
        # Frames of K that there is no room for are not there; rows of Q neither, but for the scores that are sent.
        kept = self.k[: self.frames * self.rows]
        self.error |= (
            len(kept) < len(self.k) or max(-(-len(x) // self.rows) for x in (self.q, kept)) + self.text > c.max_tiles
        )
        self.z = reduced_product(means(self.q, self.rows)[0], means(kept, self.rows)[0])
        running = c.sfu.add_stages
        self.probabilities, self.reciprocals = sfu(self.z, self.scale, lanes=c.sfu.lanes, running=running)
        found = importance_of_p(
            self.q, kept, self.rows, p, text=self.text, lanes=c.sfu.lanes, running=running, p_bits=c.p_bits
        )
        self.map = found.map[: c.max_tiles, : c.max_tiles]
        self.error |= found.error

    def job(self, c):
        ragged = [inverse(len(x) % self.rows or self.rows) for x in (self.k, self.q)]
        fields = [self.sent_rows, self.q.shape[1], inverse(self.rows), *ragged, self.scale, self.sent_p, self.text]
        widths = [c.max_rows.bit_length(), c.max_channels.bit_length(), 32, 32, 32, 32, c.p_bits + 1, 1]
        return pack(*([value] for value in fields), widths=widths)

    def sent(self, c):
        return np.concatenate([self._matrix(c, x) for x in (self.k, self.q)])

    def _matrix(self, c, x):
        words = -(-x.shape[1] // c.lanes)
        padded = np.full((len(x), words * c.lanes), FP16.nan, np.uint16)
        padded[:, : x.shape[1]] = x
        last = np.repeat(np.arange(len(x)) == len(x) - 1, words)
        return pack(*padded.reshape(-1, c.lanes).T, last, widths=[16] * c.lanes + [1])

    def scores(self, c):
        """Words of ``o_scores``; what is in a word beyond ``count`` is not compared."""
        lanes, (rows, n) = c.sfu.lanes, self.z.shape
        words = -(-n // lanes)
        padded = np.zeros((rows, words * lanes), np.uint32)
        padded[:, :n] = self.z
        return SimpleNamespace(values=padded.reshape(-1, lanes), **self._framing(lanes, rows, n))

    def results(self, c):
        """Words of ``i_probabilities``."""
        lanes, (rows, n) = c.sfu.lanes, self.z.shape
        words = -(-n // lanes)
        padded = np.zeros((rows, words * lanes), np.uint16)
        padded[:, :n] = self.probabilities
        frame = self._framing(lanes, rows, n)
        zeros, inverse = np.zeros(rows * words, int), np.repeat(self.reciprocals, words)
        fields = [*padded.reshape(-1, lanes).T, frame["count"], frame["last"], zeros, inverse]
        return pack(*fields, widths=[16] * lanes + [lanes.bit_length(), 1, 1, 32])

    def _framing(self, lanes, rows, n):
        words = -(-n // lanes)
        last = np.tile(np.arange(words) == words - 1, rows)
        return {"count": np.where(last, n - (words - 1) * lanes, lanes), "last": last}


async def check(bench, jobs):
    """Each job after the other: its scores, its size and error, every row of its map."""
    c = bench.config
    for job in jobs:
        bench.send("i_job", job.job(c))
        bench.send("i", job.sent(c))
        if not c.sfu_inside:
            bench.send("i_probabilities", job.results(c))
            await check_scores(bench, job)
        got = await bench.collect("o_map", 1, timeout=40_000)
        bits = c.max_tiles.bit_length()
        bench.compare(got, pack(*([x] for x in (*job.map.shape, job.error)), widths=[bits, bits, 1]), unit="maps")
        await check_map(bench, job)
        bench.equal("error", bench.get("error"), int(job.error))
        bench.set("clear", 1)
        await bench.cycles(2)
        bench.set("clear", 0)


async def check_scores(bench, job, config=None):
    """The words to the SFU; ``config`` of the unit where it is a part of another block."""
    c = config or bench.config
    lanes, expected = c.sfu.lanes, job.scores(c)
    got = await bench.collect("o_scores", len(expected.count), timeout=40_000)
    beyond = np.arange(lanes) >= expected.count[:, None]
    raw = np.ascontiguousarray(got[:, : 4 * lanes]).view("<u4")
    scales = np.full(len(got), job.scale)
    fields = [*np.where(beyond, raw, expected.values).T, expected.count, expected.last, np.ones(len(got), int), scales]
    bench.compare(got, pack(*fields, widths=[32] * lanes + [lanes.bit_length(), 1, 1, 32]), unit="words of scores")


async def check_map(bench, job, config=None):
    c = config or bench.config
    bits = c.max_tiles.bit_length()
    rows, columns = job.map.shape
    bench.send("i_read", pack(np.arange(rows), np.zeros(rows, int), widths=[bits, bits]))
    lines = np.zeros((rows, c.max_tiles), np.uint8)
    lines[:, :columns] = job.map
    lines[: job.text] = 1  # the text's row has no end
    got = await bench.collect("o", rows)
    bench.compare(got, pack(*lines.T, lines[:, 0], widths=[1] * (c.max_tiles + 1)), unit="rows of tiles")


def normal(rng, tokens, channels):
    """Q and K, codes, spread enough that softmax has large and small results."""
    return [fp16(rng.standard_normal((tokens, channels)) * 3).view(np.uint16) for _ in range(2)]
