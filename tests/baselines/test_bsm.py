# SPDX-License-Identifier: Apache-2.0
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


def by_cosine(tokens, dst, reduced):
    """(src, slot) of each src, and the k closest src, by cosines squared with their sign, in exact arithmetic."""
    rows = [[Fraction(float(value)) for value in row] for row in tokens]

    def cosine(a, b):
        product, norms = sum(x * y for x, y in zip(a, b)), sum(x * x for x in a) * sum(y * y for y in b)
        return product * abs(product) / norms if norms else Fraction(0)

    pairs = []
    for src in sorted(set(range(len(rows))) - set(dst)):
        near = [cosine(rows[src], rows[d]) for d in dst]
        pairs.append((src, near.index(max(near)), max(near)))
    closest = [src for src, _, _ in sorted(pairs, key=lambda pair: (-pair[2], pair[0]))[:reduced]]
    return [(src, slot) for src, slot, _ in pairs], closest


def test_equal_cosines_go_to_the_first_slot():
    """Token 3 is token 2 times 3 and as near to token 0: noise of a root and a division is no difference."""
    x = np.array([[0, 2, 3], [0, 6, 9], [0, 2, 3]])
    assert match(x, [1, 2], metric="cosine").slot.tolist() == [0]
    assert match(x, [2, 1], metric="cosine").slot.tolist() == [0]
    assert match(x[[1, 0, 2]], [1, 2], metric="cosine").slot.tolist() == [0]


@pytest.mark.parametrize("tokens, count", [(3, 2), (17, 1), (17, 16), (40, 12)])
@pytest.mark.parametrize("scale", [1, 2.0**-24, 2.0**600, 2.0**-600])
def test_cosines_of_small_integers_are_compared_exactly(tokens, count, scale):
    rng = np.random.default_rng(tokens + count)
    for channels, largest in ((2, 3), (5, 7), (64, 7)):
        x = rng.integers(-largest, largest + 1, (tokens, channels)) * rng.integers(0, 4, (tokens, 1)) // 3
        dst = rng.permutation(tokens)[:count]
        found = match(x * scale, dst, tokens - count, metric="cosine")
        pairs, closest = by_cosine(x, dst.tolist(), tokens - count)
        assert list(zip(found.src.tolist(), found.slot.tolist())) == pairs
        assert found.src[found.reduced].tolist() == closest


def test_equal_tokens_of_any_numbers_are_tied():
    """Cosine with the first of equal dst, wherever they stand: every pair's sum has the same order."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 37))
    x[20:] = x[7] * 2.0 ** rng.integers(-3, 4, (20, 1))
    found = match(x, np.arange(21, 40), 21, metric="cosine")
    assert found.slot.tolist() == [0] * 21
    assert set(found.src[found.reduced[:2]].tolist()) == {7, 20} and found.src[found.reduced[0]] == 7


@pytest.mark.parametrize("metric", ["squared_l2", "cosine"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(metric, value):
    x = np.ones((3, 2))
    x[2, 1] = value
    with pytest.raises(ValueError, match=r"1 values are NaN or infinite, first at \(2, 1\)"):
        match(x, [0], metric=metric)


def test_results_do_not_depend_on_the_pieces(monkeypatch):
    x = np.random.default_rng(1).integers(-7, 8, (60, 6))
    whole = match(x, spaced(60, 9), 20)
    monkeypatch.setattr(bsm, "CHUNK", 100)
    for a, b in zip(whole, match(x, spaced(60, 9), 20)):
        np.testing.assert_array_equal(a, b)
    pieces = match(x, spaced(60, 9), 20, "cosine")
    monkeypatch.undo()
    for a, b in zip(pieces, match(x, spaced(60, 9), 20, "cosine")):
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
