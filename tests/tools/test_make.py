# SPDX-License-Identifier: Apache-2.0
"""The Makefile: variables reach a command as they were typed, unknown ones are refused, an environment that moved is new.

The environment is a script in place of Python that writes down how it was called; no package is installed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = ROOT / "Makefile"

STUB = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
if [ "$1" != -c ]; then { for word in "$@"; do printf '%s\\0' "$word"; done; printf '\\n'; } >> "$CALLS"; fi
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with the Makefile and an environment that is set up."""
    where = tmp_path / "clone"
    where.mkdir()
    shutil.copy(MAKEFILE, where)
    for name in ("pyproject.toml", "setup.py"):
        (where / name).touch()
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)
    done = make(where, "setup")
    assert done.returncode == 0 and "setting up .venv" in done.stdout, done.stderr
    (tmp_path / "calls").unlink()
    return where


def make(where, *arguments, **environment):
    env = {name: value for name, value in os.environ.items() if name not in ("BLOCK", "SEED", "WAVES", "MAKEFLAGS")}
    env |= {"CALLS": str(where.parent / "calls"), **environment}
    command = ["make", *arguments, f"PYTHON={where.parent / 'python'}"]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, env=env)


def calls(where):
    """The words of each call of Python."""
    path = where.parent / "calls"
    lines = path.read_text().split("\0\n")[:-1] if path.exists() else []
    return [line.split("\0") for line in lines]


@pytest.mark.parametrize(
    "value",
    ["it's", 'a "b" c', "$HOME/a$b ${c} $(d)", "`x`; exit 3", "zoé film.mp4", "back\\slash", "a*b?[c]", "--x #y"],
)
def test_a_path_arrives_as_it_was_typed(folder, value):
    wanted = ["-m", "zoetrope.command", "sim", "--block", "exp", "--clip", value]
    for given in (["sim", "BLOCK=exp", f"CLIP={value}"], ["sim", "BLOCK=exp"]):
        done = make(folder, *given, **({} if len(given) == 3 else {"CLIP": value}))
        assert done.returncode == 0, done.stderr
        assert calls(folder)[-1] == wanted


def test_switches_that_mean_no_are_off(folder):
    for text, on in (("1", True), ("yes", True), ("0", False), ("no", False), ("off", False), ("", False)):
        make(folder, "sim", f"NETLIST={text}")
        assert ("--netlist" in calls(folder)[-1]) == on, text
    make(folder, "synth", "ROUTE=0", "SET=lanes=4 rows=2", "JOBS=3")
    assert calls(folder)[-1][2:] == ["synth", "--set", "lanes=4 rows=2", "--jobs", "3"]
    make(folder, "bitstream", "BOARD=icebreaker", "TWICE=1")
    assert calls(folder)[-1][2:] == ["bitstream", "--board", "icebreaker", "--twice"]


def test_an_unknown_variable_is_refused_by_name(folder):
    done = subprocess.run(
        ["make", "sim", "BLOK=exp", f"PYTHON={sys.executable}"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2 and not calls(folder)
    assert "there is no variable BLOK; did you mean BLOCK?" in done.stderr
    assert "there is no variable XYZZY; `make help` lists them" in make(folder, "sim", "XYZZY=1").stderr


def test_set_up_once_and_again_when_the_packages_change(folder):
    assert make(folder, "setup").returncode == 0 and not calls(folder)
    os.utime(folder / "pyproject.toml", (2e9, 2e9))
    assert "setting up" in make(folder, "setup").stdout
    assert ["-m", "pip"] in [call[:2] for call in calls(folder)]


def test_a_moved_or_copied_clone_gets_an_environment_of_its_own(folder):
    copy = folder.parent / "a copy"
    shutil.copytree(folder, copy)
    done = make(copy, "setup")
    assert ".venv was made in another folder, or its interpreter is gone: it is made anew" in done.stdout
    assert (copy / ".venv" / ".ready").read_text().strip() == str(copy)
    assert "made anew" not in make(copy, "setup").stdout and "made anew" not in make(folder, "setup").stdout


def test_an_interpreter_that_is_gone(folder):
    program = folder / ".venv" / "bin" / "python"
    program.unlink()
    program.symlink_to("/nowhere/python3")
    assert "its interpreter is gone: it is made anew" in make(folder, "sim").stdout
    assert calls(folder)[-1][2] == "sim"


def test_help_lists_every_target_and_variable():
    text = MAKEFILE.read_text()
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()) - {"stale"}
    assert {"sim", "test", "synth", "lanes", "report", "bitstream", "verilog", "lint", "docs", "campaign"} <= targets
    for target in targets:
        assert re.search(rf"^  make {target}\s", shown, re.M), target
    for variable in [*re.search(r"^VARIABLES := (.*)$", text, re.M)[1].split(), "PYTHON"]:
        assert f"  {variable}=" in shown, variable


@pytest.mark.parametrize("target", ["sim", "synth", "lanes", "report", "bitstream", "verilog", "expected"])
def test_targets_call_the_one_command(folder, target):
    from zoetrope.command.main import COMMANDS

    assert make(folder, target).returncode == 0
    assert calls(folder)[-1] == ["-m", "zoetrope.command", target] and target in COMMANDS
