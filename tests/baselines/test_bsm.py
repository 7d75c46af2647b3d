"""Bipartite Soft Matching against its definition, token by token in rational arithmetic, and the placements of dst."""

from fractions import Fraction

import numpy as np
import pytest

from zoetrope.golden.baselines import bsm
from zoetrope.golden.baselines.bsm import alternating, match, one_a_block, spaced


def by_definition(tokens, dst, reduced):
    """(src, slot, squared distance) of each src, and the k closest src, in exact arithmetic."""
    rows = [[Fraction(float(value)) for value in row] for row in tokens]
    pairs = []
    for src in sorted(set(range(len(rows))) - set(dst)):
        far = [sum((a - b) ** 2 for a, b in zip(rows[src], rows[d])) for d in dst]
        pairs.append((src, far.index(min(far)), min(far)))
    return pairs, [src for src, _, _ in sorted(pairs, key=lambda pair: (pair[2], pair[0]))[:reduced]]


@pytest.mark.parametrize("tokens, count", [(2, 1), (3, 2), (17, 1), (17, 16), (30, 7)])
def test_pairs_are_the_definition_s(tokens, count):
    rng = np.random.default_rng(tokens + count)
    x = rng.integers(-7, 8, (tokens, 5)).astype(np.float64)  # small integers: many ties, and every sum is exact
    dst = rng.permutation(tokens)[:count]
    for reduced in {0, 1, tokens - count}:
        found = match(x, dst, reduced)
        pairs, closest = by_definition(x, dst.tolist(), reduced)
        assert list(zip(found.src.tolist(), found.slot.tolist())) == [(src, slot) for src, slot, _ in pairs]
        assert found.distance.tolist() == [float(far) for *_, far in pairs]
        assert found.src[found.reduced].tolist() == closest


def test_equal_tokens_go_to_the_first_slot_and_the_first_src_is_reduced():
    found = match(np.ones((6, 3)), [4, 1], reduced=2)
    assert found.slot.tolist() == [0] * 4
    assert found.distance.tolist() == [0.0] * 4
    assert found.src[found.reduced].tolist() == [0, 2]


def test_cosine_knows_directions_only():
    x = np.array([[1.0, 0], [0, 1], [9, 1], [1, 9], [0, 0]])
    found = match(x, [0, 1], metric="cosine")
    assert found.slot.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.distance, [1 - 9 / np.sqrt(82), 1 - 9 / np.sqrt(82), 1.0])


def test_results_do_not_depend_on_the_pieces(monkeypatch):
    x = np.random.default_rng(1).integers(-7, 8, (60, 6))
    whole = match(x, spaced(60, 9), 20)
    monkeypatch.setattr(bsm, "CHUNK", 100)
    for a, b in zip(whole, match(x, spaced(60, 9), 20)):
        np.testing.assert_array_equal(a, b)


def test_placements():
    assert alternating(5).tolist() == [1, 3]
    assert spaced(10, 3).tolist() == [1, 5, 8]
    for count in range(1, 12):
        assert len(np.unique(spaced(12, count))) == count
    chosen = one_a_block((5, 4, 6), (2, 2, 3), np.random.default_rng(1))
    frame, row, column = np.unravel_index(chosen, (5, 4, 6))
    blocks = set(zip((frame // 2).tolist(), (row // 2).tolist(), (column // 3).tolist()))
    assert len(chosen) == 8 == len(blocks)
    assert (np.diff(chosen) > 0).all() and frame.max() < 4


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0, 0],), "dst token 0 is given 2 times"),
        (([9],), "dst token 9 is out of range"),
        (([0, 1, 2, 3],), "must be 1 to 3 for 4 tokens, not 4"),
        (([0], 4), "reduced must be 0 to 3, not 4"),
        (([0], 1, "dot"), "metric must be squared_l2 or cosine, not 'dot'"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        match(np.zeros((4, 2)), *arguments)


def test_a_grid_without_a_block_is_refused():
    with pytest.raises(ValueError, match=r"no block of \(2, 2, 2\) fits into a grid of \(1, 4, 4\)"):
        one_a_block((1, 4, 4), (2, 2, 2), np.random.default_rng(1))
