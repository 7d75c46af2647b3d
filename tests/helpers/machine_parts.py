# SPDX-License-Identifier: Apache-2.0
"""A machine for the tests: it copies bytes within its memory, by registers, as a machine with AXI pins does its work."""

from dataclasses import dataclass

from amaranth import Module, Signal
from amaranth.lib import wiring

from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.axi.axi_reader import AxiReader
from zoetrope.hw.axi.axi_writer import AxiWriter
from zoetrope.hw.axi.channels import connect_lite, connect_read, connect_write, lite_pins, master_pins
from zoetrope.hw.axi.registers import Field, Register, Registers, RegistersConfig, register
from zoetrope.hw.emit import emit_once
from zoetrope.hw.stream import connect

REGISTERS = (
    Register("control", 0, (Field("start", 1, "pulse"),)),
    Register("status", 4, (Field("busy", 1, "ro"), Field("read", 3, "ro", bit=4), Field("write", 3, "ro", bit=8))),
    register("source", 8),
    register("destination", 12),
    register("length", 16, 24),
)


@dataclass(frozen=True)
class CopierConfig:
    bus: AxiConfig
    register_bits: int = 12


class Copier(wiring.Component):
    def __init__(self, *, config):
        self.config = config
        pins = lite_pins("s_axi", config.register_bits, 32)
        super().__init__(pins | master_pins("m_axi", config.bus.address_bits, config.bus.data_bits))

    def elaborate(self, platform):
        m = Module()
        c = self.config
        registers = Registers(config=RegistersConfig(REGISTERS, c.register_bits))
        reader, writer = AxiReader(config=c.bus), AxiWriter(config=c.bus)
        m.submodules.registers = emit_once(registers)
        m.submodules.reader = emit_once(reader)
        m.submodules.writer = emit_once(writer)
        connect_lite(m, self, "s_axi", registers)
        connect_read(m, self, "m_axi", reader.o_ar, reader.i_r)
        connect_write(m, self, "m_axi", writer.o_aw, writer.o_w, writer.i_b)
        connect(m, reader.o_data, writer.i_data)
        waits = []
        for part, address, name in ((reader, registers.source, "read"), (writer, registers.destination, "write")):
            asked, done = Signal(name=f"{name}_asked"), Signal(name=f"{name}_done", init=1)
            cause = Signal(3, name=f"{name}_cause")
            m.d.comb += [
                part.i_command.valid.eq(asked),
                part.i_command.payload.address.eq(address),
                part.i_command.payload.length.eq(registers.length),
                part.o_status.ready.eq(1),
                getattr(registers, f"status_{name}").eq(cause),
            ]
            with m.If(part.i_command.ready):
                m.d.sync += asked.eq(0)
            with m.If(part.o_status.valid):
                m.d.sync += [done.eq(1), cause.eq(part.o_status.payload.cause)]
            with m.If(registers.control_start):
                m.d.sync += [asked.eq(1), done.eq(0)]
            waits.append(~done)
        m.d.comb += registers.status_busy.eq(waits[0] | waits[1])
        return m
