# SPDX-License-Identifier: Apache-2.0
"""SIMCORE: attention of a head between two memories' worth of pins (SIMPICKER IV, V).

::

    s_axi (AXI4-Lite) --> registers --> checks --> head --> core --> o_command --> 4 readers --> arbiter --> m_axi (reads)
    irq <-------- status <---------------------------------- |
                                                             +--> row writer, recovery --> writer -------> m_axi (writes)

The core is reset before each head, and as soon as there is an error; the bus is not: what was begun on it ends, and what it
still reads is dropped. So the next head is right whatever happened. An abort and the watchdog stop AR besides: when the
words of all bursts that went out have come, readers and arbiter are reset, whatever else was left of their commands.

Rejected: a reset of the readers at once, whose bursts would be answered to the next head; bursts counted by RLAST, which
nothing else here relies on, in place of words; the writer stopped as the readers are, for bursts of a row or two.
"""

from types import SimpleNamespace

from amaranth import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from zoetrope.hw.axi.axi_read_arbiter import AxiReadArbiter
from zoetrope.hw.axi.axi_reader import AxiReader
from zoetrope.hw.axi.axi_writer import AxiWriter
from zoetrope.hw.axi.channels import Cause as BusCause
from zoetrope.hw.axi.channels import connect_lite, connect_read, connect_write, lite_pins, master_pins
from zoetrope.hw.axi.registers import WORD_BITS, Registers, RegistersConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP32
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore.chip.head_geometry import HeadGeometry
from zoetrope.hw.simcore.chip.row_writer import RowWriter
from zoetrope.hw.simcore.chip.simcore_config import READERS, SimcoreConfig
from zoetrope.hw.simcore.chip.simcore_core import CORE_COUNTERS, SimcoreCore
from zoetrope.hw.simcore.chip.simcore_core import PRESETS as CORES
from zoetrope.hw.simcore.chip.simcore_registers import P_BITS, REGISTERS, VERSION, Cause
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngineConfig
from zoetrope.hw.stream import connect

__all__ = ["Simcore", "SimcoreConfig"]

#: Cycles for which the bus must have been quiet before a head ends.
_QUIET = 8

_MATRICES = ("q", "k", "v", "a")


class Simcore(wiring.Component):
    """One head of attention at a time: ``golden.simcore.chip.simcore.simcore``, bit for bit.

    Registers, causes of errors: ``docs/registers.md``. A head begins with ``control.start`` and ends with ``status.done`` or
    ``status.error``; ``irq`` is either, if enabled.

    Parameters
    ----------
    config : SimcoreConfig

    Members
    -------
    s_axi_awaddr and so on : the pins of AXI4-Lite, 32 bits wide
    m_axi_awaddr and so on : the pins of AXI4
    irq : Out(1), the interrupt; Verilator has a word of its own that is "interrupt"

    Memory: Q, K, V and A of T tokens each, in words of B = data_bits / 16 elements; token t begins ``t * ceil(d / B)`` words
    behind the matrix's address. Nothing is written but the d elements of A's tokens.

    Errors: sizes and addresses are checked before anything is read; NaN and infinities, and what the bus answers, end a
    head where they are found. A start while busy is refused and changes nothing. ``control.abort`` and the ``watchdog``
    end a head whatever it does; what the bus still owes is waited for, and said where it does not come.
    There is no ``latency`` or ``initiation_interval``: the counters say what a head took.
    Golden: ``golden.simcore.chip.simcore.simcore``.
    """

    #: The description of the registers that software sees.
    register_map = REGISTERS

    def __init__(self, *, config):
        self.config = config
        self._registers = RegistersConfig(registers=REGISTERS)
        super().__init__(
            {
                "irq": Out(1),
                **lite_pins("s_axi", self._registers.address_bits, WORD_BITS),
                **master_pins("m_axi", config.address_bits, config.data_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        registers = Registers(config=self._registers)
        m.submodules.registers = emit_once(registers)
        connect_lite(m, self, "s_axi", registers)

        restart = Signal(init=1)
        m.domains.core = ClockDomain("core", local=True)
        m.d.comb += [
            ClockSignal("core").eq(ClockSignal("sync")),
            ResetSignal("core").eq(ResetSignal("sync") | restart),
        ]
        # Readers and arbiter, which an abort resets when the bus owes them nothing.
        stopping = Signal()
        forget = Signal()
        m.domains.readers = ClockDomain("readers", local=True)
        m.d.comb += [
            ClockSignal("readers").eq(ClockSignal("sync")),
            ResetSignal("readers").eq(ResetSignal("sync") | forget),
        ]
        core = SimcoreCore(config=c.core)
        m.submodules.core = DomainRenamer("core")(emit_once(core))
        bus = self._bus(m, core, restart, stopping, forget)
        self._control(m, registers, core, bus, restart, stopping)
        return m

    def _bus(self, m, core, restart, stopping, forget):
        """Readers, writers and what is under way on the bus. While ``restart`` what was begun is brought to its end.

        ``stopping`` begins no burst more, and raises ``forget`` when the bus owes no word."""
        c = self.config
        arbiter = AxiReadArbiter(config=c.arbiter)
        writer = AxiWriter(config=c.axi)
        rows = RowWriter(config=c.writer)
        m.submodules.arbiter = DomainRenamer("readers")(emit_once(arbiter))
        m.submodules.writer = emit_once(writer)
        m.submodules.rows = emit_once(rows)
        bus = SimpleNamespace(
            quiet=Signal(name="bus_quiet"),
            read_error=Signal(name="read_error"),
            write_error=Signal(name="write_error"),
            word_read=Signal(name="word_read"),
            word_written=Signal(name="word_written"),
            reads_pending=Signal(name="reads_pending"),
            writes_pending=Signal(name="writes_pending"),
        )
        under_way, read_errors, showing = [], [], []
        for k, name in enumerate(READERS):
            reader = AxiReader(config=c.axi)
            m.submodules[f"reader_{name}"] = DomainRenamer("readers")(emit_once(reader))
            connect(m, reader.o_ar, arbiter.i_ar[k])
            connect(m, arbiter.o_r[k], reader.i_r)
            connect_unless(m, restart, getattr(core, f"o_command_{name}"), reader.i_command)
            words = getattr(core, f"i_data_{name}")
            m.d.comb += [
                words.payload.eq(reader.o_data.payload),
                words.valid.eq(reader.o_data.valid & ~restart),
                reader.o_data.ready.eq(words.ready | restart),
                reader.o_status.ready.eq(1),
            ]
            under_way.append(self._under_way(m, name, reader.i_command, reader.o_status, forget))
            read_errors.append(_failed(reader.o_status))
            showing.append(reader.o_data.valid)
        ar, reads_pending = self._stop(m, arbiter, stopping, forget)
        connect_read(m, self, "m_axi", ar, arbiter.i_r)
        connect_write(m, self, "m_axi", writer.o_aw, writer.o_w, writer.i_b)

        self._write(m, core, writer, rows, restart)
        under_way.append(self._under_way(m, "writer", writer.i_command, writer.o_status))
        m.d.comb += [bus.reads_pending.eq(reads_pending), bus.writes_pending.eq(under_way[-1])]
        m.d.comb += [
            core.quiet.eq(bus.quiet),
            bus.read_error.eq(Cat(*read_errors).any()),
            bus.write_error.eq(_failed(writer.o_status)),
            bus.word_read.eq(arbiter.i_r.valid & arbiter.i_r.ready),
            bus.word_written.eq(writer.o_w.valid & writer.o_w.ready),
        ]
        self._settle(m, bus, Cat(*under_way, *showing, rows.pending).any())
        return bus

    def _write(self, m, core, writer, rows, restart):
        """Rows of results while tiles are computed, rows of recovery after them; the rest of a packet that nobody ends."""
        connect_unless(m, restart, core.o_place, rows.i_place)
        connect_unless(m, restart, core.o_results, rows.i)
        command, packet = writer.i_command, writer.i_data
        owed = Signal(range(self.config.axi.commands + 2))
        finishing = Signal()
        m.d.comb += [
            rows.channels.eq(core.head.channels),
            rows.drop.eq(restart),
            command.valid.eq(rows.o_command.valid | (core.o_write_command.valid & ~restart)),
            command.payload.eq(
                Mux(rows.o_command.valid, rows.o_command.payload.as_value(), core.o_write_command.payload.as_value())
            ),
            rows.o_command.ready.eq(command.ready),
            core.o_write_command.ready.eq(command.ready & ~rows.o_command.valid),
            finishing.eq(restart & owed.any() & ~rows.pending),
            packet.valid.eq(rows.o_data.valid | finishing | (core.o_write_data.valid & ~restart)),
            rows.o_data.ready.eq(packet.ready),
            core.o_write_data.ready.eq(packet.ready & ~rows.o_data.valid),
        ]
        with m.If(rows.o_data.valid):
            m.d.comb += packet.payload.eq(rows.o_data.payload)
        with m.Elif(finishing):
            m.d.comb += packet.payload.last.eq(1)
        with m.Else():
            m.d.comb += packet.payload.eq(core.o_write_data.payload)
        m.d.sync += owed.eq(
            owed + (command.valid & command.ready) - (packet.valid & packet.ready & packet.payload.last)
        )
        m.d.comb += [
            core.i_write_status.valid.eq(writer.o_status.valid & ~restart),
            core.i_write_status.payload.eq(writer.o_status.payload),
            writer.o_status.ready.eq(1),
        ]

    def _settle(self, m, bus, anything):
        """The bus is quiet when nothing has been under way for a while."""
        quiet_for = Signal(range(_QUIET + 1))
        busy = Signal()
        m.d.comb += [busy.eq(anything), bus.quiet.eq(~busy & (quiet_for == _QUIET))]
        with m.If(busy):
            m.d.sync += quiet_for.eq(0)
        with m.Elif(~bus.quiet):
            m.d.sync += quiet_for.eq(quiet_for + 1)

    def _under_way(self, m, name, command, status, forget=0):
        """Whether a command was taken that has no status yet, and was not forgotten."""
        count = Signal(range(self.config.axi.commands + 2), name=f"{name}_under_way")
        m.d.sync += count.eq(count + (command.valid & command.ready) - (status.valid & status.ready))
        with m.If(forget):
            m.d.sync += count.eq(0)
        return count.any()

    def _stop(self, m, arbiter, stopping, forget):
        """(AR of the arbiter as the bus sees it, whether reads are pending).

        ``stopping`` closes AR, but not before a burst that it shows is taken."""
        c = self.config
        closed = Signal(name="ar_closed")
        most = (c.arbiter.outstanding + 2) * c.axi.burst  # in the arbiter's queue, and its register
        owed = Signal(range(most + 1), name="words_owed")
        ar = SimpleNamespace(
            payload=arbiter.o_ar.payload, valid=Signal(name="ar_shown"), ready=Signal(name="ar_shown_ready")
        )
        asked = Mux(ar.valid & ar.ready, ar.payload.len + 1, 0)
        m.d.comb += [
            ar.valid.eq(arbiter.o_ar.valid & ~closed),
            arbiter.o_ar.ready.eq(ar.ready & ~closed),
            forget.eq(closed & ~owed.any()),
        ]
        m.d.sync += [
            owed.eq(owed + asked - (arbiter.i_r.valid & arbiter.i_r.ready)),
            closed.eq(stopping & (closed | ~ar.valid | ar.ready)),
        ]
        return ar, owed.any() | ar.valid

    def _limits(self, m, registers, busy, stopping):
        """What ends a head: whether an abort was asked for while it runs, and whether the watchdog has passed.

        Of a head that is stopping the watchdog is twice as long, and tells that the bus is stuck: once."""
        stop = SimpleNamespace(aborted=Signal(name="aborted"), expired=Signal(name="expired"))
        judged = Signal(name="stopping_judged")  # ``expired`` is of twice the watchdog
        told = Signal(name="stuck_told")
        time = Signal(WORD_BITS, name="watchdog_time")
        m.d.comb += [
            time.eq(Mux(stopping, registers.cycles >> 1, registers.cycles)),
            registers.status_stuck_set.eq(judged & stop.expired & ~told),
        ]
        m.d.sync += [
            stop.aborted.eq(busy & (stop.aborted | registers.control_abort)),
            stop.expired.eq(busy & registers.watchdog.any() & (time >= registers.watchdog)),
            judged.eq(stopping),
            told.eq(busy & (told | registers.status_stuck_set)),
        ]
        return stop

    def _control(self, m, registers, core, bus, restart, stopping):
        head, geometry = self._head(m, core)
        busy = Signal()
        cause = Signal(8)
        found = Signal(8)  # on the bus
        refusals = [
            (Cause.GEOMETRY, self._wrong_sizes(registers)),
            *self._wrong_numbers(registers),
            (Cause.ADDRESS, self._wrong_addresses(registers)),
        ]
        beyond = self._beyond(m, head, geometry.o)
        start = registers.control_start
        done = Signal()
        error = Signal()
        m.d.comb += [
            registers.status_busy.eq(busy),
            registers.status_cause.eq(cause),
            registers.status_done_set.eq(done),
            registers.status_error_set.eq(error),
            registers.status_refused_set.eq(start & busy),
        ]
        self._tell(m, registers, bus)
        stop = self._limits(m, registers, busy, stopping)
        refused = Signal(8)
        for number, condition in reversed(refusals):
            with m.If(condition):
                m.d.comb += refused.eq(number)
        checking = Signal()
        with m.FSM(name="head"):
            with m.State("IDLE"):
                with m.If(start):
                    # What is written to the registers from now on is the next head's.
                    self._take(m, registers, head)
                    m.d.sync += [busy.eq(1), cause.eq(refused), found.eq(Cause.NONE), checking.eq(0)]
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += geometry.start.eq(~checking)
                m.d.sync += checking.eq(1)
                with m.If(geometry.done):
                    m.next = "RUN"
                    with m.If(cause.any() | beyond.any()):
                        m.next = "END"
                        with m.If(~cause.any()):
                            m.d.sync += cause.eq(beyond)
            with m.State("RUN"):
                m.d.comb += core.go.eq(1)
                m.d.sync += restart.eq(0)
                with m.If(core.cause.any() | found.any()):
                    m.d.sync += [cause.eq(core.cause), restart.eq(1)]
                    m.next = "DRAIN"
                with m.Elif(core.done):
                    m.next = "DRAIN"
                with m.Elif(stop.aborted | stop.expired):
                    m.d.sync += [cause.eq(Mux(stop.aborted, Cause.ABORTED, Cause.WATCHDOG)), restart.eq(1)]
                    m.d.sync += stopping.eq(1)
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.sync += restart.eq(1)
                # A word that came with an error may have been found to be no number before the bus said so.
                with m.If(found.any() & ~stopping):
                    m.d.sync += cause.eq(found)
                with m.If((stop.aborted | stop.expired) & (cause.any() | found.any())):
                    m.d.sync += stopping.eq(1)
                with m.If(bus.quiet & restart):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [done.eq(~cause.any()), error.eq(cause.any())]
                m.d.sync += [busy.eq(0), stopping.eq(0)]
                m.next = "IDLE"
        with m.If(bus.read_error & ~found.any()):
            m.d.sync += found.eq(Cause.READ)
        with m.Elif(bus.write_error & ~found.any()):
            m.d.sync += found.eq(Cause.WRITE)
        self._count(m, registers, core, bus, busy, start)

    def _head(self, m, core):
        """What the registers say of a head, to be written when it begins; and its geometry, which follows from that."""
        geometry = HeadGeometry(config=self.config.geometry)
        m.submodules.geometry = emit_once(geometry)
        computed = geometry.o.shape().members
        given = {name: shape for name, shape in self.config.head_layout.members.items() if name not in computed}
        head = Signal(data.StructLayout(given))
        m.d.comb += [geometry.i[name].eq(head[name]) for name in geometry.i.shape().members]
        m.d.comb += [core.head[name].eq(head[name]) for name in given]
        m.d.comb += [core.head[name].eq(geometry.o[name]) for name in computed]
        return head, geometry

    def _tell(self, m, registers, bus):
        """What the registers say of the bus and of the machine, and the interrupt."""
        c = self.config
        ended = registers.status_done | registers.status_error | registers.status_stuck
        m.d.comb += [
            registers.status_reads_pending.eq(bus.reads_pending),
            registers.status_writes_pending.eq(bus.writes_pending),
            self.irq.eq(registers.control_interrupt_enable & ended),
            registers.build_version.eq(VERSION),
            registers.build_rows.eq(c.rows),
            registers.build_data_bits.eq(c.data_bits),
            registers.limits_max_channels.eq(c.max_channels),
            registers.limits_max_frames.eq(c.max_frames),
            registers.max_tokens.eq(c.max_tokens),
            registers.key_tile.eq(c.keys),
        ]

    def _count(self, m, registers, core, bus, busy, start):
        """The core's counters are kept when it is reset."""
        begin = Signal()
        m.d.comb += begin.eq(start & ~busy)
        for name, event in (("cycles", busy), ("words_read", bus.word_read), ("words_written", bus.word_written)):
            counter = Signal(WORD_BITS, name=f"{name}_count")
            m.d.comb += getattr(registers, name).eq(counter)
            with m.If(begin):
                m.d.sync += counter.eq(0)
            with m.Elif(event & busy):
                m.d.sync += counter.eq(counter + 1)
        running = core.go
        names = [
            *CORE_COUNTERS,
            *(f"{a}_{b}" for a in ("fp16", "lut") for b in ("busy", "waiting", "stalled", "blocked")),
        ]
        for name in names:
            kept = Signal(WORD_BITS, name=f"{name}_kept")
            m.d.comb += getattr(registers, name).eq(kept)
            with m.If(running):
                m.d.sync += kept.eq(getattr(core, name))
            with m.Elif(begin):
                m.d.sync += kept.eq(0)

    def _wrong_sizes(self, registers):
        """A size is 0, or larger than this machine's."""
        c = self.config
        limits = {
            "frames": c.max_frames,
            "height": c.max_height,
            "width": c.max_width,
            "channels": c.max_channels,
            "window": c.max_window,
            "group": None,
            "text": c.max_text,
        }
        wrong = []
        for name, most in limits.items():
            value = getattr(registers, name)
            if name != "text":
                wrong.append(value == 0)
            if most is not None and most < (1 << len(value)) - 1:
                wrong.append(value > most)
        return Cat(*wrong).any()

    def _beyond(self, m, head, geometry):
        """The cause, if there are more tokens than this machine takes, or a matrix ends beyond the address space."""
        c = self.config
        ends = []
        for name in _MATRICES:
            end = Signal(max(len(geometry.matrix_words), c.address_bits - c.word_shift) + 1, name=f"{name}_end")
            m.d.comb += end.eq(head[name][c.word_shift :] + geometry.matrix_words)
            ends.append(end > 1 << (c.address_bits - c.word_shift))
        beyond = Signal(8)
        with m.If(geometry.video_tokens > c.max_tokens):
            m.d.comb += beyond.eq(Cause.GEOMETRY)
        with m.Elif(Cat(*ends).any()):
            m.d.comb += beyond.eq(Cause.ADDRESS)
        return beyond

    def _wrong_numbers(self, registers):
        positive = [
            (Cause.SCALE, (value[31] == 1) | (value == 0) | (value >= FP32.inf))
            for value in (registers.frame_inverse, registers.score_scale)
        ]
        one = 1 << P_BITS
        return [
            (Cause.PROPORTION, (registers.p_p > one) | (registers.p_a > one)),
            (Cause.THRESHOLD, registers.tau_squared > FP32.inf),
            *positive,
        ]

    def _wrong_addresses(self, registers):
        """Misaligned, or of more bits than the bus has."""
        c = self.config
        addresses = [_address(registers, name) for name in _MATRICES]
        return Cat(*(Cat(each[: c.word_shift], each[c.address_bits :]).any() for each in addresses)).any()

    def _take(self, m, registers, head):
        """The registers as the core sees them."""
        codes = registers.control_quantize
        for name in ("frames", "height", "width", "text", "channels", "window", "p_p", "p_a"):
            m.d.sync += head[name].eq(getattr(registers, name))
        c = self.config
        m.d.sync += [
            # A group wider than a frame is a group as wide as a frame.
            head.group.eq(Mux(registers.group > c.max_width, c.max_width, registers.group)),
            head.text_first.eq(registers.control_text_first),
            head.sparsify.eq(registers.control_sparsify),
            head.compact.eq(registers.control_compact),
            head.codes_k.eq(codes & registers.control_speculate_p),
            head.codes_v.eq(codes & registers.control_speculate_a),
            head.threshold.eq(registers.tau_squared),
            head.frame_inverse.eq(registers.frame_inverse),
            head.score_scale.eq(registers.score_scale),
        ]
        m.d.sync += [head[name].eq(_address(registers, name)) for name in _MATRICES]


def _address(registers, name):
    return Cat(getattr(registers, f"{name}_low"), getattr(registers, f"{name}_high"))


def connect_unless(m, condition, source, sink):
    """Join two streams while ``condition`` is 0."""
    m.d.comb += [
        Value.cast(sink.payload).eq(Value.cast(source.payload)),
        sink.valid.eq(source.valid & ~condition),
        source.ready.eq(sink.ready & ~condition),
    ]


def _failed(status):
    """A command ends with an error."""
    return status.valid & status.ready & (status.payload.cause != BusCause.OKAY)


#: Config of each preset; the first is the default.
PRESETS = {
    "tiny": SimcoreConfig.of(CORES["tiny"], burst=4),
    "board": SimcoreConfig.of(CORES["board"], burst=4, outstanding=2),
    "small": SimcoreConfig(),
    "paper": SimcoreConfig(
        engine=ComputingEngineConfig(
            fp16=FP16PEConfig(rows=16, columns=4, words=4, ragged=True),
            lut=LutPEConfig(rows=16, columns=8, words=2, copy_width=64, ragged=True),
            max_channels=64,
            max_tokens=128,
            load_lanes=32,
        ),
        max_frames=26,
        max_height=32,
        max_width=48,
        max_tokens=35100,
        max_text=512,
        data_bits=512,
        sfu_lanes=16,
        merge_lanes=16,
        importance_lanes=32,
    ),
}
