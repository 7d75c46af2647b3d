# SPDX-License-Identifier: Apache-2.0
"""The memories of a design, for whoever maps them to macros: which module each is in, its size and ports, and how often."""

import re

from zoetrope.hw.verilog import design
from zoetrope.hw.verilog.names import module_names

# What ``hw.memory.sram`` calls its modules: depth, width, bits of a write enable, read ports.
_SRAM = re.compile(r"sram_\d+x\d+(?:_w(\d+))?_\d+r")

_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) (\\\S+)$", re.M)
_PORT = re.compile(r'^  cell \$mem(rd|wr)_v2 .*?MEMID "\\(\\\S+?)"$.*?CLK_ENABLE (\d)$.*?^  end$', re.M | re.S)


def memories(rtlil, verilog, top, prefix=""):
    """The memories of a design with top module ``top``, the largest first.

    Parameters
    ----------
    rtlil : the design
    verilog : its Verilog as Yosys writes it
    prefix : that of the names of the modules in the written Verilog

    Returns
    -------
    list of dict: ``module`` in which it is; ``sram``, whether that is one of ``hw.memory.sram``, which holds nothing else
    and which a macro may replace; ``depth``; ``width``; ``write_enable_bits``, the bits of a word that a bit of the write
    enable covers; ``write_ports``; ``read_ports``; ``read_latency``, 1 for registered reads and 0 for reads in the same
    cycle; ``instances`` in the design.
    """
    modules = design.split(verilog)
    counts, names = design.counts(modules, top), module_names(modules, top, prefix)
    found = []
    for module, body in design.split_rtlil(rtlil).items():
        ports = _PORT.findall(body)
        sram = _SRAM.fullmatch(module)
        for width, depth, memory in _MEMORY.findall(body):
            reads = [int(clocked) for kind, name, clocked in ports if (kind, name) == ("rd", memory)]
            entry = {
                "module": names[module],
                "sram": bool(sram),
                "depth": int(depth),
                "width": int(width),
                "write_enable_bits": int((sram and sram[1]) or width),
                "write_ports": sum((kind, name) == ("wr", memory) for kind, name, _ in ports),
                "read_ports": len(reads),
                "read_latency": min(reads, default=0),
                "instances": counts[module],
            }
            found.append(entry)
    return sorted(found, key=lambda entry: -entry["depth"] * entry["width"])
