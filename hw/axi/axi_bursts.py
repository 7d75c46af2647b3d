# SPDX-License-Identifier: Apache-2.0
"""Commands to AXI4 bursts: an address and a length become INCR bursts that end where their multiples do.

::

    i {address, length} --> | word address, words left | --> o {address, beats - 1, last, ...}, one a cycle

Every burst but the last ends at a multiple of the longest burst, which divides 4 KiB: so none crosses 4 KiB, and there is
nothing to compare with. What ``len`` is follows from the low bits of the address, inverted.

Rejected: the longest burst from wherever the command starts, cut at 4 KiB. One burst less in a command that is not
aligned, for a second comparison; and a memory controller cuts bursts that straddle its own lines once more.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks
from zoetrope.hw.axi.channels import BOUNDARY, LONGEST_BURST, Cause
from zoetrope.hw.stream import FullyPipelined

DATA_BITS = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class AxiConfig:
    data_bits: int = field(default=128, metadata={"doc": "of the bus, and of a word: 32, 64, 128, 256 or 512"})
    address_bits: int = field(default=32, metadata={"doc": "of the bus; addresses are of bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})
    granularity: int = field(default=2, metadata={"doc": "bytes of an element: a power of two, at most a word"})
    burst: int = field(default=16, metadata={"doc": "words of the longest burst: a power of two, up to 256 and 4 KiB"})
    outstanding: int = field(default=4, metadata={"doc": "bursts begun and not yet ended; at least 2"})

    def __post_init__(self):
        checks.one_of(self, DATA_BITS, "data_bits")
        checks.power_of_two(self, "granularity", most=self.word_bytes)
        checks.power_of_two(self, "burst", most=min(LONGEST_BURST, BOUNDARY // self.word_bytes))
        checks.between(self, 16, 64, "address_bits")
        checks.between(self, 1, 32, "length_bits")
        checks.at_least(self, 2, "outstanding")

    @property
    def word_bytes(self):
        return self.data_bits // 8

    @property
    def elements(self):
        """Of a word."""
        return self.word_bytes // self.granularity

    @property
    def element_bits(self):
        return exact_log2(self.elements)

    @property
    def burst_bits(self):
        return exact_log2(self.burst)

    @property
    def word_index_bits(self):
        """Of an address in words."""
        return self.address_bits - exact_log2(self.word_bytes)

    @property
    def commands(self):
        """Taken and not yet answered, at most: one for each burst, and one that waits to become bursts."""
        return self.outstanding + 1

    @property
    def command_layout(self):
        """``address`` of the first byte, ``length`` in elements."""
        return data.StructLayout({"address": self.address_bits, "length": self.length_bits})

    @property
    def data_layout(self):
        """A word of a command's data, the first byte lowest, and whether it is the ``last``."""
        return data.StructLayout({"data": self.data_bits, "last": 1})

    @property
    def burst_layout(self):
        """``tail``: elements of the last word of the ``last`` burst, 0 for all. A refused command has a ``cause``."""
        return data.StructLayout({"address": self.address_bits, **self._place_fields})

    @property
    def place_layout(self):
        """What is kept of a burst that was begun: all but its address."""
        return data.StructLayout(self._place_fields)

    @property
    def _place_fields(self):
        return {"len": max(1, self.burst_bits), "last": 1, "tail": max(1, self.element_bits), "cause": Cause}


class AxiBursts(FullyPipelined):
    """Splits each command into bursts of at most ``burst`` words, in order of address.

    A command is refused, and comes out as one ``last`` burst with a ``cause``, if its length is zero (``LENGTH``), its
    address no multiple of a word (``ALIGNMENT``), or its end beyond the address space (``RANGE``); of several causes the
    first is given.

    Parameters
    ----------
    config : AxiConfig

    Members
    -------
    i : In(stream of ``address``, in bytes, and ``length``, in elements)
    o : Out(stream of ``address``, ``len``: beats - 1, ``last``, ``tail``: elements of the last word or 0 for all,
        ``cause``)

    Latency: 1 cycle. Initiation interval: 1 cycle a burst; commands follow each other without a gap. Backpressure: yes.
    Golden: ``golden.axi.axi_bursts.bursts``.
    """

    latency = 1

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.command_layout)),
                "o": Out(stream.Signature(config.burst_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        word_bits = c.address_bits - c.word_index_bits

        # What a command becomes: its words - 1, its end, and whether it is refused.
        length = self.i.payload.length
        beyond = Signal(c.length_bits, name="i_beyond")  # elements behind the first
        extra = Signal(max(1, c.length_bits - c.element_bits), name="i_extra")  # words behind the first
        end = Signal(max(c.word_index_bits, len(extra)) + 1, name="i_end")
        cause = Signal(Cause, name="i_cause")
        first = Signal(c.word_index_bits, name="i_first")
        m.d.comb += [
            beyond.eq(length - 1),
            extra.eq(beyond >> c.element_bits),
            first.eq(self.i.payload.address[word_bits:]),
            end.eq(first + extra),
        ]
        with m.If(~length.any()):
            m.d.comb += cause.eq(Cause.LENGTH)
        with m.Elif(self.i.payload.address[:word_bits].any()):
            m.d.comb += cause.eq(Cause.ALIGNMENT)
        with m.Elif(end[c.word_index_bits :].any()):
            m.d.comb += cause.eq(Cause.RANGE)

        # s1: the next burst of the command that is being split.
        s1_valid = Signal()
        s1_word = Signal(c.word_index_bits, reset_less=True)
        s1_extra = Signal(len(extra), reset_less=True)
        s1_tail = Signal(max(1, c.element_bits), reset_less=True)
        s1_cause = Signal(Cause, reset_less=True)
        room = Signal(max(1, c.burst_bits), name="room")  # words behind this one before the next multiple
        last = Signal()
        beats = Signal(max(1, c.burst_bits))
        m.d.comb += [
            room.eq(~s1_word[: c.burst_bits] if c.burst_bits else 0),
            last.eq((s1_cause != Cause.OKAY) | (s1_extra <= room)),
            beats.eq(Mux(last, s1_extra, room)),
            self.o.valid.eq(s1_valid),
            self.o.payload.address.eq(Cat(Const(0, word_bits), s1_word)),
            self.o.payload.len.eq(beats),
            self.o.payload.last.eq(last),
            self.o.payload.tail.eq(s1_tail),
            self.o.payload.cause.eq(s1_cause),
            self.i.ready.eq(~s1_valid | (self.o.ready & last)),
        ]
        with m.If(self.i.ready):
            m.d.sync += s1_valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += [
                    s1_word.eq(first),
                    s1_extra.eq(extra),
                    s1_tail.eq(length[: c.element_bits] if c.element_bits else 0),
                    s1_cause.eq(cause),
                ]
        with m.Elif(self.o.ready):
            m.d.sync += [
                s1_word.eq(Cat(Const(0, c.burst_bits), s1_word[c.burst_bits :] + 1)),
                s1_extra.eq(s1_extra - room - 1),
            ]
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": AxiConfig(),
    "narrow": AxiConfig(data_bits=32, granularity=4, burst=4, outstanding=3, address_bits=64, length_bits=16),
    "single": AxiConfig(data_bits=64, granularity=1, burst=1, outstanding=2),
    "wide": AxiConfig(data_bits=512, granularity=2, burst=64, outstanding=2),
}
