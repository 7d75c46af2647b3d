# SPDX-License-Identifier: Apache-2.0
"""Bench of the importance of A's columns: slices of rows of P, in one tile or several, and which columns are taken."""

import numpy as np

from zoetrope.golden.formats import FP16, fp16, fp32
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_a
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes, inverse
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.quantization_engine import tile_cycles
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.outer_product import seeded_tensors

P = 0.65


@bench_test()
async def slices(bench):
    """Slices back to back: one row, column or channel, ragged words and tiles, factors, p of 0 and 1, most channels."""
    c, rng = bench.config, bench.rng
    t, d, most = min(c.max_rows, 5), min(c.max_channels, 20), min(c.max_columns, 30)
    shapes = [(1, 1, 1), (t, most, d), (t, most - 1, max(1, d - 1)), (1, most, min(c.v_lanes, d)), (2, 3, min(2, d))]
    found = [
        Slice(c, *random_slice(rng, *shape), P, tiles=k % 3 + 1, factor=inverse(k + 1))
        for k, shape in enumerate(shapes)
    ]
    found += [Slice(c, *random_slice(rng, t, most, d), p) for p in (0.0, 1.0)]
    found += [Slice(c, *random_slice(rng, min(c.max_rows, 3), most, c.max_channels), 0.2)]
    await check(bench, found)


@bench_test(stalls=("none", "both"))
async def errors(bench):
    """NaN, infinities, scores beyond FP16, nothing where something must be: an error, and the next slice is right."""
    c, rng = bench.config, bench.rng
    t, d, most = min(c.max_rows, 3), min(c.max_channels, 6), min(c.max_columns, 9)
    right = Slice(c, *random_slice(rng, t, most, d), P, tiles=2)
    found = [right]
    for matrix, code in ((0, FP16.nan), (1, FP16.inf)):
        pair = random_slice(rng, t, most, d)
        pair[matrix][0, -1] = code
        found += [Slice(c, *pair, P), right]
    rows, v = random_slice(rng, t, most, d)
    v[:, 0] = 0x7BFF
    found += [Slice(c, np.full_like(rows, 0x4000), v, P), right]
    found += [Slice(c, *random_slice(rng, 1, most, d), P, rows_sent=0), right]
    found += [Slice(c, *random_slice(rng, t, most, 1), P, channels_sent=0), right]
    found += [Slice(c, *random_slice(rng, t, most, d), 1.0, p_sent=(2 << c.p_bits) - 1), right]
    await check(bench, found)


@bench_test(stalls=("none", "both"))
async def clip(bench):
    """Softmax of the first queries of the clip over a frame and a half of keys, in tiles; the cycles of a tile."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    d = min(c.max_channels, tensors["q"].shape[2])
    q, k, v = (tensors[name].reshape(-1, tensors[name].shape[2])[:150, :d] for name in "qkv")
    scores = q[: min(c.max_rows, 16)].astype(np.float64) @ k.astype(np.float64).T / np.sqrt(d)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    tiles = max(4, -(-len(k) // c.max_columns))
    rows = fp16(e / e.sum(axis=1, keepdims=True))
    await check(bench, [Slice(c, rows, v, P, tiles=tiles)])
    if bench.stall == "none":
        part = Slice(c, rows, v, P, tiles=tiles).columns
        words = -(-d // c.v_lanes)
        ends = bench.transfers("i_v")[np.cumsum(part) * words - 1]
        for j in range(1, len(part) - 1):  # sort-and-select takes the last one's scores at its own pace
            stated = tile_cycles(len(rows), part[j], d, lanes=c.lanes, v_lanes=c.v_lanes, add_stages=c.add_stages)
            bench.equal(f"cycles of tile {j}", int(ends[j] - ends[j - 1]), stated)


class Slice:
    """Rows of P, V, the jobs that are sent for them, and what should come."""

    def __init__(self, c, rows, v, p, tiles=1, factor=None, rows_sent=None, channels_sent=None, p_sent=None):
        self.rows, self.v = as_codes(rows), as_codes(v)
        self.factor = int(fp32(1.0)) if factor is None else factor
        columns, tiles = self.rows.shape[1], min(tiles, self.rows.shape[1])
        self.columns = [len(part) for part in np.array_split(np.arange(columns), tiles)]
        self.sent_rows = len(self.rows) if rows_sent is None else rows_sent
        self.sent_channels = self.v.shape[1] if channels_sent is None else channels_sent
        self.sent_p = proportion(p, c.p_bits) if p_sent is None else p_sent
        found = importance_of_a(self.rows, self.v, p, factor=self.factor, p_bits=c.p_bits)
        self.map = found.map
        self.error = found.error or any(x is not None for x in (rows_sent, channels_sent, p_sent))

    def jobs(self, c):
        n = len(self.columns)
        last = np.arange(n) == n - 1
        fields = [
            np.full(n, self.sent_rows),
            self.columns,
            np.full(n, self.sent_channels),
            np.full(n, self.factor),
            np.where(last, self.sent_p, 0),
            last,
        ]
        widths = [c.max_rows.bit_length(), c.max_columns.bit_length(), c.max_channels.bit_length(), 32, c.p_bits + 1, 1]
        return pack(*fields, widths=widths)

    def sent(self, c):
        ends = np.cumsum(self.columns)
        return np.concatenate([self._tile(c, self.rows[:, a:b]) for a, b in zip([0, *ends], ends)])

    def _tile(self, c, x):
        words = -(-x.shape[1] // c.lanes)
        padded = np.full((len(x), words * c.lanes), FP16.nan, np.uint16)
        padded[:, : x.shape[1]] = x
        last = np.repeat(np.arange(len(x)) == len(x) - 1, words)
        return pack(*padded.reshape(-1, c.lanes).T, last, widths=[16] * c.lanes + [1])

    def values(self, c):
        words = -(-self.v.shape[1] // c.v_lanes)
        padded = np.full((len(self.v), words * c.v_lanes), FP16.nan, np.uint16)
        padded[:, : self.v.shape[1]] = self.v
        return pack(*padded.reshape(-1, c.v_lanes).T, widths=[16] * c.v_lanes)

    def expected(self, c):
        bits = np.zeros(c.max_channels, np.uint8)
        bits[: len(self.map)] = self.map
        widths = [1] * c.max_channels + [c.max_channels.bit_length(), 1]
        return pack(*bits[:, None], [len(self.map)], [self.error], widths=widths)


async def check(bench, slices):
    c = bench.config
    for name, sent in (("i_job", Slice.jobs), ("i", Slice.sent), ("i_v", Slice.values)):
        bench.send(name, np.concatenate([sent(x, c) for x in slices]))
    got = await bench.collect("o", len(slices), timeout=60_000)
    names = [f"{x.rows.shape} rows in {len(x.columns)} tiles, {x.v.shape[1]} channels" for x in slices]
    expected = np.concatenate([x.expected(c) for x in slices])
    bench.compare(got, expected, unit="slices", describe=lambda i: names[i])
    bench.equal("error", bench.get("error"), int(any(x.error for x in slices)))
    bench.set("clear", 1)
    await bench.cycles(2)
    bench.set("clear", 0)
    await bench.cycles(2)
    bench.equal("error after clear", bench.get("error"), 0)


def random_slice(rng, t, columns, channels):
    """[rows of P, V] as codes."""
    rows = np.exp(2 * rng.standard_normal((t, columns)))
    return [fp16(rows / rows.sum(axis=1, keepdims=True)), fp16(rng.standard_normal((columns, channels)))]
