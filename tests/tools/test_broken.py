# SPDX-License-Identifier: Apache-2.0
"""A block whose file is broken or missing is named in a line; every command goes on with the others, and exits with 1."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tutorials

import zoetrope.hw
from zoetrope.command import blocks, sim
from zoetrope.command import synth as synth_command
from zoetrope.hw import catalogue
from zoetrope.hw.catalogue import BrokenBlock
from zoetrope.hw.verilog import write
from zoetrope.synth.costs import composition, power, runs
from zoetrope.synth.report import page

GOOD = '''
from dataclasses import dataclass

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True)
class GoodConfig:
    width: int = 4


class Good(wiring.Component):
    """A register."""

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(config.width), "o": Out(config.width)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i)
        return m


PRESETS = {"only_here": GoodConfig()}
'''

BLOCKS = """
from zoetrope.hw.catalogue import Block

BLOCKS = (
    Block("good", "Good", composed=("only_here",)),
    Block("cracked", "Cracked", composed=("only_here",)),
    Block("gone", "Gone", composed=("only_here",)),
    Block("unnamed", "NotThere"),
    Block("leaving", "Good"),
    Block("numbered", "Good"),
    Block("empty", "Good"),
)
"""

ADDED = ("cellar", "attic", "loft", "shed")

#: What is said of each, in the order of the catalogue: rooms first.
LINES = (
    "room attic: hw/attic/blocks.py cannot be imported, line 1: SyntaxError: ",
    "room loft: hw/loft/blocks.py has no BLOCKS, a tuple of Block",
    "room shed: hw/shed/blocks.py has no BLOCKS, a tuple of Block",
    "block cracked: hw/cellar/cracked.py cannot be imported, line 3: SyntaxError: ",
    "block gone: there is no file hw/cellar/gone.py",
    "block unnamed: hw/cellar/unnamed.py has no NotThere",
    "block leaving: hw/cellar/leaving.py cannot be imported: SystemExit: 7",
    "block numbered: hw/cellar/numbered.py has no PRESETS, a dict of configs",
    "block empty: hw/cellar/empty.py cannot be imported: SyntaxError: ",
)


@pytest.fixture(autouse=True)
def cellar(tmp_path, monkeypatch):
    """Rooms more, outside of the tree: one has a good block and broken ones, the others cannot be listed."""
    files = {
        "cellar/good.py": GOOD,
        "cellar/cracked.py": "\n\nclass Cracked(:\n",
        "cellar/unnamed.py": GOOD,
        "cellar/blocks.py": BLOCKS,
        "cellar/leaving.py": GOOD + "\nraise SystemExit(7)\n",
        "cellar/numbered.py": GOOD.replace("GoodConfig()}", "3}"),
        "cellar/empty.py": "\0",
        "attic/blocks.py": "BLOCKS = (\n",
        "loft/blocks.py": "BLOCKS = 3\n",
        "shed/blocks.py": "BLOCKS = ['good']\n",
    }
    for name, text in files.items():
        path = tmp_path / "hw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(zoetrope.hw, "__path__", [*zoetrope.hw.__path__, str(tmp_path / "hw")])
    monkeypatch.setattr(catalogue, "ROOMS", catalogue.ROOMS | {room: f"the {room}" for room in ADDED})
    monkeypatch.setattr(catalogue, "BLOCKS", catalogue._Catalogue())
    yield
    for name in [name for name in sys.modules if name.startswith(tuple(f"zoetrope.hw.{room}" for room in ADDED))]:
        del sys.modules[name]


def told(error):
    """Checks that ``error`` ends with the lines of what is broken."""
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(LINES)
    for line, beginning in zip(lines, LINES):
        assert line.startswith(f"error: {beginning}"), line


def test_what_is_broken_is_not_selected_and_the_others_are():
    broken = []
    pairs = catalogue.select(None, "only_here", broken)
    assert [block.name for block, _ in pairs] == ["good"] and len(broken) == len(LINES)
    assert set(catalogue.usable([])) == set(catalogue.BLOCKS) - {
        "cracked",
        "gone",
        "unnamed",
        "leaving",
        "numbered",
        "empty",
    }
    with pytest.raises(BrokenBlock, match="room attic"):
        catalogue.select(None, "only_here")


@pytest.mark.parametrize(
    ("block", "line"), [(line.split()[1][:-1], line) for line in LINES if line.startswith("block")]
)
def test_a_broken_block_that_is_asked_for_is_an_error(block, line, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        write.main(["--block", block, "--out", str(tmp_path / "v")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")


def test_a_block_that_is_not_found_may_be_in_a_broken_room():
    with pytest.raises(BrokenBlock, match="no block 'dust' in the rooms that can be listed; room attic"):
        catalogue.find("dust")


def test_a_good_block_is_not_troubled_by_the_others(tmp_path, capsys):
    assert write.main(["--block", "good", "--out", str(tmp_path / "v")]) == 0
    assert capsys.readouterr().err == "" and (tmp_path / "v" / "good.v").exists()


def test_verilog(tmp_path, capsys):
    assert write.main(["--preset", "only_here", "--out", str(tmp_path / "v")]) == 1
    told(capsys.readouterr().err)
    assert {path.stem for path in (tmp_path / "v").iterdir()} == {"good"}


def test_synth(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "TECHNOLOGIES", ("generic",))
    assert synth_command.main(["--preset", "only_here", "--out", str(tmp_path / "s")]) == 1
    told(capsys.readouterr().err)
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["good.only_here.json"]


def test_compose(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(composition, "compose_all", lambda pairs, *rest: asked.extend(pairs) or [])
    assert composition.main(["--out", str(tmp_path)]) == 1
    told(capsys.readouterr().err)
    assert ("good", "only_here") in asked and not {"cracked", "gone"} & {name for name, _ in asked}


def test_power(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(power, "_library", lambda path: SimpleNamespace(name="tiny"))
    monkeypatch.setattr(power, "energies", lambda pairs, *rest, **settings: asked.extend(pairs) or ([], []))
    assert power.main(["--preset", "only_here"]) == 1
    told(capsys.readouterr().err)
    assert [block.name for block, _ in asked] == ["good"]


def test_sim(tmp_path, monkeypatch, capsys):
    """The benches of the others run; the verdict is FAIL and counts what is broken."""
    asked = []
    monkeypatch.setattr(sim, "run_all", lambda pool, runs, *rest: asked.extend(runs) or [])
    monkeypatch.setattr(sim, "write_results", lambda *arguments: None)
    monkeypatch.setattr(sim, "_begun", lambda *arguments: (None, []))
    assert sim.main(["--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "good" in [block.name for block, _ in asked] and len(asked) == len(catalogue.usable([]))
    assert all(" ".join(line.split()) in " ".join(printed.split()) for line in LINES)
    assert f"FAIL: 0 blocks, {len(LINES)} broken, 0 vectors, 0 mismatches, no head" in printed


def test_report(tmp_path, capsys):
    assert page.main(["--out", str(tmp_path), "--results", str(tmp_path / "none")]) == 1
    told(capsys.readouterr().err)
    text = (tmp_path / "index.html").read_text()
    assert "<b>good</b>" in text and "the cellar" in text


def test_blocks_lists_the_others(capsys):
    assert blocks.main([]) == 1
    out, error = capsys.readouterr()
    assert "\ngood " in out and "\nexp " in out and "cracked" not in out
    told(error)


@pytest.mark.parametrize("text, fault", [(None, "ModuleNotFoundError"), ("def exp(:\n", "SyntaxError")])
def test_a_golden_that_is_broken_stops_its_own_blocks(text, fault, tmp_path):
    """It is named in one line, whatever imports it; the others work."""
    folder = tmp_path / "here"
    folder.mkdir()
    path = tutorials.copy_of_the_tree(folder)
    golden = folder / "golden" / "arith" / "exp.py"
    golden.write_text(text) if text else golden.unlink()
    env = os.environ | {"PYTHONPATH": str(path)}

    def run(*arguments):
        command = [sys.executable, "-m", "zoetrope.command", *arguments]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

    for arguments in (("docs", "--check"), ("head",), ("study", "speculation")):
        done = run(*arguments)
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.returncode == 2 and len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
        assert fault in lines[0] and "exp" in lines[0]
    assert run("sim", "--block", "float_compare").returncode == 0
