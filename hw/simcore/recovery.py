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

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.axi.channels import STATUS_LAYOUT
from hw.formats import FP16
from hw.memory.table_reader import TableReaderConfig


@dataclass(frozen=True)
class RecoveryConfig:
    lanes: int = field(default=4, metadata={"doc": "B, FP16 elements of a word of memory; a power of two"})
    max_channels: int = field(default=128, metadata={"doc": "most channels of a row, d"})
    tokens: int = field(default=9362, metadata={"doc": "entries of the index buffer"})
    rows_in_flight: int = field(default=8, metadata={"doc": "rows asked for that have not wholly come"})
    address_bits: int = field(default=32, metadata={"doc": "of an address, in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})

    def __post_init__(self):
        if self.lanes < 1 or self.lanes & (self.lanes - 1):
            raise ValueError(f"lanes must be a power of two, not {self.lanes!r}")
        for name in ("max_channels", "tokens", "rows_in_flight", "address_bits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if self.max_channels >> self.length_bits:
            raise ValueError(
                f"length_bits must be at least {self.max_channels.bit_length()}, for {self.max_channels} channels, "
                f"not {self.length_bits}"
            )

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
        return data.StructLayout({"address": self.address_bits, "length": self.length_bits})

    @property
    def data_layout(self):
        """Of the AXI reader and writer: a word, the first element lowest, and whether it is the row's ``last``."""
        return data.StructLayout({"data": self.lanes * FP16.width, "last": 1})

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

    Golden: ``golden.recovery.recovery``.
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
