# SPDX-License-Identifier: Apache-2.0
"""Aligned integers: a row's operands are brought to one exponent, and its sums are integer multiply-accumulates.

::

    i_x --> row buffer (one row loads, one is read) --> shift right by E - exponent, round --> integer operand --+
        \\-> largest exponent E of the row -----------------------------------------^                            v
    i_w ------------------------------------------------> lanes x (integer product, integer sum) --> x 2**E --> FP32 --> o
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, shift_right_sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.pe.operand import OPERAND, OperandDecode, OperandDecodeConfig
from zoetrope.hw.pe.outer_product import OuterProduct, OuterProductConfig, RowOperands
from zoetrope.hw.pe.plain_pe import PlainProduct
from zoetrope.hw.pe.product import Scaled
from zoetrope.hw.pe.significand_product import SIGNIFICAND_BITS, SignificandCell, SignificandProductConfig
from zoetrope.hw.pe.split_pe import (
    WEIGHT_BITS,
    SplitProduct,
    SplitProductConfig,
    check_digits,
    multiples_layout,
    odd_multiples,
)
from zoetrope.hw.stream import delayed, register


@dataclass(frozen=True)
class AlignedPEConfig(OuterProductConfig):
    accumulator: str = field(default="fixed", metadata={"doc": "fixed: there is no other here"})
    max_operands: int = field(
        default=128, metadata={"doc": "largest K, the operands of a row that are kept; sets the width of the sums"}
    )
    add_stages: int = field(default=0, metadata={"doc": "register stages of the accumulators' adders, 0 to 2"})
    bits: int = field(default=16, metadata={"doc": "bits of an aligned operand, with its sign, 12 to 41"})

    digits: tuple[int, ...] = field(
        default=(3, 2, 2),
        metadata={"doc": "bits of the weight's digits, as in a split PE, lowest first; () for plain multipliers"},
    )

    def __post_init__(self):
        if self.digits:
            check_digits(self.digits)
        checks.between(self, 12, 41, "bits")
        checks.one_of(self, ("fixed",), "accumulator", why="aligned operands have integer sums")
        super().__post_init__()

    #: The scale of a row's sums is its largest exponent.
    scale_bits = FP16.exponent_bits

    @property
    def least(self):
        return -13 - self.bits

    @property
    def product(self):
        return Scaled("aligned", self.bits - 1 + WEIGHT_BITS, 0)

    @property
    def multiplicand(self):
        """What a lane sees of an aligned operand: its magnitude, or odd multiples of it."""
        return multiples_layout(self.digits, self.bits - 1) if self.digits else self.bits - 1

    @property
    def lane(self):
        common = {"multiplicand": self.multiplicand, "product": self.product, "stages": self.product_stages}
        return SplitProductConfig(**common, digits=self.digits) if self.digits else SignificandProductConfig(**common)

    @property
    def row_layout(self):
        """What a PE sees: the multiplicand of the current operand and its row's E (s0), and the operand's class (s1)."""
        return self.held_layout(self.multiplicand)

    def held_layout(self, multiplicand):
        return data.StructLayout({"multiplicand": multiplicand, "scale": self.scale_bits, "operand": OPERAND})


class AlignedRowOperands(RowOperands):
    """Operands of the rows: kept until the largest exponent is known, then aligned one by one.

    One memory of two banks of ``max_operands`` words: while the operands of one tile are read, those of the next are
    written, one a cycle. A tile with more operands than a bank goes on in the other, with another E: its sums are NaN
    (``OuterProduct`` sees to that), and nothing is lost or left over.
    """

    def __init__(self, *, config):
        super().__init__(config=config, row=config.row_layout)

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=2 << self._address_bits, width=FP16.width * c.rows))
        m.submodules.buffer = emit_once(sram)
        # Of each bank: the last address, whether that operand ends its tile, and E of each row.
        about = data.StructLayout(
            {"end": self._address_bits, "final": 1, "largest": data.ArrayLayout(FP16.exponent_bits, c.rows)}
        )
        full = Signal(2)
        filled = Signal(data.ArrayLayout(about, 2), reset_less=True)
        address = self._load(m, sram, full, filled)
        a = self._read(m, sram, about, full, filled)

        # b: aligned.  c: its odd multiples, where the lanes want them.
        codes = data.View(data.ArrayLayout(FP16.layout, c.rows), sram.r_data[0])
        rows = [self._align(m, r, codes[r], a.about.largest[r]) for r in range(c.rows)]
        shown = register(m, self._held(c.bits - 1), Cat(*rows, a.last), a.valid, a.ready, "b")
        pending = a.valid | full.any() | address.any()
        if c.digits:
            b, pending = shown, pending | shown.valid
            rows = []
            for r, row in enumerate(b.payload.rows):
                rows += [odd_multiples(m, row.multiplicand, c.digits, f"r{r}"), row.scale, row.operand]
            shown = register(m, self._held(c.multiplicand), Cat(*rows, b.payload.last), b.valid, b.ready, "c")
        m.d.comb += [
            shown.ready.eq(self.release),
            self.loaded.eq(shown.valid),
            self.last.eq(shown.payload.last),
            self.pending.eq(pending),
        ]
        for r in range(c.rows):
            s1_operand = Signal(OPERAND, name=f"s1_operand_{r}", reset_less=True)
            with m.If(self.en):
                m.d.sync += s1_operand.eq(shown.payload.rows[r].operand)
            row = shown.payload.rows[r]
            m.d.comb += [
                self.row[r].multiplicand.eq(row.multiplicand),
                self.row[r].scale.eq(row.scale),
                self.row[r].operand.eq(s1_operand),
            ]
        return m

    @property
    def _address_bits(self):
        """Of an operand in its bank."""
        return max(1, (self.config.max_operands - 1).bit_length())

    def _load(self, m, sram, full, filled):
        """A bank is full with the last operand of its tile, or when no more fit. Returns the address of the next operand."""
        c = self.config
        bank = Signal()
        address = Signal(self._address_bits)
        taken = Signal()
        closing = Signal()
        final = Signal()
        m.d.comb += [
            self.i_x.ready.eq(~full.bit_select(bank, 1)),
            taken.eq(self.i_x.valid & self.i_x.ready),
            final.eq(self.i_x.payload.last),
            closing.eq(taken & (final | (address == c.max_operands - 1))),
            sram.w_en.eq(taken),
            sram.w_addr.eq(Cat(address, bank)),
            sram.w_data.eq(self.i_x.payload.values),
        ]
        with m.If(taken):
            m.d.sync += address.eq(Mux(closing, 0, address + 1))
        largest = [self._largest(m, r, taken, address == 0) for r in range(c.rows)]
        with m.If(closing):
            m.d.sync += [
                bank.eq(~bank),
                full.bit_select(bank, 1).eq(1),
                filled[bank].eq(Cat(address, final, *largest)),
            ]
        return address

    def _read(self, m, sram, about, full, filled):
        """a: an operand in the memory's output register, as a namespace; ``ready`` is for the next stage to drive."""
        read_bank = Signal()
        read_address = Signal(self._address_bits)
        a_valid = Signal()
        a_ready = Signal()
        a_about = Signal(about, reset_less=True)
        a_last = Signal(reset_less=True)
        current = Signal(about)
        reading = Signal()
        ending = Signal()
        m.d.comb += [
            current.eq(filled[read_bank]),
            reading.eq(full.bit_select(read_bank, 1) & (~a_valid | a_ready)),
            ending.eq(reading & (read_address == current.end)),
            sram.r_en[0].eq(reading),
            sram.r_addr[0].eq(Cat(read_address, read_bank)),
        ]
        with m.If(~a_valid | a_ready):
            m.d.sync += a_valid.eq(reading)
        with m.If(reading):
            m.d.sync += [
                read_address.eq(Mux(ending, 0, read_address + 1)),
                a_about.eq(current),
                a_last.eq(ending & current.final),
            ]
        with m.If(ending):
            m.d.sync += [read_bank.eq(~read_bank), full.bit_select(read_bank, 1).eq(0)]
        return SimpleNamespace(valid=a_valid, ready=a_ready, about=a_about, last=a_last)

    def _held(self, multiplicand):
        c = self.config
        return data.StructLayout({"rows": data.ArrayLayout(c.held_layout(multiplicand), c.rows), "last": 1})

    def _largest(self, m, r, taken, first):
        """The largest exponent of row r so far, the operand taken in this cycle included."""
        exponent = self.i_x.payload.values[r].exponent
        finite, kept, largest = (
            Signal(FP16.exponent_bits, name=f"{name}_{r}") for name in ("finite", "kept", "largest")
        )
        m.d.comb += [
            finite.eq(Mux((exponent == 0) | (exponent == FP16.exponent_max), 1, exponent)),
            largest.eq(Mux(first | (finite > kept), finite, kept)),
        ]
        with m.If(taken):
            m.d.sync += kept.eq(largest)
        return largest

    def _align(self, m, r, code, largest):
        """Row r of the operand as ``row_layout`` wants it: its significand shifted right by E - exponent, and rounded."""
        c = self.config
        m.submodules[f"decode_{r}"] = decode = OperandDecode(config=OperandDecodeConfig(normalise=False, least=1))
        low = c.bits - 1 - SIGNIFICAND_BITS
        distance = Signal(FP16.exponent_bits, name=f"distance_{r}")
        m.d.comb += [decode.x.eq(code), distance.eq(largest - decode.operand.exponent)]
        # One bit below the unit decides, with what was lost below it.
        shifted, lost = shift_right_sticky(m, Cat(Const(0, low + 1), decode.significand), distance, f"align_{r}")
        aligned = Signal(c.bits - 1, name=f"aligned_{r}")
        up = Signal(name=f"up_{r}")
        special = decode.operand.inf | decode.operand.nan
        m.d.comb += [
            up.eq(shifted[0] & (lost | shifted[1])),
            aligned.eq(Mux(special, 0, shifted[1:] + up)),
        ]
        return Cat(aligned, largest, decode.operand)


class AlignedCell(SignificandCell):
    """The datapath of an aligned PE: the split or the plain PE's, with no exponents but the row's."""

    @property
    def lane(self):
        return SplitProduct if self.config.digits else PlainProduct

    def elaborate(self, platform):
        m = super().elaborate(platform)
        c = self.config
        stages = c.product_stages + c.add_stages
        m.d.comb += self.scale.eq(delayed(m, self.en, self.row.scale, stages, "scale", reset_less=True)[-1])
        return m


class AlignedPE(OuterProduct):
    """Outer products on integers: ``2**u * sum over k of round(x[k] / 2**u) * w[k]``, ``u = E - 13 - bits``, FP32.

    E is the largest exponent of the row's K operands, so the row is kept until its last operand has come: the sums of one
    tile are computed while the next loads. An operand is rounded once, for all weights that it meets; after that nothing
    is, until the sum becomes FP32. A lane is an integer multiplier and an integer adder of
    ``bits + 7 + log2(max_operands)`` bits: no exponent, no shifter, no normaliser. The multiplier picks multiples that the
    row makes, as in ``SplitPE``.

    Error: at most ``2**(E - 14 - bits) * sum of |w|``, and half a unit of the FP32 result
    (``golden.pe.aligned_pe.error_bound``). The default of 16 bits is the least whose rms error is below that of products
    rounded to 11 bits, as the LUT multiplier rounds them, on every kind of row tried; the hard one is a row with one large
    operand, where an aligned operand may lose all its bits and a product never does. Relative to the rms of the sums, 128
    operands:

    ==================  ===========  ==========  ==========  ==========
    row                 rounded 11   14 bits     15 bits     16 bits
    ==================  ===========  ==========  ==========  ==========
    normal              2.1e-4       1.0e-4      3.6e-5      1.3e-5
    softmax             2.1e-4       4.3e-4      2.2e-4      1.2e-4
    one large operand   2.1e-4       5.1e-4      2.7e-4      1.3e-4
    ==================  ===========  ==========  ==========  ==========

    The same lanes without alignment, a shifter in each (``SplitPE`` with ``exact`` and fixed-point sums), lose nothing and
    need no row buffer; they cost half as much again.

    Infinities and NaN: as in a fixed-point sum (``OuterProduct``); they do not take part in E.

    Parameters
    ----------
    config : AlignedPEConfig

    Stalls of one tile of K operands: ``K + 3`` before the first word (``K + 2`` with plain multipliers), then
    ``(K - 1) * (max(D, A) - D)``. Further tiles load meanwhile, an operand a cycle: there are no more where tiles are of one
    length.
    Golden: ``golden.pe.aligned_pe.aligned_pe``.
    """

    row_operands = AlignedRowOperands
    cell = AlignedCell


#: Config of each preset; the first is the default.
PRESETS = {
    "default": AlignedPEConfig(),
    "small": AlignedPEConfig(bits=12, max_operands=5, product_stages=2, digits=()),
    "wide": AlignedPEConfig(bits=41, add_stages=2),
}

#: The ways to multiply that `zoetrope lanes` sets side by side, by their printed names.
WAYS = {
    "aligned integer": AlignedPEConfig(),
}
