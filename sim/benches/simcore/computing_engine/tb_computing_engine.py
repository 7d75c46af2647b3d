# SPDX-License-Identifier: Apache-2.0
"""Bench of the computing engine: tiles of S and A of every shape on both arrays at once, results, cycles and utilisation."""

import numpy as np

from zoetrope.golden.formats import FP16, fp32
from zoetrope.golden.memory.transpose_buffer import load_words
from zoetrope.golden.method.speculation import speculate
from zoetrope.golden.simcore.computing_engine.computing_engine import A, Job, S, computing_engine
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_a
from zoetrope.golden.softmax.sfu import sfu
from zoetrope.hw.formats import INT8
from zoetrope.hw.simcore.computing_engine.computing_engine import ARRAYS
from zoetrope.hw.simcore.computing_engine.tile_array import ACTIVITIES
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.computing_engine import JOB_CYCLES, Array, cost, engine_cycles
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.outer_product import CORNERS, golden_of, seeded_tensors
from zoetrope.sim.stimulus.transpose_buffer import mask_bits


@bench_test()
async def mixed(bench):
    """Jobs of random kinds and sizes on both arrays; masks of no, some and all columns; operands kept; corner operands."""
    await check(bench, {name: random_jobs(bench, name, 12) for name in ARRAYS})


@bench_test(stalls=("none",))
async def one_array(bench):
    """Jobs for one array only: the other stays idle, and counts nothing."""
    for name, other in (ARRAYS, ARRAYS[::-1]):
        await bench.reset()
        await check(bench, {name: random_jobs(bench, name, 3), other: []})
        bench.equal(f"activity of {other}", [bench.get(f"{what}_{other}") for what in ACTIVITIES], [0] * 4)


@bench_test(stalls=("none",))
async def smallest(bench):
    """One operand, one word: the latency of each array."""
    rng = bench.rng
    for name in ARRAYS:
        await bench.reset()
        await check(bench, {name: [Job(S, operands(rng, (1, 1)), weights(bench, name, (1, 1)))]})
        latency = bench.transfers(f"o_{name}")[0] - bench.transfers(f"i_w_{name}")[0]
        bench.equal(f"latency of {name}", latency, getattr(bench.component, f"{name}_latency"))
        if name == "fp16":
            bench.measure(latency=("i_w_fp16", 0, "o_fp16", 0))


@bench_test()
async def short(bench):
    """Jobs of one operand, whose loads take as long as their sums and results: every hand-over is on the way."""
    c, rng = bench.config, bench.rng
    jobs = {name: [] for name in ARRAYS}
    for name in ARRAYS:
        for _ in range(40):
            rows, keys = int(rng.integers(1, getattr(c, name).rows + 1)), int(rng.integers(1, min(9, c.max_tokens) + 1))
            jobs[name].append(Job(S, operands(rng, (rows, 1)), weights(bench, name, (keys, 1))))
    await check(bench, jobs)


@bench_test()
async def clip(bench):
    """Slices of the clip's last frames through S, softmax and A, tile by tile, as the importance maps of P and A say."""
    tensors = bench.tensors or seeded_tensors(bench.rng)
    tiles = clip_tiles(tensors, bench.config, slices=2 if bench.stall == "none" else 1)
    await check(bench, scores_jobs(bench.config, *tiles))
    await bench.reset()
    await check(bench, values_jobs(bench.config, *tiles))


@bench_test(kind=[S, A], stalls=("none",))
async def balanced(bench, kind):
    """Equal tiles, shared so that both arrays have the same work, and operands at the full rate: who is busy how much.

    Utilisation is that of the less busy array, in a window in which both have jobs: at least 95 % where neither loads, nor
    slices, nor sums take longer than the words of weights.
    """
    c = bench.config
    jobs = {name: balanced_jobs(bench, name, kind) for name in ARRAYS}
    for name in ARRAYS:
        send(bench, name, jobs[name])
    for name in ARRAYS:
        await bench.until(f"busy_{name}")
    before = activity(bench)
    costs = {name: [cost(job, Array.of(c, name)) for job in jobs[name]] for name in ARRAYS}
    work = [sum(each.busy for each in costs[name]) for name in ARRAYS]
    window = int(min(work) * 0.9)
    await bench.cycles(window)
    shares = {name: (activity(bench)[name] - before[name]) / window for name in ARRAYS}
    await check(bench, jobs, sent=True)
    bench.row.utilisation = min(share[0] for share in shares.values())
    told = ", ".join(f"{name} {dict(zip(ACTIVITIES, share.round(3).tolist()))}" for name, share in shares.items())
    every = [each for name in ARRAYS for each in costs[name]]
    if all(each.compute == each.busy > max(each.load_x, each.load_w) for each in every):
        bench.equal("work is balanced within 10 %", max(work) <= 1.1 * min(work), True)
        bench.equal(f"both arrays busy 95 % of cycles ({told})", bench.row.utilisation >= 0.95, True)
        # Within a tile a word of weights is multiplied in every cycle.
        bench.row.interval = float(round(1 / bench.row.utilisation, 2))
        bench.equal("initiation_interval", bench.row.interval, bench.component.initiation_interval)


def activity(bench):
    return {name: np.array([bench.get(f"{what}_{name}") for what in ACTIVITIES]) for name in ARRAYS}


@bench_test()
async def impossible(bench):
    """Jobs of no size, too large, or not of what is kept are dropped and flagged; the others are not touched."""
    c = bench.config
    for name in ARRAYS:
        await bench.reset()
        good = Job(S, operands(bench.rng, (min(2, getattr(c, name).rows), 3)), weights(bench, name, (4, 3)), slice=1)
        keep = good._replace(keep_x=True, keep_w=True)
        layout = c.array(name).job_layout
        right = job_fields(good)
        top = {field: (1 << part.width) - 1 for field, part in layout if field in ("operands", "outputs")}
        wrong = [right | {field: 0} for field in ("rows", "operands", "outputs")]
        wrong += [right | {"operands": c.max_channels + 1}] if c.max_tokens > c.max_channels else []
        wrong += [right | {"kind": A, "outputs": c.max_channels + 1}] if c.max_tokens > c.max_channels else []
        wrong += [right | {field: value} for field, value in top.items() if value > max(c.max_tokens, c.max_channels)]
        for fields in wrong:
            send(bench, name, [good])
            bench.send(f"i_job_{name}", [integer(layout, **fields)])
        send(bench, name, [keep])
        after = [right | {"operands": 2}, right | {"kind": A}, right | {"outputs": 5}]
        after += [right | {"rows": 3}] if getattr(c, name).rows > 2 else []
        bench.send(f"i_job_{name}", [integer(layout, **fields) for fields in after])
        send(bench, name, [good], kept=(True, True))
        await collect(bench, name, [good] * len(wrong) + [keep, good])
        bench.equal("error", bench.get(f"error_{name}"), 1)


@bench_test(stalls=("none",))
async def reset_within_jobs(bench):
    """A reset while jobs load, wait, compute and leave keeps nothing of them."""
    for name in ARRAYS:
        send(bench, name, random_jobs(bench, name, 6))
    await bench.cycles(150)
    await bench.reset()
    await check(bench, {name: random_jobs(bench, name, 2) for name in ARRAYS})


# Jobs


def operands(rng, shape):
    """FP16 codes of every class, few of them not finite."""
    codes = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    codes = np.where((codes & FP16.inf) == FP16.inf, codes ^ 0x4000, codes)
    corners = rng.choice(np.array(list(CORNERS.values()), np.uint16), shape)
    return np.where(rng.random(shape) < 0.02, corners, codes)


def weights(bench, name, shape):
    if getattr(bench.config, name).weight is INT8:
        return bench.rng.integers(0, 256, shape, dtype=np.uint8)
    return operands(bench.rng, shape)


def random_jobs(bench, name, count):
    """Jobs of random kinds and sizes, the second and third the largest there are; a third of them keep operands."""
    c, rng = bench.config, bench.rng
    rows = getattr(c, name).rows
    jobs = []
    for k in range(count):
        kept = jobs[-1] if jobs else None
        if kept and (kept.keep_x or kept.keep_w):
            kind, shape = kept.kind, np.shape(kept.w)
        else:
            kind, shape = (int(rng.integers(2)), None) if k not in (1, 2) else (k - 1, (c.max_tokens, c.max_channels))
            shape = shape or (int(rng.integers(1, min(c.max_tokens, 40) + 1)), int(rng.integers(1, c.max_channels + 1)))
        count_k = shape[1] if kind == S else shape[0]
        own_rows = int(rng.integers(1, rows + 1))
        x = kept.x[:own_rows] if kept and kept.keep_x else operands(rng, (own_rows, count_k))
        w = kept.w if kept and kept.keep_w else weights(bench, name, shape)
        mask = None
        if kind == A:
            mask = kept.mask if kept and kept.keep_w else rng.random(shape[1]) < rng.choice([0.0, 0.3, 0.8, 1.0])
        keep = rng.random(2) < 0.3 if k + 1 < count else (False, False)
        tags = (int(rng.integers(1 << c.slice_bits)), int(rng.integers(1 << c.tile_bits)))
        jobs.append(Job(kind, x, w, mask, *tags, bool(keep[0]), bool(keep[1])))
    return jobs


def balanced_jobs(bench, name, kind):
    """Largest tiles of the kind, so many that both arrays have about the same work; of A, columns by the same rule."""
    c, rng = bench.config, bench.rng
    pes = {each: getattr(c, each).rows * getattr(c, each).outputs for each in ARRAYS}
    share = pes[name] / sum(pes.values())
    array = getattr(c, name)
    tokens, channels = c.max_tokens, c.max_channels
    if kind == S:
        shape = (tokens, channels)
        x = [operands(rng, (array.rows, channels)) for _ in range(round(6 * share))]
        return [Job(S, each, weights(bench, name, shape), tile=k % (1 << c.tile_bits)) for k, each in enumerate(x)]
    mask = np.zeros(channels, bool)
    important = round(channels * pes["fp16"] / sum(pes.values()))
    mask[np.random.default_rng(1).permutation(channels)[:important]] = True
    mask = mask if name == "fp16" else ~mask
    x = [operands(rng, (array.rows, tokens)) for _ in range(4)]
    return [
        Job(A, each, weights(bench, name, (tokens, channels)), mask, tile=k % (1 << c.tile_bits))
        for k, each in enumerate(x)
    ]


def clip_tiles(tensors, c, frames=3, slices=2):
    """Slices of Q's last tokens, as many as there are, and the tiles of K and V, of at most the size that the engine takes.

    Returns Q, K and V in the forms of both arrays, the rows of the slices, the tokens of the tiles, and which are important.
    """
    n, d = min(c.max_tokens, tensors["k"].shape[1]), min(c.max_channels, tensors["k"].shape[2])
    q, k, v = (np.ascontiguousarray(tensors[name][-frames:, :n, :d]).reshape(-1, d) for name in ("q", "k", "v"))
    found = speculate(q, k, v, n)
    tiles = len(found.p.map)
    rows = min(c.fp16.rows, c.lut.rows)
    short = min(1, rows - 1)  # the second slice is ragged
    ends = range(len(q), 0, -rows)[:slices]
    chosen = [slice(max(0, end - rows + s * short), end) for s, end in enumerate(ends)]
    parts = [slice(g * n, (g + 1) * n) for g in range(tiles)]
    forms = {
        "fp16": (q.view(np.uint16), k.view(np.uint16), v.view(np.uint16)),
        "lut": (found.q_folded.view(np.uint16), found.k_codes, found.v_codes),
    }
    return forms, chosen, parts, found.p.map[-1]


def kept_x(jobs):
    """Mark the jobs after which the same slice comes again."""
    marked = []
    for job, following in zip(jobs, [*jobs[1:], None]):
        same = following is not None and following.slice == job.slice and np.array_equal(following.x, job.x)
        marked.append(job._replace(keep_x=same))
    return marked


def scores_jobs(c, forms, chosen, parts, important):
    jobs = {name: [] for name in ARRAYS}
    for s, rows in enumerate(chosen):
        for g, part in enumerate(parts):
            name = "fp16" if important[g] else "lut"
            q, k, _ = forms[name]
            jobs[name].append(Job(S, q[rows], k[part], slice=s % (1 << c.slice_bits), tile=g % (1 << c.tile_bits)))
    return {name: kept_x(each) for name, each in jobs.items()}


def values_jobs(c, forms, chosen, parts, important):
    """The e of each tile of S, and A's columns on the array that their importance says."""
    jobs = {name: [] for name in ARRAYS}
    scale = fp32(np.array([1 / np.sqrt(forms["fp16"][0].shape[1])]))
    for s, rows in enumerate(chosen):
        for g, part in enumerate(parts):
            name = "fp16" if important[g] else "lut"
            q, k, _ = forms[name]
            scores = computing_engine([Job(S, q[rows], k[part])], golden_of(getattr(c, name)))[0]
            e, _ = sfu(scores, scale[0], normalise=False)
            mask = importance_of_a(e, forms["fp16"][2][part]).map
            for name in ARRAYS:
                own = mask if name == "fp16" else ~mask
                jobs[name].append(
                    Job(A, e, forms[name][2][part], own, slice=s % (1 << c.slice_bits), tile=g % (1 << c.tile_bits))
                )
    return jobs


# Sending and checking


def job_fields(job):
    size = (len(job.w), np.shape(job.w)[1])
    operand_count, outputs = size[::-1] if job.kind == S else size
    mask = job.mask if job.mask is not None or job.kind == S else np.ones(outputs, bool)
    fields = {name: getattr(job, name) for name in ("kind", "slice", "tile", "keep_x", "keep_w")}
    return fields | {"rows": len(job.x), "operands": operand_count, "outputs": outputs, "mask": mask_bits(mask)}


def send(bench, name, jobs, kept=(False, False)):
    """Queue jobs and their operands; ``kept`` says what the first finds loaded."""
    c = bench.config
    layout = c.array(name).job_layout
    for job in jobs:
        bench.send(f"i_job_{name}", [integer(layout, **job_fields(job))])
        if not kept[0]:
            words = load_words(job.x.T, c.load_lanes)
            bench.send(f"i_x_{name}", pack(*words.T, widths=[16] * c.load_lanes))
        if not kept[1]:
            words = load_words(job.w.T if job.kind == S else job.w, c.load_lanes, straight=job.kind == A)
            bench.send(f"i_w_{name}", pack(*words.T, widths=[c.array(name).weight_bits] * c.load_lanes))
        kept = (job.keep_x, job.keep_w)


def result_words(c, name, jobs):
    """The payloads of ``o`` for ``jobs``."""
    layout = c.array(name).o_layout
    columns = getattr(c, name).outputs
    widths = [field.width for _, field in layout][:-1]
    found = []
    for job, results in zip(jobs, computing_engine(jobs, golden_of(getattr(c, name)))):
        rows, outputs = results.shape
        words = -(-outputs // columns)
        if not words:
            continue
        padded = np.zeros((rows, words * columns), np.uint32)
        padded[:, :outputs] = results
        place = np.arange(rows * words)
        tags = [np.full(rows * words, value) for value in (job.kind, job.slice, job.tile)]
        tags += [place // words, place % words, place == rows * words - 1]
        found.append(pack(*tags, *padded.reshape(-1, columns).T, widths=widths + [32] * columns))
    return np.concatenate(found) if found else np.zeros((0, (layout.size + 7) // 8), np.uint8)


async def collect(bench, name, jobs, more=False):
    expected = result_words(bench.config, name, jobs)
    got = await bench.collect(f"o_{name}", len(expected), more=more)
    if len(expected):
        bench.compare(got, expected, unit=f"words of results of the {name} array")


async def check(bench, jobs, sent=False):
    """Send the jobs of both arrays, compare all results, the utilisation counters and, where nothing stalls, the cycles."""
    c = bench.config
    if not sent:
        await bench.until("filled")
        for name in jobs:
            send(bench, name, jobs[name])
    for name in jobs:
        await collect(bench, name, jobs[name], more=True)
    await bench.cycles(1)
    for name in jobs:
        array = Array.of(c, name)
        bench.equal(f"error of {name}", bench.get(f"error_{name}"), 0)
        bench.equal(f"busy of {name}", bench.get(f"busy_{name}"), sum(cost(job, array).busy for job in jobs[name]))
        moves = bench.transfers(f"o_{name}")
        if bench.stall == "none" and len(moves):
            first = min(bench.transfers(f"i_{side}_{name}")[0] for side in "xw")
            span = int(moves[-1] - first)
            least = engine_cycles(jobs[name], array)
            latency = getattr(bench.component, f"{name}_latency")
            bounds = least, least + latency + JOB_CYCLES * len(jobs[name])
            bench.equal(f"cycles of {name}, {span}, within {bounds}", bounds[0] <= span <= bounds[1], True)
