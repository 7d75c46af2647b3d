# SPDX-License-Identifier: Apache-2.0
"""What a user types: help with examples, one clear line for what is wrong, JSON and nothing else, from any folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoetrope.command import synth
from zoetrope.command.main import COMMANDS
from zoetrope.command.main import main as zoetrope
from zoetrope.hw.arguments import Parser, answer, folder, plain
from zoetrope.hw.errors import UserError
from zoetrope.sim.input import clips
from zoetrope.sim.input.tensor_files import Tensors


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Every command runs in a folder of its own, where there is nothing of the repository."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("SEED", "WAVES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "here"


@pytest.fixture
def own(tmp_path):
    """The path of a small head of one's own."""
    q, k, v = np.random.default_rng(1).standard_normal((3, 4, 6, 8)).astype(np.float16)
    clips.save(tmp_path / "own.npz", Tensors(q, k, v, (4, 2, 3), "own"))
    return str(tmp_path / "own.npz")


def run(*arguments, **environment):
    command = [sys.executable, "-m", "zoetrope.command", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def refused(arguments, capsys):
    """The one line that a command says before it ends with status 2."""
    with pytest.raises(SystemExit) as stopped:
        zoetrope(list(map(str, arguments)))
    told = capsys.readouterr()
    assert stopped.value.code == 2 and not told.out, told
    assert told.err.startswith("error: ") and told.err.count("\n") == 1, told.err
    return told.err[len("error: ") : -1]


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        zoetrope([*name.split(), "--help"])
    shown = capsys.readouterr().out
    assert not stopped.value.code and shown.startswith(f"usage: zoetrope {name} ")
    examples = shown.partition("\nexamples:\n")[2].strip().splitlines()
    assert examples and all(line.strip().startswith(f"zoetrope {name}") for line in examples)
    assert max(map(len, shown.splitlines())) <= 120


def test_the_help_of_all_names_every_command(capsys):
    assert zoetrope(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", shown, re.M)
    assert zoetrope(["study", "--help"]) == 0 and "study matching" in capsys.readouterr().out
    assert zoetrope([]) == 2 and zoetrope(["--version"]) == 0


def test_it_starts_without_the_libraries():
    code = "import sys; from zoetrope.command.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"amaranth", "numpy", "rich", "cocotb", "importlib.metadata"} & set(done.stderr.split())


# What is wrong


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["smi"], "there is no command 'smi'; did you mean sim?"),
        (["study", "matchin"], "there is no study 'matchin'; did you mean matching?"),
        (["study"], "which study? There is: accuracy, softmax, speculation, similarity, matching"),
        (["sim", "--block", "lutpe"], "there is no block 'lutpe'; did you mean lut_pe"),
        (["synth", "--block", "lut_pea"], "there is no block 'lut_pea'; did you mean lut_pe"),
        (
            ["verilog", "--block", "plain_pe", "--preset", "dep"],
            "block plain_pe has no preset 'dep'; did you mean deep?",
        ),
        (["sim", "--blok", "exp"], "there is no option --blok; did you mean --block?"),
        (["sim", "exp"], "there is no argument 'exp'; see --help"),
        (["sim", "--preset", "small"], "--preset needs --block"),
        (["sim", "--set", "rows=1"], "--set needs --block"),
        (["sim", "--block", "lut_pe", "--set", "lane=1"], "block lut_pe has no parameter 'lane'; did you mean lanes?"),
        (["sim", "--block", "lut_pe", "--set", "lanes=0"], "block lut_pe, lanes=0: lanes must be "),
        (["sim", "--block", "exp", "--frames", "3"], "--frames is of the head, which is run without --block"),
        (["sim", "--block", "exp", "--waves", "9:3"], "waves must be 1, or cycles from:to as in 1000:2000, not '9:3'"),
        (["sim", "--jobs", "0"], "--jobs must be a whole number of at least 1, not 0"),
        (["head", "--out", "picture.pdf"], "--out must end in .svg or .png, not picture.pdf"),
        (["study", "speculation", "--p", "2"], "--p must be between 0 and 1, not 2"),
        (["campaign", "head"], "there is no campaign 'head'; did you mean heads?"),
        (["blocks", "--preset", "small"], "--preset needs --block"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, line, capsys):
    assert refused(arguments, capsys).startswith(line)


def test_input_that_is_missing_or_no_input(tmp_path, capsys):
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 40)
    for command in (["sim", "--block", "exp"], ["study", "accuracy"], ["head"], ["clips"]):
        assert "nowhere.mp4: no such file" in refused([*command, "--clip", tmp_path / "nowhere.mp4"], capsys)
        assert "noise.mp4" in refused([*command, "--clip", noise], capsys)
        assert "nowhere.npz" in refused([*command, "--tensors", tmp_path / "nowhere.npz"], capsys)


def test_a_liberty_file_that_is_none(tmp_path, capsys):
    path = tmp_path / "cells.lib"
    assert "cells.lib" in refused(["synth", "--block", "exp", "--liberty", path], capsys)
    path.write_text("not a library\n")
    assert "cells.lib" in refused(["synth", "--block", "exp", "--liberty", path], capsys)


def test_no_compiler(tmp_path):
    done = run("sim", "--block", "float_compare", CXX="", PATH=str(tmp_path), ZOETROPE_CACHE=str(tmp_path / "cache"))
    assert "no C++ compiler" in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr
    assert done.returncode in (1, 2)


def test_outputs_that_cannot_be_written(elsewhere, own, capsys):
    """A read-only tree looks the same: a folder that cannot be made."""
    (elsewhere / "build").write_text("a file in its place")
    for command in (
        ["verilog", "--block", "exp"],
        ["sim", "--block", "exp"],
        ["study", "similarity", "--tensors", own],
    ):
        with pytest.raises(SystemExit) as stopped:
            zoetrope(command)
        said = capsys.readouterr().err.splitlines()[-1]
        assert stopped.value.code == 2 and said.startswith("error: cannot write to build/"), said


def test_a_folder_that_is_read_only(elsewhere, monkeypatch):
    assert folder(elsewhere / "deep" / "er").is_dir()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(UserError, match=r"cannot write to .*here: it is read-only"):
        folder(elsewhere)


@pytest.mark.parametrize("old, new", [("sim", "zoetrope sim"), ("synth", "zoetrope synth")])
def test_old_commands_say_what_replaces_them(old, new):
    done = subprocess.run([sys.executable, "-m", f"zoetrope.{old}"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"error: `python -m {old}` is now `{new}`")


# JSON


def answered(arguments, capsys):
    assert not zoetrope(list(arguments))
    return json.loads(capsys.readouterr().out)


def test_studies_answer_in_json(own, capsys):
    arguments = ["--tensors", own, "--json"]
    accuracy = answered(["study", "accuracy", *arguments], capsys)
    assert accuracy["errors"]["normal, 64 terms"]["odd16"] > 0 and "own" in accuracy["input"]
    assert answered(["study", "softmax", *arguments], capsys)["errors"]["normal, 26 elements"]["max"] < 2
    sweep = answered(["study", "speculation", "--p", "0.65", *arguments], capsys)["sweep"]
    assert sweep[0]["p"] == 0.65 and 0 <= sweep[0]["products"] <= 1
    points = answered(["study", "similarity", "--tau", "1", *arguments], capsys)["points"]
    assert [point["tau"] for point in points] == [1.0, 2.5]
    pairs = answered(["study", "matching", "--ratio", "0.3", *arguments], capsys)["pairs"]
    assert {row["guide"] for row in pairs} == {"Q", "V", "output before", "output"}
    assert answered(["clips", *arguments], capsys)["grid"] == [4, 2, 3]


def test_lists_answer_in_json(capsys):
    blocks = {row["block"]: row for row in answered(["blocks", "--json"], capsys)}
    assert blocks["exp"]["room"] == "arith" and "default" in blocks["exp"]["presets"]
    found = answered(["blocks", "--block", "simcore", "--preset", "small", "--json"], capsys)
    assert {"engine.fp16.rows", "burst"} <= {row["name"] for row in found["parameters"]}
    assert answered(["registers", "--json"], capsys)["control"]["offset"] == 0
    assert zoetrope(["blocks", "--block", "exp"]) == 0 and "preset default" in capsys.readouterr().out


def test_costs_of_parameters_of_ones_own(monkeypatch, elsewhere, capsys):
    arguments = ["--block", "local_table", "--set", "read_ports=2", "--json"]
    (found,) = answered(["compose", *arguments], capsys)
    assert (found["block"], found["preset"]) == ("local_table", "read_ports_2") and found["ge"] > 0
    assert (elsewhere / "build" / "synth" / "local_table.read_ports_2.composition.json").exists()

    def measured(pairs, *_, **__):
        ((block, preset),) = pairs
        return [{"block": block.name, "preset": preset, "ports": block.config(preset).read_ports}]

    monkeypatch.setattr(synth.runs, "measure_all", measured)
    monkeypatch.setattr(synth.report, "comparison", lambda results: None)
    monkeypatch.setattr(synth.report, "rows_text", lambda results: "the table")
    assert answered(["synth", *arguments], capsys)[0]["ports"] == 2


def test_only_the_answer_is_on_stdout(capsys):
    parser = Parser("trial", "A trial.", "zoetrope trial")
    parser.json()
    for arguments in ([], ["--json"]):
        with answer(parser.parse_args(arguments)) as tell:
            tell({"a": 1})
            print("a table")
    told = capsys.readouterr()
    assert told.out == 'a table\n{\n  "a": 1\n}\n' and told.err == "a table\n"


def test_answers_are_plain():
    tensors = Tensors(*np.zeros((3, 1, 1, 2), np.float16), (1, 1, 1), "none")
    assert plain({("a", 1): np.float32(0.5), "b": (np.nan, float("inf"), None, True), "c": Path("x")}) == {
        "a, 1": 0.5,
        "b": [None, None, None, True],
        "c": "x",
    }
    assert plain(tensors)["grid"] == [1, 1, 1] and plain(tensors)["q"] == [[[0.0, 0.0]]]


# Python's switches


def test_without_docstrings_and_asserts(elsewhere):
    """``PYTHONOPTIMIZE=2`` leaves both out."""
    for out, level in (("plain", ""), ("optimised", "2")):
        assert run("verilog", "--block", "local_table", "-o", out, PYTHONOPTIMIZE=level).returncode == 0
    for name in ("local_table.v", "local_table.json"):
        assert (elsewhere / "plain" / name).read_text() == (elsewhere / "optimised" / name).read_text()
    for command in (["registers"], ["study", "accuracy", "--help"]):
        assert run(*command, PYTHONOPTIMIZE="2").stdout == run(*command).stdout != ""
