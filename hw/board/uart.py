# SPDX-License-Identifier: Apache-2.0
"""A UART of 8 data bits, no parity, one stop bit (8N1): bytes as streams on one side, two pins on the other.

::

    i (bytes) --> start, 8 bits from the least, stop --> tx
    rx --> two flip-flops --> edge, three samples a bit, majority --> o (bytes)
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks

#: Bits on the line for a byte: start, data, stop.
FRAME_BITS = 10


@dataclass(frozen=True)
class UartConfig:
    divisor: int = field(default=25, metadata={"doc": "clock cycles a bit, at least 8: clock frequency / baud rate"})

    def __post_init__(self):
        checks.at_least(self, 8, "divisor", why="a bit is sampled three times")

    @property
    def spread(self):
        """Cycles between the three samples of a bit."""
        return self.divisor // 8

    @property
    def last_sample(self):
        """Cycles from the edge of a bit, as it is seen, to the last of its samples."""
        return self.divisor // 2 + self.spread


class Uart(wiring.Component):
    """A transmitter and a receiver that share nothing but the divisor.

    *Receiver.* A low line begins a byte. Each bit is the majority of three samples around its middle, ``divisor // 8``
    cycles apart, so that a disturbance no longer than that flips none. A start bit that is not low by majority was noise and
    is forgotten. A byte whose stop bit is low is dropped and sets ``framing``; then, as in a break, which is one such byte
    however long it lasts, nothing is received until the line is high. The search for the next start begins after the
    samples of the stop bit: a transmitter may be faster or slower by 2 % (at ``divisor`` 8 too: 9.5 bits drift by 0.19,
    the edge is seen up to 0.125 late, and the outer samples have 0.375 on either side).

    A byte that nobody took when the next is complete stays; the next is dropped and sets ``overrun``.

    Rejected: 16 samples a bit from a second divider, as in the 16550: a divisor that is a multiple of 16, 750 kBd at most
    from 12 MHz where this makes 1.5 MBd; one sample in the middle: smaller by a few gates, and any glitch there is a wrong
    bit.

    Parameters
    ----------
    config : UartConfig

    Members
    -------
    i : In(stream of 8 bits), bytes to transmit
    o : Out(stream of 8 bits), bytes received
    rx : In(1), the line from the other side, idle high; not synchronous to any clock
    tx : Out(1), the line to it
    framing : Out(1), since reset a byte without a stop bit came, or a break
    overrun : Out(1), since reset a byte came that had no place

    Latency: of ``tx`` joined to ``rx``, ``9 * divisor + last_sample + 4`` cycles from a byte of ``i`` to that of ``o``.
    Initiation interval: ``10 * divisor`` cycles a byte. Backpressure: on ``i``; on ``o`` for one byte.
    Golden: ``golden.board.uart.bits``, ``golden.board.uart.received``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "framing": Out(1),
                "overrun": Out(1),
            }
        )

    @property
    def latency(self):
        return 9 * self.config.divisor + self.config.last_sample + 4

    @property
    def initiation_interval(self):
        return FRAME_BITS * self.config.divisor

    def elaborate(self, platform):
        m = Module()
        self._transmit(m)
        self._receive(m)
        return m

    def _transmit(self, m):
        divisor = self.config.divisor
        t_bits = Signal(range(FRAME_BITS + 1))
        t_count = Signal(range(divisor))
        t_shift = Signal(9, init=-1)
        t_end = Signal()
        m.d.comb += [
            t_end.eq(t_count == divisor - 1),
            self.i.ready.eq((t_bits == 0) | ((t_bits == 1) & t_end)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [t_bits.eq(Mux(self.i.valid, FRAME_BITS, 0)), t_count.eq(0), self.tx.eq(~self.i.valid)]
            m.d.sync += t_shift.eq(Cat(self.i.payload, 1))
        with m.Elif(t_end):
            m.d.sync += [t_bits.eq(t_bits - 1), t_count.eq(0), Cat(self.tx, t_shift).eq(Cat(t_shift, 1))]
        with m.Else():
            m.d.sync += t_count.eq(t_count + 1)

    def _receive(self, m):
        c = self.config
        # s0, s1: against metastability.
        s0_rx = Signal(init=1)
        s1_rx = Signal(init=1)
        m.d.sync += [s0_rx.eq(self.rx), s1_rx.eq(s0_rx)]

        r_count = Signal(range(c.divisor))
        r_bits = Signal(range(FRAME_BITS))
        samples = Signal(2)
        bit = Signal()
        decide = Signal()
        shift = Signal(8, reset_less=True)
        first = c.last_sample - 2 * c.spread
        m.d.comb += [
            bit.eq((samples[0] & samples[1]) | (s1_rx & samples.any())),
            decide.eq(r_count == c.last_sample),
        ]
        with m.If((r_count == first) | (r_count == first + c.spread)):
            m.d.sync += samples.eq(Cat(s1_rx, samples[0]))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM(name="receiver"):
            with m.State("IDLE"):
                # The first low sample is cycle 0 of the start bit.
                m.d.sync += [r_count.eq(1), r_bits.eq(0)]
                with m.If(~s1_rx):
                    m.next = "BITS"
            with m.State("BITS"):
                m.d.sync += r_count.eq(Mux(r_count == c.divisor - 1, 0, r_count + 1))
                with m.If(decide):
                    m.d.sync += [r_bits.eq(r_bits + 1), shift.eq(Cat(shift[1:], bit))]
                    with m.If((r_bits == 0) & bit):
                        m.next = "IDLE"
                    with m.Elif(r_bits == FRAME_BITS - 1):
                        with m.If(~bit):
                            m.d.sync += self.framing.eq(1)
                            m.next = "LOW"
                        with m.Else():
                            m.next = "IDLE"
                            with m.If(self.o.valid & ~self.o.ready):
                                m.d.sync += self.overrun.eq(1)
                            with m.Else():
                                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(shift)]
            with m.State("LOW"):
                with m.If(s1_rx):
                    m.next = "IDLE"


#: Config of each preset; the first is the default.
PRESETS = {"default": UartConfig(), "slow": UartConfig(divisor=87)}
