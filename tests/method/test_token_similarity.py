# SPDX-License-Identifier: Apache-2.0
"""The quality measure of skipped tokens: against attention by definition, and the sweep over the clip."""

import itertools
import math
import time

import numpy as np
import pytest

from zoetrope.golden.method.token_similarity import PAPER_TAU, output_error, sweep, table_error
from zoetrope.golden.reference import attention
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify
from zoetrope.sim.input import clips
from zoetrope.sim.studies import similarity


@pytest.fixture(scope="module")
def tensors():
    return clips.load()


@pytest.fixture
def small():
    rng = np.random.default_rng(4)
    return tuple(rng.standard_normal((3, 6, 5)).astype(np.float16) for _ in range(3))


def by_definition(q, k, v):
    """Attention number by number."""
    out = []
    for row in q.tolist():
        weights = [math.exp(sum(a * b for a, b in zip(row, key)) / math.sqrt(len(row))) for key in k.tolist()]
        out.append([math.fsum(w * x for w, x in zip(weights, column)) / math.fsum(weights) for column in v.T.tolist()])
    return np.array(out)


def test_attention_and_error_by_definition(small):
    q, k, v = (x.reshape(18, 5) for x in small)
    a = by_definition(q, k, v)
    np.testing.assert_allclose(attention(q, k, v), a, rtol=1e-12)
    assert attention(q[:0], k, v).shape == (0, 5)
    table = np.arange(18) // 3 * 3
    wrong = [[a[table[t], c] - a[t, c] for c in range(5)] for t in range(18)]
    rows = [math.hypot(*w) / math.hypot(*row) for w, row in zip(wrong, a.tolist())]
    whole = math.sqrt(sum(x * x for w in wrong for x in w) / sum(x * x for x in a.ravel()))
    assert table_error(q, k, v, table) == pytest.approx((whole, max(rows)), rel=1e-12)
    some = [7, 1, 17]
    assert table_error(q, k, v, table, some)[1] == pytest.approx(max(rows[t] for t in some), rel=1e-12)
    assert table_error(q, k, v, np.arange(18)) == (0, 0)


def test_rows_of_zeros():
    zero, one = np.zeros((2, 3)), np.ones((2, 3))
    assert output_error(zero, zero) == (0, 0)
    assert output_error(zero, one) == (np.inf, np.inf)
    assert output_error(one, zero) == (1, 1)
    assert output_error(zero[:0], zero[:0]) == (0, 0)


def test_a_table_that_points_to_a_removed_token_is_refused(small):
    q, k, v = (x.reshape(18, 5) for x in small)
    with pytest.raises(ValueError, match="entry 2 is 1, a removed token"):
        table_error(q, k, v, [0, 0, 1, *range(3, 18)])


@pytest.mark.parametrize("which", range(3))
def test_what_is_no_number_is_refused(small, which):
    small[which][1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=f"{'qkv'[which]}: 1 values are NaN or infinite"):
        sweep(*small, (3, 2, 3), [1.0])
    with pytest.raises(ValueError, match=f"{'qkv'[which]}: 1 values are NaN or infinite"):
        table_error(*(x.reshape(18, 5) for x in small), np.arange(18))


@pytest.mark.parametrize("tokens", [None, [0, 5, 16]])
def test_sweep_is_the_error_of_each_table(small, tokens):
    q, k, v = small
    grid, taus = (3, 2, 3), [0, 1.5, 2.5, 100]
    points = sweep(q, k, v, grid, taus, window=2, group=3, tokens=tokens)
    flat = [x.reshape(18, 5) for x in small]
    for tau, point in zip(taus, points):
        found = sparsify(q, grid, tau=tau, window=2, group=3)
        assert (point.tau, point.tokens, point.temporal + point.spatial) == (tau, 18, found.removed)
        assert (point.error, point.worst) == pytest.approx(table_error(*flat, found.table, tokens), rel=1e-12)
    assert points[0].removed == points[0].error == 0
    # Of two frames everything repeats the first, and there the members of two groups of 3 their references.
    assert points[-1].removed == 16 / 18


def test_the_clip_at_the_papers_threshold(tensors):
    """What the README and the docs may quote."""
    start = time.perf_counter()
    text = similarity.summary(tensors)
    assert time.perf_counter() - start < 5
    assert text == (
        "similar tokens at tau = 2.5: 2,165 of 2,970 rows of Q removed (72.9%), attention output off by 8.1% rms"
    )
    points, chosen = similarity.qualities(tensors, [0, 1, PAPER_TAU, 4])
    assert chosen == 2970
    for low, high in itertools.pairwise(points):
        assert low.removed < high.removed and low.error < high.error


def test_long_clips_are_measured_at_some_tokens(monkeypatch, small):
    tensors = clips.Tensors(*small, (3, 2, 3), "small")
    monkeypatch.setattr(similarity, "SCORES", 18 * 4)
    points, chosen = similarity.qualities(tensors, [1.0])
    assert (chosen, points[0].tokens) == (4, 18)


def test_a_grid_that_is_guessed_is_the_most_square_one(small):
    """Of frames of 6 tokens it is 2 x 3."""
    guessed, given = (similarity.qualities(clips.Tensors(*small, grid, "small"), [1.0]) for grid in (None, (3, 2, 3)))
    assert guessed == given


def test_the_command_prints_and_draws(tmp_path, capsys, small):
    clip = tmp_path / "small.npz"
    clips.save(clip, clips.Tensors(*small, (3, 2, 3), "small"))
    out = tmp_path / "new" / "plot.svg"
    similarity.main(["--tensors", str(clip), "--tau", "1", "3", "--out", str(out)])
    said = capsys.readouterr().out
    assert "the paper's" in said and "small.npz" in said
    assert [row.split()[1] for row in said.splitlines() if row.startswith("│")] == ["1", "2.5", "3"]
    assert out.read_text().startswith("<?xml")
    first = out.read_bytes()
    similarity.main(["--tensors", str(clip), "--tau", "1", "3", "--out", str(out)])
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tau", "-1"], "tau must be a finite number of at least 0, not -1"),
        (["--tau", "nan"], "tau must be a finite number of at least 0, not nan"),
        (["--window", "0"], "--window must be a whole number of at least 1, not 0"),
        (["--group", "0"], "--group must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_options_are_refused_by_name(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        similarity.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
