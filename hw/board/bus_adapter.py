# SPDX-License-Identifier: Apache-2.0
"""A machine's registers and memory behind a stream of bytes: AXI4-Lite for the one, an on-chip memory's bytes for the other.

::

    i (bytes) --> address, length or data --+--> o_aw, o_w, i_b, o_ar, i_r    registers
    o (bytes) <-----------------------------+--> o_host, i_host               memory (``hw.axi.axi_ram``)
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.axi.axi_ram import HOST_ANSWER
from zoetrope.hw.axi.channels import B_LAYOUT, lite_r_layout, lite_w_layout
from zoetrope.hw.board.byte_adapter import BYTE
from zoetrope.hw.board.link import Status

_WORD_BITS = 32
_ADDRESS_BYTES, _LENGTH_BYTES = 4, 2


@dataclass(frozen=True)
class BusAdapterConfig:
    register_bits: int = field(default=12, metadata={"doc": "of an address of the registers, 3 to 32"})
    memory_bits: int = field(default=32, metadata={"doc": "of an address of the memory, 1 to 64"})

    def __post_init__(self):
        checks.between(self, 3, 32, "register_bits")
        checks.between(self, 1, 64, "memory_bits")

    @property
    def host_layout(self):
        return data.StructLayout({"address": self.memory_bits, "data": 8, "write": 1})


class BusAdapter(wiring.Component):
    """A request becomes accesses, one after the other, each given when the one before was answered.

    Bytes of a request are an address of 4 bytes, low byte first, and then what is written, or a length in bytes, 2 bytes,
    low byte first. Registers are words of 4 bytes. ``o_end`` comes when the last byte of the answer has left: ``OK``;
    ``MALFORMED`` for a request without whole address and length, with nothing to write or read, with bytes behind the
    length, or of registers with an address or a length that is no multiple of 4; ``REFUSED`` if the bus answered an error,
    or the address is beyond ``register_bits`` or ``memory_bits``. An error ends the request; what was written before it
    stays.

    Parameters
    ----------
    config : BusAdapterConfig

    Members
    -------
    kind : In(2), of the request, stable while it lasts: 0 writes registers, 1 reads them, 2 writes memory, 3 reads it
    i : In(stream of ``data``, ``last``), the bytes of a request, at least one; ``last`` with its last
    o : Out(stream of 8 bits), the bytes that were read
    o_end : Out(stream of ``Status``), after them
    o_aw, o_w, i_b, o_ar, i_r : AXI4-Lite, the channels as streams
    o_host : Out(stream of ``address``, ``data``, ``write``), a byte of the memory
    i_host : In(stream of ``data``, ``resp``), one for each

    An access takes three cycles and those of the bus; a byte on a serial line takes hundreds. Backpressure: yes.
    Golden: ``golden.board.bus_adapter.obey``.
    """

    def __init__(self, *, config):
        self.config = config
        address = data.StructLayout({"addr": config.register_bits})
        super().__init__(
            {
                "kind": In(2),
                "i": In(stream.Signature(BYTE)),
                "o": Out(stream.Signature(8)),
                "o_end": Out(stream.Signature(8)),
                "o_aw": Out(stream.Signature(address)),
                "o_w": Out(stream.Signature(lite_w_layout(_WORD_BITS))),
                "i_b": In(stream.Signature(B_LAYOUT)),
                "o_ar": Out(stream.Signature(address)),
                "i_r": In(stream.Signature(lite_r_layout(_WORD_BITS))),
                "o_host": Out(stream.Signature(config.host_layout)),
                "i_host": In(stream.Signature(HOST_ANSWER)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        reads, memory = self.kind[0], self.kind[1]
        r = _Request(c)
        m.d.comb += [
            r.beyond.eq(Mux(memory, r.address[c.memory_bits :], r.address[c.register_bits :]).any()),
            r.skew.eq(~memory & r.address[:2].any()),
            self.o_aw.payload.addr.eq(r.address),
            self.o_ar.payload.addr.eq(r.address),
            self.o_w.payload.data.eq(r.word),
            self.o_w.payload.strb.eq(0b1111),
            self.o_host.payload.address.eq(r.address),
            self.o_host.payload.data.eq(r.word[-8:]),
            self.o_host.payload.write.eq(~reads),
            self.o.payload.eq(r.word[:8]),
            self.o_end.payload.eq(r.status),
        ]
        with m.FSM(name="request"):
            self._ask(m, r, reads, memory)
            self._access(m, r, reads, memory)
            self._end(m, r, memory)
        return m

    def _ask(self, m, r, reads, memory):
        """What is asked: the address, and of a read its length."""
        byte = self.i.payload
        with m.State("ADDRESS"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += r.status.eq(Status.OK)
            with m.If(self.i.valid):
                m.d.sync += [
                    r.address.eq(Cat(r.address[8 : 8 * _ADDRESS_BYTES], byte.data)),
                    r.position.eq(r.position + 1),
                    r.ended.eq(byte.last),
                ]
                with m.If(byte.last):
                    r.fail(m, Status.MALFORMED)
                with m.Elif(r.position == _ADDRESS_BYTES - 1):
                    m.next = "CHECK"
        with m.State("CHECK"):
            m.next = "DATA"
            with m.If(reads):
                m.next = "LENGTH"
            with m.If(r.skew):
                r.fail(m, Status.MALFORMED)
        with m.State("LENGTH"):
            m.d.comb += self.i.ready.eq(1)
            whole = Signal(16, name="length_next")
            m.d.comb += whole.eq(Cat(r.length[8:], byte.data))
            with m.If(self.i.valid):
                m.d.sync += [r.length.eq(whole), r.position.eq(r.position + 1), r.ended.eq(byte.last)]
                with m.If(r.position == _LENGTH_BYTES - 1):
                    m.d.sync += r.position.eq(0)
                    m.next = "ISSUE"
                    with m.If(~byte.last | (whole == 0) | (~memory & whole[:2].any())):
                        r.fail(m, Status.MALFORMED)
                with m.Elif(byte.last):
                    r.fail(m, Status.MALFORMED)

    def _access(self, m, r, reads, memory):
        """A word of a register, or a byte of memory: its data, the access, its answer."""
        byte = self.i.payload
        with m.State("DATA"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += [
                    r.word.eq(Cat(r.word[8:], byte.data)),
                    r.position.eq(r.position + 1),
                    r.ended.eq(byte.last),
                ]
                with m.If(memory | (r.position == 3)):
                    m.next = "ISSUE"
                with m.Elif(byte.last):
                    r.fail(m, Status.MALFORMED)
        with m.State("ISSUE"):
            with m.If(r.beyond):
                r.fail(m, Status.REFUSED)
            with m.Elif(memory):
                m.d.comb += self.o_host.valid.eq(1)
                with m.If(self.o_host.ready):
                    m.next = "HOST"
            with m.Elif(reads):
                m.d.comb += self.o_ar.valid.eq(1)
                with m.If(self.o_ar.ready):
                    m.next = "R"
            with m.Else():
                # A slave may wait for both: they are offered together.
                taken = Signal(2, name="write_taken")
                now = Signal(2, name="write_now")
                m.d.comb += [
                    Cat(self.o_aw.valid, self.o_w.valid).eq(~taken),
                    now.eq(taken | Cat(self.o_aw.ready, self.o_w.ready)),
                ]
                m.d.sync += taken.eq(now)
                with m.If(now.all()):
                    m.d.sync += taken.eq(0)
                    m.next = "B"
        for name, answer in (("B", self.i_b), ("R", self.i_r), ("HOST", self.i_host)):
            with m.State(name):
                m.d.comb += answer.ready.eq(1)
                if name != "B":
                    m.d.sync += r.word.eq(answer.payload.data)
                with m.If(answer.valid):
                    m.d.sync += r.address.eq(r.address + Mux(memory, 1, 4))
                    m.next = "DATA"
                    with m.If(Value.cast(answer.payload.resp)[1]):
                        r.fail(m, Status.REFUSED)
                    with m.Elif(reads):
                        m.next = "SEND"
                    with m.Elif(r.ended):
                        m.next = "END"

    def _end(self, m, r, memory):
        """What was read leaves; of a wrong request the rest is dropped; then the status."""
        with m.State("SEND"):
            m.d.comb += self.o.valid.eq(1)
            with m.If(self.o.ready):
                m.d.sync += [r.word.eq(r.word >> 8), r.length.eq(r.length - 1), r.position.eq(r.position + 1)]
                with m.If(r.length == 1):
                    m.next = "END"
                with m.Elif(memory | (r.position == 3)):
                    m.next = "ISSUE"
        with m.State("DROP"):
            m.d.comb += self.i.ready.eq(~r.ended)
            with m.If(r.ended):
                m.next = "END"
            with m.Elif(self.i.valid):
                m.d.sync += r.ended.eq(self.i.payload.last)
        with m.State("END"):
            m.d.comb += self.o_end.valid.eq(1)
            m.d.sync += r.position.eq(0)
            with m.If(self.o_end.ready):
                m.next = "ADDRESS"


class _Request:
    """The request in work."""

    def __init__(self, config):
        self.address = Signal(max(8 * _ADDRESS_BYTES, config.memory_bits) + 1, reset_less=True)
        self.word = Signal(_WORD_BITS, reset_less=True)
        self.length = Signal(16, reset_less=True)  # bytes still to be read
        self.position = Signal(2)  # of a byte in its word
        self.ended = Signal()  # the last byte of the request was taken
        self.status = Signal(8)
        self.beyond = Signal()
        self.skew = Signal()

    def fail(self, m, reason):
        """The request ends, for ``reason``, when its bytes are over."""
        m.d.sync += self.status.eq(reason)
        m.next = "DROP"


#: Config of each preset; the first is the default.
PRESETS = {"default": BusAdapterConfig(), "narrow": BusAdapterConfig(register_bits=5, memory_bits=9)}
