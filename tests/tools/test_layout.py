# SPDX-License-Identifier: Apache-2.0
"""The house rules: which room may import which, one name for one thing in all of them, and how long anything may be."""

import ast
import functools
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from zoetrope.hw import catalogue

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("golden", "hw", "sim", "synth", "command")

#: The floors of each room, the ground first: a folder imports what stands below it, and within its own folder. What is in
#: no folder of ``golden``, ``hw`` or ``sim`` is "base", the ground. Folders of one floor do not import each other.
FLOORS = {
    "golden": ["base", "arith memory tree axi board", "pe", "softmax", "simcore orbis svg vida", "baselines", "method"],
    "hw": ["base", "arith", "memory tree", "axi", "pe softmax", "simcore orbis svg vida", "board", "verilog"],
    "sim": ["base", "input model", "run", "stimulus", "host", "inside", "video", "studies capture", "benches"],
    "synth": ["results", "technologies", "papers", "flows", "costs", "boards", "report"],
}

#: Within SIMCORE: what is in no folder is the ground, the engines stand beside each other, the chip on top.
ENGINES = ["base", "quantization_engine sparsification_engine computing_engine", "chip"]

#: What each top folder imports of the others.
BELOW = {
    "golden": set(),
    "hw": set(),
    "sim": {"golden", "hw"},
    "synth": {"golden", "hw", "sim"},
    "command": {"golden", "hw", "sim", "synth"},
}

#: Packages that a room may import beside the standard library; the others are free.
PACKAGES = {"golden": {"numpy"}, "hw": {"amaranth", "platformdirs"}}

LONGEST_FILE, LONGEST_FUNCTION, FULLEST_FOLDER = 600, 80, 20


def files(top):
    return sorted(path for path in (ROOT / top).rglob("*.py"))


@functools.cache
def imports(path):
    """Names of the modules that a file imports, anywhere in it, those of this project without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.relative_to(ROOT)} imports by a relative name"
            found.update({node.module, *(f"{node.module}.{name.name}" for name in node.names)})
    ours = {name for name in found if name.startswith("zoetrope.")}
    modules = {name for name in ours if file_of(name.removeprefix("zoetrope."))}
    return frozenset(name.removeprefix("zoetrope.") for name in modules), frozenset(found - ours)


def file_of(module):
    path = ROOT / module.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def folder(module):
    """(top folder, folder in it or "base") of a module."""
    top, *rest = module.split(".")
    return top, rest[0] if rest and (ROOT / top / rest[0]).is_dir() else "base"


@pytest.mark.parametrize("top", TOPS)
def test_a_room_imports_only_what_is_below_it(top):
    for path in files(top):
        for name in imports(path)[0]:
            other = name.partition(".")[0]
            assert other == top or other in BELOW[top], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("top", FLOORS)
def test_imports_run_downward(top):
    floor = {name: level for level, names in enumerate(FLOORS[top]) for name in names.split()}
    for path in files(top):
        own = folder(str(path.relative_to(ROOT).with_suffix("")).replace("/", "."))[1]
        assert own in floor or own == "base", f"{top}/{own} has no floor"
        for name in imports(path)[0]:
            other_top, other = folder(name)
            if other_top == top and other != own and own != "base":
                assert floor[other] < floor[own], f"{path.relative_to(ROOT)} imports {name}, which is not below it"


def test_machines_do_not_import_each_other():
    for top in ("golden", "hw"):
        for machine in catalogue.MACHINES:
            for path in (ROOT / top / machine).rglob("*.py"):
                others = {*catalogue.MACHINES} - {machine}
                crossing = {name for name in imports(path)[0] if others.intersection(name.split(".")[1:2])}
                assert not crossing, f"{path.relative_to(ROOT)} imports {sorted(crossing)}"


@pytest.mark.parametrize("top", ["golden", "hw"])
def test_engines_of_simcore_stand_beside_each_other(top):
    floor = {name: level for level, names in enumerate(ENGINES) for name in names.split()}
    for path in (ROOT / top / "simcore").rglob("*.py"):
        own = path.parent.name if path.parent.name in floor else "base"
        for name in imports(path)[0]:
            other = name.split(".")[2] if name.startswith(f"{top}.simcore.") else own
            other = other if other in floor else "base"
            if other != own:
                assert floor[other] < floor[own], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("top", PACKAGES)
def test_a_room_imports_only_its_packages(top):
    for path in files(top):
        outside = {name.partition(".")[0] for name in imports(path)[1]} - set(sys.stdlib_module_names)
        assert outside <= PACKAGES[top], f"{path.relative_to(ROOT)} imports {sorted(outside - PACKAGES[top])}"


def test_a_host_driver_needs_neither_cocotb_nor_a_bench():
    """A driver of a board and what it imports, whatever imports it: no simulator has to be installed beside it."""
    waiting, seen = [p for p in files("sim/host")], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        assert not path.is_relative_to(ROOT / "sim" / "benches") and not path.is_relative_to(ROOT / "sim" / "inside"), (
            path
        )
        for node in ast.parse(path.read_text()).body:  # what is imported inside a function is of a simulation
            names = [n.name for n in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.partition(".")[0].startswith("cocotb") for name in names), f"{path} imports cocotb"
        waiting += [file for name in imports(path)[0] if (file := file_of(name))]


@pytest.mark.parametrize("block", catalogue.BLOCKS.values(), ids=lambda block: block.id)
def test_a_block_has_its_name_in_every_room(block):
    assert block.summary and block.presets and block.component.__module__ == block.module
    for room in ("golden", "hw", "sim", "tests"):
        assert (ROOT / block.file(room)).exists(), f"block {block.name} has no {block.file(room)}"
    module, _, function = block.golden_name.rpartition(".")
    assert re.search(rf"^(def|class) {function}\b", file_of(f"golden.{module}").read_text(), re.M), block.golden_name


def test_every_room_can_be_listed():
    assert not catalogue.BLOCKS.broken
    assert {path.parent for path in (ROOT / "hw").rglob("blocks.py")} == {
        ROOT / "hw" / room.replace(".", "/") for room in catalogue.ROOMS
    }


def test_there_is_no_other_list_of_blocks():
    """A sequence of names of blocks in the code is a list that somebody would forget."""
    names = set(catalogue.BLOCKS)
    for top in ("hw", "sim", "synth", "command"):
        for path in files(top):
            if path.name == "blocks.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
                    found = [e.value for e in node.elts if isinstance(e, ast.Constant) and e.value in names]
                    assert len(found) < 4, f"{path.relative_to(ROOT)}, line {node.lineno}: {found}"


@pytest.mark.parametrize("top", [*TOPS, "tests"])
def test_nothing_is_too_long(top):
    for path in files(top):
        text = path.read_text()
        assert len(text.splitlines()) < LONGEST_FILE, f"{path.relative_to(ROOT)} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.body[0].lineno + 1
                if ast.get_docstring(node) and len(node.body) > 1:
                    length = node.end_lineno - node.body[1].lineno + 1
                assert length < LONGEST_FUNCTION, f"{path.relative_to(ROOT)}: {node.name} has {length} lines"


def test_no_folder_is_too_full():
    for top in (*TOPS, "tests"):
        count = Counter(path.parent for path in files(top) if path.name not in ("__init__.py", "blocks.py"))
        for where, number in count.items():
            assert number <= FULLEST_FOLDER, f"{where.relative_to(ROOT)} has {number} files"


@pytest.mark.parametrize("top", TOPS)
def test_no_check_is_an_assert(top):
    """``PYTHONOPTIMIZE=1`` would leave it out."""
    for path in files(top):
        found = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
        assert not found, f"{path.relative_to(ROOT)}, lines {found}"


def test_nothing_names_a_machine():
    """No path or host of the machine that this was written on."""
    texts = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("docs/**/*.md"), ROOT / "Makefile"]
    for path in (*texts, *(path for top in TOPS for path in files(top))):
        for word in ("/work/", "/root/", "/home/", *(["localhost"] if path in texts else [])):
            assert word not in path.read_text(), f"{path.relative_to(ROOT)} has {word}"


def test_every_source_names_its_licence():
    kinds = {".py", ".cpp", ".h", ".v", ".css", ".j2"}
    for top in (*TOPS, "tests", "docs"):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in kinds:
                lines = path.read_text().splitlines()[:2]
                assert any("SPDX-License-Identifier: Apache-2.0" in line for line in lines), path.relative_to(ROOT)
