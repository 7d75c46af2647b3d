"""The control: the outer-product PE on plain 11 x 7 multipliers. Same ports, same golden as the LUT PE, no table."""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.emit import emit_once
from hw.formats import FP16, FP17, INT8
from hw.simcore.operand import OPERAND, OperandDecode, pack_product
from hw.simcore.outer_product import OuterProduct, OuterProductCell, OuterProductConfig, RowOperands
from hw.simcore.product_table import round_significand


@dataclass(frozen=True)
class PlainProductConfig:
    stages: int = field(default=1, metadata={"doc": "1, or 2 with a register behind the rounding"})


class PlainProduct(wiring.Component):
    """``product = x * w`` rounded once to 11 significant bits: an 11 x 7 multiplier, a normaliser and a rounder.

    Members
    -------
    en : In(1), the pipeline moves
    w : In(INT8), the weight
    fraction : In(10), of the operand, with ``w``
    operand : In(OPERAND), one advance later
    product : Out(FP17), ``stages`` advances after ``w``
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "w": In(INT8),
                "fraction": In(FP16.fraction_bits),
                "operand": In(OPERAND),
                "product": Out(FP17.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # s1: the exact 18-bit product of the significands.
        s1_sign = Signal(reset_less=True)
        s1_zero = Signal(reset_less=True)
        s1_exact = Signal(18, reset_less=True)
        with m.If(self.en):
            m.d.sync += [
                s1_sign.eq(self.w.sign),
                s1_zero.eq(self.w.magnitude == 0),
                s1_exact.eq(Cat(self.fraction, Const(1, 1)) * self.w.magnitude),
            ]
        rounded = round_significand(m, s1_exact, "product")
        exponent = Signal(FP17.exponent_bits)
        product = Signal(FP17.layout)
        m.d.comb += exponent.eq(self.operand.exponent + rounded[10:])
        pack_product(
            m,
            product,
            operand=self.operand,
            weight_sign=s1_sign,
            weight_zero=s1_zero,
            exponent=exponent,
            fraction=rounded[:10],
        )
        if self.config.stages == 1:
            m.d.comb += self.product.eq(product)
        else:
            s2_product = Signal(FP17.layout, reset_less=True)
            with m.If(self.en):
                m.d.sync += s2_product.eq(product)
            m.d.comb += self.product.eq(s2_product)
        return m


@dataclass(frozen=True)
class PlainPEConfig(OuterProductConfig):
    @property
    def row_layout(self):
        """What a PE sees: the fraction of the current operand (s0) and the rest of it (s1)."""
        return data.StructLayout({"fraction": FP16.fraction_bits, "operand": OPERAND})


class PlainRowOperands(RowOperands):
    """Operands of the rows of a plain array: one register a row, refilled in the cycle in which it is released."""

    def __init__(self, *, config):
        super().__init__(config=config, row=config.row_layout)

    def elaborate(self, platform):
        m = Module()
        full = Signal()
        last = Signal(reset_less=True)
        m.d.comb += [self.i_x.ready.eq(~full | self.release), self.loaded.eq(full), self.last.eq(last)]
        taken = Signal()
        m.d.comb += taken.eq(self.i_x.valid & self.i_x.ready)
        with m.If(self.i_x.ready):
            m.d.sync += full.eq(self.i_x.valid)
        with m.If(taken):
            m.d.sync += last.eq(self.i_x.payload.last)
        for r in range(self.config.rows):
            m.submodules[f"decode_{r}"] = decode = OperandDecode()
            fraction = Signal(FP16.fraction_bits, name=f"fraction_{r}", reset_less=True)
            operand = Signal(OPERAND, name=f"operand_{r}", reset_less=True)
            s1_operand = Signal(OPERAND, name=f"s1_operand_{r}", reset_less=True)
            m.d.comb += decode.x.eq(self.i_x.payload.values[r])
            with m.If(taken):
                m.d.sync += [fraction.eq(decode.fraction), operand.eq(decode.operand)]
            with m.If(self.en):
                m.d.sync += s1_operand.eq(operand)
            m.d.comb += [self.row[r].fraction.eq(fraction), self.row[r].operand.eq(s1_operand)]
        return m


class PlainCell(OuterProductCell):
    """The datapath of a plain PE: 11 x 7 multipliers, sums."""

    def __init__(self, *, config):
        super().__init__(config=config, row=config.row_layout)

    def products(self, m):
        lanes = [
            PlainProduct(config=PlainProductConfig(stages=self.config.product_stages)) for _ in range(self.config.lanes)
        ]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [
                lane.en.eq(self.en),
                lane.w.eq(self.w[k]),
                lane.fraction.eq(self.row.fraction),
                lane.operand.eq(self.row.operand),
            ]
        return [lane.product for lane in lanes]


class PlainPE(OuterProduct):
    """Outer products on 11 x 7 multipliers: what SIMPICKER's LUT PE is compared with.

    Bit for bit the LUT PE (``odd16``), because both round the same product to the same 11 bits.

    Parameters
    ----------
    config : PlainPEConfig

    Stalls of K operands back to back: ``(K - 1) * (max(D, A) - D)``, with A = ``add_stages`` + 2.
    Golden: ``golden.lut_pe.lut_pe``.
    """

    row_operands = PlainRowOperands
    cell = PlainCell
