# SPDX-License-Identifier: Apache-2.0
"""The generic-gate netlist of a component as Verilog that can be simulated: what ``flows.generic`` counts, to the gate.

Every module is synthesised alone by the script of that flow and written out as NAND, MUX, flip-flops and so on; an ``Sram``
of ``flows.APART_BITS`` or more, which the flow keeps apart, is the RTL's own module. So a bench that passes on it says of
the gates that are priced that they compute the right thing: of Yosys and ABC, and of what the RTL leaves undefined.
"""

import re
import tempfile
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, emit
from zoetrope.hw.errors import ToolError
from zoetrope.synth.flows import modules as flows

# Ports of a module are vectors whose bits depend on each other across its border; Verilator schedules whole vectors.
_HEAD = "/* verilator lint_off UNOPTFLAT */\n"


def verilog(component, top):
    """The netlist of ``component`` as module ``top``. ``ToolError`` for a memory apart that is no ``hw.memory.sram``."""
    text = emit.rtlil(component, top)
    srams = set(flows.sram_modules(text))
    parts = [
        _sram(text, name) if name in srams else _named(_gates(module), name)
        for name, module in flows.modules(text, top).items()
        if not any(name.startswith(f"{sram}.") for sram in srams)
    ]
    return _HEAD + "\n".join(parts)


def _sram(text, name):
    return cache.kept(partial(emit.verilog_of, text, name), "sram", name, text)


def _named(gates, name):
    return re.sub(r"^module top\b ?", lambda found: f"module {_identifier(name)}", gates, count=1, flags=re.M)


def _identifier(name):
    return name if re.fullmatch(r"\w+", name) else f"\\{name} "


def _gates(module):
    """Verilog of one ``flows.Module``, as module ``top``. Kept by its content."""
    run = partial(_gates_alone, module)
    return cache.kept(run, "gates", cache.code(Path(__file__)), flows.scripts(), module.text)


def _gates_alone(module):
    with tempfile.TemporaryDirectory() as workdir:
        script = flows.module_script() + "write_verilog -noattr -norename gates.v\n"
        flows.run_yosys(workdir, module.text, script)
        counted = flows.module_result(workdir, module)
        gates = Path(workdir, "gates.v").read_text().partition("\n")[2].lstrip()  # behind Yosys' banner
    if counted["memories"]:
        raise ToolError(f"a memory of {flows.APART_BITS} bits or more is no Sram: it has no module to simulate")
    if counted != flows.module_cost(module):
        raise ToolError("a module was not synthesised twice to the same gates")
    return gates
