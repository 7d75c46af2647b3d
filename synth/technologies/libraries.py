# SPDX-License-Identifier: Apache-2.0
"""The targets of synthesis: gate equivalents without a library, one FPGA, and any standard-cell library in Liberty format.

A library brings um2 and picoseconds; what it does not say about itself (cells to avoid, what drives the inputs, how the
outputs are loaded) comes from a preset of that library, or is left out.
"""

import functools
import gzip
import hashlib
import itertools
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from zoetrope.hw.errors import UserError

#: Transistors of a NAND2: one gate equivalent (GE).
TRANSISTORS_PER_GE = 4


@dataclass(frozen=True)
class Fpga:
    """An ECP5 device: nextpnr's options, and what it holds."""

    name: str
    options: tuple
    lut4: int
    ff: int
    dsp: int
    bram: int


#: The largest ECP5: with out-of-context placement the pins are no limit, so that any block can be placed.
ECP5 = Fpga(
    name="ECP5-85k CABGA756 speed 6",
    options=("--85k", "--package", "CABGA756", "--speed", "6"),
    lut4=83640,
    ff=83640,
    dsp=156,
    bram=208,
)


@dataclass(frozen=True)
class Preset:
    """What a library does not say about itself.

    Parameters
    ----------
    nand2 : the cell whose area is one GE
    drive : the cell that drives the inputs
    load_ff : load of the outputs in fF
    period_ps : the clock period that mapping aims at; a relaxed one, so that area is not spent on speed
    dont_use : cells not to use, as patterns: scan, clock gates, delay cells, sizes too weak to route
    pdk_path : where the PDK tools put the file, below ``$PDK_ROOT``
    """

    name: str
    nand2: str
    drive: str
    load_ff: float
    period_ps: int
    dont_use: tuple = ()
    pdk_path: str | None = None


PRESETS = (
    Preset(
        "sky130hd",
        nand2="sky130_fd_sc_hd__nand2_1",
        drive="sky130_fd_sc_hd__buf_1",
        load_ff=33.442,
        period_ps=10000,
        dont_use=("sky130_fd_sc_hd__probe*", "sky130_fd_sc_hd__lpflow*", "sky130_fd_sc_hd__dly*"),
        pdk_path="sky130A/libs.ref/sky130_fd_sc_hd/lib/sky130_fd_sc_hd__tt_025C_1v80.lib",
    ),
    Preset(
        "sg13g2",
        nand2="sg13g2_nand2_1",
        drive="sg13g2_buf_4",
        load_ff=6.0,
        period_ps=10000,
        dont_use=("sg13g2_lgcp*", "sg13g2_sighold", "sg13g2_slgcp*", "sg13g2_sdf*"),
        pdk_path="ihp-sg13g2/libs.ref/sg13g2_stdcell/lib/sg13g2_stdcell_typ_1p20V_25C.lib",
    ),
    Preset(
        "asap7",
        nand2="NAND2xp5_ASAP7_75t_R",
        drive="BUFx2_ASAP7_75t_R",
        load_ff=3.898,
        period_ps=1000,
        dont_use=("*x1p*_ASAP7*", "*xp*", "SDF*", "ICG*", "DLL*"),
    ),
    Preset("osu018", nand2="NAND2X1", drive="BUFX2", load_ff=30.0, period_ps=10000),
)


@dataclass(frozen=True)
class Library:
    """A standard-cell library, read.

    ``texts`` are the Liberty files, ``nand2_area`` is in um2, ``flops`` the names of the cells with a flip-flop, ``units``
    the header's time, capacitance and leakage units, ``notes`` what had to be guessed, for the user to see.
    """

    name: str
    texts: tuple
    nand2: str
    nand2_area: float
    flops: frozenset
    units: tuple
    drive: str | None
    load_ff: float | None
    period_ps: int
    dont_use: tuple
    notes: tuple

    @functools.cached_property
    def digest(self):
        """Of the texts and of how they are used: the key of the cache. What follows from the texts is not in it."""
        used = (self.name, self.nand2, self.drive, self.load_ff, self.period_ps, self.dont_use)
        return hashlib.sha256("\0".join([repr(used), *self.texts]).encode()).hexdigest()

    @functools.cached_property
    def cells(self):
        """Cell name to the text of its group, from behind its head on."""
        return {name: body for text in self.texts for name, body in _cells(text).items()}


def find_library(path=None):
    """The library at ``path``, or else the first preset's found under ``$PDK_ROOT``, or None.

    ``path`` may name several files that make up one library, joined by ``os.pathsep`` (ASAP7 comes in five), plain or
    ``.gz``. ``UserError`` if a file cannot be used.
    """
    if path:
        return read_library(tuple(str(path).split(os.pathsep)))
    root = os.environ.get("PDK_ROOT")
    for preset in PRESETS if root else ():
        candidate = Path(root, preset.pdk_path) if preset.pdk_path else None
        if candidate and candidate.is_file():
            return read_library((str(candidate),))
    return None


@functools.cache
def read_library(paths):
    """The ``Library`` in the Liberty files ``paths``.

    ``UserError`` for a file that is missing, no Liberty, truncated, a library without a flip-flop, an inverter or a NAND2,
    or one with units that are not known. Yosys and ABC report none of these: they leave cells unmapped, crash, or take
    nanoseconds for granted.
    """
    texts = tuple(_read(path) for path in paths)
    shown = ", ".join(Path(path).name for path in paths)
    cells = {}
    for text in texts:
        cells |= _cells(text)
    flops = frozenset(name for name, body in cells.items() if re.search(r"\bff\s*\(", body))
    if not flops:
        raise UserError(
            f"Liberty file {shown} has no flip-flop (a cell with an `ff` group): registers cannot be mapped"
        )
    if not any(_is_inverter(body) for body in cells.values()):
        raise UserError(f"Liberty file {shown} has no inverter: logic cannot be mapped")
    units = _units(texts[0])
    for name, unit, known in zip(("time_unit", "capacitive_load_unit"), units, (_TIMES, _LOADS)):
        if unit and not re.fullmatch(known, unit, re.I):
            raise UserError(
                f"Liberty file {shown} has an unknown {name}, {unit}: it must be like 1ns or 10ps, 1pf or 1ff"
            )
    preset = next((p for p in PRESETS if p.nand2 in cells and p.drive in cells), None)
    nand2s = {name: _area(body) for name, body in cells.items() if _is_nand2(body) and _area(body)}
    if not preset and not nand2s:
        raise UserError(f"Liberty file {shown} has no NAND2 with an area: there is no gate equivalent to count in")
    nand2 = preset.nand2 if preset else min(nand2s, key=lambda name: (nand2s[name], name))
    notes = () if preset else (f"{shown} has no preset: GE by its smallest NAND2, {nand2}; no input drive, no load",)
    return Library(
        name=preset.name if preset else re.search(r'library\s*\(\s*"?([^")\s]+)', texts[0])[1],
        texts=texts,
        nand2=nand2,
        nand2_area=_area(cells[nand2]),
        flops=flops,
        units=units,
        drive=preset.drive if preset else None,
        load_ff=preset.load_ff if preset else None,
        period_ps=preset.period_ps if preset else 10000,
        dont_use=preset.dont_use if preset else (),
        notes=notes,
    )


def _read(path):
    try:
        content = Path(path).read_bytes()
        # Yosys' WebAssembly build has no zlib.
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read Liberty file {path}: {getattr(error, 'strerror', None) or error}") from None
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    if not re.match(r'\s*library\s*\(\s*"?[^")]+"?\s*\)\s*\{', text):
        raise UserError(f"{path} is not a Liberty file: it does not begin with `library (name) {{`")
    if text.count("{") != text.count("}"):
        raise UserError(f"Liberty file {path} is truncated or damaged: its braces do not match")
    return text


def _cells(text):
    """Cell name to the text of its group: from its head to the next cell."""
    heads = list(re.finditer(r'^\s*cell\s*\(\s*"?([^")\s]+)"?\s*\)', text, re.M))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {head[1]: text[head.end() : end] for head, end in zip(heads, ends)}


def _area(body):
    found = re.search(r'\barea\s*:\s*"?([\d.eE+-]+)', body)
    return float(found[1]) if found else 0.0


#: Units as ``_units`` has them that ABC understands.
_TIMES, _LOADS = r"1ns|1ps|10ps|100ps", r"[\d.]+(ff|pf)"


def _units(text):
    time = re.search(r'time_unit\s*:\s*"?([\w.]+)', text)
    capacitance = re.search(r'capacitive_load_unit\s*\(\s*"?([\d.]+)"?\s*,\s*"?(\w+)', text)
    leakage = re.search(r'leakage_power_unit\s*:\s*"?([\w.]+)', text)
    load = f"{float(capacitance[1]):g}{capacitance[2]}" if capacitance else None
    return (time[1] if time else None, load, leakage[1] if leakage else None)


def _is_inverter(body):
    return _truth_table(body) == (1, 0)


def _is_nand2(body):
    return _truth_table(body) == (1, 1, 1, 0)


def _truth_table(body):
    """Outputs of a cell of one output and at most two inputs over its inputs counted up; None for any other cell."""
    functions = re.findall(r'\bfunction\s*:\s*"([^"]*)"', body)
    if len(functions) != 1 or re.search(r"\b(ff|latch|statetable)\s*\(", body) or "three_state" in body:
        return None
    names = sorted(set(re.findall(r"[A-Za-z_]\w*", functions[0])))
    if len(names) not in (1, 2):
        return None
    inputs = itertools.product((0, 1), repeat=len(names))
    try:
        return tuple(Expression(functions[0], dict(zip(names, values))).value() for values in inputs)
    except (IndexError, KeyError):
        return None


class Expression:
    """Value of a Liberty function: ``!`` or postfix ``'``, then ``^``, then ``&``, ``*`` or a space, then ``|`` or ``+``.

    ``variables`` are 0 or 1, or integer arrays of them. ``KeyError`` for a name that is not among them, ``IndexError`` for
    what is no function.
    """

    def __init__(self, text, variables):
        self.tokens = [*re.findall(r"[A-Za-z_]\w*|[01!'&*|+^()]", text), ")"]
        self.variables = variables

    def value(self):
        result = self._or()
        if self.tokens != [")"]:
            raise IndexError("unbalanced")
        return result

    def _or(self):
        result = self._and()
        while self.tokens[0] in "|+":
            self.tokens.pop(0)
            result = result | self._and()
        return result

    def _and(self):
        result = self._xor()
        while self.tokens[0] not in ")|+":
            if self.tokens[0] in "&*":
                self.tokens.pop(0)
            result = result & self._xor()
        return result

    def _xor(self):
        result = self._factor()
        while self.tokens[0] == "^":
            self.tokens.pop(0)
            result = result ^ self._factor()
        return result

    def _factor(self):
        token = self.tokens.pop(0)
        if token == "!":
            return 1 - self._factor()
        if token == "(":
            result = self._or()
            self.tokens.pop(0)
        else:
            result = int(token) if token in "01" else self.variables[token]
        while self.tokens[0] == "'":
            self.tokens.pop(0)
            result = 1 - result
        return result
