"""The LUT PE (SIMPICKER IV-B, Fig. 5): 8 LUT multipliers that share one FP16 operand, fed from a LUT buffer.

::

    i_x --> decode --fraction--> LUT buffer --W entries a cycle--> local tables (bank being filled)
              |                                                         |
              +--sign, exponent--> queue --> operand of each bank --+   | (bank being read)
                                                                    v   v
    i_w -------------------------------------------------> lanes x LUT product --> FP32 accumulators --> o
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream
from amaranth.lib.wiring import In, Out

from hw.emit import emit_once
from hw.simcore.local_table import LocalTable, LocalTableConfig
from hw.simcore.lut_buffer import LutBuffer, LutBufferConfig
from hw.simcore.lut_multiplier import LutMultiplier, LutMultiplierConfig, LutProduct, LutProductConfig
from hw.simcore.operand import OPERAND, OperandDecode
from hw.simcore.outer_product_pe import OperandBank, OuterProductConfig, OuterProductPE
from hw.stream import connect

TABLES = ("multiplier", "pe")


@dataclass(frozen=True)
class LutPEConfig(OuterProductConfig):
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    copy_width: int = field(
        default=8, metadata={"doc": "W, entries copied from the LUT buffer a cycle; a power of two"}
    )
    tables: str = field(
        default="multiplier",
        metadata={"doc": "multiplier: a local table each, as the paper; pe: one with a read port per multiplier"},
    )

    def __post_init__(self):
        super().__post_init__()
        if self.tables not in TABLES:
            raise ValueError(f"tables must be one of {', '.join(TABLES)}, not {self.tables!r}")
        _ = self.buffer

    @property
    def buffer(self):
        return LutBufferConfig(reading=self.reading, copy_width=self.copy_width)

    @property
    def copy_cycles(self):
        return self.buffer.beats


class LutBank(OperandBank):
    """The operand bank of a LUT PE, with its local tables: one slice is looked up while the next is copied in.

    Members, besides those of ``OperandBank``
    -----------------------------------------
    o_fraction : Out(stream of 10 bits), the slice wanted, one request an operand, in order
    i_slice : In(stream of W entries), the C rows of each slice wanted, in order
    """

    def __init__(self, *, config):
        rows = LutBuffer(config=config.buffer).o.payload.shape()
        super().__init__(
            config=config,
            ports={"o_fraction": Out(stream.Signature(10)), "i_slice": In(stream.Signature(rows))},
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        entry = data.StructLayout({"operand": OPERAND, "last": 1})

        # An operand's fraction goes to the LUT buffer; the rest waits in a queue until the slice has come. At most three
        # are on the way: one whose rows arrive, one being read, one just taken.
        m.submodules.decode = decode = OperandDecode()
        m.submodules.queue = queue = fifo.SyncFIFO(width=entry.size, depth=3)
        arriving = data.View(entry, queue.r_data)
        m.d.comb += [
            decode.x.eq(self.i_x.payload.value),
            self.o_fraction.payload.eq(decode.fraction),
            self.o_fraction.valid.eq(self.i_x.valid & queue.w_rdy),
            self.i_x.ready.eq(self.o_fraction.ready & queue.w_rdy),
            queue.w_data.eq(Cat(decode.operand, self.i_x.payload.last)),
            queue.w_en.eq(self.o_fraction.valid & self.o_fraction.ready),
        ]

        # Fill side: beat by beat into the bank that is free, then the bank is full.
        full, fill_bank, read_bank = Signal(2), Signal(), Signal()
        beat, copy, complete = Signal(range(max(2, c.copy_cycles))), Signal(), Signal()
        operands = [Signal(entry, name=f"operand_{bank}", reset_less=True) for bank in range(2)]
        m.d.comb += [
            self.i_slice.ready.eq(~full.bit_select(fill_bank, 1)),
            copy.eq(self.i_slice.valid & self.i_slice.ready),
            complete.eq(copy & (beat == c.copy_cycles - 1)),
            queue.r_en.eq(complete),
        ]
        with m.If(copy):
            m.d.sync += beat.eq(Mux(complete, 0, beat + 1))
        with m.If(complete):
            m.d.sync += [fill_bank.eq(~fill_bank), full.bit_select(fill_bank, 1).eq(1)]
            with m.If(fill_bank):
                m.d.sync += operands[1].eq(arriving)
            with m.Else():
                m.d.sync += operands[0].eq(arriving)

        # Read side: the current operand's bank, released with its last word. The two sides are never on one bank.
        current = Signal(entry)
        m.d.comb += [
            current.eq(Mux(read_bank, operands[1].as_value(), operands[0].as_value())),
            self.loaded.eq(full.bit_select(read_bank, 1)),
            self.last.eq(current.last),
            self.pending.eq(queue.r_rdy),
        ]
        with m.If(self.release):
            m.d.sync += [read_bank.eq(~read_bank), full.bit_select(read_bank, 1).eq(0)]
        s1_operand = Signal(OPERAND, reset_less=True)
        with m.If(self.en):
            m.d.sync += s1_operand.eq(current.operand)

        table_ports = {
            "copy_en": copy,
            "copy_bank": fill_bank,
            "copy_beat": beat,
            "copy_data": self.i_slice.payload,
        }
        if c.tables == "multiplier":
            self._own_tables(m, table_ports, read_bank, s1_operand)
        else:
            self._one_table(m, table_ports, read_bank, s1_operand)
        return m

    def _own_tables(self, m, table_ports, read_bank, s1_operand):
        c = self.config
        config = LutMultiplierConfig(reading=c.reading, copy_width=c.copy_width, stages=c.product_stages)
        for k in range(c.lanes):
            lane = LutMultiplier(config=config)
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [getattr(lane, name).eq(value) for name, value in table_ports.items()]
            m.d.comb += [
                lane.en.eq(self.en),
                lane.bank.eq(read_bank),
                lane.w.eq(self.w[k]),
                lane.operand.eq(s1_operand),
                self.products[k].eq(lane.product),
            ]

    def _one_table(self, m, table_ports, read_bank, s1_operand):
        c = self.config
        table = LocalTable(config=LocalTableConfig(reading=c.reading, copy_width=c.copy_width, read_ports=c.lanes))
        m.submodules.table = emit_once(table)
        m.d.comb += [getattr(table, name).eq(value) for name, value in table_ports.items()]
        for k in range(c.lanes):
            lane = LutProduct(config=LutProductConfig(reading=c.reading, stages=c.product_stages))
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [
                table.en[k].eq(self.en),
                table.bank[k].eq(read_bank),
                table.index[k].eq(lane.index),
                lane.en.eq(self.en),
                lane.w.eq(self.w[k]),
                lane.entry.eq(table.entry[k]),
                lane.operand.eq(s1_operand),
                self.products[k].eq(lane.product),
            ]


class LutPE(OuterProductPE):
    """The outer-product PE on LUT multipliers, with a LUT buffer of its own.

    The slice of the next operand is copied while the current one computes. It is hidden when D >= C = entries / W, that
    is when an operand meets at least ``lanes * 64 / W`` weights (``odd16``); otherwise the PE stalls C - D cycles an
    operand, and ``stalls`` counts them.

    Stalls of K operands back to back: ``C + 1 + (K - 1) * (max(D, A, C) - D)``, with A = ``add_stages`` + 2.

    Parameters
    ----------
    config : LutPEConfig

    Members, besides those of ``OuterProductPE``
    --------------------------------------------
    filled : Out(1), the LUT buffer is complete: 65,536 (``odd16``) or 131,072 (``byte128``) cycles after reset

    Golden: ``golden.lut_pe.lut_pe``.
    """

    def __init__(self, *, config):
        super().__init__(config=config, ports={"filled": Out(1)})

    @property
    def startup_stalls(self):
        return self.config.copy_cycles + 1

    def bank(self, m):
        m.submodules.bank = bank = LutBank(config=self.config)
        m.submodules.buffer = buffer = LutBuffer(config=self.config.buffer)
        connect(m, bank.o_fraction, buffer.i)
        connect(m, buffer.o, bank.i_slice)
        m.d.comb += self.filled.eq(buffer.filled)
        return bank
