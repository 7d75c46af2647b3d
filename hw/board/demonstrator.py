# SPDX-License-Identifier: Apache-2.0
"""What goes on a board: a UART, a link, and behind it the units that its host sends vectors to.

::

    rx, tx <--> UART <--> link --command--> dispatch --bytes--> adapter <--> LUT PE
                                                    +--bytes--> adapter <--> plain PE
                                                    +--bytes--> adapter <--> min tree
                                                    +--bytes--> bus adapter <--> a machine and its memory
"""

import hashlib
from dataclasses import dataclass, field, replace

from amaranth import Cat, ClockDomain, ClockSignal, Const, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import cache, checks
from zoetrope.hw.board.byte_adapter import ByteAdapter, ByteAdapterConfig
from zoetrope.hw.board.link import HELLO, Link, LinkConfig, Status
from zoetrope.hw.board.machine import Machine, MachineConfig
from zoetrope.hw.board.uart import Uart, UartConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.pe.lut_pe import LutPE, LutPEConfig
from zoetrope.hw.pe.plain_pe import PlainPE, PlainPEConfig
from zoetrope.hw.simcore.chip.simcore import PRESETS as MACHINES
from zoetrope.hw.simcore.chip.simcore import Simcore
from zoetrope.hw.stream import connect
from zoetrope.hw.tree.min_tree import MinTreeConfig, MinTreeStream

#: Units by the order of their bits in the answer to ``HELLO``; unit k has the command ``FIRST_UNIT + k``.
UNITS = ("lut_pe", "plain_pe", "min_tree")
FIRST_UNIT = 16

#: The machine: its bit in the same answer, and its four commands, in the order of the kinds of ``BusAdapter``.
MACHINE_BIT = 7
FIRST_MACHINE = 32

#: The command that answers like ``HELLO`` and resets nothing.
STATE = 1

#: Cycles for which the units are held in reset.
_RESET_CYCLES = 4


@dataclass(frozen=True)
class DemonstratorConfig:
    units: tuple = field(default=UNITS, metadata={"doc": "the units that are built"})
    lut_pe: LutPEConfig = field(default=LutPEConfig(), metadata={"doc": "of the LUT PE"})
    plain_pe: PlainPEConfig = field(default=PlainPEConfig(), metadata={"doc": "of the plain PE"})
    min_tree: MinTreeConfig = field(default=MinTreeConfig(), metadata={"doc": "of the min tree"})
    machine: MachineConfig | None = field(default=None, metadata={"doc": "a machine with registers and memory, if any"})
    max_payload: int = field(default=2048, metadata={"doc": "bytes of a request's payload, at most"})
    max_answer: int = field(default=2048, metadata={"doc": "bytes of an answer's payload, at most"})
    divisor: int = field(default=25, metadata={"doc": "clock cycles a bit on the line"})
    timeout: int = field(default=400_000, metadata={"doc": "cycles of silence after which a frame is given up"})
    version: int = field(default=0, metadata={"doc": "what the answer to HELLO begins with, 32 bits"})

    def __post_init__(self):
        unknown = [name for name in self.units if name not in UNITS]
        if unknown or not (self.units or self.machine) or len(set(self.units)) < len(self.units):
            raise ValueError(
                f"units must be different ones of {', '.join(UNITS)}, at least one where there is no machine, "
                f"not {self.units!r}"
            )
        for name in ("lut_pe", "plain_pe"):
            if getattr(self, name).pes > 1:
                raise ValueError(f"{name} must be a single PE, not {getattr(self, name).pes}")
        checks.between(self, 0, (1 << 32) - 1, "version")
        _ = self.link, self.uart
        for name in self.units:
            adapter = self.adapter(name)
            for limit, size in (
                ("max_payload", adapter.record_bytes),
                ("max_answer", adapter.results * adapter.result_bytes),
            ):
                if getattr(self, limit) < size:
                    raise ValueError(f"{limit} must be at least {size} for {name}, not {getattr(self, limit)}")

    @property
    def link(self):
        return LinkConfig(max_payload=self.max_payload, max_answer=self.max_answer, timeout=self.timeout)

    @property
    def uart(self):
        return UartConfig(divisor=self.divisor)

    def adapter(self, unit):
        """The config of the adapter of a unit. A record of a PE is an operand and the D words that it meets."""
        config = getattr(self, unit)
        if unit == "min_tree":
            return ByteAdapterConfig(MinTreeStream, config, (("i", 1),))
        component = LutPE if unit == "lut_pe" else PlainPE
        return ByteAdapterConfig(component, config, (("i_x", 1), ("i_w", config.words)), "o", config.words, "i_x")


def version_of(config):
    """The version word of a build: of its hardware's text, but for what differs from board to board, clock and baud rate."""
    content = replace(config, version=0, divisor=UartConfig().divisor, timeout=LinkConfig().timeout)
    text = cache.rtlil(Demonstrator(config=content), "demonstrator")
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


class Demonstrator(wiring.Component):
    """Obeys requests of the link (``golden.board.link``) with its units.

    ==================  ===============================  ==============================================================
    command             payload                          answer
    ==================  ===============================  ==============================================================
    0 HELLO             not looked at                    version (4 bytes, low first), units built, units available (a
                                                         bit each); all units are reset before
    1 STATE             not looked at                    the same, without a reset
    16 LUT PE           records: an operand of ``i_x``   for each record whose operand is ``last`` D words of ``o``
    17 plain PE         (3 bytes), its D words of        likewise
                        ``i_w``
    18 min tree         records: a word of ``i``         a word of ``o`` each
    32 write registers  address, words                   nothing
    33 read registers   address, length                  the words
    34 write memory     address, bytes                   nothing
    35 read memory      address, length                  the bytes
    ==================  ===============================  ==============================================================

    Sums go on from request to request. ``BUSY`` while a unit is not available: the LUT buffer is filled after each reset, in
    65,536 cycles. ``UNKNOWN`` for another command or a unit that is not built. ``MALFORMED`` for a payload that is empty or
    no whole number of records: the unit then has to be reset, which a host does with ``HELLO``.

    Commands 32 to 35 are those of ``BusAdapter``, to a machine and its memory; it may run meanwhile, and is asked by its
    registers whether it does. ``REFUSED`` for what the bus answers an error to. ``HELLO`` resets the machine; its memory
    keeps what it has.

    Parameters
    ----------
    config : DemonstratorConfig

    Members
    -------
    rx : In(1), the line from the host, idle high
    tx : Out(1), the line to it

    The rate is that of the line: 10 * divisor cycles a byte, 8 bytes a frame, 131 bytes an operand of a PE of 8 lanes and 16
    words. Golden: ``golden.board.link``, and those of the units.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        c = self.config
        uart = Uart(config=c.uart)
        link = Link(config=c.link)
        m.submodules.uart = emit_once(uart)
        m.submodules.link = emit_once(link)
        m.d.comb += [uart.rx.eq(self.rx), self.tx.eq(uart.tx)]
        connect(m, uart.o, link.i_rx)
        connect(m, link.o_tx, uart.i)

        # Units have a reset of their own.
        m.domains.unit = ClockDomain()
        clear = Signal()
        m.d.comb += [ClockSignal("unit").eq(ClockSignal()), ResetSignal("unit").eq(ResetSignal() | clear)]
        adapters = {}
        for name in c.units:
            adapters[name] = adapter = ByteAdapter(config=c.adapter(name))
            m.submodules[name] = DomainRenamer({"sync": "unit"})(emit_once(adapter))
        machine = None
        if c.machine:
            machine = Machine(config=c.machine)
            m.submodules.machine = DomainRenamer({"sync": "unit"})(emit_once(machine))
        self._dispatch(m, link, adapters, machine, clear)
        return m

    def _dispatch(self, m, link, adapters, machine, clear):
        c = self.config
        built = sum(1 << UNITS.index(name) for name in adapters) | bool(machine) << MACHINE_BIT
        available = Signal(8)
        m.d.comb += [available[UNITS.index(name)].eq(adapter.available) for name, adapter in adapters.items()]
        if machine:
            m.d.comb += available[MACHINE_BIT].eq(1)
        about = Cat(Const(c.version, 32), Const(built, 8), available)
        shown = len(about) // 8

        code = Signal(8)
        left = Signal(16)
        count = Signal(range(max(shown, _RESET_CYCLES)))
        status = Signal(8)
        describe = Signal()
        take = link.o_payload
        last = Signal()
        m.d.comb += last.eq(left == 1)
        with m.If(take.valid & take.ready):
            m.d.sync += left.eq(left - 1)

        with m.FSM(name="dispatch"):
            with m.State("COMMAND"):
                m.d.comb += link.o_command.ready.eq(1)
                command = link.o_command.payload
                m.d.sync += [code.eq(command.code), left.eq(command.length), count.eq(0), describe.eq(0)]
                with m.If(link.o_command.valid):
                    m.d.sync += status.eq(Status.UNKNOWN)
                    m.next = "DROP"
                    with m.Switch(command.code):
                        with m.Case(HELLO):
                            m.next = "RESET"
                        with m.Case(STATE):
                            m.d.sync += [status.eq(Status.OK), describe.eq(1)]
                        for name, adapter in adapters.items():
                            with m.Case(FIRST_UNIT + UNITS.index(name)):
                                with m.If(command.length == 0):
                                    m.d.sync += status.eq(Status.MALFORMED)
                                with m.Elif(~adapter.available):
                                    m.d.sync += status.eq(Status.BUSY)
                                with m.Else():
                                    m.next = "FEED"
                        if machine:
                            with m.Case(*_machine_codes()):
                                m.d.sync += status.eq(Status.MALFORMED)
                                with m.If(command.length != 0):
                                    m.next = "FEED"
            with m.State("RESET"):
                m.d.comb += clear.eq(1)
                m.d.sync += count.eq(count + 1)
                with m.If(count == _RESET_CYCLES - 1):
                    m.d.sync += [count.eq(0), status.eq(Status.OK), describe.eq(1)]
                    m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += take.ready.eq(1)
                with m.If(left == 0):
                    m.next = "DONE"
                    with m.If(describe):
                        m.next = "DESCRIBE"
            with m.State("DESCRIBE"):
                m.d.comb += [link.i_answer.valid.eq(1), link.i_answer.payload.eq(about.word_select(count, 8))]
                with m.If(link.i_answer.ready):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == shown - 1):
                        m.next = "DONE"
            with m.State("FEED"):
                with m.Switch(code):
                    for name, adapter in adapters.items():
                        with m.Case(FIRST_UNIT + UNITS.index(name)):
                            self._feed(m, link, adapter, last, status)
                    if machine:
                        with m.Case(*_machine_codes()):
                            self._feed_machine(m, link, machine, code, last, status)
            with m.State("DONE"):
                m.d.comb += [link.i_done.valid.eq(1), link.i_done.payload.eq(status)]
                with m.If(link.i_done.ready):
                    m.next = "COMMAND"

    def _feed(self, m, link, adapter, last, status):
        """The payload to a unit, its results to the answer, until it says that they have all come."""
        self._join(m, link, adapter, last)
        with m.If(adapter.o_end.valid):
            m.d.sync += status.eq(Status.OK)
            with m.If(adapter.o_end.payload):
                m.d.sync += status.eq(Status.MALFORMED)
            m.next = "DONE"

    def _feed_machine(self, m, link, machine, code, last, status):
        """The same to the machine, which says how it ended."""
        m.d.comb += machine.kind.eq(code - FIRST_MACHINE)
        self._join(m, link, machine, last)
        with m.If(machine.o_end.valid):
            m.d.sync += status.eq(machine.o_end.payload)
            m.next = "DONE"

    def _join(self, m, link, adapter, last):
        m.d.comb += [
            adapter.i.payload.data.eq(link.o_payload.payload),
            adapter.i.payload.last.eq(last),
            adapter.i.valid.eq(link.o_payload.valid),
            link.o_payload.ready.eq(adapter.i.ready),
            adapter.o_end.ready.eq(1),
        ]
        connect(m, adapter.o, link.i_answer)


def _machine_codes():
    return range(FIRST_MACHINE, FIRST_MACHINE + 4)


#: Config of each preset; the first is the default.
PRESETS = {
    "default": DemonstratorConfig(divisor=8, timeout=4000),
    "smallest": DemonstratorConfig(units=("min_tree",), min_tree=MinTreeConfig(stages=4), divisor=8, timeout=4000),
    "simcore": DemonstratorConfig(
        units=("min_tree",), machine=MachineConfig(Simcore, MACHINES["board"], depth=4096), divisor=8, timeout=4000
    ),
}
