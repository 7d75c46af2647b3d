# SPDX-License-Identifier: Apache-2.0
"""AXI4 master that reads: a command becomes bursts, and these a stream of words.

::

    i_command --> bursts --+--> register --> o_ar
                           |
                           +--> bursts begun (queue) --+
                                                       |
    i_r ---------------------------> word, its place --+--> buffer of whole bursts --> o_data
                                              |
                                              +--> responses --> o_status

A burst is begun only when the buffer has room for all of it, so R is taken in every cycle, whatever the sink does: a reader
never holds up an interconnect that others use.

Rejected:

* Room counted in words instead of bursts: as many bursts in flight where all are full, more where they are short, for an
  adder and a comparison of words in the path of AR.
* The status behind the last word of the data, through the buffer: a refused command would need a place there, and a word
  that is no word.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from zoetrope.hw.axi.axi_bursts import (
    PRESETS,  # noqa: F401  one config, one set of presets
    AxiBursts,
    AxiConfig,
)
from zoetrope.hw.axi.channels import STATUS_LAYOUT, Cause, address_layout, r_layout
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.word_fifo import WordFifo, WordFifoConfig
from zoetrope.hw.stream import register

__all__ = ["AxiConfig", "AxiReader"]


class AxiReader(wiring.Component):
    """Reads ``length`` elements of ``granularity`` bytes from ``address`` on, commands one after the other.

    ``o_data`` has ceil(length * granularity / word_bytes) words, the first byte lowest, ``last`` on a command's last word;
    there the bytes behind the length are 0. One ``o_status`` for each command, in order, when its last word has come from
    the bus (it may still be in the buffer): ``OKAY``, or

    =====================================  ================================================================================
    ``LENGTH``, ``ALIGNMENT``, ``RANGE``   refused, see ``AxiBursts``: no burst, no word
    ``SLVERR``, ``DECERR``                 the first error among its responses: all of its words come, as the bus had them
    =====================================  ================================================================================

    The command behind one that failed is right again. ``outstanding`` counts bursts from their beginning until their last
    word has left ``o_data``; ``outstanding`` + 1 commands are taken before a status is.

    Parameters
    ----------
    config : AxiConfig

    Members
    -------
    i_command : In(stream of ``address``, in bytes, and ``length``, in elements)
    o_data : Out(stream of ``data``, a word, and ``last``)
    o_status : Out(stream of ``cause``)
    o_ar, i_r : Out, In(streams), the channels, as ``hw.axi.channels`` has them

    Latency: 2 cycles from a command to its first AR, 2 from a word on R to ``o_data``. Initiation interval, with full bursts
    and L cycles from AR to R: 1 cycle a word, without gaps between bursts or commands, where (outstanding - 1) * burst >=
    3 + L (4 bursts of 16 hide 45 cycles of memory), and W words then take W + 3 + L cycles from the command to the last
    word, however many bursts they are; otherwise outstanding * burst words every burst + 3 + L cycles. Backpressure: yes,
    but for R.
    Errors: as above. RLAST and RID are not looked at.
    Memory: outstanding * burst words of data_bits + 2.
    Golden: ``golden.axi.axi_reader.read``, ``golden.axi.axi_bursts.bursts``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(config.command_layout)),
                "o_data": Out(stream.Signature(config.data_layout)),
                "o_status": Out(stream.Signature(STATUS_LAYOUT)),
                "o_ar": Out(stream.Signature(address_layout(config.address_bits))),
                "i_r": In(stream.Signature(r_layout(config.data_bits))),
            }
        )

    @property
    def latency(self):
        """From R to ``o_data``."""
        return 2

    @property
    def initiation_interval(self):
        """Cycles a word of full bursts where R comes with AR."""
        c = self.config
        return max(1, (c.burst + self.round_trip) / (c.outstanding * c.burst))

    @property
    def round_trip(self):
        """Cycles that a place of the buffer is taken for one burst, beside those of its words and those from AR to R."""
        return 3

    def elaborate(self, platform):
        m = Module()
        c = self.config
        bursts = AxiBursts(config=c)
        buffer = WordFifo(config=WordFifoConfig(depth=c.outstanding * c.burst, width=c.data_bits + 2))
        m.submodules.bursts = emit_once(bursts)
        m.submodules.buffer = emit_once(buffer)
        m.submodules.begun = begun = SyncFIFO(width=c.place_layout.size, depth=c.outstanding)
        m.submodules.statuses = statuses = SyncFIFO(width=STATUS_LAYOUT.size, depth=c.commands)
        limit_commands(m, c, self.i_command, bursts.i, self.o_status)
        freed = Signal()
        self._begin(m, bursts.o, begun, freed)
        self._receive(m, begun, buffer, statuses)

        # Out of the buffer: a burst has left with its last word.
        data = self.o_data
        m.d.comb += [
            data.payload.eq(buffer.o.payload),
            data.valid.eq(buffer.o.valid),
            buffer.o.ready.eq(data.ready),
            freed.eq(data.valid & data.ready & buffer.o.payload[-1]),
            self.o_status.payload.eq(statuses.r_data),
            self.o_status.valid.eq(statuses.r_rdy),
            statuses.r_en.eq(self.o_status.ready),
        ]
        return m

    def _begin(self, m, burst, begun, freed):
        """AR of a burst that has room; a refused command goes by the same queue, so that it is answered in turn."""
        c = self.config
        places = Signal(range(c.outstanding + 1), init=c.outstanding)
        refused = Signal(name="burst_refused")
        allowed = Signal(name="burst_allowed")
        taken = Signal(name="burst_taken")
        asked = Signal(name="burst_asked")
        ready = Signal(name="ar_ready")
        payload = Signal(self.o_ar.payload.shape(), name="ar_next")
        m.d.comb += [
            refused.eq(burst.payload.cause != Cause.OKAY),
            allowed.eq(begun.w_rdy & (refused | places.any())),
            burst.ready.eq(allowed & (refused | ready)),
            taken.eq(burst.valid & burst.ready),
            asked.eq(taken & ~refused),
            begun.w_en.eq(taken),
            begun.w_data.eq(Cat(*(burst.payload[name] for name, _ in c.place_layout))),
            payload.addr.eq(burst.payload.address),
            payload.len.eq(burst.payload.len),
        ]
        with m.If(asked & ~freed):
            m.d.sync += places.eq(places - 1)
        with m.Elif(freed & ~asked):
            m.d.sync += places.eq(places + 1)
        ar = register(m, payload.shape(), payload, burst.valid & allowed & ~refused, ready, "ar")
        m.d.comb += [self.o_ar.payload.eq(ar.payload), self.o_ar.valid.eq(ar.valid), ar.ready.eq(self.o_ar.ready)]

    def _receive(self, m, begun, buffer, statuses):
        """Each word into the buffer, and of each command the first error."""
        c = self.config
        head = Signal(c.place_layout, name="head")
        beat = Signal(max(1, c.burst_bits))
        refused = Signal(name="head_refused")
        arrived = Signal(name="r_arrived")
        final = Signal(name="r_final")
        ended = Signal(name="head_ended")
        m.d.comb += [
            head.eq(begun.r_data),
            refused.eq(head.cause != Cause.OKAY),
            self.i_r.ready.eq(begun.r_rdy & ~refused),
            arrived.eq(self.i_r.valid & self.i_r.ready),
            final.eq(beat == head.len),
            ended.eq(begun.r_rdy & (refused | (arrived & final))),
            begun.r_en.eq(ended),
        ]
        with m.If(arrived):
            m.d.sync += beat.eq(Mux(final, 0, beat + 1))

        last = Signal(name="word_last")
        word = Signal(c.data_bits)
        m.d.comb += [
            last.eq(final & head.last),
            word.eq(self.i_r.payload.data & _element_mask(m, c, last, head.tail)),
            buffer.w_en.eq(arrived),
            buffer.w_data.eq(word | last << c.data_bits | final << (c.data_bits + 1)),
        ]
        earlier = Signal(Cause, name="cause_earlier")
        cause = Signal(Cause, name="cause_now")
        m.d.comb += cause.eq(Mux(refused, head.cause, first_error(earlier, self.i_r.payload.resp)))
        with m.If(ended & head.last):
            m.d.sync += earlier.eq(Cause.OKAY)
        with m.Elif(arrived):
            m.d.sync += earlier.eq(cause)
        m.d.comb += [statuses.w_en.eq(ended & head.last), statuses.w_data.eq(cause)]


def limit_commands(m, c, outer, inner, status):
    """Let ``outer`` through to ``inner`` while fewer than ``c.commands`` wait for their ``status``."""
    pending = Signal(range(c.commands + 1))
    room = Signal(name="pending_room")
    begin = Signal(name="pending_begin")
    end = Signal(name="pending_end")
    m.d.comb += [
        room.eq(pending != c.commands),
        inner.payload.eq(outer.payload),
        inner.valid.eq(outer.valid & room),
        outer.ready.eq(inner.ready & room),
        begin.eq(outer.valid & outer.ready),
        end.eq(status.valid & status.ready),
    ]
    with m.If(begin & ~end):
        m.d.sync += pending.eq(pending + 1)
    with m.Elif(end & ~begin):
        m.d.sync += pending.eq(pending - 1)


def first_error(earlier, resp):
    """The cause ``earlier`` if it is one, else that of ``resp``."""
    failed = resp.as_value()[1]
    now = Mux(resp.as_value()[0], Cause.DECERR, Cause.SLVERR)
    return Mux(earlier.as_value().any(), earlier, Mux(failed, now, Cause.OKAY))


def element_enables(m, c, last, tail):
    """Which elements of a word belong to its command: all, but of its last word the first ``tail``, or all if that is 0."""
    enables = Signal(c.elements, name="elements_in")
    whole = Signal(name="elements_all")
    m.d.comb += [whole.eq(~last | ~tail.any()), enables[0].eq(1)]
    for k in range(1, c.elements - 1):
        m.d.comb += enables[k].eq(whole | (tail > k))
    if c.elements > 1:
        m.d.comb += enables[-1].eq(whole)
    return enables


def _element_mask(m, c, last, tail):
    enables = element_enables(m, c, last, tail)
    mask = Signal(c.data_bits, name="word_mask")
    bits = 8 * c.granularity
    m.d.comb += [mask.word_select(k, bits).eq(enables[k].replicate(bits)) for k in range(c.elements)]
    return mask
