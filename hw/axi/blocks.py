# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "axi_bursts",
        "AxiBursts",
        Source(),
        "a command of address and length to AXI4 bursts within 4 KiB",
        golden="axi.axi_bursts.bursts",
    ),
    Block(
        "axi_reader",
        "AxiReader",
        Source(),
        "AXI4 master, a command to a stream of words",
        golden="axi.axi_reader.read",
        checked=("default",),
    ),
    Block(
        "axi_writer",
        "AxiWriter",
        Source(),
        "AXI4 master, a command and a stream of words to memory",
        golden="axi.axi_writer.write",
        checked=("default",),
    ),
    Block(
        "axi_master",
        "AxiMaster",
        Source(),
        "reader and writer under the standard pin names",
        golden="axi.axi_reader.read",
        netlist=True,
    ),
    Block(
        "axi_read_arbiter",
        "AxiReadArbiter",
        Source(),
        "AXI4 readers that share a bus, in turn",
        golden="axi.axi_read_arbiter.grants",
    ),
    Block(
        "registers",
        "Registers",
        Source(),
        "AXI4-Lite register file from a description",
        golden="axi.registers.RegisterFile",
    ),
    Block(
        "axi_ram",
        "AxiRam",
        Source(),
        "on-chip memory as an AXI4 slave, with a side for a host that moves bytes",
        golden="axi.axi_ram.read",
    ),
)
