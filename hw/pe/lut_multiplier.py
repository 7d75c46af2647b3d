# SPDX-License-Identifier: Apache-2.0
"""The LUT multiplier (SIMPICKER IV-B, Fig. 5): FP16 x INT8 by one look-up and one exponent add.

``product = x * w``, with x FP16, w sign-magnitude INT8, and w = +-odd * 2**t (reading ``odd16``)::

    w --> odd, t --> local table [fraction of x] --> increment, fraction --+
                                                                          +--> FP17 product
    exponent of x ------------------------------- + increment + t --------+
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP17, INT8, Float, leading_zeros
from zoetrope.hw.pe.local_table import LocalTable, LocalTableConfig
from zoetrope.hw.pe.operand import OPERAND
from zoetrope.hw.pe.product import SCALED_BYTE128, SCALED_ROUNDED, Scaled, pack_product
from zoetrope.hw.pe.product_table import find_reading
from zoetrope.hw.stream import FullyPipelined, delayed


def product_forms(reading):
    """The forms of a product: for FP32 sums, and for fixed-point sums."""
    return FP17, SCALED_ROUNDED if reading == "odd16" else SCALED_BYTE128


@dataclass(frozen=True)
class LutProductConfig:
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    stages: int = field(default=1, metadata={"doc": "1, or 2 with a register behind the product"})
    product: Float | Scaled = field(default=FP17, metadata={"doc": "form of the product"})

    def __post_init__(self):
        find_reading(self.reading)
        if self.product not in product_forms(self.reading):
            raise ValueError(
                f"product must be {' or '.join(form.name for form in product_forms(self.reading))} with reading "
                f"{self.reading}, not {self.product.name}"
            )
        checks.between(self, 1, 2, "stages")


class LutProduct(wiring.Component):
    """The logic of a LUT multiplier around a read port of a local table.

    Members
    -------
    en : In(1), the pipeline moves
    w : In(INT8), the weight
    index : Out, entry to look up for ``w``, in the same cycle
    entry : In, what the table returned, one advance later
    operand : In(OPERAND), the operand that the slice belongs to, in the cycle of ``entry``
    product : Out, of form ``config.product``

    Latency: ``stages`` advances from ``w``. Initiation interval: 1.
    """

    def __init__(self, *, config):
        self.config = config
        reading = self._reading = find_reading(config.reading)
        super().__init__(
            {
                "en": In(1),
                "w": In(INT8),
                "index": Out(reading.index_bits),
                "entry": In(reading.entry_bits),
                "operand": In(OPERAND),
                "product": Out(config.product.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt = self.config.product
        product = Signal(fmt.layout)
        s1_sign = Signal(reset_less=True)
        s1_zero = Signal(reset_less=True)
        with m.If(self.en):
            m.d.sync += [s1_sign.eq(self.w.sign), s1_zero.eq(self.w.magnitude == 0)]
        exponent, significand = self._odd16(m) if self._reading.name == "odd16" else self._byte128(m)
        if not isinstance(fmt, Float):
            significand = Mux(self.operand.zero | s1_zero, 0, significand)
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

    def _odd16(self, m):
        """(exponent, significand): the entry's, with the operand's exponent and the power of two of the weight added."""
        magnitude = self.w.magnitude
        # s0: the weight's trailing zeros; an odd number needs no entry for its lowest bit.
        twos = leading_zeros(m, magnitude[::-1], "twos")
        odd = Signal(7)
        s1_twos = Signal(3, reset_less=True)
        m.d.comb += [odd.eq(magnitude >> twos), self.index.eq(odd[1:])]
        with m.If(self.en):
            m.d.sync += s1_twos.eq(twos)
        # s1: one look-up, one exponent add.
        exponent = Signal(FP17.exponent_bits)
        m.d.comb += exponent.eq(self.operand.exponent + self.entry[10:13] + s1_twos)
        return exponent, Cat(self.entry[:10], Const(1, 1))

    def _byte128(self, m):
        """(exponent, significand) of (2m + entry) / 2: an addition and, for FP32 sums, a normalisation of 9 bits."""
        s1_magnitude = Signal(7, reset_less=True)
        m.d.comb += self.index.eq(self.w.magnitude)
        with m.If(self.en):
            m.d.sync += s1_magnitude.eq(self.w.magnitude)
        total = Signal(9)
        m.d.comb += total.eq(Cat(Const(0, 1), s1_magnitude) + self.entry)
        if self.config.product == SCALED_BYTE128:
            return self.operand.exponent, total
        zeros = leading_zeros(m, total, "zeros")
        normalised = Signal(9)
        exponent = Signal(FP17.exponent_bits)
        m.d.comb += [normalised.eq(total << zeros), exponent.eq(self.operand.exponent + 7 - zeros)]
        return exponent, Cat(Const(0, 2), normalised)


@dataclass(frozen=True)
class LutMultiplierConfig:
    reading: str = field(default="odd16", metadata={"doc": "layout of a slice: odd16 or byte128"})
    copy_width: int = field(default=8, metadata={"doc": "W, entries copied a cycle; a power of two"})
    stages: int = field(default=1, metadata={"doc": "1, or 2 with a register behind the product"})
    product: Float | Scaled = field(default=FP17, metadata={"doc": "form of the product"})

    def __post_init__(self):
        _ = self.table, self.logic

    @property
    def table(self):
        return LocalTableConfig(reading=self.reading, copy_width=self.copy_width)

    @property
    def logic(self):
        return LutProductConfig(reading=self.reading, stages=self.stages, product=self.product)


class LutMultiplier(FullyPipelined):
    """A LUT multiplier with its own local table: multiplies by one operand while the slice of the next is copied in.

    For finite x the product is ``x * w`` rounded once to 11 significant bits (``odd16``), which is IEEE's
    ``float16(x) * float16(w)`` wherever that is finite, or ``(2m + entry) / 2`` (``byte128``). Infinities, NaN and zeros
    follow IEEE. The product's exponent is a bit wider than FP16's, so it never overflows and is never subnormal.

    It has no flow control: 8 of them share one advance, one operand and one copy, and a handshake in each would be 8
    copies of the same two flip-flops and gates.

    Parameters
    ----------
    config : LutMultiplierConfig

    Members
    -------
    copy_en, copy_bank, copy_beat, copy_data : In, see ``LocalTable``
    en : In(1), the pipeline moves
    bank : In(1), the bank that holds the operand's slice
    w : In(INT8), the weight
    operand : In(OPERAND), of the slice in ``bank``, one advance after it: in the cycle of the looked-up entry
    product : Out, of form ``config.product``, ``latency`` advances after ``w``

    Latency: ``stages`` advances. Initiation interval: 1.
    Golden: ``golden.pe.lut_multiplier.lut_multiplier``.
    """

    def __init__(self, *, config):
        self.config = config
        self._table = LocalTable(config=config.table)
        self._product = LutProduct(config=config.logic)
        table = self._table.signature.members
        super().__init__(
            {
                **{name: table[name] for name in ("copy_en", "copy_bank", "copy_beat", "copy_data")},
                "en": In(1),
                "bank": In(1),
                "w": In(INT8),
                "operand": In(OPERAND),
                "product": Out(config.product.layout),
            }
        )

    @property
    def latency(self):
        return self.config.stages

    def elaborate(self, platform):
        m = Module()
        m.submodules.table, m.submodules.product = emit_once(self._table), emit_once(self._product)
        table, product = self._table, self._product
        m.d.comb += [getattr(table, name).eq(getattr(self, name)) for name in ("copy_en", "copy_bank", "copy_beat")]
        m.d.comb += [
            table.copy_data.eq(self.copy_data),
            table.en[0].eq(self.en),
            table.bank[0].eq(self.bank),
            table.index[0].eq(product.index),
            product.en.eq(self.en),
            product.w.eq(self.w),
            product.entry.eq(table.entry[0]),
            product.operand.eq(self.operand),
            self.product.eq(product.product),
        ]
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": LutMultiplierConfig(),
    "deep": LutMultiplierConfig(stages=2),
    "byte128": LutMultiplierConfig(reading="byte128", copy_width=16),
}
