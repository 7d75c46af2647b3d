# SPDX-License-Identifier: Apache-2.0
"""Bench of the column merge: rows of every mask and width, any codes, scales early, late or never, flags, and cycles."""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP32, fp32
from zoetrope.golden.simcore.computing_engine import column_merge
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.computing_engine import row_cycles
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes
from zoetrope.sim.stimulus.outer_product import seeded_tensors

#: Tokens of the clip that a bench sums, and rows of sums.
TOKENS, ROWS = 40, 12

ONE = 0x3F800000


class Row(NamedTuple):
    """Which columns are the FP16 array's, (d,), the columns of either array, and what it is called."""

    mask: np.ndarray
    fp16: np.ndarray
    lut: np.ndarray
    name: str = ""


@bench_test()
async def clip(bench):
    """Sums of the clip's V and of its codes, the columns of largest maxima from the FP16 array; else of seeded tensors."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    v = tensors["v"].reshape(-1, tensors["v"].shape[-1])[:TOKENS, : c.max_channels]
    codes, scales = quantize(v)
    whole = np.where(codes & 0x80, -(codes & 0x7F).astype(np.float64), codes)
    e = np.abs(bench.rng.standard_normal((ROWS, len(v))))
    sums, coded = fp32(e @ v.astype(np.float64)), fp32(e @ whole)
    order = np.argsort(-np.abs(v).max(axis=0).astype(np.float64), kind="stable")
    rows = []
    for r in range(ROWS):
        mask = np.zeros(v.shape[1], bool)
        mask[order[: int(bench.rng.integers(v.shape[1] + 1))]] = True
        rows.append(Row(mask, sums[r, mask], coded[r, ~mask], "clip"))
    await check(bench, rows, scales.view(np.uint32))


@bench_test()
async def masks(bench):
    """None, all, every other, halves, one and all but one of the columns, at random, one row behind the other."""
    c = bench.config
    for d in widths(c):
        scales = random_codes(bench.rng, FP32, d).astype(np.uint32)
        rows = [seeded(bench.rng, mask, name) for name, mask in shapes(bench.rng, d).items()]
        await bench.reset()
        await check(bench, [rows[k] for k in bench.rng.permutation(len(rows))], scales)


@bench_test()
async def without_scales(bench):
    """Rows of the FP16 array alone leave before any scale comes, of any widths; the first of another kind waits."""
    c = bench.config
    rows = [seeded(bench.rng, np.ones(d, bool), "FP16 array alone") for d in widths(c)]
    await check(bench, rows, None)
    mixed = seeded(bench.rng, np.zeros(c.max_channels, bool), "LUT array alone")
    send(bench, [mixed])
    await bench.cycles(20)
    bench.equal(
        "words before the scales", len(bench.transfers("o")), sum(row_cycles(d, lanes=c.lanes) for d in widths(c))
    )
    scales = random_codes(bench.rng, FP32, c.max_channels).astype(np.uint32)
    bench.send("i_scale", sent_scales(scales))
    await compare(bench, [mixed], scales)
    bench.equal("wrong_length", bench.get("wrong_length"), 0)


@bench_test(stalls=("none", "both"))
async def empty_rows(bench):
    """A row of no channels is an empty word, and takes nothing from either array."""
    c = bench.config
    scales = random_codes(bench.rng, FP32, c.max_channels).astype(np.uint32)
    full = [seeded(bench.rng, bench.rng.random(c.max_channels) < 0.5, "full") for _ in range(3)]
    empty = seeded(bench.rng, np.zeros(0, bool), "empty")
    await check(bench, [empty, full[0], empty, empty, full[1], full[2], empty], scales)
    bench.equal("wrong_length", bench.get("wrong_length"), 0)


@bench_test(stalls=("none",))
async def flags(bench):
    """Too many scales, too many channels, another number than the scales': flagged, and the rows come all the same."""
    c, rng = bench.config, bench.rng
    d = c.max_channels
    scales = random_codes(rng, FP32, d + 1).astype(np.uint32)
    await check(bench, [seeded(rng, np.arange(d) % 2 == 0)], scales)
    bench.equal("wrong_length of too many scales", bench.get("wrong_length"), 1)
    await bench.reset()
    bench.equal("wrong_length after reset", bench.get("wrong_length"), 0)

    most = (1 << d.bit_length()) - 1
    if most > d:
        row = seeded(rng, rng.random(d) < 0.5)
        bench.send("i_row", [sent_row(row, c) & (1 << d) - 1 | most << d])
        bench.send("i_scale", sent_scales(scales[:d]))
        send_words(bench, [row])
        await compare(bench, [row], scales[:d])
        bench.equal("wrong_length of too many channels", bench.get("wrong_length"), 1)
        await bench.reset()

    if d > 1:
        bench.send("i_scale", sent_scales(scales[:d]))
        send(bench, [seeded(rng, np.ones(d - 1, bool))])
        await bench.collect("o", row_cycles(d - 1, lanes=c.lanes))
        bench.equal("wrong_length without the LUT array", bench.get("wrong_length"), 0)
        send(bench, [seeded(rng, np.zeros(d - 1, bool))])
        await bench.collect("o", row_cycles(d - 1, lanes=c.lanes))
        bench.equal("wrong_length of fewer channels than scales", bench.get("wrong_length"), 1)


@bench_test(stalls=("none",))
async def reset_within_a_row(bench):
    """A reset while scales come, and one while a row leaves, leave nothing of them."""
    c, rng = bench.config, bench.rng
    scales = random_codes(rng, FP32, c.max_channels).astype(np.uint32)
    for count in (c.max_channels - 1, c.max_channels):
        rows = [seeded(rng, rng.random(c.max_channels) < 0.5) for _ in range(3)]
        bench.send("i_scale", sent_scales(scales)[:count])
        send(bench, rows)
        await bench.cycles(count + c.words + 2)
        await bench.reset()
        await check(bench, rows[:1], scales)


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word a cycle from row to row, whatever the mask."""
    c, rng = bench.config, bench.rng
    scales = random_codes(rng, FP32, c.max_channels).astype(np.uint32)
    bench.send("i_scale", sent_scales(scales))
    await bench.cycles(c.max_channels + 4)
    rows = [seeded(rng, rng.random(c.max_channels) < k / 19) for k in range(20)]
    send(bench, rows)
    await compare(bench, rows, scales)
    cycles = bench.transfers("o")
    bench.equal("cycles of 20 rows", cycles[-1] - cycles[0] + 1, 20 * row_cycles(c.max_channels, lanes=c.lanes))
    bench.measure(interval="o")
    await bench.reset()
    await check(bench, [seeded(rng, np.ones(1, bool))], None)
    bench.measure(latency=("i_row", 0, "o", 0))


async def check(bench, rows, scales):
    """Send rows back to back, with scales unless there are none, and compare every word."""
    if scales is not None:
        bench.send("i_scale", sent_scales(scales))
    send(bench, rows)
    await compare(bench, rows, scales)


def send(bench, rows):
    bench.send("i_row", [sent_row(row, bench.config) for row in rows])
    send_words(bench, rows)


def send_words(bench, rows):
    c = bench.config
    for stream, name, outputs in (("i_fp16", "fp16", c.fp16_outputs), ("i_lut", "lut", c.lut_outputs)):
        words = sent_words([getattr(row, name) for row in rows], outputs)
        if len(words):
            bench.send(stream, words)


async def compare(bench, rows, scales):
    want = expected(rows, scales, bench.config)
    names = [
        f"{row.name or 'seeded'}, {len(row.fp16)} of {len(row.mask)} columns FP16, word {k}"
        for row in rows
        for k in range(row_cycles(len(row.mask), lanes=bench.config.lanes))
    ]
    bench.compare(await bench.collect("o", len(want)), want, unit="words", describe=names.__getitem__)


def sent_row(row, c):
    """A row's payload as an integer; bits of the mask that do not count are set."""
    mask = sum(1 << k for k in range(c.max_channels) if k >= len(row.mask) or row.mask[k])
    return mask | len(row.mask) << c.max_channels


def sent_words(columns, outputs):
    """Rows of ``i_fp16`` or ``i_lut`` from the columns of each row; what does not count is NaN."""
    padded = [np.concatenate([x, np.full(-len(x) % outputs, FP32.nan)]).reshape(-1, outputs) for x in columns]
    words = np.concatenate(padded).astype(np.uint32)
    return pack(*words.T, widths=[32] * outputs)


def sent_scales(scales):
    return pack(scales, np.arange(len(scales)) == len(scales) - 1, widths=[32, 1])


def expected(rows, scales, c):
    """Rows of the stream ``o``."""
    return np.concatenate([_expected(row, scales, c) for row in rows])


def _expected(row, scales, c):
    d = len(row.mask)
    scales = np.full(d, ONE, np.uint32) if scales is None else scales[:d]
    words = max(1, -(-d // c.lanes))
    values = np.zeros(words * c.lanes, np.uint32)
    values[:d] = column_merge.column_merge(row.mask[None], row.fp16, row.lut, scales)[0]
    last = np.arange(words) == words - 1
    counts = np.where(last, d - (words - 1) * c.lanes, c.lanes)
    return pack(*values.reshape(words, -1).T, counts, last, widths=[32] * c.lanes + [c.lanes.bit_length(), 1])


def seeded(rng, mask, name=""):
    """A row of any codes; one in four is of the size that sums have."""
    mask = np.asarray(mask, bool)
    codes = random_codes(rng, FP32, mask.size).astype(np.uint32)
    sums = fp32(30 * rng.standard_normal(mask.size))
    codes = np.where(rng.random(mask.size) < 0.25, sums, codes).astype(np.uint32)
    return Row(mask, codes[mask], codes[~mask], name)


def shapes(rng, d):
    """Masks of d columns, by name."""
    place = np.arange(d)
    return {
        "none": place < 0,
        "all": place >= 0,
        "every other": place % 2 == 0,
        "the lower half": place < d // 2,
        "the upper half": place >= d // 2,
        "the first": place == 0,
        "the last": place == d - 1,
        "all but the first": place != 0,
        "all but the last": place != d - 1,
        **{f"random, {share:.0%}": rng.random(d) < share for share in (0.1, 0.3, 0.5, 0.5, 0.7, 0.9)},
    }


def widths(c):
    """Numbers of channels at every edge of a word of lanes or of outputs."""
    edges = {1, 63, 64, c.max_channels - 1, c.max_channels}
    for size in (c.lanes, c.fp16_outputs, c.lut_outputs):
        edges |= {size - 1, size, size + 1, 2 * size + 1}
    return sorted(d for d in edges if 0 < d <= c.max_channels)
