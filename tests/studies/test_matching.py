# SPDX-License-Identifier: Apache-2.0
"""Quality of token pairs on the clip: DATM below BSM in pair loss, and the measures themselves by hand."""

import numpy as np
import pytest

from zoetrope.golden import reference
from zoetrope.golden.reference import attention
from zoetrope.hw.errors import UserError
from zoetrope.sim.input import clips
from zoetrope.sim.studies import matching
from zoetrope.sim.studies.matching import Pairs, quality, similarity, table

FRAMES = 8

BASELINES = ("BSM, drawn dst", "BSM, a dst a block")


@pytest.fixture(scope="module")
def tensors():
    return clips.load(frames=4 * FRAMES)


@pytest.fixture(scope="module")
def found(tensors):
    return table(tensors)


def test_datm_has_less_pair_loss_than_bsm(found):
    """With equal numbers of dst and of pairs kept, whatever the tokens are matched by; 4 bits cost some of it."""
    qualities, _, slots = found
    assert slots == FRAMES // 2 * 4 * 5
    for guide in ("Q", "V", "output before", "output"):
        best = min(qualities[guide, name].loss for name in BASELINES)
        assert qualities[guide, "DATM, 4 bits"].loss < 0.85 * best
        assert qualities[guide, "DATM, float64"].loss < 0.85 * best


def test_the_output_is_the_better_guide_for_queries(found):
    qualities, alike, _ = found
    ours = qualities["output before", "DATM, 4 bits"].query_error
    assert ours < 0.95 * min(qualities[name, "DATM, 4 bits"].query_error for name in ("Q", "V"))
    assert alike["output before"] > max(alike["Q"], alike["V"])


def test_attention_in_pieces_is_attention(monkeypatch):
    q, k, v = np.random.default_rng(1).standard_normal((3, 20, 4))
    weights = np.exp(q @ k.T / 2)
    expected = weights @ v / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(attention(q, k, v), expected)
    monkeypatch.setattr(reference, "_ATTENTION_ROWS", 7)
    np.testing.assert_allclose(attention(q, k, v), expected)


def test_quality_by_hand():
    guide = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])
    pairs = Pairs(np.array([0]), np.array([1, 2, 3]), np.array([0, 0, 0]), np.array([0]))
    qkv = [np.zeros((4, 2)), np.zeros((4, 2)), np.array([[1.0, 0], [3, 0], [1, 0], [3, 0]])]
    found = quality(pairs, guide, qkv, attention(*qkv))
    # The mean squared distance to (1, 1) is 2; the distances are 4, 4, 8. Q alone: all outputs are the mean, 2.
    assert (found.loss, found.kept_loss, found.query_error) == (16 / 3 / 2, 2.0, 0.0)
    # Tokens 2, 3 and 0 are left, whose mean is 5/3.
    assert found.error == pytest.approx((2 - 5 / 3) / 2)


def test_tokens_that_are_equal_are_reduced_without_loss():
    rng = np.random.default_rng(2)
    qkv = [np.tile(rng.standard_normal((4, 3)), (2, 1)) for _ in range(3)]
    pairs = Pairs(np.arange(4), np.arange(4, 8), np.arange(4), np.arange(4))
    assert max(quality(pairs, qkv[0], qkv, attention(*qkv))) < 1e-12


def test_similarity_of_a_tensor_with_itself_is_one():
    x = np.random.default_rng(3).standard_normal((30, 5))
    assert similarity(x, 7 * x) == pytest.approx(1)
    assert similarity(x, np.random.default_rng(4).standard_normal((30, 5))) < 0.9


def test_the_command_prints_the_table(capsys):
    assert not matching.main(["--frames", "3", "--ratio", "0.5"])
    shown = capsys.readouterr().out
    assert "50% of tokens reduced, 20 dst tokens" in shown
    assert "DATM of 4 bits against BSM, drawn dst, matched by output before: pair loss -" in shown


def test_bad_options_are_one_line(tensors):
    for options, message in (
        ({"ratio": 0.99}, "ratio must be 0 to 0.899 with 80 dst tokens, not 0.99"),
        ({"ratio": -0.1}, "ratio must be 0 to"),
    ):
        with pytest.raises(UserError, match=message):
            table(tensors, **options)
    for arguments in (["--frames", "0"], ["--noise", "-1"]):
        with pytest.raises(SystemExit):
            matching.main(arguments)
