# SPDX-License-Identifier: Apache-2.0
"""Score buffer (SIMPICKER IV-C): the importance map, a bit a tile, written by rows and read by tile or by row.

``i`` (row, bits) --> memory of rows --> ``o`` (the row's bits, and the one of the column asked for) <-- ``i_read``

Rejected: a memory of single bits, a write of ``columns`` cycles a row; a map in registers, 6 kGE for 32 x 32 tiles.
"""

from dataclasses import dataclass, field

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class ScoreBufferConfig:
    rows: int = field(default=32, metadata={"doc": "most rows of tiles"})
    columns: int = field(default=32, metadata={"doc": "most tiles of a row"})

    def __post_init__(self):
        checks.at_least(self, 1, "rows", "columns")

    def check(self, rows, columns):
        """``ValueError`` where a map of so many tiles does not fit: to be asked before a machine is given it."""
        if not (1 <= rows <= self.rows and 1 <= columns <= self.columns):
            raise ValueError(f"the score buffer holds {self.rows} x {self.columns} tiles, not {rows} x {columns}")

    @property
    def place(self):
        """Fields of a tile's place; both can say one more than there is, that it may be refused."""
        return {"row": range(self.rows + 1), "column": range(self.columns + 1)}

    @property
    def i_layout(self):
        return data.StructLayout({"bits": self.columns, "row": self.place["row"]})

    @property
    def read_layout(self):
        return data.StructLayout(self.place)

    @property
    def o_layout(self):
        return data.StructLayout({"bits": self.columns, "bit": 1})


class ScoreBuffer(FullyPipelined):
    """Rows of bits. What is not known is important: a row not written since ``clear``, or a tile outside of the buffer.

    Published: 4 KB (SIMPICKER VI-A), 32,768 tiles; the map of 26 frames and text is 729, of one column of A for each of
    128 channels 128.

    Parameters
    ----------
    config : ScoreBufferConfig

    Members
    -------
    i : In(stream of ``row``, ``bits``), a row is written
    i_read : In(stream of ``row``, ``column``)
    o : Out(stream of ``bits``, the row, and ``bit``, the tile)
    clear : In(1), forgets all rows, and resets ``error``
    error : Out(1), since reset or ``clear`` a row or column outside of the buffer was written or read; such a write is
        dropped, such a read finds ones

    Latency: 1 cycle from ``i_read`` to ``o``. Initiation interval: 1, writes and reads at once; a read waits in the cycle in
    which its row is written. Backpressure: yes; ``i`` is always ready.
    Golden: ``golden.simcore.quantization_engine.score_buffer.read``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.i_layout)),
                "i_read": In(stream.Signature(config.read_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "clear": In(1),
                "error": Out(1),
            }
        )

    @property
    def latency(self):
        return 1

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=max(2, c.rows), width=c.columns))
        m.submodules.sram = emit_once(sram)
        i, read = self.i.payload, self.i_read.payload
        written = Signal(c.rows)
        keep = Signal()
        wrong_write = Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            keep.eq(self.i.valid & (i.row < c.rows)),
            wrong_write.eq(self.i.valid & (i.row >= c.rows)),
            sram.w_en.eq(keep),
            sram.w_addr.eq(i.row),
            sram.w_data.eq(i.bits),
        ]
        with m.If(self.clear):
            m.d.sync += written.eq(0)
        with m.If(keep):
            m.d.sync += written.bit_select(i.row, 1).eq(1)

        # A read takes a cycle; ``known`` and ``column`` wait for it.
        valid = Signal()
        known = Signal(reset_less=True)
        column = Signal(read.column.shape(), reset_less=True)
        take = Signal()
        row_outside = Signal()
        column_outside = Signal()
        m.d.comb += [
            self.i_read.ready.eq((~valid | self.o.ready) & ~(keep & (i.row == read.row))),
            take.eq(self.i_read.ready & self.i_read.valid),
            row_outside.eq(read.row >= c.rows),
            column_outside.eq(read.column >= c.columns),
            sram.r_en[0].eq(take & ~row_outside),
            sram.r_addr[0].eq(read.row),
        ]
        with m.If(take):
            m.d.sync += [
                valid.eq(1),
                known.eq(~row_outside & written.bit_select(read.row, 1)),
                column.eq(read.column),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        sticky(m, self.error, wrong_write | (take & (row_outside | column_outside)), self.clear)
        outside = column >= c.columns
        m.d.comb += [
            self.o.valid.eq(valid),
            self.o.payload.bits.eq(sram.r_data[0] | (~known).replicate(c.columns)),
            self.o.payload.bit.eq(Mux(outside, Const(1, 1), self.o.payload.bits.bit_select(column, 1))),
        ]
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ScoreBufferConfig(),
    "oblong": ScoreBufferConfig(rows=3, columns=130),
}
