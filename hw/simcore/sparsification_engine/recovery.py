# SPDX-License-Identifier: Apache-2.0
"""Recovery (SIMPICKER IV-C, V-A): rows of A that repeat another row, copied from there, in memory.

::

    index buffer --> table reader --> entry != token? --> entry x words --> o_read_command ~~memory~~> i_data
                                                     +--> address of the row (queue) --> o_write_command    |
                                                                        i_status <~~memory~~ o_write_data <-+ queue

Rows of kept tokens are in place, and none of them is written here: so the order of reads and writes does not matter.

Rejected:

* ``ReorderRecoverUnit`` in its mode GATHER, which moves a whole table: rows that are kept would be read and written onto
  themselves, T W words in place of those of the removed tokens; 11 % of the words where 11 % of the rows are skipped.
* Reads of a root once for all rows that repeat it: a search among the entries that follow, for reads alone.
* A write command with the read command: AW would be out for as long as a read takes, and a memory that serves one at a time
  waits for the data of a write that waits for the memory.
* Entry times words by a multiplier: by one adder it takes log2(words) + 2 cycles, hidden behind the words of the row before
  from 3 words on.
"""

from dataclasses import dataclass, field

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from zoetrope.hw import checks
from zoetrope.hw.axi.channels import STATUS_LAYOUT, Cause
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16
from zoetrope.hw.memory.table_reader import TableReader, TableReaderConfig
from zoetrope.hw.memory.word_fifo import WordFifo, WordFifoConfig
from zoetrope.hw.simcore import layouts


@dataclass(frozen=True)
class RecoveryConfig:
    lanes: int = field(default=4, metadata={"doc": "B, FP16 elements of a word of memory; a power of two"})
    max_channels: int = field(default=128, metadata={"doc": "most channels of a row, d"})
    tokens: int = field(default=9362, metadata={"doc": "entries of the index buffer"})
    rows_in_flight: int = field(default=8, metadata={"doc": "rows asked for that have not wholly come"})
    address_bits: int = field(default=32, metadata={"doc": "of an address, in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_channels", "tokens", "rows_in_flight", "address_bits")
        checks.at_least(self, self.max_channels.bit_length(), "length_bits", why=f"for {self.max_channels} channels")

    @property
    def max_words(self):
        """Words of the longest row."""
        return -(-self.max_channels // self.lanes)

    @property
    def word_bytes(self):
        return self.lanes * FP16.width // 8

    @property
    def table(self):
        """Of the index buffer's read port."""
        return TableReaderConfig(depth=self.tokens, width=max(1, ceil_log2(self.tokens)))

    @property
    def job_layout(self):
        return data.StructLayout(
            {
                "tokens": range(self.tokens + 1),
                "words": range(self.max_words + 1),
                "channels": range(self.max_channels + 1),
                "address": self.address_bits,
            }
        )

    @property
    def command_layout(self):
        """Of the AXI reader and writer: ``address`` of the first byte, ``length`` in elements."""
        return layouts.command_layout(self.address_bits, self.length_bits)

    @property
    def data_layout(self):
        """Of the AXI reader and writer: a word, the first element lowest, and whether it is the row's ``last``."""
        return layouts.word_layout(self.lanes)

    @property
    def done_layout(self):
        return data.StructLayout({"rows": range(self.tokens + 1), "error": 1, "index_error": 1})


class Recovery(wiring.Component):
    """Row t of A becomes a copy of row ``table[t]`` for every token t whose entry is not its own.

    A job has the number of ``tokens``, the ``words`` of a row, its ``channels`` and the ``address`` of row 0; row r is at
    ``address`` + r * words * 2 B bytes. The table is read through the port of the index buffer.

    ``o_done`` ends a job, when every write has been answered: ``rows`` that were copied; ``error``, a write failed;
    ``index_error``, an entry was no token: it is left alone. An error ends nothing early, so that every command that was
    given is carried out to its end.

    Published with the reorder and recover unit only, 39 kGE (SIMPICKER Table II). Here 64 bits a cycle are 6.1 kGE.

    Parameters
    ----------
    config : RecoveryConfig

    Members
    -------
    i_job : In(stream of ``tokens``, ``words``, ``channels``, ``address``)
    r_en, r_addr, r_ready, r_data : Out, Out, In, In, the index buffer's read port
    o_read_command : Out(stream of ``address``, ``length``), see ``AxiReader``
    i_data : In(stream of ``data``, ``last``), the rows read, in order; ``last`` ends a row
    o_write_command, o_write_data : Out(streams), see ``AxiWriter``: a row's command when all of it is at hand
    i_status : In(stream of ``cause``), one a write
    o_done : Out(stream of ``rows``, ``error``, ``index_error``)

    Cycles: ``sim.model.sparsification_engine.recovery_cycles`` with a memory that answers at once. A row takes the most of
    its ``words``, log2(``words``) + 2 and the entries since the row before: M of T rows, evenly spread, take about T or
    M * ``words``, whichever is more. A memory that takes m cycles from a read's command to its first word adds them once,
    if about m / ``words`` + 2 rows are in flight.
    There is no ``latency`` or ``initiation_interval``: they depend on the job. Backpressure: yes.
    Memory: ``2 * max_words + 2`` words of a row.
    Errors: as above; a job of no channel, or more than ``max_channels``, copies nothing and ends with ``error``.
    Golden: ``golden.simcore.sparsification_engine.recovery.recovery``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(config.job_layout)),
                "r_en": Out(1),
                "r_addr": Out(config.table.address_bits),
                "r_ready": In(1),
                "r_data": In(config.table.width),
                "o_read_command": Out(stream.Signature(config.command_layout)),
                "i_data": In(stream.Signature(config.data_layout)),
                "o_write_command": Out(stream.Signature(config.command_layout)),
                "o_write_data": Out(stream.Signature(config.data_layout)),
                "i_status": In(stream.Signature(STATUS_LAYOUT)),
                "o_done": Out(stream.Signature(config.done_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        job = Signal(c.job_layout, reset_less=True)
        scanning = Signal()
        m.submodules.flight = flight = SyncFIFO(width=c.address_bits, depth=c.rows_in_flight)
        idle = self._rows(m, job, scanning, flight)
        self._copy(m, job, flight)
        self._control(m, job, scanning, idle)
        return m

    def _rows(self, m, job, scanning, flight):
        """The table's entries, and a read of each that is another's row. Returns whether all have been seen and read."""
        c = self.config
        table = TableReader(config=c.table)
        m.submodules.table = emit_once(table)
        token = Signal(range(c.tokens + 1))
        target = Signal(c.address_bits)
        index_error = self.o_done.payload.index_error
        own = Signal(name="entry_is_own")
        beyond = Signal(name="entry_is_beyond")
        moves = Signal(name="entry_moves")
        take = Signal(name="entry_taken")
        m.d.comb += [
            self.r_en.eq(table.r_en),
            self.r_addr.eq(table.r_addr),
            table.r_ready.eq(self.r_ready),
            table.r_data.eq(self.r_data),
            table.i.payload.eq(Mux(self._fits(), self.i_job.payload.tokens, 0)),
            table.i.valid.eq(self.i_job.valid & self.i_job.ready),
            own.eq(table.o.payload == token),
            beyond.eq(table.o.payload >= job.tokens),
            moves.eq(~own & ~beyond),
            take.eq(table.o.valid & table.o.ready),
        ]
        with m.If(table.i.valid):
            m.d.sync += [token.eq(0), target.eq(self.i_job.payload.address), index_error.eq(0)]
        with m.Elif(take):
            m.d.sync += [token.eq(token + 1), target.eq(target + (job.words << exact_log2(c.word_bytes)))]
            with m.If(beyond):
                m.d.sync += index_error.eq(1)

        # The row's address: entry times words, a bit of ``words`` a cycle.
        busy = Signal(name="root_busy")
        factor = Signal.like(job.words, name="root_factor")
        shifted = Signal(c.address_bits, name="root_shifted", reset_less=True)
        address = Signal(c.address_bits, name="root_address", reset_less=True)
        row = Signal(c.address_bits, name="root_target", reset_less=True)
        leaves = Signal(name="root_leaves")
        command = self.o_read_command
        m.d.comb += [
            command.valid.eq(busy & ~factor.any() & flight.w_rdy),
            command.payload.address.eq(address),
            command.payload.length.eq(job.channels),
            leaves.eq(command.valid & command.ready),
            flight.w_en.eq(leaves),
            flight.w_data.eq(row),
            table.o.ready.eq(scanning & (~moves | ~busy | leaves)),
        ]
        with m.If(take & moves):
            m.d.sync += [
                busy.eq(1),
                factor.eq(job.words),
                shifted.eq(table.o.payload << exact_log2(c.word_bytes)),
                address.eq(job.address),
                row.eq(target),
            ]
        with m.Else():
            m.d.sync += [factor.eq(factor >> 1), shifted.eq(shifted << 1)]
            with m.If(factor[0]):
                m.d.sync += address.eq(address + shifted)
            with m.If(leaves):
                m.d.sync += busy.eq(0)
        return (token == job.tokens) & ~busy

    def _copy(self, m, job, flight):
        """The words of the rows into a queue, and a write of each row of which all are there."""
        c = self.config
        depth = 2 * c.max_words + 2
        words = WordFifo(config=WordFifoConfig(depth=depth, width=c.data_layout.size))
        m.submodules.words = emit_once(words)
        stored = Signal(range(depth + 1))
        take = Signal(name="word_taken")
        leaves = Signal(name="word_leaves")
        whole = Signal(name="row_whole")
        waiting = Signal(name="write_waiting")
        row = Signal(c.address_bits, name="write_row", reset_less=True)
        write = self.o_write_command
        m.d.comb += [
            self.i_data.ready.eq(flight.r_rdy & (stored != depth) & (~waiting | write.ready)),
            take.eq(self.i_data.valid & self.i_data.ready),
            leaves.eq(words.o.valid & words.o.ready),
            whole.eq(take & self.i_data.payload.last),
            words.w_en.eq(take),
            words.w_data.eq(self.i_data.payload),
            flight.r_en.eq(whole),
            self.o_write_data.payload.eq(words.o.payload),
            self.o_write_data.valid.eq(words.o.valid),
            words.o.ready.eq(self.o_write_data.ready),
            write.valid.eq(waiting),
            write.payload.address.eq(row),
            write.payload.length.eq(job.channels),
        ]
        m.d.sync += stored.eq(stored + take - leaves)
        with m.If(whole):
            m.d.sync += [waiting.eq(1), row.eq(flight.r_data)]
        with m.Elif(write.ready):
            m.d.sync += waiting.eq(0)

    def _control(self, m, job, scanning, idle):
        """One job after the other, until every write has been answered."""
        c = self.config
        new, done = self.i_job.payload, self.o_done.payload
        asked = Signal(name="row_asked")
        written = Signal(name="row_written")
        answered = Signal(name="row_answered")
        open_rows = Signal(range(c.tokens + 1))  # read or being read, and not yet answered
        open_writes = Signal(range(c.tokens + 1))
        m.d.comb += [
            asked.eq(self.o_read_command.valid & self.o_read_command.ready),
            written.eq(self.o_write_command.valid & self.o_write_command.ready),
            self.i_status.ready.eq(open_writes.any()),
            answered.eq(self.i_status.valid & self.i_status.ready),
        ]
        m.d.sync += [
            open_rows.eq(open_rows + asked - answered),
            open_writes.eq(open_writes + written - answered),
            done.rows.eq(done.rows + answered),
        ]
        with m.If(answered & (self.i_status.payload.cause != Cause.OKAY)):
            m.d.sync += done.error.eq(1)
        with m.FSM():
            with m.State("WAIT"):
                m.d.comb += self.i_job.ready.eq(1)
                with m.If(self.i_job.valid):
                    m.d.sync += [job.eq(new), done.rows.eq(0), done.error.eq(~self._fits())]
                    with m.If(~self._fits()):
                        m.d.sync += job.tokens.eq(0)
                    m.next = "SCAN"
            with m.State("SCAN"):
                m.d.comb += scanning.eq(1)
                with m.If(idle & ~open_rows.any()):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.next = "WAIT"

    def _fits(self):
        """Whether the job at the input has rows that fit."""
        channels = self.i_job.payload.channels
        most = self.config.max_channels
        beyond = channels > most if most < (1 << len(channels)) - 1 else Const(0, 1)
        return channels.any() & ~beyond


#: Config of each preset; the first is the default.
PRESETS = {
    "default": RecoveryConfig(),
    "narrow": RecoveryConfig(lanes=2, max_channels=5, tokens=70, rows_in_flight=1, address_bits=20, length_bits=4),
    "single": RecoveryConfig(lanes=8, max_channels=8, tokens=64, rows_in_flight=3),
}
