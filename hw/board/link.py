# SPDX-License-Identifier: Apache-2.0
"""A framed command protocol between streams of bytes: a request comes whole and right or not at all, and is answered.

::

    i_rx --> sync, header, payload --> request buffer --o_command, o_payload--> what obeys commands
               |                                                                     |
               +------------- CRC-16 -------------+                                  |
                                                  |                                  |
    o_tx <-- sync, header, payload, CRC <-- answer buffer <--i_answer, i_done--------+
"""

from dataclasses import dataclass, field
from enum import IntEnum

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined

SYNC = (0x5A, 0xA5)

#: Added to the status in the code of an answer.
ANSWER = 0x80

#: The command that is obeyed whatever its tag.
HELLO = 0


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    CHECKSUM = 1
    TIMEOUT = 2
    LENGTH = 3
    BUSY = 4
    UNKNOWN = 5
    MALFORMED = 6
    OVERFLOW = 7
    REFUSED = 8


COMMAND = data.StructLayout({"code": 8, "length": 16})


@dataclass(frozen=True)
class LinkConfig:
    max_payload: int = field(default=2048, metadata={"doc": "bytes of a request's payload, at most"})
    max_answer: int = field(default=2048, metadata={"doc": "bytes of an answer's payload, at most"})
    timeout: int = field(
        default=10_000, metadata={"doc": "cycles without a byte after which a frame that has begun is given up"}
    )

    def __post_init__(self):
        checks.between(self, 1, 65535, "max_payload", "max_answer")
        checks.at_least(self, 1, "timeout")


class Link(FullyPipelined):
    """Requests in, one at a time, each obeyed once and answered. The frames are those of ``golden.board.link``.

    A frame may begin anywhere: bytes before its sync are passed over. Once begun it ends in one of four ways: whole and
    with the right CRC; with a wrong one; too long for the buffer; or ``timeout`` cycles without a byte. All but the first
    are answered with their status, when the line has been quiet for ``timeout`` cycles: what is left of a damaged frame is
    then past, and the next one is not taken for it. No sequence of bytes stops the link for longer than it lasts.

    A request that has the tag of the last one that was obeyed is that one again, its answer lost: the answer is sent again,
    the command not given again. So a sender may repeat a command that is not to be done twice. Command ``HELLO`` is always
    given. One that did not end ``OK`` counts as not obeyed.

    Bytes that come while a command is obeyed or an answer sent are passed over. What obeys takes the whole payload, and
    then ends with ``i_done``.

    Rejected: acting on bytes as they come, without a request buffer: a memory less, and a command is half done when its CRC
    turns out to be wrong; escape bytes in place of a length: a false sync cannot occur, and every payload is longer by 1 %
    and the adapter to it by a state for each side.

    Parameters
    ----------
    config : LinkConfig

    Members
    -------
    i_rx : In(stream of 8 bits), bytes from the line; always ready
    o_tx : Out(stream of 8 bits), bytes to it
    o_command : Out(stream of ``code``, ``length``), a request, before its payload
    o_payload : Out(stream of 8 bits), the ``length`` bytes of its payload
    i_answer : In(stream of 8 bits), payload of the answer; above ``max_answer`` bytes the rest is dropped: ``OVERFLOW``
    i_done : In(stream of 8 bits), the status, after the last byte of the answer

    Latency: 2 cycles from the last byte of a request to its command. Initiation interval: 1 cycle a byte of ``i_rx``; 2
    cycles a byte of ``o_payload`` and of an answer's payload. Backpressure: on all but ``i_rx``.
    Golden: ``golden.board.link.receive``, ``golden.board.link.encode``.
    """

    latency = 2

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_rx": In(stream.Signature(8)),
                "o_tx": Out(stream.Signature(8)),
                "o_command": Out(stream.Signature(COMMAND)),
                "o_payload": Out(stream.Signature(8)),
                "i_answer": In(stream.Signature(8)),
                "i_done": In(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        request = Sram(config=SramConfig(depth=c.max_payload, width=8))
        answer = Sram(config=SramConfig(depth=c.max_answer, width=8))
        m.submodules.request = emit_once(request)
        m.submodules.answer = emit_once(answer)
        m.submodules.crc = crc = CRC16_IBM_3740(data_width=8).create()
        f = _Frame(c)

        m.d.comb += f.silence.eq(f.quiet == c.timeout)
        with m.If(self.i_rx.valid):
            m.d.sync += f.quiet.eq(0)
        with m.Elif(~f.silence):
            m.d.sync += f.quiet.eq(f.quiet + 1)

        byte = self.i_rx.payload
        got = self.i_rx.valid
        m.d.comb += [
            self.i_rx.ready.eq(1),
            crc.data.eq(Mux(f.sending, self.o_tx.payload, byte)),
            crc.valid.eq(f.checked & Mux(f.sending, self.o_tx.valid & self.o_tx.ready, got)),
            request.w_addr.eq(f.position),
            request.w_data.eq(byte),
            request.r_addr[0].eq(f.position),
            answer.w_addr.eq(f.answered),
            answer.w_data.eq(self.i_answer.payload),
            answer.r_addr[0].eq(f.position),
            f.again.eq(f.obeyed & (f.last_tag == f.tag) & (f.code != HELLO)),
            self.o_command.payload.code.eq(f.code),
            self.o_command.payload.length.eq(f.length),
            self.o_payload.payload.eq(request.r_data[0]),
        ]
        with m.FSM(name="link"):
            self._receive(m, f, crc, request)
            self._obey(m, f, request, answer)
            self._answer(m, f, crc, answer)
        return m

    def _receive(self, m, f, crc, request):
        """Byte for byte to the request buffer, until the frame is right or given up."""
        byte, got = self.i_rx.payload, self.i_rx.valid
        with m.State("SYNC_0"):
            m.d.comb += crc.start.eq(1)
            m.d.sync += [f.tag.eq(0), f.code.eq(0), f.position.eq(0)]
            with m.If(got & (byte == SYNC[0])):
                m.next = "SYNC_1"
        with m.State("SYNC_1"):
            m.d.comb += crc.start.eq(1)
            with m.If(got & (byte == SYNC[1])):
                m.d.sync += f.quiet.eq(0)
                m.next = "TAG"
            with m.Elif(got & (byte != SYNC[0])):
                m.next = "SYNC_0"
        self._header(m, f, "TAG", "CODE", [f.tag.eq(byte)])
        self._header(m, f, "CODE", "LENGTH_0", [f.code.eq(byte)])
        self._header(m, f, "LENGTH_0", "LENGTH_1", [f.length[:8].eq(byte)])
        with m.State("LENGTH_1"):
            m.d.comb += f.checked.eq(1)
            whole = Signal(16)
            m.d.comb += whole.eq(Cat(f.length[:8], byte))
            with m.If(got):
                m.d.sync += f.length.eq(whole)
                with m.If(whole > self.config.max_payload):
                    m.d.sync += f.status.eq(Status.LENGTH)
                    m.next = "FLUSH"
                with m.Elif(whole == 0):
                    m.next = "CRC_0"
                with m.Else():
                    m.next = "PAYLOAD"
            self._give_up(m, f)
        with m.State("PAYLOAD"):
            m.d.comb += [f.checked.eq(1), request.w_en.eq(got)]
            with m.If(got):
                m.d.sync += f.position.eq(f.position + 1)
                with m.If(f.position + 1 == f.length):
                    m.next = "CRC_0"
            self._give_up(m, f)
        self._header(m, f, "CRC_0", "CRC_1", [])
        self._header(m, f, "CRC_1", "CHECK", [])
        with m.State("CHECK"):
            m.d.sync += f.position.eq(0)
            with m.If(~crc.match_detected):
                m.d.sync += f.status.eq(Status.CHECKSUM)
                m.next = "FLUSH"
            with m.Elif(f.again):
                m.d.sync += f.status.eq(Status.OK)
                m.next = "SEND"
            with m.Else():
                m.d.sync += [f.obeyed.eq(0), f.answered.eq(0), f.overflow.eq(0)]
                m.next = "COMMAND"
        with m.State("FLUSH"):
            # Its answer has no payload, and that of the last request is kept.
            with m.If(f.silence):
                m.next = "SEND"

    def _header(self, m, f, state, then, statements):
        """A byte of the frame's header; silence in its place ends the frame."""
        with m.State(state):
            m.d.comb += f.checked.eq(1)
            with m.If(self.i_rx.valid):
                m.d.sync += statements
                m.next = then
            self._give_up(m, f)

    def _give_up(self, m, f):
        with m.If(f.silence & ~self.i_rx.valid):
            m.d.sync += f.status.eq(Status.TIMEOUT)
            m.next = "FLUSH"

    def _obey(self, m, f, request, answer):
        """The command, its payload, and its answer to the answer buffer."""
        with m.State("COMMAND"):
            m.d.comb += self.o_command.valid.eq(1)
            with m.If(self.o_command.ready):
                m.next = "READ"
        with m.State("READ"):
            m.d.comb += request.r_en[0].eq(1)
            self._collect(m, f, answer)
            m.next = "OBEY"
        with m.State("OBEY"):
            self._collect(m, f, answer)
            m.d.comb += [self.o_payload.valid.eq(f.position != f.length), self.i_done.ready.eq(~self.i_answer.valid)]
            with m.If(self.o_payload.valid & self.o_payload.ready):
                m.d.sync += f.position.eq(f.position + 1)
                m.next = "READ"
            with m.If(self.i_done.valid & self.i_done.ready):
                m.d.sync += [
                    f.status.eq(Mux(f.overflow, Status.OVERFLOW, self.i_done.payload)),
                    f.obeyed.eq(~f.overflow & (self.i_done.payload == Status.OK)),
                    f.last_tag.eq(f.tag),
                ]
                m.next = "SEND"

    def _answer(self, m, f, crc, answer):
        """Header, payload and CRC of the answer."""
        with m.State("SEND"):
            m.d.comb += crc.start.eq(1)
            m.d.sync += [f.position.eq(0), f.length.eq(Mux(f.status == Status.OK, f.answered, 0))]
            m.next = "HEADER"
        with m.State("HEADER"):
            head = (*(Const(b, 8) for b in SYNC), f.tag, Cat(f.status[:7], Const(1, 1)), f.length[:8], f.length[8:])
            m.d.comb += [
                f.sending.eq(1),
                f.checked.eq(f.position >= len(SYNC)),
                self.o_tx.valid.eq(1),
                self.o_tx.payload.eq(Cat(head).word_select(f.position[:3], 8)),
            ]
            with m.If(self.o_tx.ready):
                m.d.sync += f.position.eq(f.position + 1)
                with m.If(f.position == len(head) - 1):
                    m.d.sync += f.position.eq(0)
                    m.next = "FETCH"
        with m.State("FETCH"):
            m.d.comb += answer.r_en[0].eq(1)
            m.next = "BODY"
            with m.If(f.position == f.length):
                m.next = "TAIL_0"
        with m.State("BODY"):
            m.d.comb += [
                f.sending.eq(1),
                f.checked.eq(1),
                self.o_tx.valid.eq(1),
                self.o_tx.payload.eq(answer.r_data[0]),
            ]
            with m.If(self.o_tx.ready):
                m.d.sync += f.position.eq(f.position + 1)
                m.next = "FETCH"
        for k, then in ((0, "TAIL_1"), (1, "SYNC_0")):
            with m.State(f"TAIL_{k}"):
                m.d.comb += [self.o_tx.valid.eq(1), self.o_tx.payload.eq(crc.crc.word_select(1 - k, 8))]
                with m.If(self.o_tx.ready):
                    m.next = then

    def _collect(self, m, f, answer):
        """Take a byte of the answer; in ``READ`` too, so that a command may answer while it takes its payload."""
        m.d.comb += self.i_answer.ready.eq(1)
        with m.If(self.i_answer.valid):
            with m.If(f.answered == self.config.max_answer):
                m.d.sync += f.overflow.eq(1)
            with m.Else():
                m.d.comb += answer.w_en.eq(1)
                m.d.sync += f.answered.eq(f.answered + 1)


class _Frame:
    """The frame in work: its header, how far it is, and what the next one has to know of it."""

    def __init__(self, config):
        self.tag = Signal(8)
        self.code = Signal(8)
        self.length = Signal(16)
        self.position = Signal(16)  # in its payload, or in the header that is sent
        self.status = Signal(8)
        self.answered = Signal(16)  # bytes in the answer buffer
        self.overflow = Signal()
        self.obeyed = Signal()  # the answer buffer has the answer to ``last_tag``
        self.last_tag = Signal(8)
        self.again = Signal()  # it is the request that was obeyed last
        self.quiet = Signal(range(config.timeout + 1))  # cycles without a byte
        self.silence = Signal()
        self.sending = Signal()  # the CRC is that of the answer
        self.checked = Signal()  # it includes this byte


#: Config of each preset; the first is the default.
PRESETS = {
    "default": LinkConfig(timeout=400),
    "small": LinkConfig(max_payload=37, max_answer=16, timeout=150),
}
