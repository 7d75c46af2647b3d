# SPDX-License-Identifier: Apache-2.0
"""Bench of the prologue: heads with and without text, whatever is asked for, what must not be, and cycles."""

from dataclasses import replace

import numpy as np

from zoetrope.golden.formats import FP16, fp16, fp32
from zoetrope.golden.simcore.chip.prologue import prologue, reads, words
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.quantization_engine.reduction_tree import inverse
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_threshold
from zoetrope.sim.benches.simcore.quantization_engine.tb_prediction_unit import Head as Prediction
from zoetrope.sim.benches.simcore.quantization_engine.tb_prediction_unit import check_map, check_scores
from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.model.simcore import Queries, key_cycles, measure_cycles, query_cycles, tail_cycles
from zoetrope.sim.packing import integer, pack

ALL = {"sparsify": True, "predict": True, "quantize_v": True}
NOTHING = dict.fromkeys(ALL, False)
ADDRESSES = {"q": 0x1000, "k": 0x20_0000, "v": 0x7_4000}


class Head:
    """Q, K and V of a head, the job that is sent for it, and all that should come."""

    def __init__(self, c, tensors, geometry, asked=ALL, *, tau=2.5, window=3, group=4, p=0.65, wrong=None):
        self.refused = self.table_error = False
        self.tensors = dict(zip("qkv", tensors))
        self.geometry, self.asked, self.wrong = geometry, asked, wrong or {}
        self.window, self.group, self.tau, self.p = window, group, tau, p
        sfu = c.prediction.sfu
        options = {"lanes": c.lanes, "sfu_lanes": sfu.lanes, "running": sfu.add_stages, "p_bits": c.prediction.p_bits}
        self.found = prologue(*tensors, geometry, **asked, tau=tau, window=window, group=group, p=p, **options)
        self.reads = reads(geometry, self.channels, ADDRESSES, **asked, lanes=c.lanes)
        if asked["predict"]:
            video = geometry.video
            q, k = (self.tensors[name][video] for name in "qk")
            self.prediction = Prediction(c.prediction, q, k, geometry.rows, p)

    @property
    def channels(self):
        return self.tensors["q"].shape[1]

    def job(self, c):
        g = self.geometry
        values = {name: getattr(g, name) for name in ("frames", "height", "width", "text", "text_first")}
        values |= {"channels": self.channels, "window": self.window, "group": self.group}
        values |= {"threshold": squared_threshold(self.tau), "factor": inverse(g.rows)}
        values |= {"scale": fp32(np.array([1 / np.sqrt(self.channels)]))[0]}
        values |= {"p": proportion(self.p, c.prediction.p_bits), **self.asked, **ADDRESSES, **self.wrong}
        return pack(*([values[name]] for name, _ in c.job_layout), widths=[field.width for _, field in c.job_layout])

    def sizes(self, c):
        """What follows from the sizes, also from wrong ones."""
        sizes = {name: getattr(self.geometry, name) for name in ("frames", "height", "width", "text")}
        sizes |= {"channels": self.channels} | self.wrong
        words = -(-sizes["channels"] // c.lanes)
        frame = sizes["height"] * sizes["width"]
        video, text = frame * sizes["frames"], sizes["text"]
        values = {"words": words, "frame_tokens": frame, "video_tokens": video, "frame_words": frame * words}
        values |= {"text_words": text * words, "video_words": video * words, "matrix_words": (video + text) * words}
        return integer(c.sizes_layout, **values)

    def sent(self, c, reader):
        """What a reader delivers: behind the channels of a token whatever is there, here NaN."""
        video = self.geometry.video
        rows = {"q": video, "previous": slice(video.start, video.stop - self.geometry.rows)}.get(reader, slice(None))
        given = words(self.tensors["q" if reader == "previous" else reader][rows], c.lanes)
        beyond = np.arange(c.lanes) >= given.count[:, None]
        values = np.where(beyond, FP16.nan, given.values)
        return pack(*values.T, given.end, widths=[16] * c.lanes + [1])

    def measured(self, c, matrix):
        """Words of ``o_measure_k`` or ``o_measure_v``; a count of all lanes is sent as 0."""
        given = words(self.tensors[matrix], c.lanes)
        tail = np.full(len(given.end), self.channels % c.lanes)
        fields = [*given.values.T, tail, given.last, given.end, np.zeros(len(tail), int)]
        return pack(*fields, widths=[16] * c.lanes + [c.lanes.bit_length(), 1, 1, 1])


@bench_test()
async def heads(bench):
    """Text before, behind and none; one token, one frame, one row, one column; channels that fill no word."""
    c, rng = bench.config, bench.rng
    d = min(c.max_channels, 2 * c.lanes + 1)
    shapes = [
        (Geometry(1, 1, 1), 1),
        (Geometry(3, 2, 3, 4), d),
        (Geometry(2, 3, 2, 5, text_first=False), max(1, c.lanes - 1)),
        (Geometry(1, 3, 4, 1), c.lanes),
        (Geometry(4, 1, 5), 2 * c.lanes),
        (Geometry(3, 4, 1, 2, text_first=False), d),
    ]
    given = [
        Head(c, similar(rng, geometry, channels), geometry, tau=0.6 + k % 3, window=1 + k % 4, group=1 + k % 4)
        for k, (geometry, channels) in enumerate(shapes)
    ]
    await check(bench, given)


@bench_test()
async def clip(bench):
    """The middle of frames of the clip, with text tokens behind that are seeded."""
    tensors, geometry = real(bench, 3)
    text = fp16(bench.rng.standard_normal((3, 5, tensors[0].shape[1]))).view(np.uint16)
    tensors = [np.concatenate(pair) for pair in zip(tensors, text)]
    await check(bench, [Head(bench.config, tensors, replace(geometry, text=5, text_first=False))])


@bench_test(stalls=("none", "both"))
async def switches(bench):
    """Whatever is asked for and nothing, one head after the other, without a reset."""
    c, rng = bench.config, bench.rng
    geometry, d = Geometry(2, 2, 3, 3), min(c.max_channels, c.lanes + 1)
    asked = [dict(zip(ALL, (bool(k & 1), bool(k & 2), bool(k & 4)))) for k in range(8)]
    await check(bench, [Head(c, similar(rng, geometry, d), geometry, each, tau=1.0) for each in asked])


@bench_test(stalls=("none", "both"))
async def what_must_not_be(bench):
    """NaN and infinities, sizes of 0 and too large, a wrong threshold: errors, no hang; the next head is right."""
    c, rng = bench.config, bench.rng
    geometry, d = Geometry(3, 2, 2, 2), min(c.max_channels, c.lanes + 1)
    right = Head(c, similar(rng, geometry, d), geometry, tau=1.0)
    given = [right]
    for matrix, code in enumerate((FP16.nan, FP16.inf, 0xFC00)):
        tensors = similar(rng, geometry, d)
        tensors[matrix][geometry.video.start + 5, d - 1] = code
        given.append(Head(c, tensors, geometry, tau=1.0))
    tensors = similar(rng, geometry, d)
    tensors[0][0, 0] = FP16.nan  # Q of text is not read
    given.append(Head(c, tensors, geometry, tau=1.0))
    sizes = [{name: 0} for name in ("frames", "height", "width", "channels")]
    sizes += [{"channels": c.max_channels + 1}, {"text": c.max_tokens}]
    if c.prediction.max_rows < c.sparsification.max_height * c.sparsification.max_width:
        sizes.append(
            {"height": c.sparsification.max_height, "width": c.sparsification.max_width, "frames": 1, "text": 0}
        )
    for asked in (ALL, NOTHING | {"quantize_v": True}):
        for wrong in sizes if asked is ALL else sizes[:6]:
            given.append(Head(c, similar(rng, geometry, d), geometry, asked, wrong=wrong))
            given[-1].refused = True
    for wrong in ({"threshold": 0xBF800000}, {"window": 0}, {"group": 0}, {"window": c.sparsification.max_window + 1}):
        given.append(Head(c, similar(rng, geometry, d), geometry, wrong=wrong))
        given[-1].table_error = True
    most = c.prediction.max_tiles + 1
    if most >> c.job_layout["frames"].width == 0:
        geometry = Geometry(most, 1, 1)
        given.append(Head(c, similar(rng, geometry, 2), geometry, tau=0.5))
    await check(bench, [*given, right])


@bench_test(stalls=("none",))
async def reset_within_a_head(bench):
    """A reset while K, Q and V come leaves nothing of the head."""
    c, rng = bench.config, bench.rng
    geometry, d = Geometry(3, 2, 3, 2), min(c.max_channels, 2 * c.lanes)
    head = Head(c, similar(rng, geometry, d), geometry, tau=1.0)
    for cycles in (10, 60, 110, 160):
        bench.set("sizes", head.sizes(c))
        bench.send("i_job", head.job(c))
        for reader in head.reads:
            bench.send(f"i_{reader}", head.sent(c, reader))
        await bench.cycles(cycles)
        await bench.reset()
    await check(bench, [head])


@bench_test(stalls=("none",))
async def cycles(bench):
    """On the clip: cycles from a job to its commands, of V alone, of K, and of all at once; seeded if it is one token."""
    c, unit = bench.config, Queries.of(bench.config)
    tensors, geometry = real(bench, 5, least=2)
    d = tensors[0].shape[1]
    only = NOTHING | {"quantize_v": True}
    head = Head(c, tensors, geometry, only)
    await check(bench, [head], at_once=True)
    begun = int(bench.transfers("o_command_v")[0])
    bench.equal("cycles to the first command", begun - int(bench.transfers("i_job")[0]), 2)
    taken = int(bench.transfers("o_done")[0]) - begun
    bench.equal("cycles of V", taken, measure_cycles(geometry.tokens, d, lanes=c.lanes))
    bench.measure(interval="o_measure_v")
    await bench.reset()
    await check(bench, [Head(c, tensors, geometry)], at_once=True)
    begun = int(bench.transfers("o_command_k")[0])
    queries = int(bench.transfers("i_q")[1])
    stated = key_cycles(geometry.frames, geometry.rows, geometry.text, d, lanes=c.lanes)
    if abs(queries - begun - stated) > 2 * c.lanes:
        raise BenchError(f"K took {queries - begun} cycles, the model says {stated}")
    grid = (geometry.frames, geometry.height, geometry.width)
    stated = query_cycles(grid, d, 3, 4, unit)
    total = int(bench.transfers("o_done")[0]) - queries
    # Behind the last word: what the last frame takes for its products and its sort, and the units' latencies.
    if not 0 <= total - stated <= tail_cycles(geometry.rows, d, geometry.frames, unit):
        raise BenchError(f"Q took {total} cycles, the model says {stated}")


async def check(bench, heads, at_once=False):
    """Each head after the other: commands, words to be measured, scores, map, table, flags."""
    for head in heads:
        await run(bench, head, at_once)
        flags = tuple(bool(bench.get(f"not_finite_{name}")) for name in "qkv")
        refused = head.refused
        wrong = head.table_error
        bench.equal("not_finite", flags, (False,) * 3 if refused else head.found.not_finite)
        if head.asked["predict"] and not refused:
            await check_map(bench, head.prediction, bench.config.prediction)
        if head.asked["sparsify"] and not refused and not wrong:
            await check_table(bench, head)
        if wrong or any(flags):
            await bench.reset()


async def run(bench, head, at_once):
    c = bench.config
    refused = head.refused
    bench.set("sizes", head.sizes(c))
    bench.send("i_job", head.job(c))
    expected = {} if refused else head.reads
    if expected and head.asked["predict"]:
        bench.send("i_probabilities", head.prediction.results(c.prediction))
    if at_once:
        for reader in expected:
            bench.send(f"i_{reader}", head.sent(c, reader))
    for reader in sorted(expected, key=lambda name: name == "v"):
        got = await bench.collect(f"o_command_{reader}", 1, more=True)
        row = pack(*([value] for value in expected[reader]), widths=[c.address_bits, c.length_bits])
        bench.compare(got, row, unit="commands")
        if not at_once:
            bench.send(f"i_{reader}", head.sent(c, reader))
    got = await bench.collect("o_done", 1, timeout=40_000)
    map_error = head.asked["predict"] and (refused or head.prediction.error)
    table_error = head.asked["sparsify"] and (refused or head.table_error)
    bench.compare(got, pack([map_error], [table_error], [refused], widths=[1, 1, 1]), unit="ends")
    if not expected:
        return
    for matrix, asked in (("k", "predict"), ("v", "quantize_v")):
        if head.asked[asked]:
            rows = head.measured(c, matrix)
            bench.compare(await bench.collect(f"o_measure_{matrix}", len(rows)), rows, unit="words to be measured")
    if head.asked["predict"]:
        await check_scores(bench, head.prediction, c.prediction)


async def check_table(bench, head):
    got = []
    for address in range(len(head.found.table)):
        bench.set("r_en", 1)
        bench.set("r_addr", address)
        await bench.cycles(2)
        got.append(bench.get("r_data"))
    bench.set("r_en", 0)
    bench.compare(np.array(got, np.uint32)[:, None], head.found.table.astype(np.uint32)[:, None], unit="entries")


def similar(rng, geometry, d):
    """Seeded Q, K and V, codes; Q's tokens resemble those of the frame before."""
    base = np.tile(rng.standard_normal((geometry.rows, d)), (geometry.frames, 1))
    q = 3 * rng.standard_normal((geometry.tokens, d))
    q[geometry.video] = base + 0.3 * rng.standard_normal(base.shape)
    return [fp16(x).view(np.uint16) for x in (q, *(3 * rng.standard_normal((2, geometry.tokens, d))))]


def real(bench, frames, least=1):
    """The corner of frames of the clip; or seeded tokens, also where the corner has fewer than ``least``."""
    c, given = bench.config, bench.tensors
    height, width = min(4, c.sparsification.max_height), min(6, c.sparsification.max_width)
    d = min(c.max_channels, 16)
    if given is not None:
        grid = tuple(given["grid"])
        cut = [given[name].reshape(*grid, -1)[:frames, :height, :width, :d] for name in "qkv"]
        geometry = Geometry(*cut[0].shape[:3])
    if given is None or geometry.tokens < least:
        geometry = Geometry(frames, height, width)
        return similar(bench.rng, geometry, d), geometry
    return [fp16(x).view(np.uint16).reshape(geometry.tokens, -1) for x in cut], geometry
