# SPDX-License-Identifier: Apache-2.0
"""The LUT PE and arrays of it (SIMPICKER IV-B, Fig. 5): 8 LUT multipliers that share one FP16 operand.

::

    i_x --> decode --fraction--> LUT buffer --W entries a cycle--> local tables (bank being filled)
              |                                                         |
              +--sign, exponent--> queue --> operand of each bank --+   | (bank being read)
                                                                    v   v
    i_w -------------------------------------------------> lanes x LUT product --> FP32 sums --> o
"""

import operator
from dataclasses import dataclass, field
from functools import reduce

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.pe.local_table import LocalTable, LocalTableConfig
from zoetrope.hw.pe.lut_buffer import LutBuffer, LutBufferConfig
from zoetrope.hw.pe.lut_multiplier import (
    LutMultiplier,
    LutMultiplierConfig,
    LutProduct,
    LutProductConfig,
    product_forms,
)
from zoetrope.hw.pe.operand import OPERAND, OperandDecode, OperandDecodeConfig
from zoetrope.hw.pe.outer_product import OuterProduct, OuterProductCell, OuterProductConfig, RowOperands
from zoetrope.hw.pe.product_table import find_reading
from zoetrope.hw.pe.slice_generator import SliceGenerator, SliceGeneratorConfig
from zoetrope.hw.stream import connect

TABLES = ("multiplier", "pe")

#: Where slices come from.
SLICES = {"buffer": (LutBuffer, LutBufferConfig), "generator": (SliceGenerator, SliceGeneratorConfig)}


@dataclass(frozen=True)
class LutPEConfig(OuterProductConfig):
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    copy_width: int = field(default=8, metadata={"doc": "W, entries copied into local tables a cycle; a power of two"})
    slices: str = field(
        default="buffer", metadata={"doc": "buffer: the 128 KiB LUT buffer, as the paper; generator: made by W adders"}
    )
    tables: str = field(
        default="multiplier",
        metadata={"doc": "multiplier: a local table each, as the paper; pe: one with a read port per multiplier"},
    )
    ragged: bool = field(default=False, metadata={"doc": "an operand says how many of the D words it meets"})

    def __post_init__(self):
        super().__post_init__()
        checks.one_of(self, TABLES, "tables")
        checks.one_of(self, SLICES, "slices")
        _ = self.source

    @property
    def product(self):
        return product_forms(self.reading)[self.fixed]

    @property
    def decode(self):
        """How operands are taken apart: an exponent is the shift of a ``Scaled`` product, or biased as a ``Float``'s."""
        return OperandDecodeConfig(least=0) if self.fixed else OperandDecodeConfig()

    @property
    def source(self):
        """The config of what slices come from."""
        _, config = SLICES[self.slices]
        return config(reading=self.reading, copy_width=self.copy_width)

    @property
    def source_latency(self):
        component, _ = SLICES[self.slices]
        return component(config=self.source).latency

    @property
    def row_layout(self):
        """What a PE sees: the copy into its tables, the bank to look up (s0), and the operand of that bank (s1)."""
        slice_row = data.ArrayLayout(find_reading(self.reading).entry_bits, self.copy_width)
        return data.StructLayout(
            {
                "copy_en": 1,
                "copy_bank": 1,
                "copy_beat": range(max(2, self.source.beats)),
                "copy_data": slice_row,
                "bank": 1,
                "operand": OPERAND,
            }
        )


class LutRowOperands(RowOperands):
    """Operands of the rows of a LUT array: the slices of the next are fetched while the current ones are looked up.

    One LUT buffer, or generator, serves all rows. Of the rows that still want a slice the lowest asks, and every row that
    wants the same slice takes it too: an operand costs C cycles for each distinct fraction among its rows, and there is no
    conflict.

    Members, besides those of ``RowOperands``
    -----------------------------------------
    o_fraction : Out(stream of 10 bits), the slices wanted, in order
    i_slice : In(stream of W entries), the C rows of each slice wanted, in order
    """

    def __init__(self, *, config):
        super().__init__(
            config=config,
            row=config.row_layout,
            ports={
                "o_fraction": Out(stream.Signature(10)),
                "i_slice": In(stream.Signature(config.row_layout.members["copy_data"])),
            },
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        held = data.StructLayout({"operands": data.ArrayLayout(OPERAND, c.rows), "last": 1, **c.count_layout})

        # What a slice does not bring waits in a queue until it is there: an operand for each cycle that a slice of one row
        # is on its way, and one whose slice arrives.
        m.submodules.queue = queue = fifo.SyncFIFO(width=held.size, depth=c.source_latency + 1)
        arriving = data.View(held, queue.r_data)
        beside = ["last", *c.count_layout]
        decodes = [OperandDecode(config=c.decode) for _ in range(c.rows)]
        for r, decode in enumerate(decodes):
            m.submodules[f"decode_{r}"] = decode
            m.d.comb += decode.x.eq(self.i_x.payload.values[r])
        m.d.comb += [
            queue.w_data.eq(Cat(*(decode.operand for decode in decodes), *(self.i_x.payload[name] for name in beside))),
            queue.w_en.eq(self.i_x.valid & self.i_x.ready),
        ]
        wanted, final = self._request(m, queue, [decode.significand[:-1] for decode in decodes])

        # Fill side: beat by beat into the bank that is free; with the last slice of the operand the bank is full.
        full = Signal(2)
        fill_bank = Signal()
        read_bank = Signal()
        beat = Signal(range(max(2, c.source.beats)))
        copy = Signal()
        slice_done = Signal()
        complete = Signal()
        operands = [Signal(held, name=f"operands_{bank}", reset_less=True) for bank in range(2)]
        m.d.comb += [
            self.i_slice.ready.eq(~full.bit_select(fill_bank, 1)),
            copy.eq(self.i_slice.valid & self.i_slice.ready),
            slice_done.eq(copy & (beat == c.source.beats - 1)),
            complete.eq(slice_done & final),
            queue.r_en.eq(complete),
        ]
        if c.rows > 1:
            m.d.comb += self._slices.r_en.eq(slice_done)
        with m.If(copy):
            m.d.sync += beat.eq(Mux(slice_done, 0, beat + 1))
        with m.If(complete):
            m.d.sync += [fill_bank.eq(~fill_bank), full.bit_select(fill_bank, 1).eq(1)]
            with m.If(fill_bank):
                m.d.sync += operands[1].eq(arriving)
            with m.Else():
                m.d.sync += operands[0].eq(arriving)

        # Read side: the current operand's bank, released with its last word. The two sides are never on one bank.
        current = Signal(held)
        m.d.comb += [
            current.eq(Mux(read_bank, operands[1].as_value(), operands[0].as_value())),
            self.loaded.eq(full.bit_select(read_bank, 1)),
            *(getattr(self, name).eq(current[name]) for name in beside),
            self.pending.eq(queue.r_rdy),
        ]
        with m.If(self.release):
            m.d.sync += [read_bank.eq(~read_bank), full.bit_select(read_bank, 1).eq(0)]
        for r in range(c.rows):
            s1_operand = Signal(OPERAND, name=f"s1_operand_{r}", reset_less=True)
            with m.If(self.en):
                m.d.sync += s1_operand.eq(current.operands[r])
            row = self.row[r]
            m.d.comb += [
                row.copy_en.eq(copy & wanted[r]),
                row.copy_bank.eq(fill_bank),
                row.copy_beat.eq(beat),
                row.copy_data.eq(self.i_slice.payload),
                row.bank.eq(read_bank),
                row.operand.eq(s1_operand),
            ]
        return m

    def _request(self, m, queue, fractions):
        """Ask for the slices of an operand. Of the slice that arrives: the rows that want it, and whether it is the last."""
        if len(fractions) == 1:
            m.d.comb += [
                self.o_fraction.payload.eq(fractions[0]),
                self.o_fraction.valid.eq(self.i_x.valid & queue.w_rdy),
                self.i_x.ready.eq(self.o_fraction.ready & queue.w_rdy),
            ]
            return Const(1, 1), Const(1, 1)
        rows = len(fractions)
        m.submodules.slices = slices = self._slices = fifo.SyncFIFO(
            width=rows + 1, depth=self.config.source_latency + 2
        )
        held = [Signal(10, name=f"fraction_{r}", reset_less=True) for r in range(rows)]
        wants = Signal(rows)
        same = Signal(rows)
        asked = Signal(10)
        done = Signal()
        lowest = Signal(rows)
        m.d.comb += [
            lowest.eq(wants & -wants),
            asked.eq(reduce(operator.or_, (held[r] & lowest[r].replicate(10) for r in range(rows)))),
            same.eq(Cat(wants[r] & (held[r] == asked) for r in range(rows))),
            self.o_fraction.payload.eq(asked),
            self.o_fraction.valid.eq(wants.any() & slices.w_rdy),
            slices.w_en.eq(self.o_fraction.valid & self.o_fraction.ready),
            slices.w_data.eq(Cat(same, same == wants)),
            done.eq(~wants.any() | (slices.w_en & (same == wants))),
            self.i_x.ready.eq(queue.w_rdy & done),
        ]
        with m.If(slices.w_en):
            m.d.sync += wants.eq(wants & ~same)
        with m.If(queue.w_en):
            m.d.sync += [wants.eq(-1), *(held[r].eq(fractions[r]) for r in range(rows))]
        return slices.r_data[:rows], slices.r_data[rows]


class LutCell(OuterProductCell):
    """The datapath of a LUT PE: local tables, LUT products, sums."""

    def __init__(self, *, config):
        super().__init__(config=config, row=config.row_layout)

    def products(self, m):
        c = self.config
        copied = ("copy_en", "copy_bank", "copy_beat", "copy_data")
        if c.tables == "multiplier":
            config = LutMultiplierConfig(
                reading=c.reading, copy_width=c.copy_width, stages=c.product_stages, product=c.product
            )
            lanes = [LutMultiplier(config=config) for _ in range(c.lanes)]
            for lane in lanes:
                m.d.comb += [getattr(lane, name).eq(getattr(self.row, name)) for name in copied]
                m.d.comb += lane.bank.eq(self.row.bank)
        else:
            config = LocalTableConfig(reading=c.reading, copy_width=c.copy_width, read_ports=c.lanes)
            table = LocalTable(config=config)
            m.submodules.table = emit_once(table)
            m.d.comb += [getattr(table, name).eq(getattr(self.row, name)) for name in copied]
            config = LutProductConfig(reading=c.reading, stages=c.product_stages, product=c.product)
            lanes = [LutProduct(config=config) for _ in range(c.lanes)]
            for k, lane in enumerate(lanes):
                m.d.comb += [
                    table.en[k].eq(self.en),
                    table.bank[k].eq(self.row.bank),
                    table.index[k].eq(lane.index),
                    lane.entry.eq(table.entry[k]),
                ]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [lane.en.eq(self.en), lane.w.eq(self.w[k]), lane.operand.eq(self.row.operand)]
        return [lane.product for lane in lanes]


class LutPE(OuterProduct):
    """Outer products on LUT multipliers, with one LUT buffer or slice generator: a LUT PE, or an array of them.

    The slices of the next operand are copied while the current one computes: C = R * entries / W cycles for R distinct
    fractions among its rows. They are hidden when C <= D, that is (one row, ``odd16``) when an operand meets at least
    ``lanes * 64 / W`` weights; otherwise the PEs stall C - D cycles, and ``stalls`` counts them.

    Stalls of K operands back to back, one row: ``C + L - 1 + (K - 1) * (max(D, A, C) - D)``, with A the accumulator's
    turnaround and L the latency of what slices come from (LUT buffer 2, generator 4). With more rows there are
    none after the first when every C and A is at most D.

    Parameters
    ----------
    config : LutPEConfig

    Members, besides those of ``OuterProduct``
    ------------------------------------------
    filled : Out(1), the LUT buffer is complete: 65,536 (``odd16``) or 131,072 (``byte128``) cycles after reset; with a
        generator, always

    Golden: ``golden.pe.lut_pe.lut_pe``.
    """

    row_operands = LutRowOperands
    cell = LutCell

    def __init__(self, *, config):
        super().__init__(config=config, ports={"filled": Out(1)})

    @property
    def startup(self):
        return self.config.source_latency - (1 if self.config.rows == 1 else 0)

    def operands(self, m):
        operands = super().operands(m)
        component, _ = SLICES[self.config.slices]
        m.submodules.source = source = component(config=self.config.source)
        connect(m, operands.o_fraction, source.i)
        connect(m, source.o, operands.i_slice)
        m.d.comb += self.filled.eq(source.filled)
        return operands


#: Config of each preset; the first is the default.
PRESETS = {
    "default": LutPEConfig(),
    "deep": LutPEConfig(product_stages=2, add_stages=6),
    "combinational": LutPEConfig(add_stages=0),
    "stalling": LutPEConfig(words=4, copy_width=4),
    "shared": LutPEConfig(tables="pe"),
    "byte128": LutPEConfig(reading="byte128", copy_width=16),
    "generated": LutPEConfig(slices="generator"),
    "fixed": LutPEConfig(slices="generator", accumulator="fixed"),
    "array": LutPEConfig(rows=3, columns=2, lanes=4, words=16, copy_width=32),
    "paper": LutPEConfig(rows=16, columns=8, words=32, copy_width=32),
}

#: The ways to multiply that `zoetrope lanes` sets side by side, by their printed names.
WAYS = {
    "buffered LUT (the paper's)": LutPEConfig(),
    "buffered LUT, W = 1": LutPEConfig(copy_width=1, words=64),
    "buffered LUT, byte128": LutPEConfig(reading="byte128", copy_width=16),
    "generated LUT": LutPEConfig(slices="generator"),
}
