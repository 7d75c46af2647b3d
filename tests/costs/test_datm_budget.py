# SPDX-License-Identifier: Apache-2.0
"""The budget of the matching engine: its formula against the papers' sizes, and what the cheap forms cost in quality."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from zoetrope.golden.arith.channel_amax import channel_amax
from zoetrope.hw.catalogue import find
from zoetrope.synth.costs import datm_budget
from zoetrope.synth.costs.datm_budget import (
    ARRAY,
    INSTANCES,
    MODELS,
    engine_config,
    hiding_config,
    main,
    on_the_clip,
    shared_scales,
)
from zoetrope.synth.report import page
from zoetrope.synth.results import rows


def test_lanes_of_a_pairing_by_hand():
    """HunyuanVideo: 67,320 tokens of which 6,732 are dst, 3,072 channels; SDPA of 67,576 tokens on 38 arrays."""
    _, hunyuan = MODELS
    cycles = 2 * 67_576 * 67_576 * 3_072 / (38 * 64 * 64)
    assert hunyuan.sdpa_cycles == pytest.approx(cycles)
    assert cycles / 1e9 == pytest.approx(0.180, abs=5e-4)  # seconds a layer at 1 GHz
    assert hunyuan.lanes(0.1, 1) == pytest.approx(60_588 * 6_732 * 3_072 / 38 / cycles)
    assert (INSTANCES, ARRAY) == (38, 4096)


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.3])
def test_lanes_hardly_depend_on_the_model(ratio):
    for model in MODELS:
        assert model.lanes(ratio, 3) == pytest.approx(3 * ARRAY / 2 * ratio * (1 - ratio), rel=0.03)


def test_the_whole_job_is_hidden():
    """With the fewest lanes that do: a row of lanes less would not."""
    for model in MODELS:
        config = hiding_config(model, 0.1, 4)
        assert model.busy(config, 0.1, 4) <= 1
        fewer = dataclasses.replace(config, dst_lanes=config.dst_lanes - 1)
        assert model.busy(fewer, 0.1, 4) > 1
        assert model.lanes(0.1, 4) < config.distance.lanes < 1.2 * model.lanes(0.1, 4)


def test_the_engine_has_the_lanes_that_are_needed():
    for needed in (1, 16, 17, 719.3):
        config = engine_config(needed)
        assert needed <= config.distance.lanes < needed + config.channel_lanes
    assert engine_config(700, "word", 4).distance.form == "word"
    assert engine_config(48 * 16) == find("datm").config("paper")


def test_matching_pays_and_the_cheap_forms_are_no_worse():
    """On the clip: the loss falls by a quarter and more; 4-bit weights and weights of whole words are within 5 %."""
    own, narrow, word = on_the_clip(0.1, tokens=990, seeds=6)
    assert own["loss, first"] == 1
    assert own["loss, all"] <= own["loss, 1 %"] * 1.01 < 0.78
    for other in (narrow, word):
        assert other["loss, all"] < 1.05 * own["loss, all"]
    assert 2 < own["pairings, 1 %"] <= own["pairings, all"]


def test_channels_that_share_a_scale():
    x = np.array([[1, -8, 3, 0], [0.5, 2, -4, 0]], np.float16)
    order, amax = shared_scales(x, 2)
    assert order.tolist() == [1, 2, 0, 3]
    assert amax.tolist() == [8, 8, 1, 1]
    assert channel_amax(x).tolist() == [1, 8, 4, 0]


@pytest.mark.parametrize("arguments", [["--ratio", "0"], ["--ratio", "1"], ["--pairings", "0"]])
def test_bad_arguments_are_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def engines_of(cost):
    """In place of ``datm_budget.engines``: engines of one cost, without a tool."""
    return lambda configs, jobs=None, progress=None: [{"lanes": config.distance.lanes, **cost} for config in configs]


def test_engines_are_the_sum_of_their_modules():
    """Small ones, side by side, in the order asked for."""
    small, larger = (find("datm").config(preset) for preset in ("small", "default"))
    found = datm_budget.engines([small, larger, small], jobs=2)
    assert found[0] == found[2] != found[1]
    committed = next(row for row in rows.committed()["checks"] if (row["block"], row["preset"]) == ("datm", "small"))
    assert (found[0]["ge"], found[0]["bits"]) == (committed["ge"], committed["bits"])
    assert found[0]["lanes"] == small.distance.lanes and 0 < found[0]["control"] < found[0]["ge"]


def test_budget_of_given_pairings(monkeypatch):
    """The clip is not asked. The array is the one of the committed lanes, measured again."""

    def asked(ratio):
        raise AssertionError("the clip was asked")

    monkeypatch.setattr(datm_budget, "on_the_clip", asked)
    monkeypatch.setattr(datm_budget, "engines", engines_of({"ge": 1e6}))
    found = datm_budget.budget(0.2, 3)
    assert (found["ratio"], found["pairings"], len(found["rows"])) == (0.2, 3, 4 * len(MODELS))
    fp16 = next(row for row in rows.committed()["blocks"] if row["block"] == "fp16_pe")
    assert found["array_ge"] == fp16["generic"]["ge"] / fp16["lanes"] * ARRAY
    for row, (model, _) in zip(found["rows"], itertools.product(MODELS, range(4))):
        assert row["needed"] == model.lanes(0.2, 3)
        assert row["share"] == 1e6 / (1e6 + found["array_ge"])


def test_the_committed_budget():
    """Of the array and engines that are built now; the gates of engines are measured by `zoetrope expected --studies`."""
    found = rows.committed()["matching"]
    fp16 = next(row for row in rows.committed()["blocks"] if row["block"] == "fp16_pe")
    assert found["array_ge"] == fp16["generic"]["ge"] / fp16["lanes"] * ARRAY
    assert found["ratio"] == datm_budget.RATIO and found["pairings"] >= 2
    shown = iter(found["rows"])
    for model in MODELS:
        for form, bits in (("table", 8), ("table", 4), ("word", 8), ("word", 4)):
            config, row = hiding_config(model, found["ratio"], found["pairings"], form, bits), next(shown)
            assert (row["model"], row["weights"]) == (model.name, f"{form}, {bits} bits")
            assert row["lanes"] == config.distance.lanes
            assert row["busy"] == model.busy(config, found["ratio"], found["pairings"])
            assert row["share"] == row["ge"] / (row["ge"] + found["array_ge"])
    assert next(shown, None) is None


def test_what_it_leaves_for_the_report(tmp_path, monkeypatch, capsys):
    """With the tools' answers given: the file has what the table has, and the report reads it."""
    quality = {"weights": "own", "pairings, 1 %": 4.6}
    monkeypatch.setattr(datm_budget, "on_the_clip", lambda ratio: [quality])
    monkeypatch.setattr(datm_budget, "lane", lambda form, bits: {"form": form, "lane": 1.0})
    fp16 = next(row for row in rows.committed()["blocks"] if row["block"] == "fp16_pe")
    own = fp16["generic"]["ge"] / fp16["lanes"] * ARRAY
    monkeypatch.setattr(datm_budget, "array_ge", lambda: own)
    engine = {"ge": own / 9, "control": 1e5, "bits": 8192 * 600}
    monkeypatch.setattr(datm_budget, "engines", engines_of(engine))
    main(["--out", str(tmp_path)])
    budget = json.loads((tmp_path / datm_budget.RESULT).read_text())
    assert (budget["ratio"], budget["pairings"]) == (0.1, 5)
    assert len(budget["rows"]) == 4 * len(MODELS)
    assert [row["share"] for row in budget["rows"]] == pytest.approx([0.1] * len(budget["rows"]))
    assert all(row["needed"] < row["lanes"] and row["busy"] <= 1 for row in budget["rows"])
    printed = capsys.readouterr().out
    assert f"{budget['rows'][0]['lanes']:,}" in printed and "10.0%" in printed
    assert page.costs(tmp_path, {**rows.committed(), "matching": None}).matching == budget
