# SPDX-License-Identifier: Apache-2.0
"""AXI4 master that writes: a command and a packet of words become bursts, and their responses one status.

::

    i_command --> bursts --+--> register --> o_aw
                           |
                           +--> bursts begun (queue) --+
                                                       |
    i_data --------------------------> word, strobes --+--> register --> o_w
                                              |
                                              +--> bursts sent (queue) --+
                                                                         |
    i_b -----------------------------------------------------------------+--> responses --> o_status

AW and W leave on their own, as AXI wants it: a slave may wait for either before it takes the other.

Rejected: a buffer of whole bursts, so that W never waits for ``i_data`` once AW is out. outstanding * burst words of memory,
for interconnects that are shared by several writers; with one there is nobody to be held up.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from zoetrope.hw.axi.axi_bursts import (
    PRESETS,  # noqa: F401  one config, one set of presets
    AxiBursts,
    AxiConfig,
)
from zoetrope.hw.axi.axi_reader import element_enables, first_error, limit_commands
from zoetrope.hw.axi.channels import B_LAYOUT, STATUS_LAYOUT, Cause, address_layout, w_layout
from zoetrope.hw.emit import emit_once
from zoetrope.hw.stream import register

__all__ = ["AxiConfig", "AxiWriter"]


class AxiWriter(wiring.Component):
    """Writes ``length`` elements of ``granularity`` bytes from ``address`` on, commands one after the other.

    Each command of a length that is not zero comes with a packet on ``i_data``: ceil(length * granularity / word_bytes)
    words, the first byte lowest, the last one marked ``last``. Bytes behind the length are not written (WSTRB). One
    ``o_status`` for each command, in order, when all its bursts are answered: ``OKAY``, or

    =============================  ========================================================================================
    ``LENGTH``                     refused: the length is zero; no burst, and no packet is taken
    ``ALIGNMENT``, ``RANGE``       refused, see ``AxiBursts``: no burst, its packet is taken and dropped
    ``FRAME``                      the packet has fewer words than the command: those that it has are written, the other
                                   beats have no strobe; or it has more: these are taken and dropped
    ``SLVERR``, ``DECERR``         the first error among its responses; all of its bursts are sent nevertheless
    =============================  ========================================================================================

    ``FRAME`` goes before the errors of the slave. Whatever happens, no byte outside of the command's range is written, all
    beats of every burst are sent, and the next command is right again. ``outstanding`` counts bursts from their beginning to
    their response; ``outstanding`` + 1 commands are taken before a status is.

    Parameters
    ----------
    config : AxiConfig

    Members
    -------
    i_command : In(stream of ``address``, in bytes, and ``length``, in elements)
    i_data : In(stream of ``data``, a word, and ``last``)
    o_status : Out(stream of ``cause``)
    o_aw, o_w, i_b : Out, Out, In(streams), the channels, as ``hw.axi.channels`` has them

    Latency: 2 cycles from a command to its first AW, 1 from ``i_data`` to W, 1 from the last B to ``o_status``. Initiation
    interval, with full bursts and L cycles from the last W of a burst to B: 1 cycle a word, without gaps between bursts or
    commands, where (outstanding - 1) * burst >= 2 + L, and W words then take W + 3 + L cycles from the command to the
    status, however many bursts they are; otherwise outstanding * burst words every burst + 2 + L cycles. Backpressure: yes,
    but for B.
    Errors: as above. BID is not looked at.
    Golden: ``golden.axi.axi_writer.write``, ``golden.axi.axi_bursts.bursts``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(config.command_layout)),
                "i_data": In(stream.Signature(config.data_layout)),
                "o_status": Out(stream.Signature(STATUS_LAYOUT)),
                "o_aw": Out(stream.Signature(address_layout(config.address_bits))),
                "o_w": Out(stream.Signature(w_layout(config.data_bits))),
                "i_b": In(stream.Signature(B_LAYOUT)),
            }
        )

    @property
    def latency(self):
        """From ``i_data`` to W."""
        return 1

    @property
    def initiation_interval(self):
        """Cycles a word of full bursts where B comes with the last W."""
        c = self.config
        return max(1, (c.burst + self.round_trip) / (c.outstanding * c.burst))

    @property
    def round_trip(self):
        """Cycles that a burst is outstanding, beside those of its words and those from the last W to B."""
        return 2

    def elaborate(self, platform):
        m = Module()
        c = self.config
        bursts = AxiBursts(config=c)
        m.submodules.bursts = emit_once(bursts)
        sent_layout = data.StructLayout({"last": 1, "silent": 1, "cause": Cause})
        m.submodules.begun = begun = SyncFIFO(width=c.place_layout.size, depth=c.outstanding)
        m.submodules.sent = sent = SyncFIFO(width=sent_layout.size, depth=c.outstanding)
        m.submodules.statuses = statuses = SyncFIFO(width=STATUS_LAYOUT.size, depth=c.commands)
        limit_commands(m, c, self.i_command, bursts.i, self.o_status)
        answered = Signal()
        self._begin(m, bursts.o, begun, answered)
        self._send(m, begun, sent, sent_layout)
        self._answer(m, sent, sent_layout, statuses, answered)
        return m

    def _begin(self, m, burst, begun, answered):
        """AW of a burst, and the burst into the queue: neither queue overflows, as each has a place for all outstanding."""
        c = self.config
        places = Signal(range(c.outstanding + 1), init=c.outstanding)
        refused = Signal(name="burst_refused")
        taken = Signal(name="burst_taken")
        ready = Signal(name="aw_ready")
        payload = Signal(self.o_aw.payload.shape(), name="aw_next")
        m.d.comb += [
            refused.eq(burst.payload.cause != Cause.OKAY),
            burst.ready.eq(places.any() & (refused | ready)),
            taken.eq(burst.valid & burst.ready),
            begun.w_en.eq(taken),
            begun.w_data.eq(Cat(*(burst.payload[name] for name, _ in c.place_layout))),
            payload.addr.eq(burst.payload.address),
            payload.len.eq(burst.payload.len),
        ]
        with m.If(taken & ~answered):
            m.d.sync += places.eq(places - 1)
        with m.Elif(answered & ~taken):
            m.d.sync += places.eq(places + 1)
        aw = register(m, payload.shape(), payload, burst.valid & places.any() & ~refused, ready, "aw")
        m.d.comb += [self.o_aw.payload.eq(aw.payload), self.o_aw.valid.eq(aw.valid), aw.ready.eq(self.o_aw.ready)]

    def _send(self, m, begun, sent, sent_layout):
        """The beats of each burst, and how its command ended on this side."""
        c = self.config
        head = Signal(c.place_layout, name="head")
        beat = Signal(max(1, c.burst_bits))
        refused = Signal(name="head_refused")
        active = Signal(name="head_active")
        final = Signal(name="w_final")
        last = Signal(name="w_last_of_command")
        short = Signal(name="packet_short")  # it ended before the command
        dropping = Signal(name="packet_dropping")  # it goes on behind the command, or the command was refused
        wrong = Signal(name="packet_wrong")
        ready = Signal(name="w_ready")
        moved = Signal(name="w_moved")
        word = Signal(self.o_w.payload.shape(), name="w_next")
        enables = element_enables(m, c, last, head.tail)
        m.d.comb += [
            head.eq(begun.r_data),
            refused.eq(head.cause != Cause.OKAY),
            active.eq(begun.r_rdy & ~refused & ~dropping),
            final.eq(beat == head.len),
            last.eq(final & head.last),
            wrong.eq(last & (short | ~self.i_data.payload.last)),
            moved.eq(active & (short | self.i_data.valid) & ready),
            self.i_data.ready.eq(dropping | (active & ~short & ready)),
            word.data.eq(self.i_data.payload.data),
            word.last.eq(final),
        ]
        for k in range(c.elements):
            strobes = (enables[k] & ~short).replicate(c.granularity)
            m.d.comb += word.strb.word_select(k, c.granularity).eq(strobes)
        w = register(m, word.shape(), word, active & (short | self.i_data.valid), ready, "w")
        m.d.comb += [self.o_w.payload.eq(w.payload), self.o_w.valid.eq(w.valid), w.ready.eq(self.o_w.ready)]

        result = Signal(sent_layout, name="sent_next")
        given_up = Signal(name="head_given_up")
        m.d.comb += [
            given_up.eq(begun.r_rdy & refused & ~dropping),
            result.last.eq(head.last),
            result.silent.eq(refused),
            result.cause.eq(Mux(refused, head.cause, Mux(wrong, Cause.FRAME, Cause.OKAY))),
            sent.w_data.eq(result),
            sent.w_en.eq(given_up | (moved & final)),
            begun.r_en.eq(sent.w_en),
        ]
        with m.If(moved):
            m.d.sync += [
                beat.eq(Mux(final, 0, beat + 1)),
                short.eq(~last & (short | self.i_data.payload.last)),
            ]
        with m.If(dropping):
            m.d.sync += dropping.eq(~(self.i_data.valid & self.i_data.payload.last))
        with m.Elif(given_up):
            m.d.sync += dropping.eq(head.cause != Cause.LENGTH)
        with m.Elif(moved & last):
            m.d.sync += dropping.eq(~short & ~self.i_data.payload.last)

    def _answer(self, m, sent, sent_layout, statuses, answered):
        """A response for each burst that was sent, and of each command one status."""
        head = Signal(sent_layout, name="answer")
        earlier = Signal(Cause, name="cause_earlier")
        worst = Signal(Cause, name="cause_now")
        ended = Signal(name="answer_ended")
        m.d.comb += [
            head.eq(sent.r_data),
            self.i_b.ready.eq(sent.r_rdy & ~head.silent),
            answered.eq(sent.r_rdy & (head.silent | self.i_b.valid)),
            sent.r_en.eq(answered),
            worst.eq(first_error(earlier, self.i_b.payload.resp)),
            ended.eq(answered & head.last),
            statuses.w_en.eq(ended),
            statuses.w_data.eq(Mux(head.cause != Cause.OKAY, head.cause, worst)),
            self.o_status.payload.eq(statuses.r_data),
            self.o_status.valid.eq(statuses.r_rdy),
            statuses.r_en.eq(self.o_status.ready),
        ]
        with m.If(ended):
            m.d.sync += earlier.eq(Cause.OKAY)
        with m.Elif(answered):
            m.d.sync += earlier.eq(worst)
