# SPDX-License-Identifier: Apache-2.0
"""Any component with streams behind a stream of bytes: requests of whole records in, the words of its results out.

::

    i (bytes) --> word --> the input streams of the component, in the order of a record
    o (bytes) <-- word <-- its output stream
"""

from dataclasses import dataclass, field

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once

BYTE = data.StructLayout({"data": 8, "last": 1})


@dataclass(frozen=True)
class ByteAdapterConfig:
    component: type = field(metadata={"doc": "class of the component"})
    config: object = field(metadata={"doc": "its config"})
    record: tuple = field(metadata={"doc": "(input stream, words) in the order in which a record has them"})
    output: str = field(default="o", metadata={"doc": "its output stream"})
    results: int = field(
        default=1, metadata={"doc": "words of the output that a record, or the last one of a sum, gives"}
    )
    closing: str | None = field(
        default=None,
        metadata={"doc": "the input stream whose `last` ends a sum; None where every record gives results"},
    )

    def __post_init__(self):
        names = self._built().signature.members
        for name in (*(name for name, _ in self.record), self.output, *filter(None, [self.closing])):
            if name not in names:
                raise ValueError(f"{self.component.__name__} has no stream {name!r}")

    def _built(self):
        return self.component(config=self.config)

    def _bytes(self, name):
        return (len(Value.cast(getattr(self._built(), name).payload)) + 7) // 8

    @property
    def word_bytes(self):
        """Bytes of a word of each input stream of ``record``; its unused bits are at the top of the last byte."""
        return tuple(self._bytes(name) for name, _ in self.record)

    @property
    def record_bytes(self):
        return sum(size * words for size, (_, words) in zip(self.word_bytes, self.record))

    @property
    def result_bytes(self):
        """Bytes of a word of the output."""
        return self._bytes(self.output)


class ByteAdapter(wiring.Component):
    """Words are packed little-endian; the first byte of a record is the least of the first word of its first stream.

    A request that ends within a record is filled up with zeros: the component is left between records, and ``o_end`` says
    so. It comes when the last result of a request has left.

    Parameters
    ----------
    config : ByteAdapterConfig

    Members
    -------
    i : In(stream of ``data``, ``last``), the bytes of a request, at least one; ``last`` with its last
    o : Out(stream of 8 bits), the bytes of its results
    o_end : Out(stream of 1 bit), after them: the request was no whole number of records
    available : Out(1), the component can be used: its ``filled``, if it has one

    Initiation interval: 1 cycle a byte, and one more a word. Backpressure: yes. The component's own is respected.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "o": Out(stream.Signature(8)),
                "o_end": Out(stream.Signature(1)),
                "available": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        unit = c.component(config=c.config)
        m.submodules.unit = emit_once(unit)
        m.d.comb += self.available.eq(unit.filled if "filled" in unit.signature.members else 1)

        # Results that are still to come, in words.
        owed = Signal(16)
        owes = Signal()
        paid = Signal()
        m.d.sync += owed.eq(owed + Mux(owes, c.results, 0) - paid)
        self._words_in(m, unit, owed, owes)
        self._words_out(m, unit, paid)
        return m

    def _words_in(self, m, unit, owed, owes):
        c = self.config
        word = Signal(8 * max(c.word_bytes), reset_less=True)
        position = Signal(range(max(c.word_bytes)))
        count = Signal(range(max(words for _, words in c.record)))
        turn = Signal(range(max(2, len(c.record))))
        ended = Signal()
        short = Signal()
        word_full = Signal()
        taken = Signal()
        final = Signal()  # word of its stream in the record
        with m.Switch(turn):
            for k, (name, words) in enumerate(c.record):
                port = getattr(unit, name)
                with m.Case(k):
                    m.d.comb += [
                        word_full.eq(position == c.word_bytes[k] - 1),
                        final.eq(count == words - 1),
                        taken.eq(port.ready),
                    ]
                m.d.comb += Value.cast(port.payload).eq(word)
        closes = getattr(unit, c.closing).payload.last if c.closing else Const(1)
        closing_turn = [name for name, _ in c.record].index(c.closing) if c.closing else 0

        with m.FSM(name="request"):
            with m.State("BYTES"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    with m.If(position == 0):
                        m.d.sync += word.eq(self.i.payload.data)
                    with m.Else():
                        m.d.sync += word.word_select(position, 8).eq(self.i.payload.data)
                    m.d.sync += [position.eq(position + 1), ended.eq(self.i.payload.last)]
                    with m.If(word_full | self.i.payload.last):
                        m.d.sync += [position.eq(0), short.eq(~word_full)]
                        m.next = "WORD"
            with m.State("WORD"):
                for k, (name, _) in enumerate(c.record):
                    m.d.comb += getattr(unit, name).valid.eq(turn == k)
                m.d.comb += owes.eq(taken & (turn == closing_turn) & (count == 0) & closes)
                with m.If(taken):
                    m.d.sync += count.eq(Mux(final, 0, count + 1))
                    with m.If(final):
                        m.d.sync += turn.eq(Mux(turn == len(c.record) - 1, 0, turn + 1))
                    with m.If(~ended):
                        m.next = "BYTES"
                    with m.Elif(final & (turn == len(c.record) - 1)):
                        m.next = "RESULTS"
                    with m.Else():
                        m.d.sync += [word.eq(0), short.eq(1)]
            with m.State("RESULTS"):
                with m.If(owed == 0):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o_end.valid.eq(1), self.o_end.payload.eq(short)]
                with m.If(self.o_end.ready):
                    m.d.sync += [short.eq(0), ended.eq(0)]
                    m.next = "BYTES"

    def _words_out(self, m, unit, paid):
        size = self.config.result_bytes
        output = getattr(unit, self.config.output)
        held = Signal(8 * size, reset_less=True)
        left = Signal(range(size + 1))
        m.d.comb += [
            output.ready.eq(left == 0),
            self.o.valid.eq(left != 0),
            self.o.payload.eq(held[:8]),
            paid.eq(self.o.ready & (left == 1)),
        ]
        with m.If(left == 0):
            m.d.sync += held.eq(Value.cast(output.payload))
            with m.If(output.valid):
                m.d.sync += left.eq(size)
        with m.Elif(self.o.ready):
            m.d.sync += [held.eq(held >> 8), left.eq(left - 1)]
