# SPDX-License-Identifier: Apache-2.0
"""A machine with registers and a memory of its own, behind a stream of bytes.

::

    i, o (bytes) <--> bus adapter --AXI4-Lite--> registers, machine --AXI4--> on-chip memory
                           |                                                        |
                           +------------------------bytes---------------------------+
"""

from dataclasses import dataclass, field

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.axi.axi_ram import AxiRam, AxiRamConfig
from zoetrope.hw.axi.channels import connect_memory, connect_registers
from zoetrope.hw.board.bus_adapter import BusAdapter, BusAdapterConfig
from zoetrope.hw.board.byte_adapter import BYTE
from zoetrope.hw.emit import emit_once
from zoetrope.hw.stream import connect

#: Prefixes of the machine's pins, as ``hw.axi.channels`` names them.
REGISTERS, MEMORY = "s_axi", "m_axi"


@dataclass(frozen=True)
class MachineConfig:
    component: type = field(
        metadata={"doc": "class of the machine; pins s_axi_* of an AXI4-Lite slave, m_axi_* of an AXI4 master"}
    )
    config: object = field(metadata={"doc": "its config"})
    depth: int = field(default=1024, metadata={"doc": "words of the memory behind its master, from address 0 on"})

    def __post_init__(self):
        names = self._built().signature.members
        for prefix, what in ((REGISTERS, "an AXI4-Lite slave"), (MEMORY, "an AXI4 master")):
            if f"{prefix}_awaddr" not in names:
                raise ValueError(f"{self.component.__name__} must be {what} with pins {prefix}_awaddr and so on")
        _ = self.memory, self.bus

    def _built(self):
        return self.component(config=self.config)

    @property
    def memory(self):
        built = self._built()
        data_bits, address_bits = (len(getattr(built, f"{MEMORY}_{name}")) for name in ("wdata", "awaddr"))
        return AxiRamConfig(data_bits=data_bits, address_bits=address_bits, depth=self.depth)

    @property
    def bus(self):
        register_bits = len(getattr(self._built(), f"{REGISTERS}_awaddr"))
        return BusAdapterConfig(register_bits=register_bits, memory_bits=self.memory.address_bits)


class Machine(wiring.Component):
    """The machine of ``config`` on one side, a host's requests on the other; see ``BusAdapter`` for these.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    kind, i, o, o_end : those of ``BusAdapter``
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "kind": In(2),
                "i": In(stream.Signature(BYTE)),
                "o": Out(stream.Signature(8)),
                "o_end": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        machine = c.component(config=c.config)
        bus = BusAdapter(config=c.bus)
        ram = AxiRam(config=c.memory)
        m.submodules.machine = emit_once(machine)
        m.submodules.bus = emit_once(bus)
        m.submodules.ram = emit_once(ram)
        m.d.comb += bus.kind.eq(self.kind)
        for name in ("i", "o", "o_end"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(bus, name))
        connect_registers(m, machine, REGISTERS, bus)
        connect_memory(m, machine, MEMORY, ram)
        connect(m, bus.o_host, ram.i_host)
        connect(m, ram.o_host, bus.i_host)
        return m
