# SPDX-License-Identifier: Apache-2.0
"""The reorder and recover unit: golden by definition, benches, every small table and the whole clip through the RTL."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from benches import vectors
from recovery_parts import Recovery, RecoveryConfig

from zoetrope.golden.simcore.sparsification_engine.reorder_recover_unit import (
    MODES,
    ZERO,
    check_permutation,
    check_table,
    column_groups,
    compaction,
    inverse,
    moves,
    permute,
    recover,
    reorder,
    token_major,
    unpermute,
    word_addresses,
)
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify
from zoetrope.hw import cache, emit
from zoetrope.hw.catalogue import find
from zoetrope.hw.memory.table_reader import TableReaderConfig
from zoetrope.hw.simcore.sparsification_engine.reorder_recover_unit import (
    Mode,
    ReorderRecoverUnit,
    ReorderRecoverUnitConfig,
)
from zoetrope.sim.benches.simcore.sparsification_engine.tb_reorder_recover_unit import (
    Job,
    addressed,
    commands,
    pair,
    row_words,
    run_all,
    seeded_table,
)
from zoetrope.sim.input import clips
from zoetrope.sim.model.sparsification_engine import reorder_cycles
from zoetrope.sim.packing import unpack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.papers import figures


def index_tables(tokens):
    """Every right index table: each choice of kept tokens, each choice of roots among them."""
    for size in range(tokens + 1):
        for kept in itertools.combinations(range(tokens), size):
            yield from itertools.product(*[[t] if t in kept else kept for t in range(tokens)])


# Golden


@pytest.mark.parametrize("tokens", range(6))
def test_every_row_gets_its_roots_place(tokens):
    x = np.arange(3 * tokens).reshape(tokens, 3)
    found = 0
    for table in index_tables(tokens):
        kept = [t for t, root in enumerate(table) if root == t]
        got_kept, position = compaction(table)
        assert got_kept.tolist() == kept
        assert position.tolist() == [kept.index(root) for root in table]
        np.testing.assert_array_equal(reorder(x, table), x[kept] if kept else x)
        np.testing.assert_array_equal(recover(reorder(x, table), table), [x[root] for root in table] if table else x)
        found += 1
    assert found == [1, 1, 3, 10, 41, 196][tokens]  # the idempotent maps of so many elements


@pytest.mark.parametrize("rows", range(5))
def test_permutations_undo_each_other(rows):
    x = np.arange(2 * rows).reshape(rows, 2)
    for table in itertools.permutations(range(rows)):
        moved = permute(x, table)
        assert moved.tolist() == [x[source].tolist() for source in table]
        np.testing.assert_array_equal(unpermute(moved, table), x)
        np.testing.assert_array_equal(permute(moved, inverse(table)), x)


@pytest.mark.parametrize(
    "frames, tokens, first, last", [(3, 4, 0, 0), (2, 5, 3, 0), (4, 2, 1, 2), (1, 6, 2, 2), (5, 0, 1, 1)]
)
def test_layout_by_its_definition(frames, tokens, first, last):
    """Video row v = frame * N + token goes to token * F + frame; text stays."""
    table = token_major(frames, tokens, first, last)
    rows = first + frames * tokens + last
    target = np.empty(rows, int)
    target[table] = np.arange(rows)
    for frame, token in itertools.product(range(frames), range(tokens)):
        assert target[first + frame * tokens + token] == first + token * frames + frame
    text = [*range(first), *range(rows - last, rows)]
    assert table[text].tolist() == text
    assert len(check_permutation(table)) == rows


def test_columns_keep_their_order_in_both_groups():
    assert column_groups([0, 1, 0, 1, 1]).tolist() == [1, 3, 4, 0, 2]
    assert column_groups([True, False]).tolist() == [0, 1]
    assert column_groups([]).tolist() == []
    v = np.arange(12).reshape(2, 6)
    assert permute(v.T, column_groups([0, 0, 1, 0, 1, 0])).T[0].tolist() == [2, 4, 0, 1, 3, 5]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: check_table([0, 2]), "entry 1 is 2; entries must be 0 to 1"),
        (lambda: check_table([0, -1]), "entry 1 is -1"),
        (lambda: check_table([0, 0, 1]), r"entry 2 is 1, a removed token \(which repeats 0\)"),
        (lambda: check_table([1, 0]), "entry 0 is 1, a removed token"),
        (lambda: check_table([[0]]), r"one row of integers is needed, not int64 of shape \(1, 1\)"),
        (lambda: check_table([0.0]), "one row of integers is needed, not float64"),
        (lambda: check_permutation([0, 2, 2]), "not a permutation: entries 1 and 2 are both 2"),
        (lambda: check_permutation([0, 3, 1]), "permutation: entry 1 is 3; entries must be 0 to 2"),
        (lambda: reorder(np.zeros((3, 2)), [0, 1]), r"a table of 2 entries needs as many rows, not shape \(3, 2\)"),
        (lambda: permute(np.zeros(3), [0]), "a table of 1 entries needs as many rows"),
        (lambda: recover(np.zeros((2, 2)), [0, 0]), r"keeps 1 tokens; shape \(2, 2\)"),
        (lambda: token_major(2, -1), "tokens must not be negative: -1"),
        (lambda: column_groups([0, 2]), "one row of 0 and 1"),
        (lambda: moves("recover", [0]), "mode must be one of compact, expand, gather, scatter, not 'recover'"),
        (lambda: moves("gather", [-1]), "entry 0 is negative: -1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_moves_of_right_tables_are_reorder_recover_and_permute():
    rng = np.random.default_rng(3)
    for tokens in (0, 1, 2, 50):
        x = rng.random((tokens, 3))
        table, order = seeded_table(rng, tokens, 0.4), rng.permutation(tokens)
        kept = reorder(x, table)
        cases = [("compact", table, x, kept), ("expand", table, kept, recover(kept, table))]
        cases += [("gather", order, x, permute(x, order)), ("scatter", order, x, unpermute(x, order))]
        for mode, entries, source, target in cases:
            found = moves(mode, entries)
            assert sorted(found.target.tolist()) == list(range(len(target)))  # every slot once
            assert not found.index_error and not found.root_error
            np.testing.assert_array_equal(source[found.source], target[found.target])


def test_moves_of_wrong_tables_by_hand():
    table = [0, 9, 1, 3, 2]
    assert [part.tolist() for part in moves("compact", table)[:2]] == [[0, 3], [0, 1]]
    found = moves("expand", table)
    assert (found.source.tolist(), found.index_error, found.root_error) == ([0, ZERO, ZERO, 1, ZERO], True, True)
    assert moves("expand", [0, 0], kept=[False, False]).source.tolist() == [ZERO, ZERO]
    found = moves("gather", table, rows=3)
    assert (found.source.tolist(), found.target.tolist()) == ([0, ZERO, 1, ZERO, 2], [0, 1, 2, 3, 4])
    found = moves("scatter", table, rows=10)
    assert (found.source.tolist(), found.target.tolist()) == ([0, 1, 2, 3, 4], table)
    found = moves("scatter", table, rows=3)
    assert (found.source.tolist(), found.target.tolist(), found.index_error) == ([0, 2, 4], [0, 1, 2], True)
    assert word_addresses([2, 0], 3).tolist() == [6, 7, 8, 0, 1, 2]


# RTL


@pytest.mark.parametrize("preset", find("reorder_recover_unit").small_presets)
def test_rtl(preset):
    assert vectors("reorder_recover_unit", preset) > 5000


def test_rtl_of_one_row_of_one_bit():
    simulate(
        "reorder_recover_unit",
        config=ReorderRecoverUnitConfig(max_rows=1, max_words=1, width=1, rank_block=1, rows_in_flight=1),
    )


def at_once(config, moving, words):
    """Cycles that the model says, of a memory whose words are there before they are asked for."""
    return reorder_cycles(moving, words, rows_in_flight=config.rows_in_flight, memory=0)


@pytest.fixture(scope="module")
def small():
    """Up to 7 rows of up to 2 words: tables can have entry 7, which is out of range."""
    config = ReorderRecoverUnitConfig(max_rows=7, max_words=2, width=8, rank_block=4, rows_in_flight=2)
    return Native.build(ReorderRecoverUnit(config=config), "reorder_recover_unit"), config


def run(native, config, jobs, reads, data, writes, seed=None):
    """Jobs through the RTL, with random stalls if there is a seed. Returns (source, target) addresses, data, statuses."""
    rng = np.random.default_rng(seed)
    pattern = {} if seed is None else {"gaps": ("i_command", "i_table", "i_data"), "stalls": ("o_read", "o_write")}
    pattern = {side: {name: rng.random(4001) < 0.4 for name in names} for side, names in pattern.items()}
    entries = np.concatenate([job.table for job in jobs]).astype(f"<u{(config.index_bits + 7) // 8}")
    sinks = {"o_read": reads, "o_write": writes, "o_status": len(jobs)}
    sources = {"i_command": commands(config, jobs), "i_table": entries, "i_data": data}
    got, cycles, _ = native.streams(sources, sinks, **pattern)
    read, _ = unpack(got["o_read"], [config.address_bits, 1])
    written, _, values = unpack(got["o_write"], [config.address_bits, 1, min(config.width, 64)])
    return read, written, values, unpack(got["o_status"], [config.max_rows.bit_length(), 1, 1, 1]), cycles


@pytest.mark.parametrize("seed", [None, 1], ids=["no stalls", "stalls"])
def test_every_index_table_of_up_to_7_tokens(small, seed):
    """The proof at small sizes: each row lands in its root's place, and every slot is written exactly once.

    A word is the number of its token, so that what is written says where it came from. What is expected is written down
    from the definition, without the golden.
    """
    native, config = small
    tables = [table for tokens in range(1, 8) for table in index_tables(tokens)]
    assert len(tables) == 1 + 3 + 10 + 41 + 196 + 1057 + 6322
    words = [1 + k % 2 for k in range(len(tables))]
    jobs, reads, writes, values = [], [], [], []
    for table, w in zip(tables, words):
        tokens = len(table)
        kept = [t for t in range(tokens) if table[t] == t]
        x = np.zeros((tokens, w, 1), np.uint8)
        jobs += [Job("compact", table, x), Job("expand", table, x)]
        for source, target, value in ((kept, range(len(kept)), kept), (map(kept.index, table), range(tokens), table)):
            reads += [w * row + k for row in source for k in range(w)]
            writes += [w * row + k for row in target for k in range(w)]
            values += [2 * token + k for token in value for k in range(w)]
    read, written, got, status, cycles = run(
        native, config, jobs, len(reads), np.array(values, np.uint8), len(writes), seed
    )
    np.testing.assert_array_equal(read, reads)
    np.testing.assert_array_equal(written, writes)
    np.testing.assert_array_equal(got, values)
    rows = [count for table in tables for count in (len(set(table)), len(table))]
    np.testing.assert_array_equal(status[0], rows)
    assert not np.any(status[1:])
    if seed is None:
        spent = cycles["o_status"] - cycles["i_command"]
        moving = [kinds for t in tables for kinds in ([int(r == k) for k, r in enumerate(t)], [1] * len(t))]
        expected = [at_once(config, kinds, job.words) for kinds, job in zip(moving, jobs)]
        np.testing.assert_array_equal(spent, expected)


def test_every_permutation_of_up_to_6_rows(small):
    """Gather and scatter by the same table undo each other."""
    native, config = small
    tables = [table for rows in range(1, 7) for table in itertools.permutations(range(rows))]
    jobs, values, reads, writes = [], [], [], []
    for table in tables:
        x = np.zeros((len(table), 1, 1), np.uint8)
        jobs += [Job("gather", table, x), Job("scatter", table, x)]
        # The scatter reads what the gather wrote, and every row is to end where it began.
        values += [*table, *table]
        reads += [*table, *range(len(table))]
        writes += [*range(len(table)), *table]
    read, written, got, *_ = run(native, config, jobs, len(reads), np.array(values, np.uint8), len(writes))
    np.testing.assert_array_equal(read, reads)
    np.testing.assert_array_equal(written, writes)
    np.testing.assert_array_equal(got, values)


def test_every_table_of_up_to_4_tokens_right_or_wrong(small):
    """All 8 entries that the port holds, in all modes: as the golden says, and nothing outside of the rows."""
    native, config = small
    rng = np.random.default_rng(0)
    jobs = []
    for tokens in range(5):
        for table in itertools.product(range(8), repeat=tokens):
            x = rng.integers(0, 256, (tokens, 1, 1), dtype=np.uint8)
            jobs += [*pair(table, x), Job("gather", table, x), Job("scatter", table, x)]
    run_all(jobs)
    reads, data = (np.concatenate(parts) for parts in zip(*((job.reads, job.data) for job in jobs)))
    writes, values = (np.concatenate(parts) for parts in zip(*(job.writes for job in jobs)))
    read, written, got, status, cycles = run(native, config, jobs, len(reads), data, len(writes))
    np.testing.assert_array_equal(read, reads)
    np.testing.assert_array_equal(written, writes)
    np.testing.assert_array_equal(got, values[:, 0])
    np.testing.assert_array_equal(np.transpose(status), [job.status for job in jobs])
    counts = np.repeat([job.count for job in jobs], [len(job.writes[0]) for job in jobs])
    assert np.all(written < counts)
    spent = cycles["o_status"] - cycles["i_command"]
    np.testing.assert_array_equal(spent, [at_once(config, job.moving, 1) for job in jobs])


def test_the_whole_clip_through_the_rtl():
    """Q of 2,970 tokens: compacted by its index table, recovered, laid out token-major and back."""
    tensors = clips.load()
    frames, tokens, d = tensors.q.shape
    config = find("reorder_recover_unit").config()
    flat = tensors.q.reshape(-1, d)
    table = sparsify(tensors.q, tensors.grid).table
    layout = token_major(frames, tokens)
    steps = [("compact", table, flat, reorder(flat, table))]
    steps += [("expand", table, reorder(flat, table), flat[table])]
    steps += [("gather", layout, flat, permute(flat, layout)), ("scatter", layout, permute(flat, layout), flat)]
    native = Native.build(ReorderRecoverUnit(config=config), "reorder_recover_unit")
    assert len(steps[0][3]) < len(flat)
    for mode, entries, source, target in steps:
        job = Job(mode, entries, row_words(source, config.width))
        job.rows = len(entries)
        job.run(table == np.arange(len(table)))
        sinks = {"o_read": len(job.reads), "o_write": job.words * len(target), "o_status": 1}
        sources = {"i_command": commands(config, [job]), "i_table": entries.astype("<u2"), "i_data": job.data}
        got, cycles, _ = native.streams(sources, sinks)
        address, _, data = unpack(got["o_write"], [config.address_bits, 1, config.width])
        memory = np.zeros(target.size // 4, np.uint64)
        memory[address] = data
        assert len(set(address.tolist())) == len(memory)
        np.testing.assert_array_equal(memory.view(np.float16).reshape(target.shape), target)
        spent = cycles["o_status"][0] - cycles["i_command"][0]
        assert spent == at_once(config, job.moving, job.words)
        # Runs of more removed tokens than a row has words hold up a compaction.
        assert job.words * len(target) / spent > (0.97 if mode == "compact" else 0.999)


def test_the_papers_size_through_the_rtl():
    """35,100 tokens, a row of 64 FP16 numbers a cycle: as many cycles as tokens."""
    config = find("reorder_recover_unit").config("paper")
    rng = np.random.default_rng(8)
    table = seeded_table(rng, config.max_rows, 0.3)
    x = rng.integers(0, 256, (config.max_rows, 1, 128), dtype=np.uint8)
    jobs = [Job("compact", table, x), Job("expand", table, reorder(x, table))]
    jobs[1].rows = config.max_rows
    run_all(jobs)
    native = Native.build(ReorderRecoverUnit(config=config), "reorder_recover_unit")
    for job in jobs:
        sinks = {"o_read": len(job.reads), "o_write": len(job.writes[0]), "o_status": 1}
        sources = {"i_command": commands(config, [job]), "i_table": table.astype("<u2"), "i_data": job.data}
        got, cycles, _ = native.streams(sources, sinks)
        np.testing.assert_array_equal(got["o_read"], addressed(config, job.reads, 1))
        np.testing.assert_array_equal(got["o_write"], addressed(config, job.writes[0], 1, job.writes[1]))
        spent = cycles["o_status"][0] - cycles["i_command"][0]
        assert spent == at_once(config, job.moving, 1)
        assert spent <= config.max_rows + 10


@pytest.mark.campaign
def test_the_papers_area_is_4096_bits_a_cycle():
    """Table II: 39 kGE. A row of 64 FP16 numbers a cycle is two fifths of that; every bit more costs the same."""
    ge = {}
    for width in (256, 1024):
        config = dataclasses.replace(find("reorder_recover_unit").config("paper"), width=width)
        text = emit.rtlil(ReorderRecoverUnit(config=config), "unit")
        cost = cache.kept(functools.partial(flows.generic, text, "unit"), "generic", flows.scripts(), "unit", text)
        assert [memory["bits"] for memory in cost["memories"]] == [config.rank_memory.depth * config.rank_memory.width]
        ge[width] = cost["ge"]
    row = figures.row("reorder_recover_unit")
    assert row.component == "Reorder and Recovery Unit"
    assert ge[1024] / row.ge == pytest.approx(0.4, abs=0.03)
    bit = (ge[1024] - ge[256]) / (1024 - 256)
    assert 1024 + (row.ge - ge[1024]) / bit == pytest.approx(4096, rel=0.03)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"max_rows": 0}, "max_rows must be at least 1, not 0"),
        ({"max_words": 0}, "max_words must be at least 1, not 0"),
        ({"width": -1}, "width must be at least 1, not -1"),
        ({"rank_block": 0}, "rank_block must be a power of two, not 0"),
        ({"rank_block": 12}, "rank_block must be a power of two, not 12"),
        ({"rows_in_flight": 0}, "rows_in_flight must be at least 1, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ReorderRecoverUnitConfig(**config)


def test_modes_have_the_hardwares_opcodes():
    assert [mode.name.lower() for mode in Mode] == list(MODES)
    assert [mode.value for mode in Mode] == [0, 1, 2, 3]


# With the index buffer


def matches(tokens):
    """Every row of matches that the index buffer takes: each token itself or one before."""
    return itertools.product(*[range(token + 1) for token in range(tokens)])


def root_of(match, token):
    """Along the chain of matches to its end."""
    while match[token] != token:
        token = match[token]
    return token


@pytest.mark.parametrize("seed", [None, 2], ids=["no stalls", "stalls"])
def test_every_chain_of_matches_of_6_tokens_is_followed_to_its_root(seed):
    """From matches, through index buffer, table and both commands, to rows: each token gets the end of its chain."""
    config = RecoveryConfig(tokens=6, words=2, width=8)
    native = Native.build(Recovery(config=config), "recovery")
    rng = np.random.default_rng(seed)
    names = ("i_match", "i_count", "i_command", "i_data", "o_root", "o_read", "o_write")
    pattern = {} if seed is None else {name: rng.random(997) < 0.4 for name in names}
    cases = list(matches(6))
    assert len(cases) == 720
    for match in cases if seed is None else cases[::7]:
        roots = [root_of(match, token) for token in range(6)]
        kept = [token for token in range(6) if match[token] == token]
        native.set("clear", 1)
        native.tick()
        native.set("clear", 0)
        stored, *_ = native.streams(
            {"i_match": np.array(match, np.uint8)}, {"o_root": 6}, gaps=pattern, stalls=pattern, quiet=2
        )
        assert [int(word) & 7 for word in stored["o_root"][:, 0]] == roots
        x = np.zeros((6, 1, 1), np.uint8)
        sources = {"i_command": commands(config.unit, [Job(mode, roots, x) for mode in ("compact", "expand")])}
        sources |= {"i_count": [6, 6], "i_data": np.array(kept + roots, np.uint8)}
        sinks = {"o_read": len(kept) + 6, "o_write": len(kept) + 6, "o_status": 2}
        got, *_ = native.streams(sources, sinks, gaps=pattern, stalls=pattern, quiet=2)
        read, _ = unpack(got["o_read"], [config.unit.address_bits, 1])
        written, _, values = unpack(got["o_write"], [config.unit.address_bits, 1, 8])
        assert read.tolist() == kept + [kept.index(root) for root in roots]
        assert written.tolist() == [*range(len(kept)), *range(6)]
        assert values[len(kept) :].tolist() == roots


def test_a_table_reader_reads_a_table_a_cycle_and_nothing_beyond():
    """Counts follow each other without a gap; one above the depth means the depth, and 0 nothing."""
    native = Native.build(Recovery(config=RecoveryConfig(tokens=6, words=2, width=8)), "recovery")
    native.streams({"i_match": np.arange(6, dtype=np.uint8)}, {"o_root": 6}, quiet=2)
    x = np.zeros((6, 1, 1), np.uint8)
    jobs, unit = [Job("gather", range(6), x) for _ in range(2)], RecoveryConfig(6, 2, 8).unit
    sources = {"i_count": [0, 7, 0, 6], "i_command": commands(unit, jobs)}
    got, cycles, _ = native.streams(sources | {"i_data": [9] * 12}, {"o_read": 12, "o_write": 12, "o_status": 2})
    assert unpack(got["o_read"], [unit.address_bits, 1])[0].tolist() == [*range(6), *range(6)]
    np.testing.assert_array_equal(np.diff(cycles["o_read"][:6]), 1)
    parts = Recovery(config=RecoveryConfig(6, 2, 8))
    assert cycles["o_read"][0] - cycles["i_count"][1] == parts.reader.latency + parts.unit.latency


@pytest.mark.parametrize("name", ["depth", "width"])
def test_impossible_table_readers_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        TableReaderConfig(**{"depth": 4, "width": 4, name: 0})
