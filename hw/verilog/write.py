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
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from zoetrope.hw import cache
from zoetrope.hw.arguments import Parser, folder
from zoetrope.hw.errors import command_line
from zoetrope.hw.files import table, write_if_changed
from zoetrope.hw.parameters import selected
from zoetrope.hw.verilog.lint import WAIVED, lint_all
from zoetrope.hw.verilog.sidecar import describe


def translated(pairs):
    """Yield (block, preset, component, RTLIL, Verilog) of each pair, in order.

    Amaranth runs here and Yosys, a process of its own, beside it on the other cores. A pool of Python processes would
    elaborate in parallel too, but would need every config and component to be importable by name.
    """
    jobs = os.cpu_count() or 1
    with ThreadPoolExecutor(jobs) as pool:
        waiting = deque()
        for block, preset in pairs:
            module = block.stem(preset, "_")
            component = block.build(preset)
            text = cache.rtlil(component, module)
            waiting.append((block, preset, component, text, pool.submit(cache.verilog, component, module)))
            while len(waiting) > jobs:  # the Verilog of all presets is more than a small machine's memory
                *pair, verilog = waiting.popleft()
                yield *pair, verilog.result()
        for *pair, verilog in waiting:
            yield *pair, verilog.result()


def write(pairs, out):
    """Write Verilog and sidecar of each pair into folder ``out``. Returns a row of the printed table for each."""
    out = folder(out)
    rows = []
    for block, preset, component, text, verilog in translated(pairs):
        sidecar = describe(block, preset, component, text)
        write_if_changed(out / f"{block.stem(preset)}.v", verilog)
        write_if_changed(out / f"{block.stem(preset)}.json", json.dumps(sidecar, indent=2) + "\n")
        modules = len(re.findall(r"^module ", verilog, re.M))
        rows.append((block.name, preset, len(verilog.splitlines()), modules, len(sidecar["ports"])))
    return rows


def _lint(pairs):
    """Lint all ``pairs``; a line as each begins, on stderr. Returns the exit status."""
    count = 0

    def told(name, fresh):
        nonlocal count
        count += 1
        print(f"lint {count}/{len(pairs)} {name}: {fresh} new modules", file=sys.stderr, flush=True)

    files = ((block.stem(preset), block.stem(preset, "_"), verilog) for block, preset, *_, verilog in translated(pairs))
    dirty = lint_all(files, told)
    for name, lines in dirty.items():
        print(f"{name}.v:\n  " + "\n  ".join(lines))
    if dirty:
        print(f"error: {len(dirty)} of {count} files have lint warnings: {', '.join(dirty)}", file=sys.stderr)
        return 1
    print(f"lint: {count} files, no warnings (verilator -Wall without {', '.join(WAIVED)})")
    return 0


@command_line
def main(arguments=None):
    parser = Parser(
        "verilog",
        "Write the Verilog of blocks, with a description of the ports of each beside it in JSON; or lint it.",
        "zoetrope verilog --block simcore --preset small -o rtl",
        "zoetrope verilog --block lut_pe --set lanes=4 --name small_pe",
        "zoetrope verilog --lint --block exp --preset all",
    )
    parser.block("one block; every preset of all blocks otherwise")
    parser.preset("its preset, or `all`; the default one otherwise")
    parser.own()
    parser.out("build/verilog", "folder of the files")
    parser.add_argument("--lint", action="store_true", help="check the Verilog with Verilator instead of writing it")
    options = parser.parse_args(arguments)
    if options.block is None and options.preset is None:
        options.preset = "all"
    pairs = selected(options)
    if options.lint:
        return _lint(pairs)
    rows = write(pairs, options.out)
    print(table(("block", "preset", "lines", "modules", "ports"), rows))
    print(f"{len(rows)} Verilog files and their .json in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
