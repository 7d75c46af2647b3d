# SPDX-License-Identifier: Apache-2.0
"""The matching engine: golden against k-medoids written from the definition, benches, and long runs through the RTL."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest

from zoetrope.golden import reference
from zoetrope.golden.orbis.matching.datm import distances, kept, match, pair, reduced, update, weights
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.hw.catalogue import find
from zoetrope.hw.orbis.matching.datm import Datm
from zoetrope.hw.orbis.matching.datm_config import DatmConfig, Statistic, Status
from zoetrope.hw.orbis.matching.quantization_engine import QuantizationEngine, QuantizationEngineConfig
from zoetrope.sim.input import clips
from zoetrope.sim.packing import pack, unpack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.orbis.datm import (
    SINKS,
    SOURCES,
    Job,
    bad,
    corner_jobs,
    expected_cycles,
    random_job,
    run,
    statistics,
    wrong_statistics,
)


def k_medoids(x, medoids, limit=1000):
    """k-medoids by alternation on squared distances, from its definition: no mean, no code of ours.

    Every point joins its nearest medoid (a medoid itself), every cluster takes the member of least total distance to all
    members, until nothing changes. Returns the medoids by cluster and all total distances on the way.
    """
    d = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    medoids, losses = list(medoids), []
    for _ in range(limit):
        cluster = [medoids.index(i) if i in medoids else int(np.argmin(d[i, medoids])) for i in range(len(x))]
        losses.append(sum(d[i, medoids[c]] for i, c in enumerate(cluster)))
        new = []
        for c, medoid in enumerate(medoids):
            members = [medoid] + [i for i in range(len(x)) if cluster[i] == c and i != medoid]
            costs = [sum(d[i, j] for j in members) for i in members]
            new.append(members[int(np.argmin(costs))])
        if new == medoids:
            return medoids, losses
        medoids = new
    raise AssertionError("no end")


def problem(seed, tokens=None, channels=None, slots=None):
    rng = np.random.default_rng(seed)
    tokens = tokens or int(rng.integers(2, 70))
    channels = channels or int(rng.integers(1, 9))
    slots = slots or int(rng.integers(1, tokens))
    return rng, tokens, channels, rng.permutation(tokens)[:slots]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_ideal_refuses_what_is_no_number(value):
    x = np.ones((4, 2))
    x[3, 1] = value
    with pytest.raises(ValueError, match="x must be finite; 1 values are NaN or infinite"):
        reference.match(x, [0], 1)


@pytest.mark.parametrize("seed", range(40))
def test_medoids_are_those_of_k_medoids_in_float64(seed):
    """Unquantized, from the same start: the same medoids, pair by pair, and the loss never rises."""
    rng, tokens, channels, dst = problem(seed)
    x = rng.standard_normal((tokens, channels)) * rng.random(channels)
    medoids, losses = k_medoids(x, dst)
    found, src, slot, distance, means, converged = reference.match(x, dst, tokens - len(dst))
    assert converged
    assert found.tolist() == medoids
    np.testing.assert_allclose(np.array(means[: len(losses)]) * (tokens - len(dst)), losses, rtol=1e-9)
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(means))
    order = sorted(range(len(src)), key=lambda i: (distance[i], src[i]))
    assert order == list(range(len(src)))
    assert all(np.isclose(((x[s] - x[found[c]]) ** 2).sum(), e) for s, c, e in zip(src, slot, distance))


@pytest.mark.parametrize("seed", range(30))
def test_codes_are_matched_as_k_medoids_of_integers(seed):
    """On codes, where distances tie: k-medoids on exact integers with the same rule for ties."""
    rng, tokens, channels, dst = problem(seed + 100)
    q = rng.integers(-7, 8, (tokens, channels)) if seed % 2 else rng.integers(-1, 2, (tokens, channels))
    w = rng.integers(0, 256, channels)
    # A weight is that many equal channels.
    medoids, losses = k_medoids(q * np.sqrt(w), dst)
    found = match(q, dst, k=0, weights=w, cap=1000)
    assert found.converged
    np.testing.assert_allclose(found.losses[: len(losses)], losses, rtol=1e-9, atol=1e-6)
    assert all(b < a for a, b in zip(found.losses[:-2], found.losses[1:]))
    assert found.losses[-1] == found.losses[-2]
    if seed % 2:
        assert found.dst.tolist() == medoids


def by_hand(q, dst, w, eps, cap):
    """The loop with Python's integers and exact fractions for the mean, token by token."""
    q, dst, w = q.tolist(), list(dst), w.tolist()
    tokens, losses = len(q), []

    def square(a, b):
        return sum(weight * (x - y) ** 2 for weight, x, y in zip(w, a, b))

    while True:
        src = [i for i in range(tokens) if i not in dst]
        pairs = {i: min((square(q[i], q[j]), slot) for slot, j in enumerate(dst)) for i in src}
        losses.append(sum(distance for distance, _ in pairs.values()))
        if (len(losses) > 1 and abs(losses[-1] - losses[-2]) < eps) or len(losses) == cap:
            return dst, sorted((distance, i, slot) for i, (distance, slot) in pairs.items()), losses
        for slot, old in enumerate(dst):
            members = [old] + [i for i in src if pairs[i][1] == slot]
            mean = [Fraction(sum(column), len(members)) for column in zip(*(q[i] for i in members))]
            dst[slot] = min((square(q[i], mean), i != old, i) for i in members)[2]


@pytest.mark.parametrize("seed", range(24))
def test_every_index_and_loss_by_hand(seed):
    rng, tokens, channels, dst = problem(seed + 200, slots=[1, None, None][seed % 3])
    spread = [1, 3, 8][seed % 3]
    q = rng.integers(1 - spread, spread, (tokens, channels))
    w = rng.integers(0, 256, channels)
    eps, cap = int(rng.integers(0, 500)), int(rng.integers(1, 6))
    k = int(rng.integers(0, tokens - len(dst) + 1))
    expected, pairs, losses = by_hand(q, dst, w, eps, cap)
    found = match(q, dst, k=k, weights=w, eps=eps, cap=cap)
    assert found.dst.tolist() == expected
    assert list(found.losses) == losses
    assert list(zip(found.distance.tolist(), found.src.tolist(), found.slot.tolist())) == pairs[:k]
    assert found.iterations == len(losses) == len(found.medoids)


def test_equal_tokens_join_the_first_slot_and_nothing_moves():
    found = match(np.full((9, 3), -5), np.array([7, 2, 4]), k=6)
    assert found.losses == (0, 0) and found.converged
    assert found.dst.tolist() == [7, 2, 4]
    assert found.slot.tolist() == [0] * 6
    assert found.src.tolist() == [0, 1, 3, 5, 6, 8]


def test_an_empty_group_keeps_its_dst():
    q = np.array([[0], [1], [2], [0], [0]])
    src, slot, _ = pair(q, np.array([3, 4]), np.array([1]))
    assert slot.tolist() == [0, 0, 0]
    assert update(q, np.array([3, 4]), src, slot, np.array([1])).tolist() == [1, 4]


def test_of_members_equally_near_the_dst_stays_else_the_lowest_wins():
    q = np.array([[2], [-2], [2], [-2], [0], [0]])
    w = np.array([3])
    assert update(q, np.array([2]), np.array([0, 1, 3]), np.array([0, 0, 0]), w).tolist() == [2]
    assert update(q, np.array([2]), np.array([0, 1, 3, 4, 5]), np.zeros(5, int), w).tolist() == [4]


def test_cap_and_eps():
    rng = np.random.default_rng(1)
    q, dst = rng.integers(-7, 8, (200, 2)), np.arange(12)
    full = match(q, dst, k=1)
    assert full.converged and full.iterations > 3
    one = match(q, dst, k=1, cap=1)
    assert one.iterations == 1 and not one.converged and one.dst.tolist() == dst.tolist()
    never = match(q, dst, k=1, eps=0, cap=full.iterations + 3)
    assert never.iterations == full.iterations + 3 and not never.converged
    change = full.losses[0] - full.losses[1]
    assert match(q, dst, k=1, eps=change).iterations > 2
    assert match(q, dst, k=1, eps=change + 1).iterations == 2


def test_weights_are_squares_relative_to_a_power_of_two():
    assert weights(np.array([1.0, 0.5, 0.0, 1.4], np.float32), 8).tolist() == [128, 32, 0, 251]
    assert weights(np.array([255.9], np.float32), 8).tolist() == [255]  # would round to 256
    assert weights(np.zeros(3, np.float16)).tolist() == [0, 0, 0]
    assert weights(np.array([2.0**-24, 2.0**-25 * 3], np.float32), 4).tolist() == [4, 9]
    rng = np.random.default_rng(3)
    amax = rng.random(50).astype(np.float16)
    for bits in (1, 4, 8, 16):
        got = weights(amax, bits)
        exact = [Fraction(float(a)) ** 2 for a in amax]
        unit = Fraction(1)
        while unit > max(exact):
            unit /= 2
        expected = [min(round(a / (2 * unit) * 2**bits), 2**bits - 1) for a in exact]
        assert got.tolist() == expected


def test_ratio_and_count():
    assert reduced(400, 0.29) == 116  # 0.29 * 400 is 115.99999999999999 in float64
    assert reduced(7, 0.5) == 3
    q, dst = np.zeros((10, 2), int), np.array([1])
    assert len(match(q, dst, ratio=0.35).src) == 3
    assert len(match(q, dst, ratio=0.9).src) == 9
    assert len(match(q, dst, k=0).src) == 0


def test_top_k_is_a_full_stable_sort():
    distance = np.array([5, 1, 1, 0, 5, 1])
    assert kept(distance, 4).tolist() == [3, 1, 2, 5]


def test_large_arrays_are_matched_in_parts():
    rng = np.random.default_rng(0)
    q, dst, w = rng.integers(-7, 8, (3000, 64)), np.arange(0, 3000, 10), rng.integers(0, 256, 64)
    src, slot, distance = pair(q, dst, w)
    for i in (0, 1, 1500, 2699):
        direct = (w * (q[src[i]] - q[dst]) ** 2).sum(axis=1)
        assert (slot[i], distance[i]) == (direct.argmin(), direct.min())
    np.testing.assert_array_equal(distances(q[:5], q[5:9], w), (w * (q[:5, None] - q[None, 5:9]) ** 2).sum(axis=2))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"codes": np.zeros((4, 2))}, "codes must be integers, not float64"),
        ({"codes": np.full((4, 2), 8)}, "codes must be -7 to 7, not 8"),
        ({"codes": np.zeros((0, 2), int)}, "codes must be a matrix"),
        ({"dst": []}, "dst must be 1 to 3 tokens of 4"),
        ({"dst": [0, 1, 2, 3]}, "dst must be 1 to 3 tokens of 4"),
        ({"dst": [1, 1]}, "repeats"),
        ({"dst": [0, 4]}, "dst must be tokens 0 to 3, not 4"),
        ({"dst": [-1]}, "dst must be tokens 0 to 3, not -1"),
        ({"k": 4}, "4 of 4 tokens cannot be reduced to 1 dst: 0 to 3 can"),
        ({"k": -1}, "-1 of 4 tokens"),
        ({"k": None}, "either ratio or k"),
        ({"ratio": 0.5}, "either ratio or k"),
        ({"k": None, "ratio": 1.5}, "ratio must be 0 to 1, not 1.5"),
        ({"k": None, "ratio": 0.9, "dst": [0, 1]}, "3 of 4 tokens cannot be reduced to 2 dst"),
        ({"weights": [1, -1]}, "weights must be 2 integers, none negative"),
        ({"weights": [1]}, "weights must be 2 integers"),
        ({"weights": [1 << 60, 1]}, "too large for 4 tokens"),
        ({"eps": -1}, "eps must be at least 0"),
        ({"cap": 0}, "cap at least 1"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"codes": np.zeros((4, 2), int), "dst": [1], "k": 1} | change
    with pytest.raises(ValueError, match=message):
        match(**arguments)


@pytest.mark.parametrize(
    "scales, bits, message",
    [
        (np.ones(3), 8, "float16 or float32"),
        (np.array([np.nan], np.float32), 8, "finite"),
        (np.array([-1], np.float32), 8, "not negative"),
        (np.ones(3, np.float32), 0, "bits must be 1 to 24, not 0"),
    ],
)
def test_bad_scales_are_named(scales, bits, message):
    with pytest.raises(ValueError, match=message):
        weights(scales, bits)


#: As many lanes as make a simulator's work of a job of 2,000 tokens of 64 channels: half a second.
LARGE = DatmConfig(
    max_tokens=2_000, max_slots=300, max_channels=64, dst_lanes=8, channel_lanes=16, tile_groups=20, flag_bits=32
)


#: Sizes of many small jobs for the same engine.
SMALL = dataclasses.replace(LARGE, max_tokens=64, max_slots=63, max_channels=40)


@pytest.fixture(scope="module")
def built():
    return Native.build(Datm(config=LARGE), "datm")


@pytest.fixture
def large(built):
    built.reset()
    return built


def test_rtl():
    assert simulate("datm", "default").vectors > 4000


def test_rtl_of_one_lane():
    simulate("datm", "small")


@pytest.mark.campaign
def test_two_hundred_jobs_back_to_back(large):
    """Every size at random, ties by small codes, caps from 1: every index, loss, count and address."""
    c, rng = SMALL, np.random.default_rng(4)
    jobs = []
    for _ in range(200):
        tokens = int(rng.integers(2, c.max_tokens + 1))
        slots = int(rng.integers(1, min(c.max_slots, tokens - 1) + 1))
        channels = int(rng.integers(1, c.max_channels + 1))
        spread = int(rng.choice([1, 2, 3, 8]))
        job = random_job(rng, c, tokens, slots, channels=channels, spread=spread, cap=int(rng.integers(1, 9)))
        jobs.append(job)
        if not len(jobs) % 3:
            jobs.append(Job(job.codes, 0, slots=slots, seed=len(jobs), name="seeded"))
    found = run(large, LARGE, jobs)
    statuses = {Status(words[Statistic.STATUS]) for words in found}
    assert statuses == {Status.CONVERGED, Status.CAP}


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.campaign
def test_gaps_and_stalls_on_every_stream(large, rate):
    rng = np.random.default_rng(5)
    patterns = [rng.random(length) < rate for length in (997, 991, 983, 977, 971, 967, 953, 947)]
    gaps = dict(zip(SOURCES, patterns))
    stalls = dict(zip([*SINKS, "o_stats"], patterns[len(SOURCES) :]))
    jobs = [*corner_jobs(rng, SMALL), *bad(rng, LARGE)]
    run(large, LARGE, jobs, gaps=gaps, stalls=stalls, max_cycles=2_000_000)


def played(native, c, job, latency):
    """Statistics, pairs and dst of a job, as rows, with a memory that answers ``latency`` cycles after it is asked."""
    sent = {name: list(SOURCES[name](job, c)) for name in ("i_job", "i_weights", "i_dst")}
    words = iter(job.words(c))
    got, answers, cycle = {"o_stats": [], "o_pairs": [], "o_dst": []}, [], 0
    for name in got:
        native.set(f"{name}__ready", 1)
    native.set("o_read__ready", 1)

    def value(row):
        return int.from_bytes(row.tobytes(), "little")

    while len(got["o_stats"]) < len(job.statistics()):
        for name, rows in sent.items():
            native.set(f"{name}__valid", bool(rows))
            if rows:
                native.set(f"{name}__payload", value(rows[0]))
        due = bool(answers) and answers[0][0] <= cycle
        native.set("i_data__valid", due)
        if due:
            native.set("i_data__payload", value(answers[0][1]))
        if native.get("o_read__valid"):
            answers.append((cycle + latency, next(words)))
        if due and native.get("i_data__ready"):
            answers.pop(0)
        for name, rows in sent.items():
            if rows and native.get(f"{name}__ready"):
                rows.pop(0)
        for name, rows in got.items():
            if native.get(f"{name}__valid"):
                rows.append(native.get(f"{name}__payload"))
        native.tick()
        cycle += 1
        assert cycle < 20_000
    return got


@pytest.mark.parametrize("latency", [1, 2, 7, 60])
def test_a_memory_that_answers_when_it_is_asked(large, latency):
    """Results at any latency; the stated cycles up to the latency that the tokens asked for ahead cover."""
    job = random_job(np.random.default_rng(9), SMALL, 50, 24, cap=2)
    got = played(large, LARGE, job, latency)
    for name in ("o_pairs", "o_dst"):
        assert got[name] == [int.from_bytes(row.tobytes(), "little") for row in SINKS[name](job, LARGE)]
    size = (LARGE.statistic_layout.size + 7) // 8
    words = statistics(np.array([list(n.to_bytes(size, "little")) for n in got["o_stats"]], np.uint8), LARGE)
    assert not wrong_statistics(words, [job])
    found = {kind: value for kind, value, _ in words}
    assert job.found.iterations == 2
    if latency < 60:
        stated = expected_cycles(Datm(config=LARGE), job, latency)
        for kind in (Statistic.LOAD, Statistic.PAIR, Statistic.SUM, Statistic.UPDATE):
            assert found[kind] == stated[kind], kind


def test_channels_that_share_a_weight():
    """The form with one weight a word, with channels of the last word left over, and weights that differ in a word.

    No size is a power of two, two tokens are outstanding, and the memory answers late and in bursts.
    """
    c = DatmConfig(
        max_tokens=37,
        max_slots=21,
        max_channels=10,
        dst_lanes=3,
        channel_lanes=4,
        tile_groups=2,
        weight_bits=5,
        form="word",
        outstanding=2,
        sort_lanes=1,
        flag_bits=4,
    )
    native = Native.build(Datm(config=c), "datm")
    rng = np.random.default_rng(8)
    jobs = []
    for channels in (1, 4, 6, 10, 3, 7):
        job = random_job(rng, c, int(rng.integers(22, 38)), int(rng.integers(1, 22)), channels=channels)
        jobs.append(Job(job.codes, job.k, dst=job.dst, weights=job.weights, word=c.channel_lanes, name=job.name))
    run(native, c, jobs)
    native.reset()
    run(native, c, jobs, gaps={"i_data": np.arange(101) % 101 < 70}, max_cycles=500_000)


def test_weights_are_kept_for_the_next_job(large):
    rng = np.random.default_rng(10)
    first = random_job(rng, SMALL, 50, 6)
    second = Job(first.codes[::-1], 9, dst=[3, 1], weights=first.weights, resend=False, name="kept")
    run(large, LARGE, [first, second, second])


def test_behind_the_quantization_engine(large):
    """FP16 tokens of the clip through the RTL of both: codes and weights go from one to the other as they come."""
    config = QuantizationEngineConfig(lanes=LARGE.channel_lanes, max_tokens=300, max_channels=64, weight_bits=8)
    v = clips.load().v
    x = v.reshape(-1, v.shape[-1])[:300]
    command = pack([len(x)], [x.shape[1]], widths=[f.width for _, f in config.command])
    words = x.reshape(-1, LARGE.channel_lanes)
    quantizer = Native.build(QuantizationEngine(config=config), "quantization_engine")
    counts = {"o": len(words), "o_channels": x.shape[1], "o_status": 1}
    got, *_ = quantizer.streams({"i_command": command, "i": np.concatenate([words, words])}, counts)
    weight = unpack(got["o_channels"], [f.width for _, f in config.channel])[2]

    codes, amax = quantize(x)
    job = Job(codes, 120, slots=30, seed=3, weights=weights(amax), name="FP16")
    np.testing.assert_array_equal(weight, job.weights)
    memory = got["o"].reshape(len(x), -1, got["o"].shape[1])
    np.testing.assert_array_equal(memory[job.visits(LARGE)].reshape(-1, got["o"].shape[1]), job.words(LARGE))
    run(large, LARGE, [job])


def test_a_code_of_minus_eight_is_minus_seven(large):
    job = random_job(np.random.default_rng(6), LARGE, 20, 3, channels=LARGE.channel_lanes)
    job.codes = np.where(job.codes == -7, -8, job.codes)  # what memory answers; the golden saw -7
    assert (job.codes == -8).any()
    run(large, LARGE, [job])


@pytest.mark.parametrize("tokens, slots", [(400, 40), (400, 100), (2_000, 200), (2_000, 300)])
def test_pairing_is_within_two_percent_of_its_bound(large, tokens, slots):
    """Measured: (M - K) * ceil(K / dst lanes) * ceil(d / channel lanes) cycles and 2 % at most; and the formula exactly."""
    rng = np.random.default_rng(tokens + slots)
    job = random_job(rng, LARGE, tokens, slots, pairs=tokens // 2, cap=2)
    (found,) = run(large, LARGE, [job], max_cycles=5_000_000)
    bound = (tokens - slots) * -(-slots // LARGE.dst_lanes) * -(-LARGE.max_channels // LARGE.channel_lanes)
    measured = found[Statistic.PAIR] / job.found.iterations
    assert bound <= measured < 1.02 * bound
    for kind, cycles in expected_cycles(Datm(config=LARGE), job).items():
        assert found[kind] == cycles, kind


def test_the_clip_to_convergence(large):
    """2,000 tokens of V, as the quantization engine makes them, seeded dst, until nothing changes."""
    v = clips.load().v
    codes, amax = quantize(v.reshape(-1, v.shape[-1])[:2_000])
    job = Job(codes, 900, slots=100, seed=7, weights=weights(amax), cap=50, name="clip")
    assert job.found.converged and job.found.iterations > 3
    (found,) = run(large, LARGE, [job], max_cycles=5_000_000)
    assert found[Statistic.ITERATIONS] == job.found.iterations


def test_widths_hold_the_largest_numbers(large):
    """All weights and differences at their largest: the sums of distances, losses and keys reach their widths."""
    c = LARGE
    codes = np.full((c.max_tokens, c.max_channels), 7)
    codes[: c.max_tokens // 2] = -7
    largest = np.full(c.max_channels, (1 << c.weight_bits) - 1)
    jobs = [Job(codes, 5, dst=[dst], weights=largest, name="ends") for dst in (0, c.max_tokens - 1)]
    far = np.full((c.max_tokens, c.max_channels), 7)
    far[3] = -7
    jobs.append(Job(far, c.max_tokens - 1, dst=[3], weights=largest, name="one against all"))
    assert jobs[-1].found.losses[0].bit_length() == c.loss_bits
    run(large, c, jobs)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"max_tokens": 1}, "max_tokens must be at least 2, not 1"),
        ({"max_slots": 64}, "max_slots must be 1 to 63, not 64"),
        ({"max_slots": 0}, "max_slots must be 1 to 63, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"dst_lanes": 0}, "dst_lanes must be at least 1, not 0"),
        ({"channel_lanes": 0}, "channel_lanes must be at least 1, not 0"),
        ({"tile_groups": 0}, "tile_groups must be at least 1, not 0"),
        ({"weight_bits": 17}, "weight_bits must be 1 to 16, not 17"),
        ({"form": "lut"}, "form must be one of"),
        ({"max_iterations": 0}, "max_iterations must be at least 1, not 0"),
        ({"outstanding": 1}, "outstanding must be at least 2, not 1"),
        ({"sort_lanes": 3}, "sort_lanes must be a power of two, not 3"),
        ({"flag_bits": 12}, "flag_bits must be a power of two, not 12"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        DatmConfig(**config)


def test_presets_are_sizes_of_the_papers():
    paper = find("datm").config("paper")
    assert (paper.max_tokens, paper.max_slots, paper.max_channels) == (13 * 1350, 13 * 135, 64)
