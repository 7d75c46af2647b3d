# SPDX-License-Identifier: Apache-2.0
"""Reduce and restore: every row once, what is kept unchanged, means by hand, and what attention makes of it."""

import numpy as np
import pytest

from zoetrope.golden.baselines.bsm import match
from zoetrope.golden.orbis.matching.reduction import kept_tokens, reduce, restore


def random_pairs(seed, tokens, count, reduced):
    rng = np.random.default_rng(seed)
    order = rng.permutation(tokens)
    return order[:count], order[count : count + reduced], rng.integers(0, count, reduced)


@pytest.mark.parametrize(
    "tokens, count, reduced", [(2, 1, 0), (2, 1, 1), (9, 1, 8), (9, 8, 1), (50, 7, 20), (50, 7, 43)]
)
def test_restore_puts_every_row_in_its_place(tokens, count, reduced):
    x = np.arange(3 * tokens, dtype=np.float32).reshape(tokens, 3)
    dst, src, slot = random_pairs(tokens + reduced, tokens, count, reduced)
    short = reduce(x, dst, src, slot)
    assert len(short) == tokens - reduced
    whole = restore(short, tokens, dst, src, slot)
    expected = x.copy()
    for token, of in zip(src, slot):
        expected[token] = x[dst[of]]
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(short[tokens - reduced - count :], x[dst])


def test_order_of_the_shorter_sequence():
    assert kept_tokens(6, np.array([4, 1]), np.array([5, 0])).tolist() == [2, 3, 4, 1]
    assert kept_tokens(3, np.array([1]), np.array([], int)).tolist() == [0, 2, 1]


def test_means_by_hand_and_rounded_once():
    x = np.array([[1.0], [2.0], [4.0], [8.0], [1.0005]], np.float16)
    short = reduce(x, [0, 3], [2, 1, 4], [0, 0, 1], mode="mean")
    assert short.dtype == np.float16
    assert short.ravel().tolist() == [np.float16(7 / 3), np.float16((8 + float(x[4, 0])) / 2)]
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 8)).astype(np.float16)
    dst, src, slot = random_pairs(1, 200, 9, 150)
    order = rng.permutation(150)
    np.testing.assert_array_equal(reduce(x, dst, src, slot, "mean"), reduce(x, dst, src[order], slot[order], "mean"))


def test_equal_tokens_are_reduced_without_loss():
    """Attention over rows that all stand for equal ones, each weighted alike, is the attention over all rows."""
    rng = np.random.default_rng(2)
    distinct = rng.standard_normal((5, 4))
    x = np.tile(distinct, (3, 1))
    pairs = match(x, np.arange(5), reduced=10)
    arguments = pairs.dst, pairs.src[pairs.reduced], pairs.slot[pairs.reduced]
    short = reduce(x, *arguments, mode="mean")

    def attention(rows):
        weights = np.exp(rows @ rows.T)
        return weights @ rows / weights.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(restore(attention(short), 15, *arguments), attention(x))


def test_rows_may_have_any_shape():
    x = np.arange(24).reshape(4, 2, 3)
    assert reduce(x, [3], [0], [0], "mean").shape == (3, 2, 3)
    assert restore(x[:3], 4, [3], [0], [0]).shape == (4, 2, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0], [1], [0], "sum"), "mode must be one of replace, mean, not 'sum'"),
        (([0], [1, 1], [0, 0]), "a src token is given twice, or is a dst token"),
        (([0], [0], [0]), "a src token is given twice, or is a dst token"),
        (([0], [4], [0]), "a src token is out of range: there are 4 tokens"),
        (([0], [1], [1]), "a slot is out of range: there are 1 dst tokens"),
        (([0], [1, 2], [0]), "src and slot must be vectors of one length"),
        (([4], [1], [0]), "dst token 4 is out of range"),
    ],
)
def test_bad_pairs_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        reduce(np.zeros((4, 2)), *arguments)


def test_a_sequence_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 rows; 4 tokens of which 1 are reduced leave 3"):
        restore(np.zeros((2, 2)), 4, [0], [1], [0])
