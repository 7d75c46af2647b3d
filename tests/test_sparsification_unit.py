"""The sparsification unit: golden from the definition and by hand, benches, no entry that points to a removed token."""

import itertools

import numpy as np
import pytest

from golden import reference
from golden.float_add import float_add
from golden.float_multiply import float_multiply
from golden.formats import FP16, FP32, fp16, fp32, to_float64
from golden.sparsification_unit import (
    KEPT,
    NONE,
    SPATIAL,
    TEMPORAL,
    resolve,
    sparsify,
    squared_distance,
    squared_threshold,
)
from sim import clips


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


def test_no_entry_points_to_a_removed_token():
    """Every clip of three 2 x 2 frames whose tokens have one of two values (but for which is which)."""
    for values in itertools.product((0.0, 1.0), repeat=11):
        q = np.float16((0.0, *values))[:, None]
        for window, group in ((1, 2), (3, 2)):
            table = sparsify(q, (3, 2, 2), tau=0.5, window=window, group=group).table
            assert np.all(table[table] == table) and np.all(table <= np.arange(12))
            assert np.all(q[table] == q)  # two values nearer than tau are equal here


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


def test_a_match_of_a_later_token_is_refused():
    for match in ([0, 2, 2], [-1, 0]):
        with pytest.raises(ValueError, match="must match itself or one before"):
            resolve(match)


def test_threshold_codes():
    assert squared_threshold(2.5) == fp32(6.25)
    assert squared_threshold(0) == 0
    assert squared_threshold(1e30) == squared_threshold(np.inf) == FP32.inf
