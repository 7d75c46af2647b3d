# SPDX-License-Identifier: Apache-2.0
"""Bench of the sparsification unit: clips of every geometry, values that have no distance, what must not be, and cycles."""

import numpy as np

from zoetrope.golden.formats import FP16, FP32, fp16
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import (
    NONE,
    SPATIAL,
    TEMPORAL,
    sparsify,
    squared_threshold,
)
from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.model.sparsification_engine import beats_of_frames
from zoetrope.sim.packing import pack


class Clip:
    """Tokens, their geometry and the registers they are sent with."""

    def __init__(self, q, grid, tau=2.5, window=3, group=4):
        self.q = np.ascontiguousarray(q).view(np.uint16).reshape(int(np.prod(grid)), -1)
        self.grid, self.tau, self.window, self.group = grid, tau, window, group

    @property
    def words(self):
        return -(-self.q.shape[1] // self.lanes)

    def sent(self, c):
        """Rows of the streams ``i_config``, ``i`` and ``i_previous``."""
        self.lanes = c.lanes
        registers = (squared_threshold(self.tau), *self.grid, self.window, self.group, self.words)
        padded = np.zeros((len(self.q), self.words * c.lanes), np.uint16)
        padded[:, : self.q.shape[1]] = self.q
        words = padded.reshape(-1, c.lanes)
        last = np.arange(len(words)) == len(words) - 1
        before = words[: len(words) - len(words) // self.grid[0]]
        return (
            config_row(c, *registers),
            pack(*words.T, last, widths=[16] * c.lanes + [1]),
            pack(*before.T, widths=[16] * c.lanes) if len(before) else np.zeros((0, 2 * c.lanes), np.uint8),
        )

    def result(self, c):
        return sparsify(self.q, self.grid, tau=self.tau, window=self.window, group=self.group, lanes=c.lanes)

    def expected(self, c):
        """Rows of the stream ``o``."""
        r = self.result(c)
        fields = (r.table, r.kind == 0, r.spatial, r.temporal, r.kind)
        return pack(*fields, widths=[c.index.index_bits, 1, 32, 32, 2])

    def name(self, token):
        t, y, x = np.unravel_index(token, self.grid)
        return f"{self.grid} window {self.window} group {self.group} d {self.q.shape[1]}: frame {t} ({y}, {x})"


def config_row(c, *registers):
    return pack(*([value] for value in registers), widths=[field.width for _, field in c.config_layout])


@bench_test()
async def geometries(bench):
    """One frame, one token, one line, one column; windows even, odd, 1 and larger than the frame; groups of all kinds."""
    c = bench.config
    channels = [1, c.lanes, min(c.lanes + 1, c.lanes * c.max_words), c.lanes * c.max_words]
    shapes = [
        ((1, 1, 1), 3, 4),
        ((4, 1, 1), 3, 4),
        ((1, 3, 5), 3, 3),
        ((2, 1, 7), 4, 7),
        ((3, 5, 1), 5, 2),
        ((3, 4, 3), 5, 4),
        ((2, 5, 6), 2, 1),
        ((3, 3, 4), 1, 3),
        ((3, 5, 7), 3, 4),
    ]
    clips = []
    for k, (grid, window, group) in enumerate(shapes):
        q = similar(bench.rng, grid, channels[k % len(channels)])
        clips.append(Clip(q, grid, (0.0, 0.7, 1.5, np.inf)[k % 4], window, group))
    await check(bench, [clip for clip in clips if fits(c, clip)])


@bench_test()
async def clip(bench):
    """The middle of frames of the clip; without a clip, seeded tokens."""
    await check(bench, [real(bench, 3, 2.5)])


@bench_test(stalls=("none", "both"))
async def values(bench):
    """Infinities, NaN, subnormals, differences that overflow, and many ties: tokens of few values."""
    c = bench.config
    grid = (3, 3, 4)
    codes = np.array([0, 0x8000, 1, 0x7BFF, 0xFBFF, FP16.inf, FP16.nan, 0xFE01, 0x3C00, 0x3C01], np.uint16)
    rare = codes[np.where(bench.rng.random((36, 5)) < 0.3, bench.rng.integers(0, len(codes), (36, 5)), 0)]
    ties = fp16(bench.rng.integers(0, 2, (36, 2)))
    clips = [Clip(rare, grid, tau, 3, 2) for tau in (1e-3, np.inf)] + [Clip(ties, grid, 1.2, 3, 4)]
    await check(bench, clips)
    infinite = [clip.result(c) for clip in clips[:2]]
    for result in infinite:
        found = np.where(result.kind == TEMPORAL, result.temporal, np.where(result.kind == SPATIAL, result.spatial, 0))
        bench.equal("infinite distances that match", int((found >= FP32.inf).sum()), 0)


@bench_test(stalls=("none",))
async def table(bench):
    """The index buffer holds what came out, and no entry points to a token that was removed."""
    given = real(bench, 2, 4.0)
    await check(bench, [given])
    got = []
    for address in range(len(given.q)):
        bench.set("r_en", 1)
        bench.set("r_addr", address)
        await bench.cycles(2)
        got.append(bench.get("r_data"))
    bench.set("r_en", 0)
    got = np.array(got, np.uint32)
    bench.compare(got[:, None], given.result(bench.config).table.astype(np.uint32)[:, None], unit="entries")
    bench.equal("entries that point to a removed token", int((got[got] != got).sum()), 0)


@bench_test(stalls=("none",))
async def reset_within_a_clip(bench):
    """A reset with tokens in every stage leaves nothing of them."""
    given = real(bench, 3, 2.5)
    for stream, rows in zip(("i_config", "i", "i_previous"), given.sent(bench.config)):
        bench.send(stream, rows)
    await bench.cycles(given.words * len(given.q) // 2)
    await bench.reset()
    await check(bench, [Clip(similar(bench.rng, (3, 2, 3), 3), (3, 2, 3), 1.0)])


@bench_test(stalls=("none", "both"))
async def what_must_not_be(bench):
    """Each error raises its flag and no other, whatever comes is taken, and after a reset the next clip is right."""
    c = bench.config
    good = Clip(similar(bench.rng, (2, 2, 3), 3), (2, 2, 3), 1.0)
    one = int(squared_threshold(1.0))
    registers = {"threshold": one, "frames": 2, "height": 2, "width": 3, "window": 3, "group": 2, "words": 1}
    cases = [("error_threshold", {"threshold": code}) for code in (0x80000001, 0xBF800000, FP32.nan, 0xFFFFFFFF)]
    cases += [("error_geometry", {name: 0}) for name in registers if name != "threshold"]
    for name in ("height", "width", "window", "words"):
        cases.append(("error_geometry", {name: getattr(c, f"max_{name}") + 1}))
    cases.append(("error_geometry", {"height": c.max_height, "width": c.max_width, "window": c.max_window}))
    for flag, change in cases:
        changed = registers | change
        if change.get("window") == c.max_window:
            pitch = c.max_width + (c.max_window - c.max_width) % c.banks
            if pitch * min(c.max_height, c.max_window + 1) <= c.slots:
                continue
        await fail(bench, flag, config_row(c, *changed.values()), *good.sent(c)[1:])
    sent, previous = good.sent(c)[1:]
    early, late = sent[:-2].copy(), sent.copy()
    early[-1, -1] |= 1
    late[-1, -1] = 0
    for rows in (early, late):
        await fail(bench, "error_tokens", good.sent(c)[0], rows, previous)
    await check(bench, [good])


async def check(bench, clips):
    """Send clips back to back and compare every entry."""
    c = bench.config
    for stream, rows in zip(("i_config", "i", "i_previous"), zip(*(clip.sent(c) for clip in clips))):
        bench.send(stream, np.concatenate(rows))
    expected = np.concatenate([clip.expected(c) for clip in clips])
    names = [clip.name(k) for clip in clips for k in range(len(clip.q))]
    got = await bench.collect("o", len(expected))
    bench.compare(got, expected, unit="entries", describe=lambda i: names[i])
    flags = [name for name in ("error_threshold", "error_geometry", "error_tokens") if bench.get(name)]
    bench.equal("errors", flags, [])


async def fail(bench, flag, config, tokens, previous):
    bench.send("i_config", config)
    bench.send("i", tokens)
    bench.send("i_previous", previous)
    await bench.cycles(300)
    flags = [name for name in ("error_threshold", "error_geometry", "error_tokens") if bench.get(name)]
    bench.equal("errors", flags, [flag])
    await bench.reset()


@bench_test(stalls=("none",))
async def cycles(bench):
    """One token's latency; on the clip, cycles of every frame as stated, and how busy the lanes are."""
    c, unit = bench.config, bench.component
    await check(bench, [Clip(similar(bench.rng, (1, 1, 1), 1), (1, 1, 1))])
    latency = int(bench.transfers("o")[0] - bench.transfers("i")[-1])
    bench.equal("latency", latency, unit.latency)
    bench.measure(latency=("i", 0, "o", 0))
    await bench.reset()
    await check(bench, [Clip(similar(bench.rng, (1, 1, 1), c.lanes * c.max_words), (1, 1, 1))])
    latency = int(bench.transfers("o")[0] - bench.transfers("i")[-1])
    bench.equal("latency of the longest token", latency, unit.latency + (c.max_words - 1) * c.add_stages)
    await bench.reset()
    frames = 5
    given = real(bench, frames, 2.5, least=(frames, 3, 3))
    await check(bench, [given])
    tokens = len(given.q) // frames
    ends = bench.transfers("o")[tokens - 1 :: tokens]
    beats = beats_of_frames(given.grid, given.window, given.group, candidates=c.candidates, banks=c.banks)
    for t in range(2, frames):
        total, taken = sum(beats[2 : t + 1]), int(ends[t] - ends[1])
        if given.words < c.candidates:
            continue
        # Beat k + add_stages follows beat k by add_stages * words cycles.
        if total % c.add_stages == 0:
            bench.equal(f"cycles of frames 2 to {t}", taken, total * given.words)
        elif abs(taken - total * given.words) >= c.add_stages * given.words:
            raise BenchError(f"frames 2 to {t}: {taken} cycles for {total} beats of {given.words} words")
    result = given.result(c)
    jobs = window_candidates(given) * (frames - 2) + int((result.spatial != NONE).sum()) * (frames - 2) // frames
    bench.row.utilisation = jobs * given.words / (c.candidates * int(ends[-1] - ends[1]))
    if given.words >= c.candidates and bench.row.utilisation < 0.95:
        raise BenchError(f"the lane groups are busy in {bench.row.utilisation:.1%} of the cycles, not in 95 %")


def window_candidates(given):
    """Pairs of a token and a candidate in the previous frame, of one frame."""
    _, height, width = given.grid
    before = given.window // 2

    def pairs(size):
        position = np.arange(size)
        return (np.minimum(position - before + given.window, size) - np.maximum(position - before, 0)).sum()

    return int(pairs(height) * pairs(width))


def fits(c, given):
    _, height, width = given.grid
    pitch = width + (given.window - width) % c.banks
    lines = min(height, given.window + 1)
    return height <= c.max_height and width <= c.max_width and given.window <= c.max_window and lines * pitch <= c.slots


def similar(rng, grid, d):
    """Seeded tokens that resemble those of the frame before; coarse, so that some distances are equal."""
    tokens = int(np.prod(grid[1:]))
    base = rng.standard_normal((tokens, d))
    return fp16(np.rint(4 * (base + 0.3 * rng.standard_normal((grid[0], tokens, d)))) / 4)


def real(bench, frames, tau, least=(1, 1, 1)):
    """The first frames of the clip, cut to what the config holds; or seeded tokens, if it is smaller than ``least``."""
    c = bench.config
    d = c.lanes * c.max_words
    if bench.tensors is None or (bench.tensors["grid"] < least).any():
        grid = (frames, min(9, c.max_height), min(11, c.max_width))
        return Clip(similar(bench.rng, grid, min(d, 64)), grid, tau)
    q, grid = bench.tensors["q"][:frames], tuple(bench.tensors["grid"])
    height, width = min(grid[1], c.max_height), min(grid[2], c.max_width)
    q = q.reshape(len(q), *grid[1:], -1)[:, :height, :width, :d]
    return Clip(q, (len(q), height, width), tau)
