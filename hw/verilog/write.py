"""Verilog of every block of the catalogue, a description of its ports beside it, and lint.

Writes ``<block>.v`` for the default preset and ``<block>.<preset>.v`` for the others, each with a ``.json`` of the same
name: parameters, ports, stream payload layouts, latency, initiation interval, tool versions. Names of modules follow:
``<block>`` and ``<block>_<preset>``, so that two presets can live in one design. A named block means its default preset,
or every one with ``--preset all``; with nothing named every preset of every block is written.

The text depends on the sources and the tool versions only, and a file is touched only when its text changes: a build that
has these files as prerequisites does not run again for nothing.
"""

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoetrope.hw import catalogue, emit
from zoetrope.hw.errors import ArgumentParser, UserError, command_line
from zoetrope.hw.files import table, write_if_changed
from zoetrope.hw.verilog.lint import WAIVED, lint
from zoetrope.hw.verilog.sidecar import describe


def translated(pairs):
    """Yield (block, preset, component, RTLIL, Verilog) of each pair, in order.

    Amaranth runs here and Yosys, a process of its own, beside it on the other cores. A pool of Python processes would
    elaborate in parallel too, but would need every config and component to be importable by name.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = []
        for block, preset in pairs:
            module = block.stem(preset, "_")
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
        write_if_changed(out / f"{block.stem(preset)}.v", verilog)
        write_if_changed(out / f"{block.stem(preset)}.json", json.dumps(sidecar, indent=2) + "\n")
        modules = len(re.findall(r"^module ", verilog, re.M))
        rows.append((block.name, preset, len(verilog.splitlines()), modules, len(sidecar["ports"])))
    return rows


def _lint_all(pairs):
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = []
        for block, preset, *_, verilog in translated(pairs):
            waiting.append((block.stem(preset), pool.submit(lint, verilog, block.stem(preset, "_"))))
        found = {name: result.result() for name, result in waiting}
    dirty = {name: lines for name, lines in found.items() if lines}
    for name, lines in dirty.items():
        print(f"{name}.v:\n  " + "\n  ".join(lines))
    if dirty:
        raise UserError(f"{len(dirty)} of {len(found)} files have lint warnings: {', '.join(dirty)}")
    print(f"lint: {len(found)} files, no warnings (verilator -Wall without {', '.join(WAIVED)})")


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope verilog", description=__doc__.partition("\n")[0])
    parser.add_argument("--block", help="one block instead of all")
    parser.add_argument("--preset", help="its preset, or `all`; the default one otherwise")
    parser.add_argument("--out", default="build/verilog", help="folder of the files (default: %(default)s)")
    parser.add_argument("--lint", action="store_true", help="check the Verilog with Verilator instead of writing it")
    options = parser.parse_args(arguments)
    everything = options.block is None and options.preset is None
    pairs = catalogue.select(options.block, "all" if everything else options.preset)
    if options.lint:
        _lint_all(pairs)
        return
    rows = write(pairs, options.out)
    print(table(("block", "preset", "lines", "modules", "ports"), rows))
    print(f"{len(rows)} Verilog files and their .json in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
