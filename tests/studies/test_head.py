# SPDX-License-Identifier: Apache-2.0
"""``zoetrope head``: what it measures in RTL, refuses, prints and draws, on the tiny preset."""

import io
import json
import re
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from zoetrope.command import sim as make_sim
from zoetrope.golden.simcore.chip.simcore import Settings
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.sim.input import clips
from zoetrope.sim.studies import head, head_picture

TINY, SMALL = (catalogue.find("simcore").config(preset) for preset in ("tiny", "small"))
SIMULATED = ", ".join(catalogue.find("simcore").small_presets)


def tensors(frames, height, width, d, grid=True, seed=0):
    """Tokens that often repeat those of the frame before, frames that differ."""
    rng = np.random.default_rng((0x4EAD, seed))
    made = [rng.standard_normal((frames, height * width, d)) + rng.standard_normal((frames, 1, d)) for _ in "qkv"]
    for f in range(1, frames):
        same = rng.random(height * width) < 0.5
        made[0][f, same] = made[0][f - 1, same]
    return clips.Tensors(*(x.astype(np.float16) for x in made), (frames, height, width) if grid else None, "seeded")


@pytest.fixture(scope="module")
def few():
    """4 frames through the RTL, with every configuration, and what was said meanwhile."""
    said = []
    return head.measured(tensors(4, 3, 4, 10), "tiny", told=said.append, tau=1.5), said


def test_what_is_measured(few):
    found, said = few
    assert found.geometry == Geometry(4, 3, 4) and found.rows == 48
    assert list(found.found) == list(found.errors) == list(head.ABLATIONS)
    assert [line.split(" ", 2)[:2] for line in said] == [["head:", "48"]] + [["head", f"{k}/5"] for k in range(1, 6)]
    dense, rows, speculation, loose, everything = (found.found[name] for name in head.ABLATIONS)
    assert all(each.elements == 480 for each in found.found.values())
    assert dense.result.statistics.skipped == dense.result.statistics.share == 0
    assert rows.result.statistics.skipped == everything.result.statistics.skipped > 0.2
    assert rows.result.statistics.share == 0 and everything.result.statistics.share > 0.2
    assert found.errors["FP16 only"] < found.errors["all"] < 0.5
    cycles = [each.counters["cycles"] for each in (dense, rows, speculation, everything)]
    assert len(loose.result.slices.rows) >= len(everything.result.slices.rows)
    assert cycles[0] > cycles[1] and cycles[2] > cycles[3]  # predicting takes longer than so small a head
    assert dense.counters["lut_busy"] == 0 < everything.counters["lut_busy"]


def test_busy_cycles_are_those_of_the_model(few):
    """Of the FP16 array, which waits for no slices: where sums are ready, all the model's cycles are busy ones."""
    found, _ = few
    for name, each in found.found.items():
        bound, fitted = (found.models["tiny"][kind][name] for kind in ("bound", "fitted"))
        for array in ("fp16", "lut"):
            busy, stalled = (each.counters[f"{array}_{what}"] for what in ("busy", "stalled"))
            assert getattr(bound, array) <= busy <= getattr(fitted, array) <= each.counters["cycles"], (name, array)
            if array == "fp16":
                assert busy + stalled >= 0.9 * fitted.fp16
    assert set(found.models) == {"tiny", "paper"}


def test_document_and_tables(few, tmp_path):
    console = Console(width=110, record=True, file=io.StringIO())
    told = head.report(few[0], console, tmp_path / "head.svg")
    text = console.export_text()
    found = json.loads((tmp_path / "head.json").read_text())
    assert found == json.loads(json.dumps(told))
    assert found["geometry"] == {"frames": 4, "height": 3, "width": 4, "tokens": 48} and found["channels"] == 10
    for each in found["runs"].values():
        for shares in each["activity"].values():
            assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) >= 0
        counters = each["counters"]
        assert each["tile_cycles"] + counters["prologue_cycles"] + counters["recovery_cycles"] == counters["cycles"]
    whole, lut, grouping = found["beside_paper"]
    assert [each["paper"] for each in (whole, lut, grouping)] == [2.01, 1.45, 1.10]
    assert whole["measured"] == found["runs"]["all"]["speed_up"] > lut["measured"]
    assert grouping["measured"] >= 1
    for part in (
        "simcore tiny: all 4 of 4 frames",
        *head.ABLATIONS,
        "2.01",
        "1.45",
        "1.10",
        "2,194 KiB",
    ):
        assert part.replace("all 4 of 4", "all 4") in text
    assert "2,400 elements of A compared" in text and "models, not measurements" in text
    assert (tmp_path / "head.svg").read_text().startswith("<?xml")
    assert all(len(line) <= 110 for line in text.splitlines())
    sorted_document = json.loads(json.dumps(found, sort_keys=True))
    for cells in (head.run_cells, head.activity_cells, head.paper_cells):
        assert list(cells(sorted_document)) == list(cells(found))
    assert [row[0] for row in head.run_cells(sorted_document)] == list(head.ABLATIONS)


def test_what_is_not_equal_fails(few):
    each = few[0].found["all"]
    right = SimpleNamespace(a=each.result.a.copy(), counters=each.counters)
    assert head.compared("all", right, each.result).elements == 480
    wrong = right.a.copy()
    wrong.view(np.uint16)[3, 1] ^= 1
    nothing = right.a[:0]
    cases = [
        (SimpleNamespace(a=wrong, counters=each.counters), "head, all: 1 of 480 elements of A differ"),
        (SimpleNamespace(a=nothing, counters=each.counters), "nothing to compare: A is of shape"),
        (SimpleNamespace(a=right.a, counters=each.counters | {"slices": 0}), "counters: got {'slices': 0}, expected"),
    ]
    for rtl, message in cases:
        with pytest.raises(head.HeadFailed, match=message):
            head.compared("all", rtl, each.result)
    with pytest.raises(head.HeadFailed, match="nothing to compare"):
        head.compared("all", SimpleNamespace(a=nothing, counters={}), each.result._replace(a=nothing))


def test_a_run_tells_its_progress_and_its_errors(monkeypatch, capsys):
    monkeypatch.setattr(head, "EVERY", -1)
    given = tensors(1, 1, 3, 2)
    matrices = [x.reshape(3, 2) for _, x in given.items()]
    settings = head.settings_of(TINY)
    rtl, _ = head.run("all", "tiny", matrices, Geometry(1, 1, 3), settings)
    assert rtl.a.shape == (3, 2)
    assert f"head, all: {rtl.counters['cycles']:,} cycles, 100% of A" in capsys.readouterr().err.replace("+", "")
    matrices[1] = np.full((3, 2), np.inf, np.float16)
    with pytest.raises(head.HeadFailed, match="head, all: SIMCORE: NOT_FINITE_K"):
        head.run("all", "tiny", matrices, Geometry(1, 1, 3), settings)


def test_frames_by_default_and_asked_for():
    clip = tensors(30, 9, 11, 2)
    assert head.geometry_of(clip, "small", SMALL) == Geometry(head.TOKENS // 99, 9, 11)
    assert head.geometry_of(clip, "small", SMALL, 30) == Geometry(30, 9, 11)
    assert head.geometry_of(clip, "small", SMALL, 99) == Geometry(30, 9, 11)
    assert head.geometry_of(tensors(40, 1, 1, 2), "small", SMALL).frames == SMALL.max_frames
    assert head.geometry_of(tensors(3, 16, 16, 2), "small", SMALL).frames == 1
    assert head.geometry_of(tensors(3, 1, 6, 2, grid=False), "small", SMALL) == Geometry(3, 2, 3)


@pytest.mark.parametrize(
    "given, frames, message",
    [
        (
            tensors(2, 2, 2, 65),
            None,
            "seeded: simcore small does not take 65 channels (at most 64); d at most: tiny 16, board 8, small 64. The "
            "studies and the goldens take every d$",
        ),
        (
            tensors(1, 17, 18, 2),
            None,
            "17 rows of tokens in a frame (at most 16), 18 tokens in a row of a frame (at most 16); "
            "CROP=16x16, or --crop 16x16, keeps the middle of its frames$",
        ),
        (
            tensors(2, 1, 17, 2, grid=False),
            None,
            "17 tokens in a row of a frame (at most 16); the height and width of its frames were guessed: GRID=HxW",
        ),
        (
            replace(tensors(2, 17, 18, 2), given={"tensors": "own.npz"}),
            None,
            "; CROP=16x16, or --crop 16x16, keeps the middle",
        ),
        (
            replace(tensors(2, 17, 3, 2), given={"clip": "my film.mp4"}),
            None,
            "; CROP=16x3, or --crop 16x3, keeps the middle",
        ),
        (tensors(33, 1, 1, 2), 33, "33 frames (at most 32)$"),
        (tensors(17, 16, 16, 2), 17, "4,352 tokens (at most 4,096)$"),
    ],
)
def test_heads_that_are_too_large(given, frames, message):
    with pytest.raises(head.HeadRefused, match=re.sub(r"[()\[\]]", r"\\\g<0>", message)):
        head.geometry_of(given, "small", SMALL, frames)


def test_make_sim_says_why_no_head_was_run(monkeypatch):
    console = Console(width=200, record=True, file=io.StringIO())
    wrong = []
    refused, failed = Future(), Future()
    refused.set_exception(head.HeadRefused("seeded: simcore small does not take 65 channels (at most 64)"))
    assert make_sim._ended(refused, None, console, wrong) is None and wrong == []
    assert "no head was run: seeded: simcore small does not take 65 channels (at most 64)" in console.export_text()
    failed.set_exception(head.HeadFailed("head, all: 1 of 480 elements of A differ"))
    assert make_sim._ended(failed, None, console, wrong) is None
    assert wrong == ["head, all: 1 of 480 elements of A differ"]

    monkeypatch.setattr(make_sim, "HEAD", "zoetrope.sim.studies.absent")
    begun, wrong = make_sim._begun(None, None, None)
    assert begun is None and "the head" in wrong[0] and "absent" in wrong[0]


def test_one_configuration_of_a_head(tmp_path):
    """As `make sim` ends with: no speed-ups, which need the others, and none of the reasons for them."""
    found = head.measured(tensors(2, 3, 4, 10), "tiny", jobs=1, configurations=("all",))
    console = Console(width=110, record=True, file=io.StringIO())
    told = head.report(found, console, tmp_path / "head.svg")
    text = console.export_text()
    assert list(told["runs"]) == ["all"] and told["runs"]["all"]["speed_up"] is None and told["beside_paper"] == []
    assert "240 elements of A compared" in text and "`zoetrope head` switches the features on" in text
    assert "FP16 only" not in text and "Why not the paper's" not in text and (tmp_path / "head.svg").exists()


def test_a_head_that_differs_is_no_fault_of_the_user(monkeypatch, capsys):
    """Status 1, not 2."""

    def failing(*_, **__):
        raise head.HeadFailed("head, all: 1 of 480 elements of A differ")

    monkeypatch.setattr(head, "measured", failing)
    monkeypatch.setattr(head.clips, "chosen", lambda options, **_: tensors(2, 2, 2, 4))
    assert head.main([]) == 1
    assert capsys.readouterr().err == "FAIL: head, all: 1 of 480 elements of A differ\n"


def test_mosaic_has_every_token_once():
    for frames, height, width in ((1, 1, 1), (5, 2, 3), (7, 1, 9), (30, 9, 11)):
        kind = np.arange(frames * height * width)
        picture = head_picture.mosaic(kind, Geometry(frames, height, width))
        np.testing.assert_array_equal(np.sort(picture[picture >= 0]), kind)
        np.testing.assert_array_equal(picture[:height, :width].ravel(), kind[: height * width])


def test_command_on_tensors_without_a_grid(tmp_path, capsys):
    clips.save(tmp_path / "own.npz", replace(tensors(2, 1, 4, 5), grid=None))
    options = ["--tensors", str(tmp_path / "own.npz"), "--preset", "tiny", "--frames", "2", "--jobs", "1"]
    pictures = []
    for name in ("once.svg", "again.svg", "head.png"):
        head.main([*options, "--out", str(tmp_path / name)])
        pictures.append((tmp_path / name).read_bytes())
    text = capsys.readouterr().out
    assert "all 2 frames of 2 x 2, 8 tokens" in text and "input: own.npz: 2 frames of 2 x 2 tokens (guessed, as" in text
    assert pictures[0] == pictures[1] and len(pictures[2]) > 1000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--frames", "0"], "frames must be a whole number of at least 1, not 0"),
        (["--frames", "two"], "frames must be a whole number of at least 1, not two"),
        (["--out", "head.pdf"], "--out must end in .svg or .png"),
        (["--p", "2"], "p_p must be between 0 and 1"),
        (["--tau", "-1"], "tau must be at least 0"),
        (["--jobs", "0"], "jobs must be a whole number of at least 1, not 0"),
        (["--preset", "paper"], f"preset 'paper' of simcore is not simulated; those that are: {SIMULATED}"),
        (
            ["--preset", "tiny"],
            "simcore tiny does not take 64 channels (at most 16), 9 rows of tokens in a frame (at most 4)",
        ),
        (["--tensors", "absent.npz"], "absent.npz: no such file"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        head.main(arguments)
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and message in told and "Traceback" not in told


def test_q_beyond_fp16_is_one_line(tmp_path, capsys):
    given = {name: np.ones((1, 2, 2), np.float16) for name in "qkv"}
    given["q"][0, 1, 1], given["k"][0, 0, 1] = 60000, 600
    np.savez(tmp_path / "wide.npz", **given)
    with pytest.raises(SystemExit):
        head.main(["--tensors", str(tmp_path / "wide.npz")])
    assert "wide.npz: q times K's scale is beyond FP16" in capsys.readouterr().err


def test_settings_of_a_machine():
    assert head.settings_of(SMALL, tau=1.0) == Settings(
        rows=8, keys=128, lanes=4, running=3, distance_lanes=8, window=3, group=4, tau=1.0
    )
    with pytest.raises(UserError, match=f"those that are: {SIMULATED}"):
        head.measured(tensors(1, 1, 1, 1), "paper")
    with pytest.raises(UserError, match="block simcore has no preset 'samll'; did you mean small"):
        head.measured(tensors(1, 1, 1, 1), "samll")
