# SPDX-License-Identifier: Apache-2.0
"""Mixed multipliers that make the exact product of significands first: plain (11 x 7) and split (two multiples, one add).

What the two have in common, and what becomes of the 18 bits: rounded to the LUT multiplier's 11, normalised exactly, or
handed to a fixed-point accumulator as they are.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP17, FP24, INT8, Float, leading_zeros
from zoetrope.hw.pe.operand import OPERAND, OperandDecode, OperandDecodeConfig
from zoetrope.hw.pe.outer_product import OuterProductCell, OuterProductConfig, RowOperands
from zoetrope.hw.pe.product import SCALED_EXACT, SCALED_ROUNDED, Scaled, pack_product
from zoetrope.hw.pe.product_table import round_significand
from zoetrope.hw.stream import delayed, register

SIGNIFICAND_BITS = 11
EXACT_BITS = 18


@dataclass(frozen=True)
class SignificandProductConfig:
    multiplicand: data.Layout | int = field(
        default=SIGNIFICAND_BITS, metadata={"doc": "what a lane sees of the operand's significand"}
    )
    product: Float | Scaled = field(default=FP17, metadata={"doc": "form of the product"})
    stages: int = field(default=1, metadata={"doc": "1, or 2 with a register behind the rounding"})


class SignificandProduct(wiring.Component):
    """``product = x * w``: exact (FP24, ``SCALED_EXACT``) or rounded once to 11 significant bits (the others).

    A subclass says how it multiplies by what it sees of the operand's significand, the multiplicand.

    Members
    -------
    en : In(1), the pipeline moves
    w : In(INT8), the weight
    multiplicand : In, of the operand, with ``w``
    operand : In(OPERAND), one advance later
    product : Out, ``stages`` advances after ``w``
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "w": In(INT8),
                "multiplicand": In(config.multiplicand),
                "operand": In(OPERAND),
                "product": Out(config.product.layout),
            }
        )

    def multiply(self, m):
        """The exact product of the significand and the weight's magnitude."""
        raise NotImplementedError

    @property
    def exact_bits(self):
        """Bits of the exact product: 18, or those of aligned operands."""
        fmt = self.config.product
        return EXACT_BITS if isinstance(fmt, Float) or fmt == SCALED_ROUNDED else fmt.significand_bits

    def elaborate(self, platform):
        m = Module()
        fmt = self.config.product
        # s1: the exact product of the significands.
        s1_sign = Signal(reset_less=True)
        s1_zero = Signal(reset_less=True)
        s1_exact = Signal(self.exact_bits, reset_less=True)
        with m.If(self.en):
            m.d.sync += [
                s1_sign.eq(self.w.sign),
                s1_zero.eq(self.w.magnitude == 0),
                s1_exact.eq(self.multiply(m)),
            ]
        product = Signal(fmt.layout)
        exponent, significand = self._normalised(m, s1_exact, s1_zero)
        pack_product(
            m,
            product,
            fmt,
            operand=self.operand,
            weight_sign=s1_sign,
            weight_zero=s1_zero,
            exponent=exponent,
            significand=significand,
        )
        more = self.config.stages - 1
        m.d.comb += self.product.eq(delayed(m, self.en, product, more, "product", reset_less=True)[-1])
        return m

    def _normalised(self, m, exact, weight_zero):
        """(exponent, significand) of the product, as its format wants them."""
        fmt, operand = self.config.product, self.operand
        if isinstance(fmt, Scaled) and fmt != SCALED_ROUNDED:
            return operand.exponent, exact
        exponent = Signal(FP17.exponent_bits)
        if fmt == FP24:
            zeros = leading_zeros(m, exact[SIGNIFICAND_BITS - 1 :], "zeros")
            normalised = Signal(EXACT_BITS)
            m.d.comb += [normalised.eq(exact << zeros[:3]), exponent.eq(operand.exponent + 7 - zeros)]
            return exponent, normalised
        rounded = round_significand(m, exact, "product")
        m.d.comb += exponent.eq(operand.exponent + rounded[10:])
        significand = Cat(rounded[:10], Const(1, 1))
        if fmt == SCALED_ROUNDED:
            significand = Mux(operand.zero | weight_zero, 0, significand)
        return exponent, significand


@dataclass(frozen=True)
class SignificandPEConfig(OuterProductConfig):
    exact: bool = field(
        default=False,
        metadata={"doc": "whether products keep their 18 bits; otherwise they are rounded to 11, as the table's are"},
    )

    @property
    def product(self):
        if self.fixed:
            return SCALED_EXACT if self.exact else SCALED_ROUNDED
        return FP24 if self.exact else FP17

    @property
    def decode(self):
        """How operands are taken apart: an exponent is the shift of a ``Scaled`` product, or biased as a ``Float``'s."""
        if self.product == SCALED_EXACT:
            return OperandDecodeConfig(normalise=False, least=0)
        return OperandDecodeConfig(least=0) if self.fixed else OperandDecodeConfig()

    @property
    def lane(self):
        return SignificandProductConfig(
            multiplicand=self.multiplicand, product=self.product, stages=self.product_stages
        )

    #: Layout of what a lane sees of an operand's significand.
    multiplicand = SIGNIFICAND_BITS

    @property
    def row_layout(self):
        """What a PE sees: the multiplicand of the current operand (s0) and the rest of it (s1)."""
        return data.StructLayout({"multiplicand": self.multiplicand, "operand": OPERAND})


class SignificandRowOperands(RowOperands):
    """Operands of the rows: decoded into a register, refilled in the cycle in which it is released.

    A subclass that makes a multiplicand of the significands needs another register behind it: ``multiplicand``.
    """

    #: Method of (m, significand, name) that returns the multiplicand; None where it is the significand itself.
    multiplicand = None

    def __init__(self, *, config):
        super().__init__(config=config, row=config.row_layout)

    def elaborate(self, platform):
        m = Module()
        c = self.config
        held = data.StructLayout(
            {
                "significands": data.ArrayLayout(SIGNIFICAND_BITS, c.rows),
                "operands": data.ArrayLayout(OPERAND, c.rows),
                "last": 1,
            }
        )
        decoded = Signal(held)
        m.d.comb += decoded.last.eq(self.i_x.payload.last)
        for r in range(c.rows):
            m.submodules[f"decode_{r}"] = decode = OperandDecode(config=c.decode)
            m.d.comb += [
                decode.x.eq(self.i_x.payload.values[r]),
                decoded.significands[r].eq(decode.significand),
                decoded.operands[r].eq(decode.operand),
            ]
        current = register(m, held, decoded, self.i_x.valid, self.i_x.ready, "decoded")
        multiplicands = current.payload.significands
        if self.multiplicand:
            first, shape = current, data.ArrayLayout(c.multiplicand, c.rows)
            held = data.StructLayout({"multiplicands": shape, "operands": held.members["operands"], "last": 1})
            made = [self.multiplicand(m, first.payload.significands[r], f"r{r}") for r in range(c.rows)]
            made = Cat(*made, first.payload.operands, first.payload.last)
            current = register(m, held, made, first.valid, first.ready, "made")
            m.d.comb += self.pending.eq(first.valid)
            multiplicands = current.payload.multiplicands
        m.d.comb += [
            current.ready.eq(self.release),
            self.loaded.eq(current.valid),
            self.last.eq(current.payload.last),
        ]
        for r in range(c.rows):
            s1_operand = Signal(OPERAND, name=f"s1_operand_{r}", reset_less=True)
            with m.If(self.en):
                m.d.sync += s1_operand.eq(current.payload.operands[r])
            m.d.comb += [self.row[r].multiplicand.eq(multiplicands[r]), self.row[r].operand.eq(s1_operand)]
        return m


class SignificandCell(OuterProductCell):
    """The datapath of a PE on ``SignificandProduct`` multipliers."""

    #: The ``SignificandProduct`` of a lane.
    lane = None

    def __init__(self, *, config):
        super().__init__(config=config, row=config.row_layout)

    def products(self, m):
        c = self.config
        lanes = [self.lane(config=c.lane) for _ in range(c.lanes)]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [
                lane.en.eq(self.en),
                lane.w.eq(self.w[k]),
                lane.multiplicand.eq(self.row.multiplicand),
                lane.operand.eq(self.row.operand),
            ]
        return [lane.product for lane in lanes]
