"""What a user types: every command ends well, or in one clear line and an exit status that is not zero."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, **environment):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment)


def assert_one_clear_line(done, *parts):
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("module", ["sim", "synth", "hw.verilog.generate"])
def test_unknown_block_lists_the_known_ones(module):
    assert_one_clear_line(run(module, "--block", "lut_pea"), "'lut_pea'", "lut_pe, ", "plain_pe")


@pytest.mark.parametrize("module", ["sim", "synth", "hw.verilog.generate"])
def test_unknown_preset_lists_the_known_ones(module):
    assert_one_clear_line(
        run(module, "--block", "plain_pe", "--preset", "huge"), "'huge'", "default, deep, combinational"
    )


def test_missing_and_unreadable_clip(tmp_path):
    assert_one_clear_line(run("sim", "--block", "plain_pe", "--clip", tmp_path / "none.mp4"), "none.mp4")
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    assert_one_clear_line(run("sim", "--block", "plain_pe", "--clip", tmp_path / "noise.mp4"), "noise.mp4")


def test_tensors_that_cannot_be_used(tmp_path):
    path = tmp_path / "qkv.npz"
    good = np.ones((2, 4, 8), np.float16)
    for arrays, part in [
        ({"q": good, "k": good}, "v"),
        ({"q": good, "k": good, "v": good[:1]}, "(1, 4, 8)"),
        ({"q": good[0], "k": good[0], "v": good[0]}, "(4, 8)"),
        ({"q": good, "k": good * np.float16(np.nan), "v": good}, "k"),
    ]:
        np.savez(path, **arrays)
        assert_one_clear_line(run("sim", "--block", "plain_pe", "--tensors", path), "qkv.npz", part)
    path.write_bytes(path.read_bytes()[:100])
    assert_one_clear_line(run("sim", "--block", "plain_pe", "--tensors", path), "qkv.npz")
    assert_one_clear_line(run("sim", "--block", "plain_pe", "--tensors", tmp_path / "absent.npz"), "absent.npz")


def test_liberty_that_is_none(tmp_path):
    path = tmp_path / "cells.lib"
    assert_one_clear_line(run("synth", "--block", "plain_pe", "--liberty", path), "cells.lib")
    path.write_text("not a library\n")
    assert_one_clear_line(run("synth", "--block", "plain_pe", "--liberty", path), "cells.lib")


def test_no_compiler(tmp_path):
    """And no other simulator on the path to fall back on."""
    assert_one_clear_line(run("sim", "--block", "plain_pe", CXX="", PATH=str(tmp_path)), "no C++ compiler", "g++")


def test_frames_without_a_head():
    assert_one_clear_line(run("sim", "--block", "plain_pe", "--frames", "3"), "--frames", "without --block")


def test_unknown_simulator():
    assert_one_clear_line(run("sim", "--block", "plain_pe", "--sim", "questa"), "questa", "verilator", "icarus")


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--frames", "0"], "--frames must be a whole number of at least 1, not 0"),
        (["--seed", "abc"], "--seed must be a whole number, not abc"),
        (["--grid", "6"], "a grid is HEIGHTxWIDTH in tokens, such as 9x11, not 6"),
    ],
)
def test_values_that_cannot_be(arguments, line):
    """One line, and nothing but it."""
    done = run("sim", *arguments)
    assert (done.returncode, done.stderr, done.stdout) == (2, f"error: {line}\n", "")


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    for target in phony:
        assert re.search(rf"^  make {target}\s", shown, re.M), target
    for variable in set(re.findall(r"call opt,(\w+),", makefile)) | {"WAVES", "TESTS", "PYTHON"}:
        assert f"  {variable}=" in shown, variable


def test_accuracy_prints_both_readings():
    done = run("sim.studies.accuracy")
    assert done.returncode == 0 and "odd16" in done.stdout and "byte128" in done.stdout
