# SPDX-License-Identifier: Apache-2.0
"""Every study on tensors that are accepted and extreme: no warning, no traceback, and no figure that is no number."""

import math
import re
import warnings

import numpy as np
import pytest
from amaranth.hdl import UnusedElaboratable

from zoetrope.sim.input import clips
from zoetrope.sim.studies import accuracy, matching, similarity, softmax_accuracy, speculation
from zoetrope.sim.studies.shares import share, shown

SHAPE = (3, 6, 4)


def normal(tag, shape=SHAPE):
    return np.random.default_rng((0xE, tag)).standard_normal(shape)


def every(make):
    return [make(tag) for tag in range(3)]


def constant(value):
    return every(lambda _: np.full(SHAPE, float(value)))


def one_of(which, matrix):
    return [matrix if tag == which else normal(tag) for tag in range(3)]


ZERO = np.zeros(SHAPE)
EXTREMES = {
    "zeros": constant(0),
    "ones": constant(1),
    "the largest": constant(65504),
    "the least": constant(-65504),
    "the smallest": constant(2.0**-24),
    "the largest, of any sign": every(lambda tag: 65504 * np.sign(normal(tag))),
    "large scores": [60000 * np.sign(normal(0)), 60000 * np.sign(normal(1)), normal(2)],
    "one large value": every(lambda tag: np.where(np.arange(72).reshape(SHAPE) == 30, 65504, normal(tag))),
    "subnormal": every(lambda tag: 1e-6 * normal(tag)),
    "Q of zeros": one_of(0, ZERO),
    "K of zeros": one_of(1, ZERO),
    "V of zeros": one_of(2, ZERO),
    "V of the largest": one_of(2, np.full(SHAPE, 65504.0)),
    "V subnormal": one_of(2, 1e-6 * normal(3)),
    "dead channels": every(lambda tag: normal(tag) * [0, 1, 1, 0]),
    "equal tokens": every(lambda tag: np.tile(normal(tag, (1, 1, 4)), (3, 6, 1))),
    "one channel": every(lambda tag: normal(tag, (3, 6, 1))),
    "one frame": every(lambda tag: normal(tag, (1, 6, 4))),
    "one token a frame": every(lambda tag: normal(tag, (3, 1, 4))),
    "two tokens": every(lambda tag: normal(tag, (1, 2, 4))),
    "one token": every(lambda tag: normal(tag, (1, 1, 1))),
}
STUDIES = {
    "matching": (matching, []),
    "speculation": (speculation, []),
    "similarity": (similarity, ["--tau", "1"]),
    "accuracy": (accuracy, []),
    "softmax_accuracy": (softmax_accuracy, []),
    "clips": (clips, []),
}


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """What a study prints about some tensors; its seeded data, which is always the same, is kept short."""
    monkeypatch.setattr(accuracy, "QUERIES", 3)
    monkeypatch.setattr(accuracy, "KEYS", 3)
    monkeypatch.setattr(softmax_accuracy, "ROWS", {26: 2})

    def of(study, matrices):
        module, arguments = STUDIES[study]
        path = tmp_path / "t.npz"
        np.savez(path, **{name: x.astype(np.float16) for name, x in zip("qkv", matrices)})
        if module is similarity:
            arguments = [*arguments, "--out", str(tmp_path / "t.svg")]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", UnusedElaboratable)  # of a test before, collected here
            module.main(["--tensors", str(path), *arguments])
        return capsys.readouterr().out

    return of


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("study", STUDIES)
def test_no_warning_and_no_figure_that_is_none(study, name, run, capsys):
    if (study, name) == ("matching", "one token"):
        with pytest.raises(SystemExit):
            run(study, EXTREMES[name])
        assert capsys.readouterr().err == "error: matching needs at least 2 tokens\n"
        return
    text = run(study, EXTREMES[name])
    assert "t.npz: " in text and not re.search(r"\b(nan|inf)\b", text)


def test_why_an_error_is_no_number(run):
    for name in ("the largest", "large scores"):
        text = " ".join(run("speculation", EXTREMES[name]).split())
        assert "no error: Q times K's scales is beyond FP16, or e to the power of a score beyond float64" in text
    assert "no error:" not in run("speculation", EXTREMES["ones"])
    assert "-: Q times the scales of K is beyond FP16" in run("accuracy", EXTREMES["the largest"])
    assert "-: Q" not in run("accuracy", EXTREMES["ones"])


def test_what_a_share_of_nothing_is():
    assert (share(0, 0), share(1, 0), share(1, 4)) == (0, math.inf, 0.25) and math.isnan(share(math.nan, 1))
    assert [shown(value, ".1%") for value in (0.25, math.nan, math.inf, -math.inf)] == ["25.0%", "-", "-", "-"]


def test_equal_tokens_are_matched_without_loss(run):
    """Their distance to their mean is 0, too, and so are the errors."""
    found, alike, _ = matching.table(clips.Tensors(*(x.astype(np.float16) for x in constant(0)), None, "zeros"))
    assert all(max(each) == 0 for each in found.values()) and set(alike.values()) == {0}
    found, alike, _ = matching.table(clips.Tensors(*(x.astype(np.float16) for x in constant(1)), None, "ones"))
    assert all(each.loss == 0 for (guide, _), each in found.items() if guide != "output before")
    assert alike["Q"] == pytest.approx(1)


def test_a_guide_beyond_fp16_is_taken_as_the_engine_takes_it():
    guide = np.array([[1e9, 1.0], [-1e9, 2.0], [0.0, 3.0], [70000.0, 4.0]])
    saturated = np.array([[65504, 1.0], [-65504, 2.0], [0.0, 3.0], [65504, 4.0]])
    codes, amax = matching.quantize(np.clip(guide, -matching.LARGEST, matching.LARGEST).astype(np.float16))
    other, _ = matching.quantize(saturated.astype(np.float16))
    np.testing.assert_array_equal(codes, other)
    assert amax[0] == matching.LARGEST == np.finfo(np.float16).max
    assert set(matching.matchings(guide, np.array([0]), 1)) >= {"DATM, 4 bits", "DATM, float64"}
