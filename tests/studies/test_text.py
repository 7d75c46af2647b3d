# SPDX-License-Identifier: Apache-2.0
"""Heads with text tokens through every study: text is never skipped nor reduced, and every row meets its keys."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

from zoetrope.command.main import main as zoetrope
from zoetrope.golden.reference import attention
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.sim.input import clips
from zoetrope.sim.studies import head, matching, similarity, softmax_accuracy, speculation

F, H, W, D, TEXT = 4, 2, 3, 10, 5


def tensors(first=True, text=TEXT, d=D, seed=0):
    rng = np.random.default_rng((0x7E, seed))
    still = rng.standard_normal((1, H * W, d))
    video = [(still + 0.3 * rng.standard_normal((F, H * W, d))).astype(np.float16) for _ in "qkv"]
    words = tuple(rng.standard_normal((text, d)).astype(np.float16) for _ in "qkv")
    given = {"text_first": first, "text": words if text else None}
    return clips.Tensors(*video, (F, H, W), "seeded: with text", **given)


def test_a_head_in_rtl(tmp_path):
    for first in (True, False):
        given = tensors(first)
        found = head.measured(given, "tiny", frames=2, jobs=1, configurations=("all",))
        assert (
            found.geometry == Geometry(2, H, W, TEXT, first) and found.found["all"].elements == (2 * H * W + TEXT) * D
        )
        told = head.document(found)
        assert told["geometry"]["text"] == TEXT and "17 tokens, 5 of them text, d = 10" in head.title(told)
        kind = found.found["all"].result.kind
        assert not np.delete(kind, np.arange(17)[found.geometry.video]).any()
    head.head_picture.plot(found.found["all"].result, found.geometry, tmp_path / "head.svg")
    assert "or text" in (tmp_path / "head.svg").read_text()


def test_heads_whose_text_or_channels_do_not_fit():
    tiny = catalogue.find("simcore").config("tiny")
    with pytest.raises(head.HeadRefused, match=r"9 text tokens \(at most 8\); 9 of text fit --preset small$"):
        head.geometry_of(tensors(text=9), "tiny", tiny)
    with pytest.raises(head.HeadRefused, match=r"64 channels \(at most 16\); d = 64 fits --preset small$"):
        head.geometry_of(tensors(d=64), "tiny", tiny)
    for d in (72, 96, 128):
        with pytest.raises(
            head.HeadRefused, match=f"does not take {d} channels .*; d at most: tiny 16, board 8, small"
        ):
            head.geometry_of(tensors(d=d), "tiny", tiny)
    assert head.geometry_of(tensors(text=0), "tiny", tiny).text == 0


def test_speculation_has_text_as_a_tile_on_either_side():
    first = speculation.measured(tensors(), (0.5, None))
    last = speculation.measured(replace(tensors(), text_first=False), (0.5, None))
    for one, other in zip(first, last):
        assert one.tiles == other.tiles and one.error == pytest.approx(other.error, rel=1e-9)
    assert 0 < first[0].tiles < 1
    assert first[1].error != speculation.measured(tensors(text=0), (0.5, None))[1].error


def test_similarity_meets_the_text_and_does_not_skip_it():
    given = tensors()
    (point, *_), _ = similarity.qualities(given, [2.5])
    bare, _ = similarity.qualities(tensors(text=0), [2.5])
    assert point.tokens == F * H * W and (point.temporal, point.spatial) == (bare[0].temporal, bare[0].spatial)
    assert point.error != bare[0].error
    whole = attention(*given.matrices())[TEXT:]
    table = similarity.sweep.__globals__["sparsify"](given.q, given.grid, tau=2.5).table
    assert point.error == pytest.approx(np.sqrt(((whole[table] - whole) ** 2).sum() / (whole**2).sum()), rel=1e-9)


def test_matching_meets_the_text_and_does_not_reduce_it():
    given = tensors()
    out = matching.Attention(*(x.astype(np.float64) for x in given.text[1:]))(
        *(x.reshape(-1, D) for _, x in given.items())
    )
    assert np.allclose(out, attention(*given.matrices())[TEXT:], rtol=1e-12)
    found, _, slots = matching.table(given, 0.3)
    bare, _, same = matching.table(tensors(text=0), 0.3)
    assert slots == same and found["V", "DATM, 4 bits"].loss == bare["V", "DATM, 4 bits"].loss
    assert found["V", "DATM, 4 bits"].error != bare["V", "DATM, 4 bits"].error


def test_softmax_meets_all_keys():
    assert softmax_accuracy.clip_scores(tensors())[0].shape == (F * H * W + TEXT, F * H * W + TEXT)


STUDIES = ("accuracy", "softmax", "speculation", "similarity", "matching")


@pytest.mark.parametrize("study, d", [*((study, 72) for study in STUDIES), *(("matching", d) for d in (64, 96, 128))])
def test_every_study_from_the_command_line(tmp_path, monkeypatch, capsys, study, d):
    """(batch, heads, text and tokens, d) of bfloat16, as a model has them."""
    monkeypatch.chdir(tmp_path)
    heads = np.random.default_rng(d).standard_normal((3, 2, 3, F * H * W + TEXT, d)).astype(np.float32)
    np.save("qkv.npy", (heads.view(np.uint32) >> 16).astype("<u2").view("V2"))
    options = ["--tensors", "qkv.npy", "--grid", f"{H}x{W}", "--head", "1", "--text", str(TEXT), "--text-side", "last"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        more = ["--ratio", "0.2"] if study == "matching" else []
        assert not zoetrope(["study", study, *options, *more, "--frames", "3", "--json"])
    told = capsys.readouterr()
    source = "qkv.npy, sample 0 of 2, head 1 of 3: the first 3 of 4 frames of 2 x 3 tokens, 5 text tokens behind them"
    assert json.loads(told.out)["input"].startswith(source)
    if study != "softmax":
        assert "ext" in told.err.replace(source, "")
