# SPDX-License-Identifier: Apache-2.0
"""Bench of sort-and-select: rows of every awkward length and content, bit by bit, and the cycles that they take."""

import numpy as np

from zoetrope.golden.formats import FP16, fp16
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_p
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion, sort_select
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.quantization_engine import sort_cycles
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes
from zoetrope.sim.stimulus.outer_product import seeded_tensors

_NAN = FP16.nan


@bench_test()
async def lengths(bench):
    """Empty, 1, 2, a word and its neighbours, the longest and one more; rows that end with an empty word."""
    c, rng = bench.config, bench.rng
    most = c.max_scores
    counts = sorted(n for n in {0, 1, 2, 3, c.lanes - 1, c.lanes, c.lanes + 1, most - 1, most, most + 1} if n >= 0)
    rows = [Row(probabilities(rng, n), proportion(0.65, c.p_bits)) for n in [*counts, most + 2 * c.lanes, most]]
    rows += [Row(probabilities(rng, c.lanes * k), 0, empty_end=True) for k in (1, most // c.lanes) if k]
    await check(bench, rows)


@bench_test()
async def contents(bench):
    """Rows that must come out as the table of the component says, in both modes."""
    c = bench.config
    await check(bench, special_rows(bench.rng, c))


@bench_test()
async def random_rows(bench):
    """Codes of every class, ties among them, p and mode at random."""
    c, rng = bench.config, bench.rng
    rows = []
    for k in range(40 if c.max_scores < 64 else 6):
        n = int(rng.integers(1, c.max_scores + 1))
        codes = random_codes(rng, FP16, n).astype(np.uint16)
        codes = np.where((codes & FP16.inf) == FP16.inf, codes ^ 0x4000, codes)
        if k % 2:
            codes = fp16(rng.integers(-3, 4, n) / 8)
        rows.append(Row(codes, int(rng.integers(0, (1 << c.p_bits) + 1)), magnitude=bool(k % 3)))
    await check(bench, rows)


@bench_test(stalls=("none",))
async def clip(bench):
    """Rows of the softmax of frame means of the clip, p = 0.65, one after the other: the cycles that the formula says."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    q, k = (np.ascontiguousarray(tensors[name].reshape(-1, tensors[name].shape[-1])) for name in "qk")
    frames = min(c.max_scores, len(tensors["q"]))
    rows = tensors["q"].shape[1]
    scores = importance_of_p(q[: frames * rows], k[: frames * rows], rows).scores
    await check(bench, [Row(codes, proportion(0.65, c.p_bits)) for codes in scores])
    if c.build == "bitonic":
        words = -(-scores.shape[1] // c.lanes)
        bench.measure(interval="i" if len(scores) * words > 1 else None, latency=("i", words - 1, "o", 0))
        return
    taken, _ = sort_select(scores, proportion(0.65, c.p_bits), p_bits=c.p_bits)
    moves = bench.transfers("o")
    for f in range(1, len(scores)):
        stated = sort_cycles(scores.shape[1], int(taken[f].sum()), p_bits=bench.config.p_bits)
        bench.equal(f"cycles of row {f}", int(moves[f] - moves[f - 1]), stated)


class Row:
    """A row of score codes, how it is sent, and what comes back."""

    def __init__(self, codes, q, magnitude=False, empty_end=False, name=""):
        self.codes, self.q, self.magnitude, self.empty_end = np.asarray(codes, np.uint16), q, magnitude, empty_end
        self.name = name or f"{len(codes)} scores, q = {q}"

    def sent(self, c):
        """Rows of bytes of ``i``. What does not count is NaN; p of all words but the last is another."""
        words = max(1, -(-len(self.codes) // c.lanes)) + self.empty_end
        padded = np.full(words * c.lanes, _NAN, np.uint16)
        padded[: len(self.codes)] = self.codes
        last = np.arange(words) == words - 1
        rest = len(self.codes) - (words - 1) * c.lanes
        count = np.where(last, rest if rest < c.lanes else (1 << c.lanes.bit_length()) - 1, 0)
        p = np.where(last, self.q, (2 << c.p_bits) - 1)
        fields = [*padded.reshape(words, c.lanes).T, count, last, p, np.full(words, self.magnitude)]
        return pack(*fields, widths=[16] * c.lanes + [c.lanes.bit_length(), 1, c.p_bits + 1, 1])

    def expected(self, c):
        codes = self.codes[: c.max_scores]
        long = len(self.codes) > c.max_scores
        taken, error = np.zeros(len(codes), bool), self.q > 1 << c.p_bits
        if len(codes):
            (taken,), (error,) = sort_select(codes[None], self.q, p_bits=c.p_bits, magnitude=self.magnitude)
        taken, error = taken | long, error | long
        bits = np.zeros(c.max_scores, np.uint8)
        bits[: len(codes)] = taken
        fields = [*bits[:, None], [len(codes)], [error]]
        return pack(*fields, widths=[1] * c.max_scores + [c.max_scores.bit_length(), 1])


async def check(bench, rows):
    """Send ``rows`` back to back and compare what is taken of each; the flag that stays says whether one had an error."""
    c = bench.config
    bench.send("i", np.concatenate([row.sent(c) for row in rows]))
    expected = np.concatenate([row.expected(c) for row in rows])
    got = await bench.collect("o", len(rows), timeout=4 * c.max_scores * (c.max_scores + 8) + 2000)
    bench.compare(got, expected, unit="rows", describe=lambda i: rows[i].name)
    bench.equal("error", bench.get("error"), int(any(row[-1] >> (c.o_layout.size - 1) % 8 & 1 for row in expected)))
    bench.set("clear", 1)
    await bench.cycles(2)
    bench.set("clear", 0)
    await bench.cycles(2)
    bench.equal("error after clear", bench.get("error"), 0)


def probabilities(rng, n):
    """FP16 codes of n numbers that add up to about 1."""
    x = np.exp(2 * rng.standard_normal(n))
    return fp16(x / max(x.sum(), 1e-9))


def special_rows(rng, c):
    n = c.max_scores
    one, whole = 0x3C00, 1 << c.p_bits

    def with_one(code, place):
        codes = probabilities(rng, n)
        codes[place] = code
        return codes

    kinds = {
        "zeros": np.zeros(n, np.uint16),
        "zeros of both signs": np.where(np.arange(n) % 2, 0x8000, 0),
        "all equal": np.full(n, 0x2C00),
        "the largest numbers": np.full(n, 0x7BFF),
        "the smallest numbers": np.full(n, 1),
        "one that is not 0, last": np.where(np.arange(n) == n - 1, one, 0),
        "rising": np.sort(probabilities(rng, n)),
        "falling": np.sort(probabilities(rng, n))[::-1],
        "a NaN first": with_one(_NAN, 0),
        "a NaN last": with_one(0xFD01, n - 1),
        "an infinity": with_one(0x7C00, n // 2),
        "a negative infinity": with_one(0xFC00, n // 2),
        "one negative": with_one(0xBC00, 0),
        "all negative": fp16(-np.abs(rng.standard_normal(n))),
        "signs at random": fp16(rng.standard_normal(n)),
        "ordinary": probabilities(rng, n),
    }
    rows = []
    for name, codes in kinds.items():
        for q in (0, whole // 2, whole, 2 * whole - 1):
            if n >= 64 and q == whole // 2 and name not in ("all equal", "signs at random"):
                continue
            magnitude = bool(rng.integers(2))
            rows.append(Row(codes, q, magnitude, name=f"{name}, q = {q}, magnitude {magnitude}"))
    return rows
