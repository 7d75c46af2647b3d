# SPDX-License-Identifier: Apache-2.0
"""Verilog of every block of the catalogue with all that is needed to use it elsewhere, and lint.

Writes ``<block>.v`` for the default preset and ``<block>.<preset>.v`` for the others, and beside each, under the same name:

=========  =======================================================================================================
``.json``  parameters, ports, stream payload layouts, memories, registers, latency, initiation interval, tool versions
``.vh``    a template of its instantiation
``.core``  a FuseSoC core
``.h``     a C header, for a block with registers
``.rdl``   the same registers as SystemRDL
=========  =======================================================================================================

``--aresetn`` adds a module around it, ``<block>_axi.v``: see ``hw.verilog.wrapper``. Names of modules follow: ``<block>``
and ``<block>_<preset>``, and ``<block>__<part>`` for what is in them, so that any two files can live in one design;
``--prefix`` stands before all of them where even that is not enough, as for two versions of one block. A named block means
its default preset, or every one with ``--preset all``; with nothing named every preset of every block is written.

The text depends on the sources and the tool versions only, and a file is touched only when its text changes: a build that
has these files as prerequisites does not run again for nothing.
"""

import json
import os
import re
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from zoetrope.hw import cache
from zoetrope.hw.arguments import Parser, folder
from zoetrope.hw.catalogue import told
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.files import table, write_if_changed
from zoetrope.hw.parameters import selected
from zoetrope.hw.verilog import comments, companions, design, wrapper
from zoetrope.hw.verilog.lint import WAIVED, Linter
from zoetrope.hw.verilog.memories import memories
from zoetrope.hw.verilog.names import module_names, renamed
from zoetrope.hw.verilog.sidecar import describe


@dataclass(frozen=True)
class Generated:
    """One preset of a block: its component, and the text of it as RTLIL and as Verilog under Yosys' names."""

    block: Any
    preset: str
    component: Any
    rtlil: str
    verilog: str

    @property
    def top(self):
        return self.block.stem(self.preset, "_")


def generated(pairs):
    """Yield ``Generated`` of each (block, preset), in order; what was generated before comes from the cache.

    Amaranth runs here and Yosys, a process of its own, beside it on the other cores. A pool of Python processes would
    elaborate in parallel too, but would need every config and component to be importable by name.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:

        def begun():
            for block, preset in pairs:
                component, top = block.build(preset), block.stem(preset, "_")
                with cache.announced(f"elaborating {block.key}, {preset}"):
                    text = cache.rtlil(component, top)
                yield (block, preset, component, text), pool.submit(cache.verilog_of, text, top)

        for known, verilog in _in_order(begun()):
            yield Generated(*known, verilog)


def _in_order(begun):
    """Yield (what, result) of each (what, future) of ``begun``, in order, each as soon as it is there.

    Few wait at a time: the Verilog of all presets is more than a small machine's memory.
    """
    waiting = deque()
    for item in begun:
        waiting.append(item)
        while waiting and (waiting[0][1].done() or len(waiting) > (os.cpu_count() or 1)):
            what, future = waiting.popleft()
            yield what, future.result()
    for what, future in waiting:
        yield what, future.result()


def files(made, prefix="", aresetn=False):
    """What is written of a ``Generated``: file name to text, and the sidecar as a dict."""
    stem = prefix + made.block.stem(made.preset)
    sidecar = describe(made.block, made.preset, made.component, made.rtlil)
    sidecar |= {"module": prefix + made.top, "memories": memories(made.rtlil, made.verilog, made.top, prefix)}
    sidecar["wrapper"] = wrapper.name(sidecar) if aresetn else None
    ports = wrapper.ports(sidecar) if aresetn else sidecar["ports"]
    texts = {f"{stem}.v": _commented(renamed(made.verilog, made.top, prefix), sidecar, stem)}
    if aresetn:
        texts[f"{stem}_axi.v"] = wrapper.wrapper(sidecar)
    module, sources = sidecar["wrapper"] or sidecar["module"], list(texts)
    texts[f"{stem}.json"] = json.dumps(sidecar, indent=2) + "\n"
    texts[f"{stem}.vh"] = companions.template(sidecar, module, ports)
    if "registers" in sidecar:
        texts[f"{stem}.h"] = companions.c_header(sidecar)
        texts[f"{stem}.rdl"] = companions.system_rdl(sidecar)
    others = [name for name in texts if name not in sources]
    texts[f"{stem}.core"] = companions.core(sidecar, module, sources, others)
    return texts, sidecar


def _commented(text, sidecar, stem):
    """The text of a file: the header, and each port of the top module with its meaning.

    A memory's module is left out where ``EXTERNAL_<module>`` is defined, for who has a macro of that name.
    """
    more = [f"Ports, layouts of payloads, memories: {stem}.json. To instantiate it: {stem}.vh."]
    if "registers" in sidecar:
        more.append(f'Registers: {stem}.h, {stem}.rdl, and "registers" in {stem}.json.')
    modules = design.split(text)
    modules[sidecar["module"]] = comments.with_port_comments(modules[sidecar["module"]], sidecar)
    for entry in sidecar["memories"]:
        if entry["sram"]:
            name = entry["module"]
            modules[name] = f"`ifndef EXTERNAL_{name}\n{modules[name]}`endif\n"
    return "\n".join([comments.header(sidecar, more), *modules.values()])


def write(pairs, out, prefix="", aresetn=False):
    """Write all files of each pair into folder ``out``. Returns a row of the printed table for each."""
    out = folder(out)
    rows = []
    for made in generated(pairs):
        texts, sidecar = files(made, prefix, aresetn)
        for name, text in texts.items():
            write_if_changed(out / name, text)
        lines, modules = made.verilog.count("\n"), len(re.findall(r"^module ", made.verilog, re.M))
        rows.append((made.block.name, made.preset, lines, modules, len(sidecar["ports"])))
    return rows


def _prefix(text):
    if not re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII):
        raise UserError(f"--prefix must be letters, digits and _, and begin with no digit, not {text!r}")
    return text


def lint_all(pairs, say=lambda line: None):
    """File name to what Verilator reports of it, of every preset; a module that several have is looked at once."""
    linter, found = Linter(), {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:

        def begun():
            for made in generated(pairs):
                text, names = renamed(made.verilog, made.top), module_names(design.split(made.verilog), made.top)
                keys = {names[name]: cache.digest(body) for name, body in design.split_rtlil(made.rtlil).items()}
                part, new = linter.part(text, made.top, keys)
                what = f"{made.block.stem(made.preset)}.v", len(keys), new
                yield what, pool.submit(linter.lint, part, text, made.top)

        for (name, modules, new), lines in _in_order(begun()):
            found[name] = lines
            say(f"lint {len(found)}/{len(pairs)} {name}: {modules} modules, {new} of them new, {len(lines)} warnings")
    return found


def _lint(pairs):
    """Lint all ``pairs``; a line for each, on stderr. Returns the exit status."""
    found = lint_all(pairs, partial(print, file=sys.stderr, flush=True))
    dirty = {name: lines for name, lines in found.items() if lines}
    for name, lines in dirty.items():
        print(f"{name}:\n  " + "\n  ".join(lines))
    if dirty:
        print(f"error: {len(dirty)} of {len(found)} files have lint warnings: {', '.join(dirty)}", file=sys.stderr)
        return 1
    print(f"lint: {len(found)} files, no warnings (verilator -Wall without {', '.join(WAIVED)})")
    return 0


@command_line
def main(arguments=None):
    parser = Parser(
        "verilog",
        "Write the Verilog of blocks with all that is needed to use it elsewhere; or lint it.",
        "zoetrope verilog --block simcore --preset small --aresetn -o rtl",
        "zoetrope verilog --block lut_pe --set lanes=4 --name small_pe --prefix v2_",
        "zoetrope verilog --lint --block exp --preset all",
    )
    parser.block("one block; every preset of all blocks otherwise")
    parser.preset("its preset, or `all`; the default one otherwise")
    parser.own()
    parser.out("build/verilog", "folder of the files")
    parser.add_argument("--prefix", metavar="NAME", help="stands before the names of all modules and files")
    parser.add_argument("--aresetn", action="store_true", help="add a module with aclk, aresetn and AXI4-Stream names")
    parser.add_argument("--lint", action="store_true", help="check the Verilog with Verilator instead of writing it")
    options = parser.parse_args(arguments)
    if options.block is None and options.preset is None:
        options.preset = "all"
    pairs = selected(options)
    if options.lint:
        return max(_lint(pairs), told(options.broken))
    prefix = "" if options.prefix is None else _prefix(options.prefix)
    rows = write(pairs, options.out, prefix, options.aresetn)
    print(table(("block", "preset", "lines", "modules", "ports"), rows))
    print(
        f"Verilog of {len(rows)} preset{'s' if len(rows) != 1 else ''} in {options.out}, each with .json, .vh and .core; "
        ".h and .rdl if it has registers"
    )
    return told(options.broken)


if __name__ == "__main__":
    sys.exit(main())
