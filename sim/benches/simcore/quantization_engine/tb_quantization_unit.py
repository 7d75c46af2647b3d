# SPDX-License-Identifier: Apache-2.0
"""Bench of the quantization unit: matrices measured and encoded, scales and codes, what is no number, and when all comes."""

import numpy as np

from zoetrope.golden.arith.channel_amax import channel_amax
from zoetrope.golden.formats import FP16
from zoetrope.golden.simcore.quantization_engine.quantization_unit import encode, quantization_unit
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.quantization_engine import quantization_cycles
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes
from zoetrope.sim.stimulus.outer_product import seeded_tensors

#: Tokens of the clip's K and V that a bench takes.
TOKENS = 60


@bench_test()
async def clip(bench):
    """K, then V, two heads one after the other; without a clip, seeded tensors."""
    tensors = bench.tensors or seeded_tensors(bench.rng)
    matrices = []
    for name in ("k", "v"):
        x = tensors[name].reshape(-1, tensors[name].shape[-1])[:TOKENS, : capacity(bench.config)]
        matrices.append(Matrix(np.ascontiguousarray(x).view(np.uint16)))
    await check(bench, matrices)


@bench_test()
async def random_matrices(bench):
    """Any code, NaN and infinities among them, every number of channels at the edges of a word, one token and more."""
    c = bench.config
    widths = {1, 2, c.lanes - 1, c.lanes, c.lanes + 1, 2 * c.lanes, 2 * c.lanes + 1, capacity(c) - 1, capacity(c)}
    matrices = []
    for d in sorted(width for width in widths if 0 < width <= capacity(c)):
        for tokens in (1, 2, 4):
            matrices.append(Matrix(random_codes(bench.rng, FP16, tokens * d).astype(np.uint16).reshape(tokens, d)))
    order = bench.rng.permutation(len(matrices))
    await check(bench, [matrices[i] for i in order])


@bench_test()
async def contents(bench):
    """Dead, subnormal, largest and special channels side by side, and tokens that are encoded by maxima of others."""
    c = bench.config
    matrices = []
    for name, column in columns().items():
        x = np.zeros((len(column), min(c.lanes + 1, capacity(c))), np.uint16)
        x[:, x.shape[1] // 2] = column
        x[:, -1] = np.roll(column, 1) ^ 0x8000
        matrices.append(Matrix(x, name=name))
        others = random_codes(bench.rng, FP16, 3 * x.shape[1]).astype(np.uint16).reshape(3, -1)
        matrices.append(Matrix(x, others, name=f"{name}, others by its maxima"))
    await check(bench, matrices)


@bench_test(stalls=("none", "both"))
async def wrong_lengths(bench):
    """Encoding before anything is measured; short and long tokens; two matrices measured before one is encoded."""
    c = bench.config
    full = capacity(c)
    x = normal(bench.rng, (3, full))
    bench.send("i", words(x, c, encode=True))
    got = await bench.collect("o", len(x) * c.words)
    bench.compare(got, expected(np.zeros(x.shape, np.uint8), c), unit="words")
    bench.equal("too_long", bench.get("too_long"), 0)

    # A long first token, short ones behind it: missing channels are zeros. The last token says how many scales there are.
    tokens = [normal(bench.rng, (1, d)) for d in (full, 1, full + 1, max(1, full - 1))]
    padded = np.zeros((len(tokens), full), np.uint16)
    for row, token in zip(padded, tokens):
        row[: min(full, token.size)] = token[0, :full]
    amax = channel_amax(padded)
    sent = [words(token, c, encode=False, end=token is tokens[-1]) for token in tokens]
    sent += [words(token, c, encode=True) for token in tokens]
    bench.send("i", np.concatenate(sent))
    want = []
    for token in tokens:
        codes = np.zeros(token.shape, np.uint8)
        codes[:, :full] = encode(token[:, :full], amax[: token.size])
        want.append(expected(codes, c))
    want = np.concatenate(want)
    got = await bench.collect("o", len(want), more=True)
    bench.compare(got, want, unit="words")
    await check_scales(bench, [amax[: tokens[-1].size]])
    bench.equal("too_long", bench.get("too_long"), 1)
    bench.equal("not_finite", bench.get("not_finite"), 0)
    bench.set("clear", 1)
    await bench.cycles(2)
    bench.set("clear", 0)
    await bench.cycles(1)
    bench.equal("too_long after clear", bench.get("too_long"), 0)

    # The maxima of the first matrix do not reach the second.
    large, small = normal(bench.rng, (2, full)), normal(bench.rng, (2, full)) & 0xBFFF
    bench.send("i", np.concatenate([words(x, c, encode=False, end=True) for x in (large, small)]))
    await check_scales(bench, [channel_amax(large), channel_amax(small)])
    await check(bench, [Matrix(small)])


@bench_test(stalls=("none",))
async def reset_within_a_matrix(bench):
    """A reset while tokens are measured, while scales wait and while codes are under way leaves nothing of them."""
    c = bench.config
    x = normal(bench.rng, (3, capacity(c)))
    for encoding, end in ((False, False), (False, True), (True, False)):
        bench.send("i", words(x, c, encode=encoding, end=end)[: 3 * c.words - (not end)])
        await bench.cycles(3 * c.words + 3)
        await bench.reset()
        await check(bench, [Matrix(normal(bench.rng, (2, 1)))])


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word a cycle in both passes, no gap between tokens, and as many cycles between the passes as scales and two more."""
    c, unit = bench.config, bench.component
    for d in sorted({1, min(c.lanes, capacity(c)), capacity(c)}):
        await bench.reset()
        x = normal(bench.rng, (9, d))
        per_token = -(-d // c.lanes)
        await check(bench, [Matrix(x)])
        moves = bench.transfers("i")
        bench.equal(f"cycles of {d} channels", moves[-1] - moves[0] + 1, quantization_cycles(len(x), per_token, d))
        measured = len(x) * per_token
        bench.equal("cycles of measuring", moves[measured - 1] - moves[0] + 1, measured)
        first = bench.transfers("o_scale")[0] - moves[measured - 1]
        bench.equal("cycles to the first scale", first, unit.scale_latency)
        bench.measure(latency=("i", measured, "o", 0), interval="o")


class Matrix:
    """What is measured, and what is then encoded, which is the same if not given; codes (tokens, channels)."""

    def __init__(self, x, encoded=None, name=None):
        self.x, self.encoded = x, x if encoded is None else encoded
        self.name = name or f"{x.shape[0]} tokens of {x.shape[1]} channels"
        _, self.scales, self.not_finite = quantization_unit(x)
        finite = np.where(x & FP16.inf == FP16.inf, np.uint16(0), x)
        self.amax = channel_amax(finite)
        self.codes, _, also = quantization_unit(self.encoded, self.amax)
        self.not_finite |= also


async def check(bench, matrices):
    """Send ``matrices`` one after the other without a pause and compare every word that comes."""
    c = bench.config
    before = bench.get("not_finite")
    sent = []
    for matrix in matrices:
        sent += [words(matrix.x, c, encode=False, end=True), words(matrix.encoded, c, encode=True, end=True)]
    bench.send("i", np.concatenate(sent))
    parts = [expected(matrix.codes, c, end=True) for matrix in matrices]
    names = [matrix.name for matrix, part in zip(matrices, parts) for _ in part]
    want = np.concatenate(parts)
    got = await bench.collect("o", len(want), more=True)
    bench.compare(got, want, unit="words", describe=names.__getitem__)
    await check_scales(bench, [matrix.amax for matrix in matrices], [matrix.scales for matrix in matrices])
    bench.equal("not_finite", bench.get("not_finite"), before | any(matrix.not_finite for matrix in matrices))


async def check_scales(bench, maxima, scales=None):
    """Compare the scales of each matrix; ``scales`` if they are known, else from the maxima."""
    if scales is None:
        scales = [quantization_unit(amax[None].view(np.uint16))[1] for amax in maxima]
    last = np.concatenate([np.arange(len(row)) == len(row) - 1 for row in scales])
    want = pack(np.concatenate(scales).view(np.uint32), last, widths=[32, 1])
    got = await bench.collect("o_scale", len(want))
    bench.compare(got, want, unit="scales")


def words(x, c, *, encode, end=False):
    """Rows of the stream ``i``. What does not count says otherwise: lanes are NaN, ``count``, ``end`` and ``encode`` set."""
    tokens, d = x.shape
    per_token = -(-d // c.lanes)
    padded = np.full((tokens, per_token * c.lanes), 0xFFFF, np.uint16)
    padded[:, :d] = x
    last = np.arange(tokens * per_token) % per_token == per_token - 1
    first = np.arange(tokens * per_token) % per_token == 0
    rest = d - (per_token - 1) * c.lanes
    # A full last word has a count of 0 or the largest that the port holds.
    largest = (1 << c.lanes.bit_length()) - 1
    count = np.where(last, rest if rest < c.lanes else 0 if d % 2 else largest, 1)
    ends = np.where(last, end & (np.arange(len(last)) == len(last) - 1), True)
    encodes = np.where(first, encode, not encode)
    fields = [*padded.reshape(-1, c.lanes).T, count, last, ends, encodes]
    return pack(*fields, widths=[16] * c.lanes + [c.lanes.bit_length(), 1, 1, 1])


def expected(codes, c, end=False):
    """Rows of the stream ``o``."""
    tokens, d = codes.shape
    per_token = -(-d // c.lanes)
    padded = np.zeros((tokens, per_token * c.lanes), np.uint8)
    padded[:, :d] = codes
    last = np.arange(tokens * per_token) % per_token == per_token - 1
    count = np.where(last, d - (per_token - 1) * c.lanes, c.lanes)
    ends = end & (np.arange(len(last)) == len(last) - 1)
    return pack(*padded.reshape(-1, c.lanes).T, count, last, ends, widths=[8] * c.lanes + [c.lanes.bit_length(), 1, 1])


def capacity(c):
    return c.words * c.lanes


def normal(rng, shape):
    return rng.standard_normal(shape).astype(np.float16).view(np.uint16)


def columns():
    """Codes of channels by name."""
    tiny = 2.0**-24
    values = {
        "dead, both signs": [0.0, -0.0, 0.0],
        "the smallest subnormal": [tiny, -tiny, 0.0],
        "subnormal amax": [127 * tiny, 63 * tiny, -tiny, 64 * tiny, -126.0 * tiny],
        "largest subnormal": [1023 * tiny, -4 * tiny, 5 * tiny, 1022 * tiny],
        "smallest normal": [1024 * tiny, -1023 * tiny, 4 * tiny, -12.0 * tiny],
        "subnormal beside largest": [65504.0, tiny, -1024 * tiny, 257.0, 258.0],
        "amax 127: ties to even": [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5],
        "beside ties": [127, 2.498, 2.502, -0.4998, 0.5005],
        "amax 254: odd halves": [254, *range(1, 254, 2)],
    }
    codes = {name: np.array(column, np.float16).view(np.uint16) for name, column in values.items()}
    return codes | {
        "every corner": np.array(list(corners(FP16).values()), np.uint16),
        "infinities alone": np.array([FP16.inf, FP16.inf | 0x8000], np.uint16),
        "NaN alone": np.array([FP16.nan, 0xFC01], np.uint16),
        "infinity, NaN and numbers": np.array([FP16.inf | 0x8000, 0x3C00, FP16.nan, 0x3800, 0xB400], np.uint16),
    }
