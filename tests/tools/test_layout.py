"""The house rules: which room may import which, one name for one thing in all of them, the README as rendered."""

import ast
from pathlib import Path

import pytest

from hw.registry import BLOCKS

ROOT = Path(__file__).resolve().parent.parent


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room, allowed", [("golden", {"golden", "numpy"}), ("hw", None)])
def test_rooms_do_not_reach_into_each_other(room, allowed):
    forbidden = {"golden", "cocotb", "sim", "synth"} if room == "hw" else {"amaranth", "hw", "cocotb", "sim", "synth"}
    for path in (ROOT / room).rglob("*.py"):
        found = set(imports(path))
        assert not found & forbidden, f"{path.relative_to(ROOT)} imports {sorted(found & forbidden)}"
        if allowed:
            outside = {name for name in found if name not in allowed and name not in STANDARD}
            assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"


STANDARD = {
    "__future__",
    "collections",
    "dataclasses",
    "fractions",
    "functools",
    "itertools",
    "math",
    "operator",
    "typing",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_has_its_name_in_every_room(block):
    assert BLOCKS[block].summary
    module = BLOCKS[block].component.__module__.rpartition(".")[2]
    assert module == block
    assert (ROOT / "sim" / f"tb_{block}.py").exists()
    assert (ROOT / "tests" / f"test_{block}.py").exists()


def test_nothing_names_a_machine():
    """No path or host of the machine that this was written on."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile"]:
        text = path.read_text()
        for word in ("/work/", "/root/", "/home/", "localhost"):
            assert word not in text, f"{path.name} has {word}"
    for room in ("golden", "hw", "sim", "synth"):
        for path in (ROOT / room).rglob("*.py"):
            for word in ("/work/", "/root/", "/home/"):
                assert word not in path.read_text(), f"{path.relative_to(ROOT)} has {word}"
