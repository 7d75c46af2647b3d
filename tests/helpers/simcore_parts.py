# SPDX-License-Identifier: Apache-2.0
"""A machine with SIMCORE's pins and registers that copies Q to A: what a driver and a bench of SIMCORE are tested on."""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from zoetrope.hw.axi.axi_read_arbiter import AxiReadArbiter, AxiReadArbiterConfig
from zoetrope.hw.axi.axi_reader import AxiConfig, AxiReader
from zoetrope.hw.axi.axi_writer import AxiWriter
from zoetrope.hw.axi.channels import connect_lite, connect_read, connect_write, lite_pins, master_pins
from zoetrope.hw.axi.registers import Registers, RegistersConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.simcore.chip.simcore_registers import P_BITS, REGISTERS, VERSION, Cause
from zoetrope.hw.softmax.sfu import SfuConfig
from zoetrope.hw.stream import connect

_MATRICES = "qkv"

#: Value of ``group`` to what is wrong then.
FAULTS = {0x100: "a bit of Q", 0x101: "an element behind A", 0x102: "NaN is no error", 0x103: "p above 1 is none"}
_BIT, _BEHIND, _BLIND, _CARELESS = FAULTS

_BUILD = ("build_version", "build_rows", "build_data_bits", "limits_max_channels", "limits_max_frames", "max_tokens")


@dataclass(frozen=True)
class CopierConfig:
    data_bits: int = 64
    address_bits: int = 32
    max_channels: int = 9
    max_frames: int = 4
    max_height: int = 4
    max_width: int = 4
    max_window: int = 3
    max_tokens: int = 64
    max_text: int = 8
    rows: int = 4
    keys: int = 8

    @property
    def axi(self):
        return AxiConfig(data_bits=self.data_bits, address_bits=self.address_bits, burst=4, outstanding=2)

    @property
    def lanes(self):
        return self.data_bits // 16

    @property
    def sfu(self):
        return SfuConfig()


class Copier(wiring.Component):
    """Reads a token of Q, K and V at a time, and writes that of Q to A; ends with the first error.

    It does wrong where ``group`` is one of ``FAULTS``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "irq": Out(1),
                **lite_pins("s_axi", 12, 32),
                **master_pins("m_axi", config.address_bits, config.data_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        registers = Registers(config=RegistersConfig(REGISTERS))
        arbiter = AxiReadArbiter(
            config=AxiReadArbiterConfig(readers=3, outstanding=4, data_bits=c.data_bits, address_bits=c.address_bits)
        )
        readers = [AxiReader(config=c.axi) for _ in _MATRICES]
        writer = AxiWriter(config=c.axi)
        m.submodules.registers, m.submodules.arbiter = emit_once(registers), emit_once(arbiter)
        m.submodules.writer = emit_once(writer)
        for k, reader in enumerate(readers):
            m.submodules[f"reader_{_MATRICES[k]}"] = emit_once(reader)
            connect(m, reader.o_ar, arbiter.i_ar[k])
            connect(m, arbiter.o_r[k], reader.i_r)
        connect_lite(m, self, "s_axi", registers)
        connect_read(m, self, "m_axi", arbiter.o_ar, arbiter.i_r)
        connect_write(m, self, "m_axi", writer.o_aw, writer.o_w, writer.i_b)
        m.d.comb += [
            self.irq.eq(registers.control_interrupt_enable & (registers.status_done | registers.status_error)),
            *(getattr(registers, name).eq(value) for name, value in zip(_BUILD, self._build())),
            registers.key_tile.eq(c.keys),
        ]
        self._run(m, registers, readers, writer)
        return m

    def _build(self):
        c = self.config
        return VERSION, c.rows, c.data_bits, c.max_channels, c.max_frames, c.max_tokens

    def _run(self, m, r, readers, writer):
        c = self.config
        cause = Signal(Cause)
        refusal = Signal(Cause)
        tokens = Signal(32)
        token = Signal(32)
        offset = Signal(c.address_bits)
        commands = [reader.i_command for reader in readers] + [writer.i_command]
        statuses = [reader.o_status for reader in readers] + [writer.o_status]
        sent = [Signal(name=f"sent_{k}") for k in range(4)]
        ended = [Signal(name=f"ended_{k}") for k in range(4)]
        pitch = Signal(16)
        m.d.comb += [
            tokens.eq(r.frames * r.height * r.width + r.text),
            pitch.eq((r.channels + c.lanes - 1) // c.lanes * (c.data_bits // 8)),
        ]
        self._refuse(m, r, refusal, tokens * pitch)
        for name, command in zip("qkva", commands):
            m.d.comb += [
                command.payload.address.eq(getattr(r, f"{name}_low") + offset),
                command.payload.length.eq(r.channels + ((r.group == _BEHIND) if name == "a" else 0)),
            ]
        first = Cause.NONE
        with m.FSM() as fsm:
            m.d.comb += r.status_busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                with m.If(r.control_start):
                    m.d.sync += [token.eq(0), offset.eq(0), cause.eq(refusal), *(x.eq(0) for x in sent + ended)]
                    m.next = "END"
                    with m.If(refusal == first):
                        m.next = "TOKEN"
            with m.State("TOKEN"):
                for k, (command, status) in enumerate(zip(commands, statuses)):
                    m.d.comb += [command.valid.eq(~sent[k]), status.ready.eq(1)]
                    with m.If(command.valid & command.ready):
                        m.d.sync += sent[k].eq(1)
                    with m.If(status.valid):
                        m.d.sync += ended[k].eq(1)
                        with m.If(status.payload.cause.as_value().any() & (cause == first)):
                            m.d.sync += cause.eq(Cause.WRITE if k == 3 else Cause.READ)
                with m.If(Cat(*ended).all()):
                    m.d.sync += [token.eq(token + 1), offset.eq(offset + pitch), *(x.eq(0) for x in sent + ended)]
                    with m.If(token + 1 == tokens):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [r.status_done_set.eq(cause == first), r.status_error_set.eq(cause != first)]
                m.next = "IDLE"
        m.d.comb += [r.status_cause.eq(cause), r.status_refused_set.eq(r.control_start & r.status_busy)]
        self._data(m, r, readers, writer, cause)

    def _data(self, m, r, readers, writer, cause):
        c = self.config
        counters = self._counters(r)
        moved = []
        for k, reader in enumerate(readers):
            data = reader.o_data
            if k == 0:
                m.d.comb += [
                    writer.i_data.payload.eq(data.payload),
                    writer.i_data.valid.eq(data.valid),
                    data.ready.eq(writer.i_data.ready),
                ]
                with m.If(r.group == _BIT):
                    m.d.comb += writer.i_data.payload.data[0].eq(~data.payload.data[0])
            else:
                m.d.comb += data.ready.eq(1)
            wrong = Cat(data.payload.data.word_select(j, 16)[10:15].all() for j in range(c.lanes)).any()
            wrong = wrong & (r.group != _BLIND)
            moved.append(data.valid & data.ready)
            with m.If(moved[-1] & wrong & (cause == Cause.NONE)):
                m.d.sync += cause.eq(Cause.NOT_FINITE_Q + k)
        m.d.sync += [
            counters["words_read"].eq(counters["words_read"] + sum(moved)),
            counters["words_written"].eq(counters["words_written"] + moved[0]),
        ]
        with m.If(r.status_busy):
            m.d.sync += counters["cycles"].eq(counters["cycles"] + 1)
        with m.If(r.control_start & ~r.status_busy):
            m.d.sync += [counter.eq(0) for counter in counters.values()]
        m.d.comb += [getattr(r, name).eq(counter) for name, counter in counters.items()]
        m.d.comb += r.rows_kept.eq(r.frames * r.height * r.width + r.text)

    def _counters(self, r):
        if not hasattr(self, "_counted"):
            names = ("cycles", "words_read", "words_written")
            self._counted = {name: Signal(32, name=f"count_{name}") for name in names}
        return self._counted

    def _refuse(self, m, r, refusal, size):
        c = self.config
        sizes = {"frames": c.max_frames, "height": c.max_height, "width": c.max_width, "channels": c.max_channels}
        sizes |= {"window": c.max_window, "group": 1 << 16}
        tau, scales = r.tau_squared, (r.frame_inverse, r.score_scale)
        outside = [(getattr(r, name) == 0) | (getattr(r, name) > most) for name, most in sizes.items()]
        misplaced = []
        for name in "qkva":
            low = getattr(r, f"{name}_low")
            misplaced += [
                getattr(r, f"{name}_high").any(),
                low % (c.data_bits // 8) != 0,
                low + size > 1 << c.address_bits,
            ]
        with m.If(Cat(*outside, r.text > c.max_text).any()):
            m.d.comb += refusal.eq(Cause.GEOMETRY)
        with m.Elif(Cat(*misplaced).any()):
            m.d.comb += refusal.eq(Cause.ADDRESS)
        with m.Elif(((r.p_p > 1 << P_BITS) | (r.p_a > 1 << P_BITS)) & (r.group != _CARELESS)):
            m.d.comb += refusal.eq(Cause.PROPORTION)
        with m.Elif(tau[31] | (tau[:31] > 0x7F800000)):
            m.d.comb += refusal.eq(Cause.THRESHOLD)
        with m.Elif(Cat((x == 0) | (x >= 0x7F800000) for x in scales).any()):
            m.d.comb += refusal.eq(Cause.SCALE)
