# SPDX-License-Identifier: Apache-2.0
"""Names in the written Verilog: two files never clash in a design, and no name needs a backslash.

Every module but the top is named after it, ``<top>__<part>``: what two machines have in common is in both files, and is not
always the same text. A name like ``\\sums[0].sign`` or ``\\$procmux$182_Y`` becomes ``sums_0_sign`` or ``_procmux_182_Y``:
escaped names are legal, and still what scripts, constraints and half of the tools trip over.

Only what ``zoetrope verilog`` writes is renamed; simulators and costs use ``emit.verilog_of`` as it is. Renaming in Yosys
was the alternative: it sorts by name, and numbers what it makes, so the text would change for everybody.
"""

import re

from zoetrope.hw.verilog import design

_ESCAPED = re.compile(r"\\(\S+)\s")


def renamed(text, top, prefix=""):
    """``text``, a design of top module ``top`` as Yosys writes it, under plain names.

    The top is called ``<prefix><top>``, and every other module ``<prefix><top>__<part>``.
    """
    modules = design.split(text)
    names = module_names(modules, top, prefix)
    own = {name: _local_names(module) for name, module in modules.items()}
    return "\n".join(_rewritten(module, own[name], names, own) for name, module in modules.items())


def module_names(modules, top, prefix=""):
    """Name of each of ``modules`` to the one that it is written under."""
    names, taken = {top: f"{prefix}{top}"}, {f"{prefix}{top}"}
    for module in modules:
        if module != top:
            names[module] = _free(f"{prefix}{top}__{plain(module.removeprefix(f'{top}.'))}", taken)
    return names


def plain(name):
    """The plain name that is closest to ``name``: a letter or underscore, then letters, digits and underscores."""
    close = re.sub(r"\W+", "_", name)
    close = close if close == name else close.rstrip("_") or "_"
    return f"_{close}" if close[0].isdigit() else close


def _local_names(module):
    """Escaped name, without the backslash, to the plain one that stands for it within this module."""
    taken = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\\\S+", "", module)))
    names = {}
    for name in dict.fromkeys(_ESCAPED.findall(module)):
        close = plain(name)
        names[name] = _free(close if close != name else f"{name}_", taken)  # a word of the language is escaped, too
    return names


def _free(name, taken):
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


def _rewritten(module, own, names, ports):
    """A module's text. ``own``: its escaped names; ``ports``: those of every module, for the ports of instances."""

    def here(text):
        return _ESCAPED.sub(lambda found: own[found[1]], f"{text} ")[:-1] if "\\" in text else text

    lines, child = [], None
    for line in module.splitlines():
        if found := design.INSTANCE.match(line):
            child = design.bare(found[1])
            line = f"  {names.get(child, child)} {here(found[2] + ' ').rstrip()} ("
        elif child and (found := design.CONNECTION.match(line)):
            port = design.bare(found[1])
            line = f"    .{ports.get(child, {}).get(port, port)}{here(found[2])}"
        elif line.startswith("module "):
            name, _, rest = line.removeprefix("module ").partition("(")
            line = f"module {names[design.bare(name)]}({here(rest)}"
        else:
            line = here(line)
        lines.append(line)
    return "\n".join(lines) + "\n"
