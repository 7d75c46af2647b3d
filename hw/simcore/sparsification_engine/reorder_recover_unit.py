# SPDX-License-Identifier: Apache-2.0
"""Reorder and recover unit (SIMPICKER IV-C): rows moved by an index table, one word a cycle.

::

    i_command --> mode, count, rows, words
                       |                               +-- sequence: 0, words, 2 words, ...
    i_table --> token = entry? --> rank of entry --> row x words --> fetch --> o_read ~~memory~~> i_data --+--> o_write
                       |              ^                                +--> rows in flight: target address -+
                       +--> rank memory (SRAM)

What compaction has to leave for recovery is the *rank* of every kept token, its row among the kept ones. The rank memory
holds, for each block of B tokens, which of them are kept (B bits) and how many are up to the end of the block; a rank is
that number less the kept tokens from the entry's on. For 35,100 tokens and B = 64 that is 5.4 KiB.

Rejected:

* The rank of every token in a memory of its own (``rank_block`` = 1): 35,100 x 17 bits, 73 KiB or 160 kGE of SRAM at 32 nm,
  against 13 kGE, and 2.3 kGE for the shifter and the adder tree of a block of 64.
* Ranks written into the index buffer in place of its entries: no memory, but roots would have to come before the tokens
  that repeat them, and the table would be gone for a second use.
* Addresses from a multiplier on each side: one of the two addresses always runs through the rows in order, an adder.
* Removed entries skipped several a cycle: a gain only where more than ``words`` of them follow each other.
* Reads and writes through one memory port: half the rate, and a buffer of a row.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.logic import exceeds
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined, Pipeline, delayed, register


class Mode(enum.Enum, shape=2):
    """Which row goes where, for entry e of token t."""

    COMPACT = 0
    EXPAND = 1
    GATHER = 2
    SCATTER = 3


@dataclass(frozen=True)
class ReorderRecoverUnitConfig:
    max_rows: int = field(default=4096, metadata={"doc": "entries of the longest table, and rows it may point to"})
    max_words: int = field(default=16, metadata={"doc": "words of the longest row"})
    width: int = field(default=64, metadata={"doc": "bits of a word"})
    rank_block: int = field(default=32, metadata={"doc": "B, tokens a word of the rank memory; a power of two"})
    rows_in_flight: int = field(default=8, metadata={"doc": "rows that are read and not yet written"})

    def __post_init__(self):
        checks.at_least(self, 1, "max_rows", "max_words", "width", "rows_in_flight")
        checks.power_of_two(self, "rank_block")

    @property
    def index_bits(self):
        """Of an entry of the table."""
        return max(1, ceil_log2(self.max_rows))

    @property
    def address_bits(self):
        return max(1, ceil_log2(self.max_rows * self.max_words))

    @property
    def count_shape(self):
        """Of a number of rows."""
        return range(self.max_rows + 1)

    @property
    def rank_memory(self):
        """Words of B bits, token of the lowest index at the LSB, and the number kept up to the end of the block."""
        blocks = -(-self.max_rows // self.rank_block)
        return SramConfig(depth=blocks, width=self.rank_block + ceil_log2(self.max_rows + 1))

    @property
    def command_layout(self):
        return data.StructLayout(
            {"mode": Mode, "count": self.count_shape, "rows": self.count_shape, "words": range(self.max_words + 1)}
        )

    @property
    def read_layout(self):
        """``last`` of a row's words."""
        return data.StructLayout({"address": self.address_bits, "last": 1})

    @property
    def write_layout(self):
        return data.StructLayout({"address": self.address_bits, "last": 1, "data": self.width})

    @property
    def status_layout(self):
        return data.StructLayout({"rows": self.count_shape, "refused": 1, "index_error": 1, "root_error": 1})

    @property
    def flight_layout(self):
        """Of what is kept of a row until its words come: ``moves`` = 0 is a mark without a row."""
        return data.StructLayout({"address": self.address_bits, "zero": 1, "moves": 1, "last": 1})


class ReorderRecoverUnit(FullyPipelined):
    """Reads rows from one memory and writes them to another in the order that a table of row indices says.

    A command names a mode, the ``count`` of entries of the table, the number of ``rows`` that entries may point to, and the
    ``words`` of a row. The table follows on ``i_table``, entry e of token t = 0, 1, ...; row r is the words of addresses
    ``r * words`` to ``r * words + words - 1``, to which a memory adds a base of its own.

    =======  =======================================================  ======================================
    mode     moves                                                    an entry that is out of range
    =======  =======================================================  ======================================
    COMPACT  row t to row k, where e = t, the k-th such token         counts as removed
    EXPAND   row rank(e) to row t                                     row t is zero, without a read
    GATHER   row e to row t                                           row t is zero, without a read
    SCATTER  row t to row e                                           nothing
    =======  =======================================================  ======================================

    COMPACT makes Q_c of Q by an index table (own index: kept; else that of the kept token that is repeated) and keeps the
    ranks; EXPAND makes A of A_c by the same table and the ranks of the last COMPACT. A root may stand before or behind its
    token. GATHER and SCATTER by one permutation undo each other; layout transforms and the grouping of columns are
    permutations. Each writes every one of its target rows once, in the order of the table.

    ``o_status`` ends a command, after its last word has been written: ``rows`` that were written, and what was wrong.

    * ``index_error``: an entry out of range: not below ``count`` (COMPACT, EXPAND) or ``rows`` (GATHER, SCATTER).
    * ``root_error``: an entry of EXPAND points to a token that COMPACT did not keep; the row is zero.
    * ``refused``: ``count`` or ``rows`` above ``max_rows``, ``words`` 0 or above ``max_words``, EXPAND with another
      ``count`` than that of the last COMPACT. Nothing is taken from ``i_table``, nothing read or written.

    Nothing is read or written outside of the rows, whatever the table. That a SCATTER's table names no row twice is not
    checked: a memory of a bit a row, to be cleared before each command, would; the row that comes last stays.

    Published: 0.06 mm2 at 32 nm, 39 kGE, 2.69 mW, and that it traverses the index table, making source and destination
    addresses (SIMPICKER IV-C, Table II); not its width. Here 64 bits a cycle are 6.5 kGE. For 35,100 rows and 1,024 bits a
    cycle, a row of 64 FP16 numbers and all that the paper's 128 GB/s deliver, it is 16 kGE, half of it registers of data;
    the paper's 39 kGE are 4,096 bits a cycle.

    Parameters
    ----------
    config : ReorderRecoverUnitConfig

    Members
    -------
    i_command : In(stream of ``mode``, ``count``, ``rows``, ``words``), taken when the one before has ended
    i_table : In(stream of indices), ``count`` of them; once for COMPACT and again for EXPAND: of a ``TableReader`` on the
        index buffer, or as the sparsification unit finds them
    o_read : Out(stream of ``address``, ``last``), words of the source, ``last`` of each row marked
    i_data : In(stream of words), what was read, in order
    o_write : Out(stream of ``address``, ``last``, ``data``), words of the target
    o_status : Out(stream of ``rows``, ``refused``, ``index_error``, ``root_error``)

    Latency: 6 cycles from an entry to the first read of its row, 1 from ``i_data`` to ``o_write``. Initiation interval:
    1 cycle a word. Backpressure: yes.
    Cycles from command to status, with a memory that answers in m: 8 + m + ``count`` * ``words`` for EXPAND, GATHER and
    SCATTER by a right table; for COMPACT 8 + m + ``words`` + the sum over all rows but the first of max(``words``, entries
    since the row before), where the first and the last token are kept: a removed token costs nothing while the words of
    the row before are on their way, else a cycle. Both need ``rows_in_flight`` >= 1 + (m + 1) / ``words``.
    ``sim.model.sparsification_engine.reorder_cycles`` has the exact number for every table and memory.
    Memory: ``ceil(max_rows / B)`` words of B + log2(max_rows + 1) bits.
    Golden: ``golden.simcore.sparsification_engine.reorder_recover_unit.moves``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(config.command_layout)),
                "i_table": In(stream.Signature(config.index_bits)),
                "i_data": In(stream.Signature(config.width)),
                "o_read": Out(stream.Signature(config.read_layout)),
                "o_write": Out(stream.Signature(config.write_layout)),
                "o_status": Out(stream.Signature(config.status_layout)),
            }
        )

    @property
    def latency(self):
        """From an entry's transfer to the first read of its row."""
        return 6

    def elaborate(self, platform):
        m = Module()
        c = self.config
        m.submodules.flight = flight = SyncFIFO(width=c.flight_layout.size, depth=c.rows_in_flight)
        command = Signal(c.command_layout, reset_less=True)
        status = Signal(c.status_layout)
        running = Signal()
        finished = Signal()
        advance = Signal()
        started = self._control(m, command, status, running, finished)
        entry = self._take(m, command, started, advance)
        ranked = self._rank(m, command, started, advance, *entry)
        # What has ended has no entries left; with ``running`` it need not be known that its status stays.
        row = self._choose(m, command, status, running & advance, *ranked)
        self._fetch(m, command, advance, flight, *self._address(m, command, started, advance, *row))
        self._write(m, command, flight, finished)
        return m

    def _control(self, m, command, status, running, finished):
        """One command after the other, until the last word is ``finished``. Returns the strobe of one that has entries."""
        c = self.config
        asked = self.i_command.payload
        taken = Signal(name="command_taken")
        started = Signal()
        refused = Signal()
        ranked = Signal(c.count_shape)
        m.d.comb += [
            refused.eq(
                exceeds(asked.count, c.max_rows)
                | exceeds(asked.rows, c.max_rows)
                | exceeds(asked.words, c.max_words)
                | (asked.words == 0)
                | ((asked.mode == Mode.EXPAND) & (asked.count != ranked))
            ),
            taken.eq(self.i_command.valid & self.i_command.ready),
            started.eq(taken & ~refused & asked.count.any()),
            self.o_status.payload.eq(status),
        ]
        with m.FSM():
            with m.State("WAIT"):
                m.d.comb += self.i_command.ready.eq(1)
                with m.If(started):
                    m.next = "RUN"
                with m.Elif(taken):
                    m.next = "TELL"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                with m.If(finished):
                    m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += self.o_status.valid.eq(1)
                with m.If(self.o_status.ready):
                    m.next = "WAIT"
        with m.If(taken):
            m.d.sync += [command.eq(asked), status.eq(0), status.refused.eq(refused)]
            with m.If((asked.mode == Mode.COMPACT) & ~refused):
                m.d.sync += ranked.eq(asked.count)
        return started

    def _take(self, m, command, started, advance):
        """The entries of the table and their tokens. Returns ``Pipeline``, valid bits and the first stage."""
        c = self.config
        taking = Signal()
        taken = Signal(name="entry_taken")
        token = Signal(c.index_bits)
        following = Signal(c.count_shape)
        last = Signal(name="last_entry")
        m.d.comb += [
            following.eq(token + 1),
            last.eq(following == command.count),
            taken.eq(taking & self.i_table.valid),
            self.i_table.ready.eq(taking & advance),
        ]
        with m.If(started):
            m.d.sync += [taking.eq(1), token.eq(0)]
        with m.Elif(taken & advance):
            m.d.sync += [taking.eq(~last), token.eq(following)]
        pipe = Pipeline(m, advance, ("entry", "shift", "kept", "row"))
        valid = delayed(m, advance, taken, 4, "valid")
        return pipe, valid, pipe.cut("entry", entry=self.i_table.payload, token=token, last=last)

    def _rank(self, m, command, started, advance, pipe, valid, s):
        """Write the rank memory, or read it. Returns the third stage and the rank of its entry, if that was kept."""
        c = self.config
        sram = Sram(config=c.rank_memory)
        m.submodules.ranks = emit_once(sram)
        block_bits = c.rank_block.bit_length() - 1
        own = Signal()
        within = Signal()
        by_rank = Signal()
        m.d.comb += [
            by_rank.eq((command.mode == Mode.COMPACT) | (command.mode == Mode.EXPAND)),
            own.eq(s.entry == s.token),
            within.eq(s.entry < Mux(by_rank, command.count, command.rows)),
        ]

        # A block's bits and the number kept so far; both are complete in the cycle after its last token.
        count = Signal(valid[1].shape(), name="rank_counts")
        place = s.token[:block_bits]
        bits = Signal(c.rank_block, name="rank_bits", reset_less=True)
        total = Signal(c.count_shape, name="rank_total", reset_less=True)
        address = Signal(c.rank_memory.address_bits, name="rank_address", reset_less=True)
        complete = Signal(name="rank_complete")
        m.d.comb += [
            count.eq(valid[1] & advance & (command.mode == Mode.COMPACT)),
            sram.w_en.eq(complete),
            sram.w_addr.eq(address),
            sram.w_data.eq(Cat(bits, total)),
            sram.r_en[0].eq(advance),
            sram.r_addr[0].eq(self.i_table.payload[block_bits:]),
        ]
        m.d.sync += complete.eq(count & (s.last | (place == c.rank_block - 1)))
        with m.If(started):
            m.d.sync += total.eq(0)
        with m.If(count):
            m.d.sync += [
                bits.eq(Mux(place == 0, 0, bits) | (own << place)),
                total.eq(total + own),
                address.eq(s.token[block_bits:]),
            ]

        # s2: the kept tokens from the entry's on.  s3: how many these are.
        found = sram.r_data[0]
        shifted = Signal(c.rank_block)
        m.d.comb += shifted.eq(found[: c.rank_block] >> s.entry[:block_bits])
        ahead = {"entry": s.entry, "own": own, "within": within, "last": s.last}
        s = pipe.cut("shift", shifted=shifted, end=found[c.rank_block :], **ahead)
        ahead = {name: getattr(s, name) for name in ("entry", "own", "within", "last", "end")}
        s = pipe.cut("kept", kept=_population(m, s.shifted), rooted=s.shifted[0], **ahead)
        rank = Signal(c.index_bits)
        m.d.comb += rank.eq(s.end - s.kept)
        return pipe, valid, s, rank

    def _choose(self, m, command, status, step, pipe, valid, s, rank):
        """The row that does not run in order, whether one moves, and what is wrong. Returns valid bits and fourth stage."""
        c = self.config
        other = Signal(c.index_bits)
        moves = Signal()
        zero = Signal()
        unrooted = Signal()
        m.d.comb += unrooted.eq((command.mode == Mode.EXPAND) & s.within & ~s.rooted)
        with m.Switch(command.mode.as_value()):
            with m.Case(Mode.COMPACT.value):
                m.d.comb += [other.eq(status.rows), moves.eq(s.own)]
            with m.Case(Mode.EXPAND.value):
                m.d.comb += [other.eq(rank), moves.eq(1), zero.eq(~s.within | unrooted)]
            with m.Case(Mode.GATHER.value):
                m.d.comb += [other.eq(s.entry), moves.eq(1), zero.eq(~s.within)]
            with m.Case(Mode.SCATTER.value):
                m.d.comb += [other.eq(s.entry), moves.eq(s.within)]
        with m.If(valid[3] & step):
            m.d.sync += [
                status.rows.eq(status.rows + moves),
                status.index_error.eq(status.index_error | ~s.within),
                status.root_error.eq(status.root_error | unrooted),
            ]
        return valid, pipe.cut("row", other=other, moves=moves, zero=zero, last=s.last)

    def _address(self, m, command, started, advance, valid, s):
        """The addresses of both rows. Returns the fifth stage: what is fetched next, or the mark that all has been."""
        c = self.config
        present = Signal(name="s5_valid")
        sequence = Signal(c.address_bits, reset_less=True)
        row = SimpleNamespace(
            other=Signal(c.address_bits, name="s5_other", reset_less=True),
            sequence=Signal(c.address_bits, name="s5_sequence", reset_less=True),
            moves=Signal(name="s5_moves", reset_less=True),
            zero=Signal(name="s5_zero", reset_less=True),
            last=Signal(name="s5_last", reset_less=True),
        )
        with m.If(started):
            m.d.sync += sequence.eq(0)
        with m.If(advance):
            m.d.sync += [
                present.eq(valid[4] & (s.moves | s.last)),
                row.other.eq(s.other * command.words if c.max_words > 1 else s.other),
                row.sequence.eq(sequence),
                row.moves.eq(s.moves),
                row.zero.eq(s.zero),
                row.last.eq(s.last),
            ]
            with m.If(valid[4]):
                m.d.sync += sequence.eq(sequence + command.words)
        return present, row

    def _fetch(self, m, command, advance, flight, present, row):
        """Ask for the words of a row and note where they go; a row of zeros takes as long."""
        c = self.config
        active = Signal(name="fetch_active")
        zero = Signal(name="fetch_zero", reset_less=True)
        address = Signal(c.address_bits, name="fetch_address", reset_less=True)
        left = Signal(range(c.max_words), name="fetch_left", reset_less=True)
        step = Signal(name="fetch_step")
        final = Signal(name="fetch_final")
        leaves = Signal(name="s5_leaves")
        in_order = Signal(name="source_in_order")
        note = Signal(c.flight_layout)
        m.d.comb += [
            in_order.eq((command.mode == Mode.COMPACT) | (command.mode == Mode.SCATTER)),
            final.eq(left == 0),
            step.eq(active & (zero | self.o_read.ready)),
            leaves.eq(present & flight.w_rdy & (~active | (step & final))),
            advance.eq(~present | leaves),
            note.address.eq(Mux(in_order, row.other, row.sequence)),
            note.zero.eq(row.zero),
            note.moves.eq(row.moves),
            note.last.eq(row.last),
            flight.w_data.eq(note),
            flight.w_en.eq(leaves),
            self.o_read.valid.eq(active & ~zero),
            self.o_read.payload.address.eq(address),
            self.o_read.payload.last.eq(final),
        ]
        with m.If(leaves):
            m.d.sync += [
                active.eq(row.moves),
                zero.eq(row.zero),
                address.eq(Mux(in_order, row.sequence, row.other)),
                left.eq(command.words - 1),
            ]
        with m.Elif(step):
            m.d.sync += [active.eq(~final), address.eq(address + 1), left.eq(left - 1)]

    def _write(self, m, command, flight, finished):
        """Words as they come, or zeros, to where they go. ``finished``: the last word of a command has been written."""
        c = self.config
        head = Signal(c.flight_layout)
        word = Signal(range(c.max_words))
        final = Signal(name="write_final")
        valid = Signal(name="word_valid")
        ready = Signal(name="word_ready")
        payload = Signal(c.write_layout, name="word")
        ending = Signal()
        m.d.comb += [
            head.eq(flight.r_data),
            final.eq(word + 1 == command.words),
            valid.eq(flight.r_rdy & head.moves & (head.zero | self.i_data.valid)),
            self.i_data.ready.eq(flight.r_rdy & head.moves & ~head.zero & ready),
            payload.address.eq(head.address + word),
            payload.last.eq(final),
            payload.data.eq(Mux(head.zero, 0, self.i_data.payload)),
            flight.r_en.eq(~head.moves | (valid & ready & final)),
        ]
        out = register(m, c.write_layout, payload, valid, ready, "write")
        m.d.comb += [
            self.o_write.payload.eq(out.payload),
            self.o_write.valid.eq(out.valid),
            out.ready.eq(self.o_write.ready),
            finished.eq(ending & (~out.valid | out.ready)),
        ]
        with m.If(valid & ready):
            m.d.sync += word.eq(Mux(final, 0, word + 1))
        with m.If(flight.r_rdy & flight.r_en):
            m.d.sync += ending.eq(head.last)
        with m.Elif(finished):
            m.d.sync += ending.eq(0)


def _population(m, bits):
    """The number of ones: a tree of adders."""
    level, sums = 0, [bits[k] for k in range(len(bits))]
    while len(sums) > 1:
        nodes = []
        for k in range(0, len(sums), 2):
            node = Signal(level + 2, name=f"population_{level}_{k // 2}")
            m.d.comb += node.eq(sums[k] + sums[k + 1])
            nodes.append(node)
        level, sums = level + 1, nodes
    return sums[0]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ReorderRecoverUnitConfig(),
    "odd": ReorderRecoverUnitConfig(max_rows=37, max_words=5, width=13, rank_block=8, rows_in_flight=3),
    "direct": ReorderRecoverUnitConfig(max_rows=64, max_words=1, width=16, rank_block=1),
    "paper": ReorderRecoverUnitConfig(max_rows=35_100, max_words=22, width=1024, rank_block=64),
}
