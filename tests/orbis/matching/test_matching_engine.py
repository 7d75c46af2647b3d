# SPDX-License-Identifier: Apache-2.0
"""The matching engine: golden against loops written from the definition, benches, and jobs on a memory through the RTL."""

from fractions import Fraction

import numpy as np
import pytest

from zoetrope.golden.formats import FP16, to_float64
from zoetrope.golden.orbis.matching.matching_engine import matching_engine, tables
from zoetrope.hw.catalogue import find
from zoetrope.hw.orbis.matching.datm_config import DatmConfig, Status
from zoetrope.hw.orbis.matching.matching_engine import MatchingEngine, MatchingEngineConfig, Table
from zoetrope.sim.packing import unpack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.orbis.datm import statistics, wrong_statistics
from zoetrope.sim.stimulus.orbis.matching_engine import (
    SINKS,
    SOURCES,
    bad_runs,
    corner_runs,
    good,
    random_run,
    wrong_stages,
)
from zoetrope.sim.stimulus.orbis.quantization_engine import normal

CONFIG = find("matching_engine").config("default")


def from_the_definition(x, dst, k, bits, cap):
    """Pairs and dst by loops over rational numbers: quantization, weights, and the alternation until the loss stays."""
    values = [[Fraction(v) for v in row] for row in to_float64(x, FP16).tolist()]
    tokens, channels = x.shape
    amax = [max(abs(row[c]) for row in values) for c in range(channels)]
    q = [[round(7 * row[c] / amax[c]) if amax[c] else 0 for c in range(channels)] for row in values]
    unit = Fraction(1)
    while unit <= max(amax) ** 2:
        unit *= 2
    while unit / 2 > max(amax) ** 2:
        unit /= 2
    w = [min(round(a * a / unit * 2**bits), 2**bits - 1) for a in amax]

    def distance(a, b):
        return sum(w[c] * (a[c] - b[c]) ** 2 for c in range(channels))

    dst, before = list(dst), None
    for turn in range(cap):
        src = [t for t in range(tokens) if t not in dst]
        found = [min((distance(q[t], q[d]), slot) for slot, d in enumerate(dst)) for t in src]
        loss = sum(d for d, _ in found)
        if loss == before or turn == cap - 1:
            break
        before, new = loss, []
        for slot, d in enumerate(dst):
            group = [d] + [t for t, (_, own) in zip(src, found) if own == slot]
            mean = [Fraction(sum(q[t][c] for t in group), len(group)) for c in range(channels)]
            new.append(min(group, key=lambda t: (distance(q[t], mean), t != d, t)))
        dst = new
    best = sorted((d, t, slot) for t, (d, slot) in zip(src, found))[:k]
    return [(t, slot, d) for d, t, slot in best], dst


@pytest.mark.parametrize("seed", range(6))
def test_golden_is_what_the_definition_says(seed):
    rng = np.random.default_rng(seed)
    tokens, channels = int(rng.integers(2, 24)), int(rng.integers(1, 6))
    x = normal(rng, tokens, channels)
    dst = rng.permutation(tokens)[: int(rng.integers(1, min(6, tokens)))]
    k, bits, cap = int(rng.integers(0, tokens - len(dst) + 1)), int(rng.choice([3, 8])), int(rng.choice([1, 50]))
    pairs, medoids = tables(matching_engine(x, k=k, dst=dst, weight_bits=bits, cap=cap))
    expected = from_the_definition(x, dst, k, bits, cap)
    assert ([tuple(pair) for pair in pairs.tolist()], medoids.tolist()) == expected


def test_golden_names_what_is_wrong():
    x = np.ones((4, 2), np.float16)
    with pytest.raises(ValueError, match="either dst or slots"):
        matching_engine(x, k=1)
    with pytest.raises(ValueError, match="either dst or slots"):
        matching_engine(x, k=1, dst=[0], slots=1)
    with pytest.raises(ValueError, match="NaN or infinite"):
        matching_engine(x * np.float16(np.nan), k=1, slots=1)
    with pytest.raises(ValueError, match="4 of 4 tokens cannot be reduced to 1 dst"):
        matching_engine(x, k=4, slots=1)


def test_channels_that_share_a_weight_have_that_of_the_first():
    x = np.array([[1, 8], [2, 8], [4, 0], [3, 4]], np.float16)
    assert (
        matching_engine(x, k=1, dst=[0], shared=2, cap=1).losses[0] != matching_engine(x, k=1, dst=[0], cap=1).losses[0]
    )
    one = np.stack([x[:, 0]] * 2, axis=1)
    assert matching_engine(one, k=1, dst=[0], shared=2).losses == matching_engine(one, k=1, dst=[0]).losses


def test_rtl():
    assert simulate("matching_engine", "default").vectors > 7000


@pytest.mark.campaign
def test_rtl_of_odd_sizes():
    simulate("matching_engine", "odd")


@pytest.fixture(scope="module")
def built():
    return Native.build(MatchingEngine(config=CONFIG), "matching_engine")


@pytest.fixture
def native(built):
    built.reset()
    return built


def play(native, c, runs, **options):
    """Send ``runs`` back to back and compare all that comes. Returns statistics and cycles, job to status, of each."""
    sent = {name: np.concatenate([rows(run, c) for run in runs]) for name, rows in SOURCES.items()}
    expected = {name: np.concatenate([rows(run, c) for run in runs]) for name, rows in SINKS.items()}
    counts = [len(run.job.statistics()) for run in runs]
    wanted = {name: len(rows) for name, rows in expected.items()} | {"o_stats": sum(counts)}
    got, cycles, _ = native.streams(sent, wanted, **options)
    for name, rows in expected.items():
        np.testing.assert_array_equal(got[name], rows, err_msg=name)
    words = statistics(got["o_stats"], c.datm)
    assert not wrong_statistics(words, [run.job for run in runs])
    ends = np.cumsum(counts)
    parts = [words[end - count : end] for end, count in zip(ends, counts)]
    return parts, cycles["o_stats"][ends - 1] - cycles["i_job"]


def many_runs(rng, c, count):
    """Jobs of random sizes, given and seeded, and errors between them."""
    d, runs = c.datm, []
    errors = bad_runs(rng, c)
    for _ in range(count):
        tokens, channels = int(rng.integers(2, d.max_tokens + 1)), int(rng.integers(1, d.max_channels + 1))
        slots = int(rng.integers(1, min(d.max_slots, tokens - 1) + 1))
        options = {"cap": int(rng.integers(1, 9)), "eps": int(rng.choice([0, 1, 500]))}
        if rng.random() < 0.4:
            x, k = normal(rng, tokens, channels), int(rng.integers(0, tokens - slots + 1))
            runs.append(good(c, x, k, slots=slots, seed=int(rng.integers(0, 1 << 32)), name="seeded", **options))
        else:
            runs.append(random_run(rng, c, tokens, slots, channels=channels, **options))
        if rng.random() < 0.3:
            runs.append(errors[int(rng.integers(len(errors)))])
    return runs


@pytest.mark.campaign
def test_many_jobs_back_to_back(native):
    """Every address, pair, dst, loss and status; and the cycles of each job as stated."""
    runs = many_runs(np.random.default_rng(1), CONFIG, 150)
    for run, words, taken in zip(runs, *play(native, CONFIG, runs, max_cycles=5_000_000)):
        least, most = run.cycles(CONFIG, words)
        assert least <= taken <= most, run.name
        assert not wrong_stages(CONFIG, run.job, words)
    assert {run.job.status for run in runs} > {None, Status.NOT_FINITE, Status.LIST}


@pytest.mark.parametrize("rate", [0.2, 0.8])
@pytest.mark.campaign
def test_gaps_and_stalls_on_every_stream(native, rate):
    rng = np.random.default_rng(2)
    patterns = [rng.random(length) < rate for length in (997, 991, 983, 977, 971, 967)]
    runs = [*many_runs(rng, CONFIG, 25), *bad_runs(rng, CONFIG), *corner_runs(rng, CONFIG)]
    stalls = dict(zip([*SINKS, "o_stats"], patterns[3:]))
    play(native, CONFIG, runs, gaps=dict(zip(SOURCES, patterns)), stalls=stalls, max_cycles=5_000_000)


def on_memory(native, c, run, latency):
    """One job on a memory that answers ``latency`` cycles after it is asked: (tables as they were written, cycles)."""
    words = run.tokens(c)
    words = [int.from_bytes(row.tobytes(), "little") for row in words[: len(words) // 2]]
    widths = [1, c.datm.token_bits, c.data_bits]
    given = [int.from_bytes(row.tobytes(), "little") for row in run.dst(c)]
    written, answers, cycle = {table: {} for table in Table}, [], 0
    for name in ("o_fetch", "o_write", "o_stats"):
        native.set(f"{name}__ready", 1)
    native.set("i_job__payload", int.from_bytes(run.command(c).tobytes(), "little"))
    native.set("i_job__valid", 1)
    begun = False
    while cycle < 50_000:
        native.set("i_job__valid", not begun)
        native.set("i_dst__valid", bool(given))
        native.set("i_dst__payload", given[0] if given else 0)
        due = bool(answers) and answers[0][0] <= cycle
        native.set("i_tokens__valid", due)
        native.set("i_tokens__payload", answers[0][1] if due else 0)
        if native.get("o_fetch__valid"):
            answers.append((cycle + latency, words[native.get("o_fetch__payload")]))
        if due and native.get("i_tokens__ready"):
            answers.pop(0)
        if given and native.get("i_dst__ready"):
            given.pop(0)
        if native.get("o_write__valid"):
            row = np.frombuffer(native.get("o_write__payload").to_bytes(8, "little"), np.uint8)[None]
            table, address, value = (int(field[0]) for field in unpack(row, widths))
            assert address not in written[Table(table)]
            written[Table(table)][address] = value
        end = native.get("o_stats__valid") and native.get("o_stats__payload") >> c.datm.statistic_layout.size - 1
        native.tick()
        cycle += 1
        begun = True
        if end:
            assert native.get("idle") and not answers and not given
            return written, cycle - 1
    raise AssertionError("no end")


def test_from_memory_to_memory(native):
    """Tokens read by address, results where they were written; a later memory costs its latency, once for all tokens."""
    d = CONFIG.datm
    run = random_run(np.random.default_rng(3), CONFIG, 20, 4, channels=d.channel_lanes + 3, pairs=11, cap=2)
    pairs, dst = tables(run.job.found)
    taken = {}
    for latency in (1, 2, CONFIG.outstanding - 1, 40):
        native.reset()
        written, taken[latency] = on_memory(native, CONFIG, run, latency)
        assert written[Table.DST] == dict(enumerate(dst.tolist()))
        slot, distance = d.token_bits, d.token_bits + d.slot_bits
        expected = [src | s << slot | far << distance for src, s, far in pairs.tolist()]
        assert written[Table.PAIRS] == dict(enumerate(expected))
    assert taken[2] == taken[1] + 1
    assert taken[CONFIG.outstanding - 1] == taken[1] + CONFIG.outstanding - 2 < taken[40]


def test_memory_of_codes_is_what_is_said():
    d = CONFIG.datm
    assert CONFIG.memory.depth * CONFIG.memory.width == d.max_tokens * -(-d.max_channels // d.channel_lanes) * 4 * 8


@pytest.mark.parametrize(
    "config, message",
    [
        ({"datm": DatmConfig(channel_lanes=3)}, "channel_lanes must be a power of two, not 3"),
        ({"outstanding": 1}, "outstanding must be at least 2, not 1"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        MatchingEngineConfig(**config)
