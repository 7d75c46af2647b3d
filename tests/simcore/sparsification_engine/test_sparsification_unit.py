# SPDX-License-Identifier: Apache-2.0
"""The sparsification unit: golden from the definition and by hand, benches, no entry that points to a removed token."""

import itertools

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden import reference
from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, FP32, fp16, fp32, to_float64
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import (
    KEPT,
    NONE,
    SPATIAL,
    TEMPORAL,
    sparsify,
    squared_distance,
    squared_threshold,
)
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.sparsification_engine.sparsification_unit import SparsificationUnit, SparsificationUnitConfig
from zoetrope.sim.benches.simcore.sparsification_engine.tb_sparsification_unit import (
    Clip,
    fits,
    similar,
    window_candidates,
)
from zoetrope.sim.input import clips
from zoetrope.sim.model.sparsification_engine import beats_of_frames
from zoetrope.sim.packing import unpack
from zoetrope.sim.run.native import Native

#: For long runs: half the lanes of the default, which build in half the time.
CONFIG = SparsificationUnitConfig(candidates=2, banks=4)

#: For clips of a few tokens of one channel: two candidates a beat, and not enough of anything else.
TINY = SparsificationUnitConfig(
    candidates=2,
    banks=4,
    lanes=1,
    max_words=2,
    max_height=6,
    max_width=6,
    max_window=7,
    slots=16,
    tokens=144,
    in_flight=4,
)


@pytest.fixture(scope="module")
def tensors():
    return clips.load()


def distance_by_hand(x, y, lanes):
    """Code by code, with the goldens of the operators."""
    squares = [0] * (-(-len(x) // lanes) * lanes)
    for c, (a, b) in enumerate(zip(x, y)):
        difference = float_add(np.uint16(a), np.uint16(b) ^ np.uint16(0x8000), FP16)
        squares[c] = int(float_multiply(difference, difference, FP16, FP32))
    total = None
    for start in range(0, len(squares), lanes):
        word = squares[start : start + lanes]
        while len(word) > 1:
            word = [int(float_add(np.uint32(a), np.uint32(b))) for a, b in zip(word[0::2], word[1::2])]
        total = word[0] if total is None else int(float_add(np.uint32(total), np.uint32(word[0])))
    return total


def by_hand(q, grid, tau, window, group, lanes):
    """(table, kind, temporal, spatial) token by token, from the definition; a chain is followed to its end."""
    _, height, width = grid
    q = q.reshape(*grid, -1)
    limit = int(fp32(np.float64(tau) ** 2))
    match, kinds, temporal, spatial = {}, [], [], []
    for i, (t, y, x) in enumerate(np.ndindex(*grid)):
        best, where = NONE, i
        if t:
            for yy, xx in itertools.product(range(y - window // 2, y - window // 2 + window), range(width)):
                inside = 0 <= yy < height and x - window // 2 <= xx < x - window // 2 + window
                if inside and (key := distance_by_hand(q[t, y, x], q[t - 1, yy, xx], lanes)) < best:
                    best, where = key, ((t - 1) * height + yy) * width + xx
        first = x // group * group
        other = distance_by_hand(q[t, y, x], q[t, y, first], lanes) if first != x else NONE
        kinds.append(TEMPORAL if best < limit else SPATIAL if other < limit else KEPT)
        match[i] = [i, where, i - x + first][kinds[-1]]
        temporal.append(best)
        spatial.append(other)
    table = []
    for i in match:
        while match[i] != i:
            i = match[i]
        table.append(i)
    return table, kinds, temporal, spatial


CASES = [((3, 3, 4), 3, 3, 5), ((3, 2, 3), 2, 2, 1), ((2, 3, 5), 4, 4, 9), ((4, 1, 1), 5, 2, 3), ((1, 2, 7), 3, 3, 4)]


@pytest.mark.parametrize("grid, window, group, d", CASES)
def test_golden_from_the_definition(grid, window, group, d):
    rng = np.random.default_rng(d)
    q = fp16(np.rint(rng.standard_normal((np.prod(grid), d)) * 2) / 2)  # coarse, for ties
    q[rng.random(q.shape) < 0.02] = FP16.nan
    q[rng.random(q.shape) < 0.02] = FP16.inf
    for tau in (0.0, 1.0, 2.2, np.inf):
        got = sparsify(q, grid, tau=tau, window=window, group=group, lanes=4)
        table, kinds, temporal, spatial = by_hand(q, grid, tau, window, group, 4)
        assert got.table.tolist() == table
        assert got.kind.tolist() == kinds
        assert got.temporal.tolist() == temporal
        assert got.spatial.tolist() == spatial


@pytest.mark.parametrize("d, lanes", [(1, 1), (63, 8), (64, 8), (64, 16), (128, 8), (5, 4)])
def test_distance_is_near_the_ideal_and_in_the_stated_order(d, lanes):
    rng = np.random.default_rng(d)
    x, y = (fp16(rng.standard_normal((2000, d))) for _ in range(2))
    got = to_float64(squared_distance(x, y, lanes), FP32)
    ideal = reference.squared_distance(x, y)
    # A difference is rounded to 2^-11 of itself, hence a square to 2^-10; the sums add less.
    assert np.all(np.abs(got - ideal) <= 2.0**-10 * 1.01 * ideal)
    for k in range(3):
        assert squared_distance(x[k], y[k], lanes) == distance_by_hand(x[k], y[k], lanes)


def test_distances_that_overflow_or_have_no_value():
    cases = [
        ([0x7BFF], [0xFBFF], FP32.inf),  # 65504 - -65504 is no FP16
        ([0x7BFF], [0x0000], int(fp32(65504.0**2))),  # its square is no FP16
        ([FP16.inf], [FP16.inf], FP32.nan),
        ([FP16.inf], [0], FP32.inf),
        ([0xFE01, 0], [0, 0], FP32.nan),
        ([1], [0], int(fp32(2.0**-48))),  # the least subnormal
        ([0x8000], [0x0000], 0),
    ]
    for x, y, expected in cases:
        for a, b in ((x, y), (y, x)):
            assert squared_distance(np.uint16(a), np.uint16(b)) == expected
    for tau in (2.5, np.inf):
        assert sparsify(np.uint16([[FP16.inf], [FP16.inf], [FP16.nan]]), (3, 1, 1), tau=tau).removed == 0


def test_threshold_is_strict_and_ties_go_to_the_lowest_index():
    q = np.float16([[1], [1], [3], [2], [4], [2]])
    got = sparsify(q, (2, 1, 3), tau=1.0, window=3, group=1)
    assert got.nearest.tolist() == [0, 1, 2, 0, 2, 1]
    assert got.kind.tolist() == [KEPT] * 6
    assert sparsify(q, (2, 1, 3), tau=1.01, window=3, group=1).table.tolist() == [0, 1, 2, 0, 2, 1]
    assert sparsify(np.float16([[1], [1]]), (2, 1, 1), tau=0).removed == 0


def test_chains_are_resolved_across_passes():
    """1 repeats 0 in space, 3 repeats 1 in time, 5 repeats 3 in time; all point to 0."""
    q = np.float16([[0, 0], [1, 0], [9, 9], [2, 0], [9, 0], [3, 0]])
    got = sparsify(q, (3, 1, 2), tau=1.5, window=2, group=2)
    assert got.match.tolist() == [0, 0, 2, 1, 4, 3]
    assert got.table.tolist() == [0, 0, 2, 0, 4, 0]
    assert got.kind.tolist() == [KEPT, SPATIAL, KEPT, TEMPORAL, KEPT, TEMPORAL]
    assert got.kept.tolist() == [0, 2, 4]
    assert got.statistics() == {"tokens": 6, "temporal": 2, "spatial": 1, "kept": 3, "removed": 0.5}


def expected_tables(values, grid, tau, window, group):
    """The index tables of many clips of one-channel tokens at once, (clips, tokens), from the definition."""
    index = np.arange(np.prod(grid)).reshape(grid)
    table = np.repeat(index.reshape(1, -1), len(values), axis=0)
    for t, y, x in np.ndindex(*grid):
        i = index[t, y, x]
        free = np.ones(len(values), bool)
        if t:
            low = [max(0, p - window // 2) for p in (y, x)]
            high = [p - window // 2 + window for p in (y, x)]
            candidates = index[t - 1, low[0] : high[0], low[1] : high[1]].ravel()
            distances = np.abs(values[:, candidates] - values[:, [i]])
            nearest = distances.argmin(axis=1)  # the first of equals
            near = distances.min(axis=1) < tau
            table[near, i] = table[near, candidates[nearest[near]]]
            free = ~near
        first = index[t, y, x - x % group]
        if first != i:
            near = free & (np.abs(values[:, first] - values[:, i]) < tau)
            table[near, i] = table[near, first]
    return table


@pytest.fixture(scope="module")
def tiny():
    return Native.build(SparsificationUnit(config=TINY), "sparsification_unit_tiny")


@pytest.mark.parametrize(
    "grid, levels, tau, window, group",
    [
        ((3, 2, 2), 2, 0.5, 3, 2),
        ((3, 2, 2), 2, 0.5, 2, 1),
        ((3, 1, 3), 2, 0.5, 3, 2),
        ((4, 1, 2), 3, 1.5, 3, 2),
        ((7, 1, 1), 3, 1.5, 1, 1),
        ((2, 2, 2), 3, 1.5, 2, 2),
    ],
)
@pytest.mark.campaign
def test_no_entry_points_to_a_removed_token(tiny, grid, levels, tau, window, group):
    """All clips of so many tokens of so many values through the RTL, back to back, as if tau had been made to chain them."""
    tokens = int(np.prod(grid))
    values = np.array(list(itertools.product(range(levels), repeat=tokens)))
    entries, _ = through(tiny, TINY, [Clip(np.float16(q)[:, None], grid, tau, window, group) for q in values])
    root, kept = (field.reshape(-1, tokens).astype(np.int64) for field in entries[:2])
    assert np.all(np.take_along_axis(kept, root, axis=1) == 1)
    np.testing.assert_array_equal(kept == 1, root == np.arange(tokens))
    np.testing.assert_array_equal(root, expected_tables(values, grid, tau, window, group))


def test_every_geometry_that_the_line_store_holds(tiny):
    """All heights, widths and windows up to 6 x 6 and 7, that fit and no more, stalled at random, back to back."""
    rng = np.random.default_rng(4)
    given = []
    for height, width, window in itertools.product(range(1, 7), range(1, 7), range(1, 8)):
        frames = 4 if height * width < 20 else 3
        q = similar(rng, (frames, height, width), 2)
        given.append(Clip(q, (frames, height, width), 1.2, window, int(rng.integers(1, 7))))
    held = [clip for clip in given if fits(TINY, clip)]
    assert 60 < len(held) < len(given)
    assert any(clip.grid[1] > clip.window and clip.grid[2] > clip.window for clip in held)
    compare(tiny, TINY, held)
    patterns = {name: rng.random(983) < 0.4 for name in ("i_config", "i", "i_previous", "o")}
    compare(tiny, TINY, held, gaps=patterns, stalls=patterns)


def test_a_line_store_that_is_too_small_is_an_error(tiny):
    for height, width, window in itertools.product(range(1, 7), range(1, 7), range(1, 8)):
        clip = Clip(np.zeros((height * width, 1), np.float16), (1, height, width), 1.0, window, 2)
        tiny.reset()
        row = clip.sent(TINY)[0]
        tiny.streams({"i_config": row}, {}, quiet=12)
        tiny.tick(12)
        assert tiny.get("error_geometry") == (not fits(TINY, clip)), (height, width, window)


def through(native, config, given, **patterns):
    """Clips through the RTL: (root, kept, spatial, temporal, kind) of every token, and the cycles of the transfers."""
    native.reset()
    sources = dict(
        zip(("i_config", "i", "i_previous"), map(np.concatenate, zip(*(clip.sent(config) for clip in given))))
    )
    count = sum(len(clip.q) for clip in given)
    cycles = 10_000 + 500 * len(given) + 200 * sum(len(rows) for rows in sources.values())
    got, moves, _ = native.streams(sources, {"o": count}, max_cycles=cycles, **patterns)
    assert [native.get(f"error_{name}") for name in ("threshold", "geometry", "tokens")] == [0, 0, 0]
    return unpack(got["o"], [config.index.index_bits, 1, 32, 32, 2]), moves


def compare(native, config, given, **patterns):
    entries, moves = through(native, config, given, **patterns)
    results = [clip.result(config) for clip in given]
    wanted = [[getattr(r, name) for r in results] for name in ("table", "spatial", "temporal", "kind")]
    for got, expected in zip((entries[0], *entries[2:]), wanted):
        np.testing.assert_array_equal(got, np.concatenate(expected))
    return moves


@pytest.fixture(scope="module")
def native():
    return Native.build(SparsificationUnit(config=CONFIG), "sparsification_unit")


@pytest.mark.parametrize("d", [1, 63, 64, 128])
@pytest.mark.campaign
def test_the_clip_and_frames_of_every_size_through_the_rtl(native, d):
    """9 x 11 tokens of the clip, seeded frames of 30 x 45 and of 1 x 1, with and without stalls."""
    rng = np.random.default_rng(d)
    q = clips.load(d=d, frames=13 if d < 128 else 9)
    grids = [(3, 30, 45), (20, 1, 1)]
    given = [Clip(q.q, q.grid, tau, window, 4) for tau, window in ((2.5, 3), (4.0, 4))]
    given += [Clip(similar(rng, grid, d), grid, 0.45 * np.sqrt(d), 3, 4) for grid in grids]
    assert all(0 < clip.result(CONFIG).removed < len(clip.q) for clip in given)
    compare(native, CONFIG, given)
    patterns = {name: rng.random(977) < 0.4 for name in ("i", "i_previous", "o")}
    compare(native, CONFIG, given[1:2] + given[3:], gaps=patterns, stalls=patterns)


@pytest.mark.parametrize(
    "grid, d, window, group",
    [((4, 30, 45), 16, 3, 4), ((4, 9, 11), 64, 4, 1), ((4, 9, 11), 7, 3, 4), ((4, 9, 11), 1, 3, 4)],
)
@pytest.mark.campaign
def test_cycles_of_a_frame(native, grid, d, window, group):
    """As many as its beats have words; with fewer words than candidates, as many as it has jobs."""
    given = Clip(similar(np.random.default_rng(d), grid, d), grid, 2.5, window, group)
    tokens = grid[1] * grid[2]
    ends = compare(native, CONFIG, [given])["o"][tokens - 1 :: tokens]
    beats = beats_of_frames(grid, window, group, candidates=CONFIG.candidates, banks=CONFIG.banks)
    expected = beats[3] * given.words
    if given.words < CONFIG.candidates:
        expected = window_candidates(given) + int((given.result(CONFIG).spatial[:tokens] != NONE).sum())
    assert (np.diff(ends)[1:] == expected).all()


def test_lanes_are_busy_on_the_whole_clip(native, tensors):
    """At least 95 % of the lane groups' cycles are candidates, and frames take the cycles that are stated."""
    whole = Clip(tensors.q, tensors.grid)
    ends = compare(native, CONFIG, [whole])["o"][len(whole.q) // len(tensors.q) - 1 :: len(whole.q) // len(tensors.q)]
    beats = sum(beats_of_frames(whole.grid, 3, 4, candidates=CONFIG.candidates, banks=CONFIG.banks)[2:])
    taken = int(ends[-1] - ends[1])
    assert abs(taken - beats * whole.words) < CONFIG.add_stages * whole.words
    # A frame of 9 x 11 has (3 * 9 - 2) * (3 * 11 - 2) pairs in time, and 8 of 11 columns have a reference.
    pairs = (len(ends) - 2) * (25 * 31 + 9 * 8)
    assert pairs * whole.words / (CONFIG.candidates * taken) > 0.95


def test_golden_on_the_clip_is_the_float64_ideal(tensors):
    """Where no distance is within its rounding of tau, which on the first frames of the clip none is."""
    frames = 4
    grid = (frames, *tensors.grid[1:])
    q = tensors.q[:frames].reshape(-1, tensors.q.shape[-1]).view(np.uint16)
    for tau, window, group in ((2.5, 3, 4), (4.0, 4, 3), (6.0, 2, 11)):
        got = sparsify(q, grid, tau=tau, window=window, group=group)
        assert 0 < got.removed < len(q)
        np.testing.assert_array_equal(got.table, reference.sparsify(q, grid, tau, window, group))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tau": -0.5}, "tau must be at least 0, not -0.5"),
        ({"tau": np.nan}, "tau must be at least 0, not nan"),
        ({"window": 0}, "window must be a whole number of at least 1, not 0"),
        ({"group": 0}, "group must be a whole number of at least 1, not 0"),
        ({"grid": (2, 2, 2)}, r"grid \(2, 2, 2\) has 8 tokens, q has 6"),
        ({"grid": (0, 2, 3)}, "frames must be a whole number of at least 1, not 0"),
        ({"grid": (6,)}, r"grid must be \(frames, height, width\)"),
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"q": np.zeros((6, 4))}, "FP16 values must be float16"),
        ({"q": np.zeros((0, 4), np.float16)}, "each at least 1, not of shape"),
    ],
)
def test_bad_arguments_of_the_golden_are_refused_by_name(change, message):
    arguments = {"q": np.zeros((6, 4), np.float16), "grid": (1, 2, 3)} | change
    with pytest.raises(ValueError, match=message):
        sparsify(arguments.pop("q"), arguments.pop("grid"), **arguments)


def test_threshold_codes():
    assert squared_threshold(2.5) == fp32(6.25)
    assert squared_threshold(0) == 0
    assert squared_threshold(1e30) == squared_threshold(np.inf) == FP32.inf


@pytest.mark.parametrize("preset", [name for name in find("sparsification_unit").presets if name != "two"])
def test_rtl(preset):
    """But for the preset that is as large as the default, and whose kind the long runs have."""
    assert vectors("sparsification_unit", preset) > 1000


@pytest.mark.parametrize(
    "config, message",
    [
        ({"candidates": 3}, "candidates must be a power of two, not 3"),
        ({"lanes": 0}, "lanes must be a power of two, not 0"),
        ({"banks": 2}, "banks must be a power of two of at least 4, not 2"),
        ({"slots": 8}, "slots must be a power of two of at least 16, not 8"),
        ({"in_flight": 2}, "in_flight must be a power of two of at least 4, not 2"),
        ({"max_window": 0}, "max_window must be at least 1, not 0"),
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"add_stages": 0}, "add_stages must be at least 1, not 0"),
        ({"add_stages": 5}, "add_stages must be 0 to 4, not 5"),
        ({"square_stages": 3}, "square_stages must be 0 to 2, not 3"),
        ({"difference_stages": 7}, "difference_stages must be 0 to 6, not 7"),
        ({"tree_stages": 3}, "tree_stages must be 0 to 2, not 3: the tree has 2 levels"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        SparsificationUnitConfig(**config)
