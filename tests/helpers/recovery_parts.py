# SPDX-License-Identifier: Apache-2.0
"""Index buffer, table reader and reorder and recover unit as one component, between the two passes of an attention."""

from dataclasses import dataclass

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from zoetrope.hw.memory.index_buffer import IndexBuffer, IndexBufferConfig
from zoetrope.hw.memory.table_reader import TableReader, TableReaderConfig
from zoetrope.hw.simcore.sparsification_engine.reorder_recover_unit import ReorderRecoverUnit, ReorderRecoverUnitConfig


@dataclass(frozen=True)
class RecoveryConfig:
    tokens: int
    words: int
    width: int

    @property
    def unit(self):
        return ReorderRecoverUnitConfig(
            max_rows=self.tokens, max_words=self.words, width=self.width, rank_block=4, rows_in_flight=4
        )


class Recovery(wiring.Component):
    """``clear`` and ``i_match`` fill the index buffer, whose entries come out as ``o_root``; each count on ``i_count`` sends
    the table to the unit, for one command."""

    def __init__(self, *, config):
        self.config = config
        self.buffer = IndexBuffer(config=IndexBufferConfig(depth=config.tokens))
        bits = self.buffer.config.index_bits
        self.reader = TableReader(config=TableReaderConfig(depth=config.tokens, width=bits))
        self.unit = ReorderRecoverUnit(config=config.unit)
        ports = {"clear": In(1), "i_match": self.buffer.signature.members["i"]}
        ports |= {"o_root": self.buffer.signature.members["o"], "i_count": self.reader.signature.members["i"]}
        names = ("i_command", "i_data", "o_read", "o_write", "o_status")
        super().__init__(ports | {name: self.unit.signature.members[name] for name in names})

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer, m.submodules.reader, m.submodules.unit = buffer, reader, unit = (
            self.buffer,
            self.reader,
            self.unit,
        )
        connect(m, flipped(self.i_match), buffer.i)
        connect(m, buffer.o, flipped(self.o_root))
        connect(m, flipped(self.i_count), reader.i)
        connect(m, reader.o, unit.i_table)
        for name in ("i_command", "i_data"):
            connect(m, flipped(getattr(self, name)), getattr(unit, name))
        for name in ("o_read", "o_write", "o_status"):
            connect(m, getattr(unit, name), flipped(getattr(self, name)))
        m.d.comb += [
            buffer.clear.eq(self.clear),
            buffer.r_en.eq(reader.r_en),
            buffer.r_addr.eq(reader.r_addr),
            reader.r_ready.eq(buffer.r_ready),
            reader.r_data.eq(buffer.r_data),
        ]
        return m
