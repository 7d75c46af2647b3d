# SPDX-License-Identifier: Apache-2.0
"""The catalogue: every block of Zoetrope, kept room by room, for every command, page and test.

Each room lists its own blocks in ``hw/<room>/blocks.py``. An entry is text: nothing of a block is imported until somebody
asks for its component or its presets, so a file that is broken stops its own block and no other::

    block = find("exp")              # or "arith.exp": a name is qualified only where two rooms have it
    block.presets                    # the configs, from ``PRESETS`` of the component's file
    component = block.build("deep")  # a component of that preset

What follows from the name is not written down again: block ``exp`` of room ``arith`` is ``hw/arith/exp.py``, its golden is
in ``golden/arith/exp.py``, its bench is ``sim/benches/arith/tb_exp.py``, its tests are ``tests/arith/test_exp.py``.

Rejected: one file with all entries, which every change of a block edits and which imports every component before the first
command runs; entry points of installed packages, which would need an installation for each new block.
"""

import difflib
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zoetrope.hw.errors import UnknownName, UserError

#: Rooms in the order in which their blocks are listed: what others are made of first. A room has a file ``blocks.py``.
ROOMS = {
    "arith": "arithmetic",
    "tree": "trees",
    "memory": "memories",
    "axi": "AXI",
    "pe": "processing elements",
    "softmax": "softmax",
    "simcore.quantization_engine": "SIMCORE's quantization engine, SIMPICKER Fig. 4(b)",
    "simcore.computing_engine": "SIMCORE's computing engine, SIMPICKER Fig. 4(c)",
    "simcore.sparsification_engine": "SIMCORE's sparsification engine, SIMPICKER Fig. 4(d)",
    "simcore.chip": "SIMCORE, the chip of SIMPICKER",
    "orbis.matching": "ORBIS's token matching",
    "board": "on a board",
}

#: Rooms that are a paper's machine, by the first part of their names.
MACHINES = {"simcore": "SIMPICKER", "orbis": "ORBIS", "svg": "Sparse VideoGen", "vida": "ViDA"}


class BrokenBlock(UserError):
    """A block's file is missing or cannot be imported. Its message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Source:
    """Where a block is described: ``paper`` ("SIMPICKER", ""), ``section`` ("IV-B") and ``figure`` ("Fig. 4(b)")."""

    paper: str = ""
    section: str = ""
    figure: str = ""

    def __str__(self):
        return ", ".join(filter(None, (f"{self.paper} {self.section}".strip(), self.figure))) or "no paper"


@dataclass(frozen=True)
class Block:
    """One entry of the catalogue.

    Parameters
    ----------
    name : the name that the component's file, the golden, the bench and the tests share
    of : name of the ``wiring.Component`` subclass in that file, built as ``component(config=...)``; or the class itself, of
        a block that is in no room
    source : ``Source``
    summary : what it does, in a few words
    configs : config of each preset, the first is the default; ``PRESETS`` of the component's file if None
    golden : ``module.function`` below ``golden``, of what its bench compares it with; ``<room>.<name>.<name>`` if empty
    netlist : whether its bench belongs to those that `make sim NETLIST=1` runs on gates
    composed : presets that are costed as a sum of their modules whenever all is measured: what is too large to be
        synthesised whole
    checked : presets that are also synthesised flattened then, to show how far such a sum is off
    beside : the paper's figure that its cost stands beside, ``<paper>.<name>`` of ``synth.papers.figures``; "" for none
    counted : whether it does, alone or with others beside the same figure, what that figure is of; an alternative does not
    room : the room, set by the catalogue; empty for a block that is in none
    key : what it is called in the catalogue, and so in results: ``name``, qualified where two rooms have that name
    """

    name: str
    of: str | type
    source: Source = Source()
    summary: str = ""
    configs: Mapping[str, Any] | None = None
    golden: str = ""
    netlist: bool = False
    composed: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    beside: str = ""
    counted: bool = True
    room: str = field(default="", compare=False)
    key: str = field(default="", compare=False)

    def __post_init__(self):
        if not self.key:
            object.__setattr__(self, "key", self.name)

    #: The preset of the size that the paper builds: generated and linted; too large to be simulated or synthesised whole.
    PAPER_SIZE = "paper"

    @property
    def id(self):
        """The qualified name, ``<room>.<name>``."""
        return f"{self.room}.{self.name}" if self.room else self.name

    @property
    def machine(self):
        """The machine that it is a part of, as the first part of its room's name; "" for what several machines share."""
        first = self.room.partition(".")[0]
        return first if first in MACHINES else ""

    @property
    def module(self):
        """The import name of the component's module."""
        return f"zoetrope.hw.{self.id}" if isinstance(self.of, str) else self.of.__module__

    @property
    def bench(self):
        """The import name of the bench."""
        return f"zoetrope.sim.benches.{self.room}.tb_{self.name}"

    @property
    def golden_name(self):
        """``module.function`` of its golden, below ``golden``."""
        return self.golden or f"{self.id}.{self.name}"

    def file(self, room):
        """The path of its file in ``golden``, ``hw``, ``sim`` or ``tests``, from the root of the repository."""
        folder = self.room.replace(".", "/")
        return {
            "golden": f"golden/{self.golden_name.rpartition('.')[0].replace('.', '/')}.py",
            "hw": f"hw/{folder}/{self.name}.py",
            "sim": f"sim/benches/{folder}/tb_{self.name}.py",
            "tests": f"tests/{folder}/test_{self.name}.py",
        }[room]

    @cached_property
    def component(self):
        """The component's class. ``BrokenBlock`` where its file is missing or cannot be imported."""
        if not isinstance(self.of, str):
            return self.of
        found = getattr(imported(self.module, f"block {self.name}"), self.of, None)
        if found is None:
            raise BrokenBlock(f"block {self.name}: {self.file('hw')} has no {self.of}")
        return found

    @cached_property
    def presets(self):
        """Config of each preset by name; the first is the default. Errors as of ``component``."""
        if self.configs is not None:
            return self.configs
        found = getattr(imported(self.module, f"block {self.name}"), "PRESETS", None)
        if not isinstance(found, Mapping) or not found or not all(map(is_dataclass, found.values())):
            raise BrokenBlock(f"block {self.name}: {self.file('hw')} has no PRESETS, a dict of configs")
        return found

    @cached_property
    def ways(self):
        """Name to config of what one study sets side by side of it: ``WAYS`` of the component's file, empty without it."""
        return getattr(imported(self.module, f"block {self.name}"), "WAYS", {})

    @property
    def default(self):
        """The name of the default preset."""
        return next(iter(self.presets))

    @property
    def small_presets(self):
        """Names of the presets that a bench runs in seconds."""
        return [name for name in self.presets if name != self.PAPER_SIZE]

    def config(self, preset=None):
        """The config of ``preset``, or of the default one. ``UnknownName`` lists the presets."""
        if preset is None:
            return self.presets[self.default]
        if preset not in self.presets:
            raise unknown(f"block {self.name} has no preset", preset, self.presets, "it has")
        return self.presets[preset]

    def build(self, preset=None):
        """A new component of ``preset``."""
        return self.component(config=self.config(preset))

    def stem(self, preset=None, separator="."):
        """``block`` for the default preset, else ``block.preset``: file names. With ``_`` as separator: module names."""
        return self.name if preset in (None, self.default) else f"{self.name}{separator}{preset}"


def imported(module, what):
    """The module of that name. ``BrokenBlock`` names ``what`` is asked for, the file that is missing or wrong, and why."""
    try:
        return importlib.import_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        file = "/".join(module.split(".")[1:]) + ".py"
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise BrokenBlock(f"{what}: there is no file {file}") from None
        if isinstance(error, SyntaxError):
            file = _in_the_project(error.filename) or file
        line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise BrokenBlock(f"{what}: {file} cannot be imported{line}: {type(error).__name__}: {error}") from error


def _in_the_project(path):
    """A file's path from the root of the project; "" where it is in no room."""
    root = Path(__file__).resolve().parents[1]
    return str(Path(path).relative_to(root)) if path and Path(path).is_relative_to(root) else ""


def unknown(what, name, names, there):
    """``UnknownName``: ``what`` is not called ``name``; what it may have meant, and what there is."""
    close = difflib.get_close_matches(str(name), list(names), 3, 0.6)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    listed = "" if close and len(names) > 12 else f"; {there}: {', '.join(names)}"
    return UnknownName(f"{what} {name!r}{meant}{listed}")


def blocks_of(room):
    """The entries of ``room``. ``BrokenBlock`` where its list cannot be imported."""
    listed = getattr(imported(f"zoetrope.hw.{room}.blocks", f"room {room}"), "BLOCKS", None)
    if not isinstance(listed, (tuple, list)) or not all(isinstance(block, Block) for block in listed):
        raise BrokenBlock(f"room {room}: hw/{room.replace('.', '/')}/blocks.py has no BLOCKS, a tuple of Block")
    return [replace(block, room=room) for block in listed]


class _Catalogue(Mapping):
    """Block name to entry, for all rooms. A name that two rooms have is qualified, ``<room>.<name>``, in both."""

    @cached_property
    def _rooms(self):
        """(entries by name, what is wrong with the rooms that cannot be listed)."""
        entries, broken = [], []
        for room in ROOMS:
            try:
                entries += blocks_of(room)
            except BrokenBlock as error:
                broken.append(str(error))
        names = [block.name for block in entries]
        keyed = [replace(block, key=block.name if names.count(block.name) == 1 else block.id) for block in entries]
        return {block.key: block for block in keyed}, tuple(broken)

    @property
    def broken(self):
        """What is wrong with each room whose list cannot be imported; the blocks of the others are there."""
        return self._rooms[1]

    def __getitem__(self, name):
        return self._rooms[0][name]

    def __iter__(self):
        return iter(self._rooms[0])

    def __len__(self):
        return len(self._rooms[0])


BLOCKS = _Catalogue()


def find(name):
    """The block called ``name``, or ``<part of its room>.<name>``; ``name`` itself if it is an entry.

    ``UnknownName`` says what may have been meant.
    """
    if isinstance(name, Block):
        return name
    if name in BLOCKS:
        return BLOCKS[name]
    found = [block for block in BLOCKS.values() if f".{block.id}".endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownName(f"there are several blocks {name!r}: {', '.join(block.id for block in found)}")
    if broken := getattr(BLOCKS, "broken", ()):
        raise BrokenBlock(f"there is no block {name!r} in the rooms that can be listed; {'; '.join(broken)}")
    raise unknown("there is no block", name, BLOCKS, "the blocks are")


def select(block=None, preset=None, broken=None):
    """The (block, preset) pairs that a command line means; ``UnknownName`` when there is none.

    ``block``: one, or all if None. ``preset``: one, the default one of each block if None, every one if ``"all"``. A preset
    without a block means each block that has it.

    ``broken``, a list, gets one line for each room and block that cannot be had, and the pairs are those of the others;
    without it the first such error is raised.
    """
    blocks = [find(block)] if block else list(usable(broken).values())
    if block and preset not in (None, "all"):
        blocks[0].config(preset)
    pairs = [(b, p) for b in blocks for p in b.presets if preset in ("all", p) or not (preset or p != b.default)]
    if not pairs and blocks:
        there = sorted({name for each in blocks for name in each.presets})
        raise unknown("no block has a preset", preset, there, "there are")
    return pairs


def usable(broken=None):
    """Name to entry of the blocks whose component and presets can be imported; ``broken`` as in ``select``."""
    errors, found = [BrokenBlock(line) for line in getattr(BLOCKS, "broken", ())], {}
    for name, block in BLOCKS.items():
        try:
            _ = block.component, block.presets
            found[name] = block
        except BrokenBlock as error:
            errors.append(error)
    if errors and broken is None:
        raise errors[0]
    if errors:
        broken += map(str, errors)
    return found


def told(broken):
    """The exit status of a command that went on without what is ``broken``: 1 and a line each on stderr, or 0."""
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 1 if broken else 0
