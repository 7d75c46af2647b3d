# SPDX-License-Identifier: Apache-2.0
"""The check of captured heads, without PyTorch: files of each family that are recorded here, and its bound."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zoetrope.command.main import main as zoetrope
from zoetrope.hw.errors import UserError
from zoetrope.sim.capture import check, families, hook
from zoetrope.sim.capture.families import FAMILIES, entry_grid, rows
from zoetrope.sim.input.captured import Captured, CaptureError, read, write

RECORDED = Path(__file__).with_name("recorded")

#: What `zoetrope capture --random CLASS --steps 1 --layers 1 --heads 1 --samples 1 --seed 7` kept: model, dtype, kind, grid,
#: text, its side, module of the layer.
FACTS = {
    "cogvideox": ("CogVideoX", "bfloat16", "full", (3, 4, 5), 7, "first", "transformer_blocks.1.attn1"),
    "hunyuanvideo": ("HunyuanVideo", "float32", "full", (3, 4, 5), 7, "last", "single_transformer_blocks.0.attn"),
    "wan": ("Wan", "float16", "full", (3, 4, 5), 0, "none", "blocks.1.attn1"),
    "latte_spatial": ("Latte", "float32", "spatial", (1, 4, 5), 0, "none", "transformer_blocks.1.attn1"),
    "latte_temporal": ("Latte", "float32", "temporal", (3, 1, 1), 0, "none", "temporal_transformer_blocks.1.attn1"),
}


def recorded(name):
    return read(RECORDED / f"{name}.npz")


def test_every_family_is_recorded():
    assert {path.stem for path in RECORDED.iterdir()} == set(FACTS)
    assert {recorded(name).model for name in FACTS} == set(FAMILIES)


@pytest.mark.parametrize("name", FACTS)
def test_recorded_heads_are_what_they_were(name):
    c, (model, *facts, module) = recorded(name), FACTS[name]
    assert c.model == f"{model}Transformer3DModel" and c.layers[1] == module
    assert [c.dtype, c.kind, c.grid, c.text, c.text_side] == facts
    assert c.place.tolist() == [[1, 1, 1, 0 if name == "hunyuanvideo" else 1]] and c.scale == 0.25
    assert len(c.entry()[0]) == c.text + np.prod(c.grid)


@pytest.mark.parametrize("name", FACTS)
def test_o_of_a_recorded_head_is_its_attention_and_of_no_other(name):
    c = recorded(name)
    done = check.compare(c, 0)
    assert done.holds and done.share > 0.05 and done.error < 0.02 * done.rms and done.queries == c.q.shape[1]
    q, k, v, o = c.q, c.k, c.v, c.o
    other = {
        "a key in another's place": {"k": np.roll(k, 1, 1)},
        "a value in another's place": {"v": np.roll(v, 1, 1)},
        "a query in another's place": {"q": np.roll(q, 1, 1)},
        "q scaled by 1.02": {"q": (q * np.float16(1.02))},
        "another scale": {"scale": c.scale * 1.02},
        "o off by a hundredth": {"o": (o * np.float16(1.03))},
    }
    for what, changes in other.items():
        assert not check.compare(replace(c, **changes), 0).holds, what


@pytest.mark.parametrize("sharp", [0.1, 1, 8, 40])
@pytest.mark.parametrize("tokens", [1, 2, 50])
def test_the_bound_holds_for_what_is_rounded_and_is_not_far_above(sharp, tokens):
    """Numbers of more than FP16's bits, attention in ``float64``, all rounded at the end: the error is that of the file."""
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(20):
        q, k, v = (rng.standard_normal((tokens, 8)) * s for s in (sharp, 1, 3))
        p = np.exp(s := q @ k.T / 8**0.5 - (q @ k.T / 8**0.5).max(1, keepdims=True))
        o = p @ v / p.sum(1, keepdims=True)
        assert s.max() == 0
        shares.append(
            check.compare(captured(*(x.astype(np.float16) for x in (q, k, v, o)), 8**-0.5, "float64"), 0).share
        )
    assert max(shares) <= 1 and (max(shares) > 0.15 or tokens == 1)


def captured(q, k, v, o, scale, dtype):
    place = np.zeros((1, 4), np.int64)
    grid = (1, 1, len(q))
    return Captured(*(x[None] for x in (q, k, v, o)), place, ("a",), grid, 0, "none", "Some", dtype, scale)


def test_roundings_of_each_format():
    x = np.array([0, 1, 2.0**-20, 1000.5], np.float16)
    assert check.rounding(x, "float16").tolist() == [0, 0, 0, 0]
    assert check.rounding(x, "bfloat16").tolist() == [2.0**-25, 0, 2.0**-25, 0]
    assert check.rounding(-x, "float32").tolist() == [2.0**-25, 2.0**-11, 2.0**-25, 0.25]


def test_of_long_entries_some_queries_stand_for_all(monkeypatch):
    monkeypatch.setattr(check, "SCORES", 20 * 67)
    c = recorded("cogvideox")
    assert check.compare(c, 0).queries == 20 and check.compare(c, 0, every=True).queries == 67
    wrong = c.o.copy()
    wrong[0, -1] += 1
    assert not check.compare(replace(c, o=wrong), 0).holds  # the last token is among them


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_checks_a_file(capsys):
    assert zoetrope(["capture", "--check", str(RECORDED / "wan.npz")]) == 0
    shown = capsys.readouterr().out
    assert "blocks.1.attn1" in shown and "o is the attention of q, k and v in the one entry, within rounding" in shown


def test_it_ends_with_status_1_where_o_is_another(tmp_path, capsys):
    c = recorded("hunyuanvideo")
    write(tmp_path / "a.npz", replace(c, o=np.roll(c.o, 1, 1)))
    assert zoetrope(["capture", "--check", str(tmp_path / "a.npz"), "--json"]) == 1
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert answer["beyond"] == 1 and answer["checked"][0]["share"] > 1 and answer["tokens"] == 67
    assert "1 of 1 entries are beyond the bound of rounding, first step 1, layer 1, head 1, sample 0" in told.err


HALF = "CogVideoXTransformer3DModel"


@pytest.mark.parametrize(
    "arguments, line",
    [
        ([], "nothing was named: name a model (a folder or owner/model), or --random CLASS, or --check FILE"),
        (["a/b", "--check", "c"], "a model and --check do not go together: name a model"),
        (["a/b"], "--prompt is needed: what the video is to show"),
        (["--check", ""], "--check must be a name, not nothing"),
        (["", "--prompt", "x"], "MODEL must be a name, not nothing"),
        (["--check", "none.npz"], "none.npz: no such file"),
        (["--check", "a.npz", "--steps", "1"], "--steps does not go with --check; it is for a model or --random"),
        (["--check", "a.npz", "--layers", "all"], "--layers does not go with --check; it is for a model or --random"),
        (["--random", HALF, "--prompt", "x"], "--prompt does not go with --random; it is for a model"),
        (["--random", HALF, "--all"], "--all does not go with --random; it is for --check"),
        (
            ["--random", HALF, "--steps", "1;2"],
            "--steps must be whole numbers with commas between, such as 0,14, or all",
        ),
        (["--random", HALF, "--heads", "-1"], "--heads"),
        (["--random", HALF, "--layers", ""], "--layers must be whole numbers with commas between"),
        (["--random", HALF, "-o", "a.pt"], "--out must end in .npz, not a.pt"),
        (["--random", HALF, "--dtype", "int8"], "--dtype must be one of float32, bfloat16, float16, not 'int8'"),
        (["--random", HALF, "--step", "1"], "there is no option --step; did you mean --steps"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert refused(arguments, capsys).startswith(line)


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        zoetrope(["capture", *arguments])
    told = capsys.readouterr()
    assert stopped.value.code == 2 and not told.out and told.err.startswith("error: ") and told.err.count("\n") == 1
    return told.err[len("error: ") : -1]


def test_without_pytorch_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    for arguments in (["--random", HALF], ["some/model", "--prompt", "a cat"]):
        line = refused(arguments, capsys)
        assert line.startswith("capturing needs PyTorch and diffusers, and ")
        assert line.endswith("pip install 'zoetrope-rtl[capture]'")
    with pytest.raises(UserError, match="pip install"):
        hook.capturing(object())


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is there")
def test_nothing_but_capturing_itself_needs_pytorch():
    assert check.compare(recorded("wan"), 0).holds and "torch" not in sys.modules


# --- what is known of the families ---------------------------------------------------------------------------------


class Config:
    patch_size, patch_size_t = 2, 1


@pytest.mark.parametrize(
    "name, patches, shape, grid",
    [
        ("CogVideoX", (2, None), (2, 13, 16, 60, 90), (13, 30, 45)),
        ("CogVideoX", (2, 2), (2, 21, 16, 96, 170), (11, 48, 85)),
        ("HunyuanVideo", (2, 1), (1, 16, 33, 90, 160), (33, 45, 80)),
        ("Wan", ((1, 2, 2), None), (1, 16, 21, 60, 104), (21, 30, 52)),
        ("Latte", (2, None), (2, 4, 16, 64, 64), (16, 32, 32)),
    ],
)
def test_grids_of_the_published_sizes(name, patches, shape, grid):
    config = Config()
    config.patch_size, config.patch_size_t = patches
    assert FAMILIES[f"{name}Transformer3DModel"].grid(config, shape) == grid


def test_rows_of_split_attention():
    assert entry_grid("spatial", (16, 32, 30)) == (1, 32, 30) and rows("spatial", (16, 32, 30), 2) == 32
    assert entry_grid("temporal", (16, 32, 30)) == (16, 1, 1) and rows("temporal", (16, 32, 30), 2) == 1920
    assert entry_grid("full", (16, 32, 30)) == (16, 32, 30) and rows("full", (16, 32, 30), 2) == 2


def test_what_has_no_known_attention_is_named_with_what_has():
    with pytest.raises(
        CaptureError, match="attention of Config cannot be captured; that of CogVideoXTransformer3DModel, "
    ):
        families.family_of(Config())
    with pytest.raises(CaptureError, match="Config has no transformer; pipelines with one of CogVideoX"):
        families.models_of(Config())


@pytest.mark.parametrize(
    "numbers, told",
    [
        ([], "steps must be whole numbers from 0, or None for all, not "),
        ([1.5], "steps must be whole numbers"),
        ([True], "steps must be whole numbers"),
        ([-1], "steps must be whole numbers"),
        (["1"], "steps must be whole numbers"),
        ("1", "steps must be whole numbers"),
        ([0, 7], "there is no step 7; this model has steps 0 to 3"),
    ],
)
def test_numbers_that_cannot_be_chosen(numbers, told):
    with pytest.raises(CaptureError) as caught:
        hook.chosen("steps", numbers, 4)
    assert str(caught.value).startswith(told)


def test_numbers_that_are_chosen():
    assert hook.chosen("steps", None, 3) == (0, 1, 2) and hook.chosen("steps", None) is None
    assert hook.chosen("steps", 2) == (2,) and hook.chosen("steps", (np.int64(3), 1, 1)) == (1, 3)
    assert hook.chosen("steps", range(3)) == (0, 1, 2)
