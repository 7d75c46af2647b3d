# SPDX-License-Identifier: Apache-2.0
"""Read ports of memories: their signature, joining them, and a memory that is walked as a stream.

A read port gives its word in the cycle after ``en``, and holds it until the next. Who walks through a memory at one word a
cycle and may be kept waiting needs no more than a bit that says whether the word that is held is still wanted::

    fetch --> en, addr ~~memory~~> data --> valid, take
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def read_port(address, width):
    """The signature of a memory's read port, seen from who reads: ``data`` in the cycle after ``en``, and held."""
    return wiring.Signature({"en": Out(1), "addr": Out(address), "data": In(width)})


def join_ports(m, reader, memory):
    """Join the read port of who reads to that of a memory; ``TypeError`` when their addresses or words differ."""
    for name in ("addr", "data"):
        own, other = (getattr(port, name).shape() for port in (reader, memory))
        if own != other:
            raise TypeError(f"cannot join a read port whose {name} is {own!r} to one of {other!r}")
    m.d.comb += [memory.en.eq(reader.en), memory.addr.eq(reader.addr), reader.data.eq(memory.data)]


def serve(m, sram, ports):
    """Join the read ports of ``sram`` to ``ports``, those of the component that it is in."""
    for k, port in enumerate(ports):
        m.d.comb += [sram.r_en[k].eq(port.en), sram.r_addr[k].eq(port.addr), port.data.eq(sram.r_data[k])]


class Reading:
    """A memory's read port, walked: the caller drives its address, and ``fetch`` where there is a word to read.

    Attributes
    ----------
    ready : the word at the address is read in this cycle, if ``fetch``: the address moves on
    valid : there is a word in ``data``
    take : to be driven with the ready of what takes it

    Initiation interval: 1 cycle a word. A word that is not taken is held by the memory, so the port must be its own.
    """

    def __init__(self, m: Module, port, name):
        self.valid = Signal(name=f"{name}_valid")
        self.take = Signal(name=f"{name}_take")
        self.ready = Signal(name=f"{name}_ready")
        self.fetch = Signal(name=f"{name}_fetch")
        self.data = port.data
        m.d.comb += [self.ready.eq(~self.valid | self.take), port.en.eq(self.fetch & self.ready)]
        with m.If(self.ready):
            m.d.sync += self.valid.eq(self.fetch)
