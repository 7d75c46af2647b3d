# SPDX-License-Identifier: Apache-2.0
"""On-chip memory as an AXI4 slave, with a second side for a host that moves bytes.

::

    i_aw --> held --> burst --+
    i_w  ---------------------+--> write port --+        +--> read port --> o_r
    o_b  <--------------------+                 | memory |       |
    i_ar --> held --> burst --------------------|--------+-------+
    i_host --> held ----------------------------+----------------+--> o_host

The host goes first: a byte of it takes one cycle from the bus, and it comes with a byte every few cycles at most.

Rejected:

* An interconnect with a master for the host: the queues of two masters and a table of owners, to carry a byte every 250
  cycles of a serial line.
* A second read port for the host: a block RAM of one write and one read port becomes two of them.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks
from zoetrope.hw.axi.axi_bursts import DATA_BITS
from zoetrope.hw.axi.channels import B_LAYOUT, BOUNDARY, Response, address_layout, r_layout, w_layout
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig

HOST_ANSWER = data.StructLayout({"data": 8, "resp": Response})


@dataclass(frozen=True)
class AxiRamConfig:
    data_bits: int = field(default=128, metadata={"doc": "of the bus, and of a word: 32, 64, 128, 256 or 512"})
    address_bits: int = field(default=32, metadata={"doc": "of the bus; addresses are of bytes"})
    depth: int = field(default=1024, metadata={"doc": "words of the memory, from address 0 on"})

    def __post_init__(self):
        checks.one_of(self, DATA_BITS, "data_bits")
        checks.between(self, 13, 64, "address_bits")
        checks.between(self, 1, (1 << self.address_bits) // self.word_bytes, "depth")

    @property
    def word_bytes(self):
        return self.data_bits // 8

    @property
    def size(self):
        """Bytes."""
        return self.depth * self.word_bytes

    @property
    def host_layout(self):
        """``address`` of a byte, its ``data`` where it is a ``write``."""
        return data.StructLayout({"address": self.address_bits, "data": 8, "write": 1})


class AxiRam(wiring.Component):
    """Answers bursts of INCR and the whole data width, in order; reads and writes are not ordered with each other.

    Bytes without strobe keep their value. The bits of an address below a word are not looked at. A beat behind the last
    word is answered DECERR, reads as 0 and writes nothing; a burst across 4 KiB, which AXI forbids, is SLVERR in all its
    beats and writes nothing. B has the greatest of its burst's responses. The host's bytes are answered likewise, one after
    the other. Contents are undefined until written. A read and a write of one word in the same cycle have no defined result.

    Parameters
    ----------
    config : AxiRamConfig

    Members
    -------
    i_aw, i_w, o_b, i_ar, o_r : the channels, streams as ``hw.axi.channels`` has them
    i_host : In(stream of ``address``, ``data``, ``write``), a byte
    o_host : Out(stream of ``data``, ``resp``), one for each

    Latency: 3 cycles from AR to the first R, 2 from AW to the first W, 1 from the last W of a burst to B; 3 from ``i_host``
    to ``o_host``, 2 for a write. Initiation interval: 1 cycle a beat, both ways at once, without gaps between bursts of two
    beats or more; a burst of one beat takes 2 cycles. A byte of the host takes one from the bus. Backpressure: yes; no path
    leads through from one channel to another, as AXI wants it.
    Errors: as above. WLAST and all that is constant on the pins of a master are not looked at; the beats are counted.
    Memory: depth words of data_bits, with a write-enable a byte.
    Golden: ``golden.axi.axi_ram.read``, ``golden.axi.axi_ram.write``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_aw": In(stream.Signature(address_layout(config.address_bits))),
                "i_w": In(stream.Signature(w_layout(config.data_bits))),
                "o_b": Out(stream.Signature(B_LAYOUT)),
                "i_ar": In(stream.Signature(address_layout(config.address_bits))),
                "o_r": Out(stream.Signature(r_layout(config.data_bits))),
                "i_host": In(stream.Signature(config.host_layout)),
                "o_host": Out(stream.Signature(HOST_ANSWER)),
            }
        )

    @property
    def latency(self):
        """From AR to the first R."""
        return 3

    @property
    def initiation_interval(self):
        """Cycles a beat."""
        return 1

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=c.depth, width=c.data_bits, granularity=8))
        m.submodules.sram = emit_once(sram)
        host = self._host(m, sram)
        self._write(m, sram, host)
        self._read(m, sram, host)
        return m

    def _there(self, m, word, name):
        """Whether the memory has a word."""
        there = Signal(name=f"{name}_there")
        m.d.comb += there.eq(word < self.config.depth)
        return there

    def _begin(self, m, channel, name, take):
        """Hold an address until its burst begins. Returns whether there is one, its first word, beats - 1, crosses 4 KiB."""
        c = self.config
        low = exact_log2(c.word_bytes)
        held = Signal(name=f"{name}_held")
        payload = Signal(channel.payload.shape(), name=f"{name}_address", reset_less=True)
        m.d.comb += channel.ready.eq(~held)
        with m.If(take):
            m.d.sync += held.eq(0)
        with m.If(channel.valid & channel.ready):
            m.d.sync += [held.eq(1), payload.eq(channel.payload)]
        page_bits = exact_log2(BOUNDARY) - low
        end = Signal(range((1 << page_bits) + 256), name=f"{name}_page_end")
        m.d.comb += end.eq(payload.addr[low:][:page_bits] + payload.len)
        return held, payload.addr[low:], payload.len, end[page_bits:].any()

    def _write(self, m, sram, host):
        c = self.config
        active = Signal(name="w_active")
        word = Signal(c.address_bits, name="w_word", reset_less=True)
        left = Signal(8, name="w_left", reset_less=True)
        crosses = Signal(name="w_crosses", reset_less=True)
        missed = Signal(name="w_missed", reset_less=True)  # a beat was behind the last word
        answered = Signal(name="b_valid")
        response = Signal(Response, name="b_response", reset_less=True)
        take = Signal(name="aw_take")
        moved = Signal(name="w_moved")
        final = Signal(name="w_final")
        held, first, length, wide = self._begin(m, self.i_aw, "aw", take)
        there = self._there(m, word, "w_word")
        strobes = Mux(there & ~crosses, self.i_w.payload.strb, 0)
        m.d.comb += [
            final.eq(left == 0),
            self.i_w.ready.eq(active & ~host.write & ~(final & answered)),
            moved.eq(self.i_w.valid & self.i_w.ready),
            take.eq(held & (~active | (moved & final))),
            self.o_b.valid.eq(answered),
            self.o_b.payload.resp.eq(response),
            sram.w_addr.eq(Mux(host.write, host.word, word)),
            sram.w_data.eq(Mux(host.write, host.data.replicate(c.word_bytes), self.i_w.payload.data)),
            sram.w_en.eq(Mux(host.write, host.lane, Mux(moved, strobes, 0))),
        ]
        with m.If(self.o_b.ready):
            m.d.sync += answered.eq(0)
        with m.If(moved):
            m.d.sync += [word.eq(word + 1), left.eq(left - 1), missed.eq(missed | ~there)]
            with m.If(final):
                m.d.sync += [active.eq(0), answered.eq(1), response.eq(_response(there & ~missed, crosses))]
        with m.If(take):
            m.d.sync += [active.eq(1), word.eq(first), left.eq(length), crosses.eq(wide), missed.eq(0)]

    def _read(self, m, sram, host):
        c = self.config
        active = Signal(name="r_active")
        word = Signal(c.address_bits, name="r_word", reset_less=True)
        left = Signal(8, name="r_left", reset_less=True)
        crosses = Signal(name="r_crosses", reset_less=True)
        shown = Signal(name="r_valid")
        response = Signal(Response, name="r_response", reset_less=True)
        last = Signal(name="r_last", reset_less=True)
        take = Signal(name="ar_take")
        free = Signal(name="r_free")  # the memory's output may change
        asked = Signal(name="r_asked")
        final = Signal(name="r_final")
        held, first, length, wide = self._begin(m, self.i_ar, "ar", take)
        there = self._there(m, word, "r_word")
        m.d.comb += [
            final.eq(left == 0),
            free.eq(~shown | self.o_r.ready),
            host.free.eq(free),
            asked.eq(active & free & ~host.read),
            take.eq(held & (~active | (asked & final))),
            sram.r_en[0].eq(asked | host.read),
            sram.r_addr[0].eq(Mux(host.read, host.word, word)),
            self.o_r.valid.eq(shown),
            self.o_r.payload.data.eq(Mux(response == Response.OKAY, sram.r_data[0], 0)),
            self.o_r.payload.resp.eq(response),
            self.o_r.payload.last.eq(last),
        ]
        with m.If(free):
            m.d.sync += [shown.eq(asked), response.eq(_response(there, crosses)), last.eq(final)]
        with m.If(asked):
            m.d.sync += [word.eq(word + 1), left.eq(left - 1)]
            with m.If(final):
                m.d.sync += active.eq(0)
        with m.If(take):
            m.d.sync += [active.eq(1), word.eq(first), left.eq(length), crosses.eq(wide)]

    def _host(self, m, sram):
        """A byte at a time: asked of the memory, then answered. Returns what the ports need of it."""
        c = self.config
        low = exact_log2(c.word_bytes)
        host = _Host(c)
        held = Signal(name="host_held")
        request = Signal(c.host_layout, name="host_request", reset_less=True)
        reading = Signal(name="host_reading")
        answered = Signal(name="host_answered")
        answer = Signal(HOST_ANSWER, name="host_answer", reset_less=True)
        place = request.address[:low]
        there = self._there(m, request.address[low:], "host_word")
        idle = Signal(name="host_idle")
        m.d.comb += [
            idle.eq(held & ~reading & ~answered),
            host.write.eq(idle & request.write),
            host.read.eq(idle & ~request.write & host.free),
            host.word.eq(request.address[low:]),
            host.data.eq(request.data),
            host.lane.eq(Mux(there, 1 << place, 0)),
            self.i_host.ready.eq(~held),
            self.o_host.valid.eq(answered),
            self.o_host.payload.eq(answer),
        ]
        with m.If(self.i_host.valid & self.i_host.ready):
            m.d.sync += [held.eq(1), request.eq(self.i_host.payload)]
        with m.If(host.write):
            m.d.sync += [answered.eq(1), answer.data.eq(0), answer.resp.eq(_response(there, 0))]
        with m.If(host.read):
            m.d.sync += reading.eq(1)
        with m.If(reading):
            m.d.sync += [
                reading.eq(0),
                answered.eq(1),
                answer.data.eq(Mux(there, sram.r_data[0].word_select(place, 8), 0)),
                answer.resp.eq(_response(there, 0)),
            ]
        with m.If(self.o_host.valid & self.o_host.ready):
            m.d.sync += [answered.eq(0), held.eq(0)]
        return host


class _Host:
    """What the host has for the ports of the memory: ``write`` and ``read`` in the cycle in which it uses them."""

    def __init__(self, c):
        self.write = Signal(name="host_write")
        self.read = Signal(name="host_read")
        self.free = Signal(name="host_free")  # the read port's output may change
        self.word = Signal(c.address_bits, name="host_word")
        self.data = Signal(8, name="host_data")
        self.lane = Signal(c.word_bytes, name="host_lane")


def _response(there, crosses):
    return Mux(crosses, Response.SLVERR, Mux(there, Response.OKAY, Response.DECERR))


#: Config of each preset; the first is the default.
PRESETS = {
    "default": AxiRamConfig(),
    "odd": AxiRamConfig(data_bits=32, address_bits=20, depth=1300),
    "wide": AxiRamConfig(data_bits=512, depth=100, address_bits=64),
    "single": AxiRamConfig(data_bits=64, depth=1),
}
