# SPDX-License-Identifier: Apache-2.0
"""Row writer (SIMPICKER V-A): finished rows of A, packed into words of a bus, each with the command that writes it.

::

    i_place --> addresses of rows (memory) ----------+
                                                     v
    i --> words of ``elements`` --> queue (memory) --+--> rows that are whole --> o_command
                                       |
                                       +--> o_data

A command is given only when all words of its row are in the queue, so a bus that has taken one is never kept waiting, not
even by what happens to the machine behind: ``drop`` forgets the row that has not come whole, and no other.

2.3 kGE beside the memories, of which 1.0 are commands that wait; 16 addresses are 5.0 kGE in flip-flops.

Rejected:

* The command with a row's first word: AW would be held for as long as the machine takes for the row, and an error or a
  reset in between would leave a burst that nobody finishes.
* Addresses computed from the row here: rows of A_c go to the places that the index table says.
* ``amaranth.lib.fifo`` for the words: its memory has no boundary for a macro, and it could not forget half of a row.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore import layouts


@dataclass(frozen=True)
class RowWriterConfig:
    lanes: int = field(default=4, metadata={"doc": "results in a word of i"})
    elements: int = field(default=8, metadata={"doc": "B, FP16 numbers in a word of o_data: a multiple of lanes"})
    rows: int = field(default=16, metadata={"doc": "row ids of the machine, whose addresses are kept"})
    max_channels: int = field(default=128, metadata={"doc": "channels of the widest row, d"})
    queue_rows: int = field(default=2, metadata={"doc": "widest rows that fit the queue, at least 2; and commands"})
    address_bits: int = field(default=32, metadata={"doc": "bits of an address in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "bits of a command's length, in elements"})

    def __post_init__(self):
        for name, least in (
            ("lanes", 1),
            ("elements", 1),
            ("rows", 1),
            ("max_channels", 1),
            ("queue_rows", 2),
            ("address_bits", 1),
            ("length_bits", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)!r}")
        if self.elements % self.lanes:
            raise ValueError(f"elements must be a multiple of lanes, {self.lanes}; {self.elements} is not")
        if self.length_bits < self.channel_bits:
            raise ValueError(
                f"length_bits must be at least {self.channel_bits}, as max_channels is {self.max_channels}, "
                f"not {self.length_bits}"
            )

    @property
    def channel_bits(self):
        return ceil_log2(self.max_channels + 1)

    @property
    def words(self):
        """Words of the widest row on ``o_data``."""
        return -(-self.max_channels // self.elements)

    @property
    def depth(self):
        """Words of the queue: a power of two, so that its pointers wrap of themselves."""
        return 1 << ceil_log2(max(2, self.queue_rows * self.words))

    @property
    def row_bits(self):
        return max(1, ceil_log2(self.rows))

    @property
    def kept_rows(self):
        """Rows that an id can name; there is a place for the address of each."""
        return 1 << self.row_bits

    @property
    def i_layout(self):
        """A word of results, as ``hw.softmax.tile_merge_unit`` gives it."""
        return data.StructLayout(
            {
                "results": data.ArrayLayout(FP16.layout, self.lanes),
                "count": ceil_log2(self.lanes + 1),
                "last": 1,
                "row": self.row_bits,
            }
        )

    @property
    def place_layout(self):
        return data.StructLayout({"row": self.row_bits, "address": self.address_bits})

    @property
    def command_layout(self):
        return layouts.command_layout(self.address_bits, self.length_bits)

    @property
    def data_layout(self):
        return layouts.word_layout(self.elements)


class RowWriter(wiring.Component):
    """Of each row of results the words of ``elements`` channels, and the command that writes them to the row's address.

    Words of a row come one behind the other, as the tile merge unit sends them: ``lanes`` results each, ``last`` with the
    last. They leave with the first channel lowest; behind the row's last word of ``i`` its last word on ``o_data`` is +0.
    Rows leave in the order in which they came, commands and packets alike.

    The address of a row is the one that ``i_place`` gave last for its id; it must have been taken in a cycle before that
    of the row's last word, and serves until another is given.

    Parameters
    ----------
    config : RowWriterConfig

    Members
    -------
    i_place : In(stream of ``row``, ``address``), taken always but while ``drop``
    channels : In, of a row: the length of its command; stable while rows come
    i : In(stream of ``results``: lanes x FP16, ``count``, ``last``, ``row``), as ``TileMergeUnit.o``
    drop : In(1), what has come of a row that is not whole is forgotten, and nothing is taken; whole rows go on leaving
    o_command : Out(stream of ``address``, ``length``), as ``AxiWriter.i_command``
    o_data : Out(stream of ``data``, ``last``), as ``AxiWriter.i_data``
    pending : Out(1), a whole row has not yet left altogether, command or words
    wrong_length : Out(1), a row had another number of results than ``channels``, or more words than ``max_channels`` have,
        and those were dropped; until ``drop`` or reset

    A reset forgets whole rows too, of which a command may have been taken; where the master behind lives on, ``drop`` is
    for resets of the machine, and the unit's own reset that of the master.

    Latency: 3 cycles from a row's last word to its first word on ``o_data``, 2 to its command, with an empty queue.
    Initiation interval: 1 cycle a word of ``i``, in rows of one word 3 cycles for two where ``queue_rows`` is 2; a word of
    ``o_data`` is made of elements / lanes of them, fewer at a row's end. Backpressure: yes; ``i`` waits where the queue is
    full or ``queue_rows`` commands wait, and ``i.ready`` does not depend on the outputs within a cycle.
    Errors: as above; never a hang: a row without an end is cut at ``words`` words.
    Memory: ``depth`` words of elements x 16 + 1 bits, ``kept_rows`` addresses.
    Golden: ``golden.simcore.chip.row_writer.row_writer``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_place": In(stream.Signature(config.place_layout)),
                "channels": In(config.channel_bits),
                "i": In(stream.Signature(config.i_layout)),
                "drop": In(1),
                "o_command": Out(stream.Signature(config.command_layout)),
                "o_data": Out(stream.Signature(config.data_layout)),
                "pending": Out(1),
                "wrong_length": Out(1),
            }
        )

    @property
    def latency(self):
        """From a row's last word on ``i`` to its first on ``o_data``."""
        return 3

    @property
    def initiation_interval(self):
        """Cycles a word of ``i``."""
        return 1

    def elaborate(self, platform):
        m = Module()
        c = self.config
        places = Sram(config=SramConfig(depth=c.kept_rows, width=c.address_bits))
        words = Sram(config=SramConfig(depth=c.depth, width=c.elements * 16 + 1))
        m.submodules.places = emit_once(places)
        m.submodules.words = emit_once(words)
        m.submodules.commands = commands = SyncFIFO(width=c.command_layout.size, depth=c.queue_rows)
        # Words that have a place in the queue, words of whole rows, and words read, since reset.
        begun = Signal(range(2 * c.depth))
        whole = Signal(range(2 * c.depth))
        read = Signal(range(2 * c.depth))
        packed = self._pack(m, (begun - read)[: len(begun)] != c.depth, commands)
        with m.If(packed.ended):
            m.d.sync += whole.eq(begun)
        with m.If(self.drop & ~packed.ended):
            m.d.sync += begun.eq(whole)
        with m.Elif(packed.completes):
            m.d.sync += begun.eq(begun + 1)
        shown = self._read(m, words, whole, read)
        self._write(m, words, begun, packed)
        self._command(m, places, commands, packed)
        m.d.comb += self.pending.eq(packed.ended | commands.r_rdy | (whole != read) | shown)
        return m

    def _pack(self, m, room, commands):
        """Words of ``i`` into one of ``elements``: ``filled`` a cycle after its last, ``ended`` where its row is too."""
        c, i = self.config, self.i.payload
        slots = c.elements // c.lanes
        slot = Signal(range(slots))
        index = Signal(range(c.words))
        before = Signal(range(c.words * c.elements + 1))  # results of the row's words before
        cut = Signal()  # the row was cut: what else comes of it is dropped
        taken = Signal()
        full = Signal()
        completes = Signal()
        ends = Signal()
        filled = Signal()
        ended = Signal()
        total = Signal(range(c.words * c.elements + 1))
        word = Signal(c.elements * 16, reset_less=True, name="packed_word")
        m.d.comb += [
            self.i.ready.eq(~self.drop & (cut | (room & (commands.w_level + ended < c.queue_rows)))),
            taken.eq(self.i.valid & self.i.ready & ~cut),
            full.eq(slot == slots - 1),
            ends.eq(i.last | (full & (index == c.words - 1))),
            completes.eq(taken & (full | ends)),
            total.eq(before + Mux(i.last & (i.count < c.lanes), i.count, c.lanes)),
        ]
        m.d.sync += [filled.eq(completes), ended.eq(taken & ends)]
        with m.If(self.drop):
            m.d.sync += [slot.eq(0), index.eq(0), before.eq(0), cut.eq(0)]
        with m.Elif(taken):
            m.d.sync += [
                slot.eq(Mux(full | ends, 0, slot + 1)),
                index.eq(Mux(ends, 0, index + full)),
                before.eq(Mux(ends, 0, before + c.lanes)),
                cut.eq(ends & ~i.last),
            ]
            for k in range(slots):
                part = word.word_select(k, c.lanes * 16)
                with m.If(slot == k):
                    m.d.sync += part.eq(i.results)
                with m.Elif(slot == 0):
                    m.d.sync += part.eq(0)
        with m.Elif(self.i.valid & self.i.ready & i.last):
            m.d.sync += cut.eq(0)
        with m.If(self.drop):
            m.d.sync += self.wrong_length.eq(0)
        with m.Elif(taken & ends & (~i.last | (total != self.channels))):
            m.d.sync += self.wrong_length.eq(1)
        return SimpleNamespace(taken=taken, completes=completes, filled=filled, ended=ended, word=word)

    def _write(self, m, words, begun, packed):
        m.d.comb += [
            words.w_en.eq(packed.filled),
            words.w_addr.eq(begun - 1),
            words.w_data.eq(Cat(packed.word, packed.ended)),
        ]

    def _read(self, m, words, whole, read):
        """Words of whole rows to ``o_data``; whether one is shown."""
        shown = Signal()
        step = Signal()
        m.d.comb += [
            step.eq((whole != read) & (~shown | self.o_data.ready)),
            words.r_en[0].eq(step),
            words.r_addr[0].eq(read),
            self.o_data.payload.eq(words.r_data[0]),
            self.o_data.valid.eq(shown),
        ]
        with m.If(step):
            m.d.sync += [read.eq(read + 1), shown.eq(1)]
        with m.Elif(self.o_data.ready):
            m.d.sync += shown.eq(0)
        return shown

    def _command(self, m, places, commands, packed):
        """Addresses of rows, read with a row's words, and the command of a row that has just become whole."""
        entry = Signal(self.config.command_layout, name="command_next")
        m.d.comb += [
            self.i_place.ready.eq(~self.drop),
            places.w_en.eq(self.i_place.valid & self.i_place.ready),
            places.w_addr.eq(self.i_place.payload.row),
            places.w_data.eq(self.i_place.payload.address),
            places.r_en[0].eq(packed.taken),
            places.r_addr[0].eq(self.i.payload.row),
            entry.address.eq(places.r_data[0]),
            entry.length.eq(self.channels),
            commands.w_en.eq(packed.ended),
            commands.w_data.eq(entry),
            self.o_command.payload.eq(commands.r_data),
            self.o_command.valid.eq(commands.r_rdy),
            commands.r_en.eq(self.o_command.ready),
        ]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": RowWriterConfig(),
    "odd": RowWriterConfig(lanes=3, elements=6, rows=5, max_channels=20, queue_rows=3, address_bits=33, length_bits=5),
    "single": RowWriterConfig(lanes=1, elements=1, rows=1, max_channels=2, address_bits=12, length_bits=2),
}
