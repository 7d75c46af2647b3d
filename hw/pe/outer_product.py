# SPDX-License-Identifier: Apache-2.0
"""Outer products: one FP16 operand a row meets D words of weights a column, sums over k in every PE, FP32 out.

::

    i_x (rows operands) --> operands of the rows ---------------+
                                                               v  one operand a row
    i_w (columns x lanes weights) --one word a column--> rows x columns PEs --sums--> o

What all PEs of Zoetrope share is here: ports, slots, stalls, sums, results. They differ in two parts that a subclass
names: how the operands of the rows are held (``RowOperands``), and how a PE turns an operand and a word of weights into
products (``OuterProductCell``). A single PE is the array of one row and one column. Sums are of one of two kinds, by
config: FP32 in the order of k, or exact in fixed point.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP17, FP32, INT8
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.pe.accumulator import Accumulator, AccumulatorConfig
from zoetrope.hw.pe.fixed_accumulator import (
    FixedAccumulator,
    FixedAccumulatorConfig,
    FixedToFloatConfig,
    FixedToFloatStream,
)
from zoetrope.hw.pe.product import SCALED_ROUNDED
from zoetrope.hw.stream import FullyPipelined, connect, delayed

#: The kinds of sums, with the component of each and its register stages where none are given.
ACCUMULATORS = {"fp32": (Accumulator, 3), "fixed": (FixedAccumulator, 1)}


@dataclass(frozen=True)
class OuterProductConfig:
    lanes: int = field(default=8, metadata={"doc": "multipliers of a PE, which share one FP16 operand"})
    words: int = field(default=16, metadata={"doc": "D, words of weights that one FP16 operand meets"})
    rows: int = field(default=1, metadata={"doc": "rows of PEs; a row shares an FP16 operand"})
    columns: int = field(default=1, metadata={"doc": "columns of PEs; a column shares a word of weights"})
    accumulator: str = field(
        default="fp32",
        metadata={"doc": "fp32: sums rounded at every step, in the order of k; fixed: exact sums, rounded once"},
    )
    add_stages: int | None = field(
        default=None,
        metadata={"doc": "register stages of the accumulators' adders: 0 to 6 (fp32, default 3), 0 to 2 (fixed, 1)"},
    )
    product_stages: int = field(default=1, metadata={"doc": "register stages of the multipliers, 1 or 2"})
    max_operands: int = field(default=65536, metadata={"doc": "largest K of a fixed-point sum, which sets its width"})

    def __post_init__(self):
        checks.at_least(self, 1, "rows", "columns", "max_operands")
        checks.between(self, 1, self.product_stages_max, "product_stages")
        checks.one_of(self, ACCUMULATORS, "accumulator")
        if self.add_stages is None:
            object.__setattr__(self, "add_stages", ACCUMULATORS[self.accumulator][1])
        _ = self.sums

    #: Register stages that the multipliers may have.
    product_stages_max = 2

    #: Layout of a weight.
    weight = INT8

    #: Bits of the scale that a cell sends with its sums, and the exponent that scale 0 means: fixed-point sums only.
    scale_bits = 0
    least = -24

    #: Whether an operand says how many words it meets, 1 to D: a field of configs whose ``RowOperands`` keep that number.
    ragged = False

    @property
    def fixed(self):
        return self.accumulator == "fixed"

    @property
    def product(self):
        """Format of a product."""
        return SCALED_ROUNDED if self.fixed else FP17

    @property
    def sums(self):
        """The config of the accumulators."""
        common = {"product": self.product, "lanes": self.lanes, "words": self.words, "add_stages": self.add_stages}
        if self.fixed:
            return FixedAccumulatorConfig(**common, max_operands=self.max_operands)
        return AccumulatorConfig(**common)

    @property
    def turnaround(self):
        """A, slots from a word to the next that may meet the same sums."""
        return self.sums.turnaround

    @property
    def convert(self):
        """The config of the conversion to FP32 behind fixed-point sums."""
        return FixedToFloatConfig(sums=self.sums, outputs=self.outputs, least=self.least, scale_bits=self.scale_bits)

    @property
    def pes(self):
        return self.rows * self.columns

    @property
    def outputs(self):
        """Weights in a word of ``i_w``, and sums in a word of ``o``: columns x lanes."""
        return self.columns * self.lanes

    @property
    def x_layout(self):
        """An operand of ``i_x``: x[k] of every row, and whether k is the last of its sums."""
        values = data.ArrayLayout(FP16.layout, self.rows)
        return data.StructLayout({"values": values, "last": 1, **self.count_layout})

    @property
    def count_layout(self):
        """The field of an operand that says how many words it meets, where it does."""
        return {"words": range(self.words + 1)} if self.ragged else {}

    @property
    def w_layout(self):
        return data.ArrayLayout(self.weight, self.outputs)

    @property
    def o_layout(self):
        return data.ArrayLayout(FP32.layout, self.outputs)

    @property
    def raw_layout(self):
        """A word of sums of a row, before conversion."""
        return self.convert.i_layout if self.fixed else self.o_layout


class RowOperands(wiring.Component):
    """What a subclass of ``OuterProduct`` supplies: takes operands, makes them ready, shows the current one to the PEs.

    Members
    -------
    i_x : In(stream of ``x_layout``)
    loaded : Out(1), the current operand is ready to be multiplied
    last : Out(1), the current operand ends its sums
    words : Out, words that the current operand meets, where the config is ``ragged``
    pending : Out(1), an operand was taken and is not loaded yet
    release : In(1), the last word of the current operand is taken in this cycle
    en : In(1), the pipeline moves
    row : Out per row, what the PEs of the row see of it
    """

    def __init__(self, *, config, row, ports=None):
        self.config = config
        super().__init__(
            {
                "i_x": In(stream.Signature(config.x_layout)),
                "loaded": Out(1),
                "last": Out(1),
                "pending": Out(1),
                "release": In(1),
                "en": In(1),
                "row": Out(row).array(config.rows),
                **{name: Out(shape) for name, shape in config.count_layout.items()},
                **(ports or {}),
            }
        )


class OuterProductCell(wiring.Component):
    """The datapath of one PE: ``lanes`` products of the row's operand and a word of weights, added to the sums of a slot.

    It has no flow control and no streams: all PEs of an array move together, and one controller serves them all.

    Members
    -------
    en : In(1), the pipeline moves
    row : In, the row's operand, as ``RowOperands`` shows it
    w : In(lanes weights), s0
    valid, slot, first, last, overlong : In, one advance before the products, see ``Accumulator``
    sums, done : Out, see ``Accumulator``
    scale : Out, of the sums, where the config has one
    """

    def __init__(self, *, config, row):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "row": In(row),
                "w": In(data.ArrayLayout(config.weight, config.lanes)),
                "valid": In(1),
                "slot": In(range(max(2, config.words))),
                "first": In(1),
                "last": In(1),
                "overlong": In(1),
                "sums": Out(data.ArrayLayout(config.sums.sum_layout, config.lanes)),
                "done": Out(1),
                **({"scale": Out(config.scale_bits)} if config.scale_bits else {}),
            }
        )

    def _accumulator(self):
        component, _ = ACCUMULATORS[self.config.accumulator]
        return component(config=self.config.sums)

    @property
    def accumulator_latency(self):
        return self._accumulator().latency

    def products(self, m):
        """The products of the lanes, ``product_stages`` advances after ``w``, as a list."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        accumulator = self._accumulator()
        m.submodules.accumulator = emit_once(accumulator)
        for name in ("en", "valid", "slot", "first", "last", "overlong"):
            m.d.comb += getattr(accumulator, name).eq(getattr(self, name))
        m.d.comb += [accumulator.products[k].eq(product) for k, product in enumerate(self.products(m))]
        m.d.comb += [self.sums.eq(accumulator.sums), self.done.eq(accumulator.done)]
        return m


class OuterProduct(FullyPipelined):
    """``o[r][d * outputs + j] = sum over k of x[k][r] * w[k][d * outputs + j]``, FP32.

    ``outputs`` is columns x lanes, and j counts lanes within columns. With ``accumulator="fp32"`` sums are rounded at every
    step, in the order of k, from +0; with ``"fixed"`` they are exact integers, rounded to FP32 once: any order and any
    tiling gives the same bits, a zero is +0, and infinities and NaN are as IEEE has them in a sum of any order.

    Members
    -------
    i_x : In(stream of ``x_layout``), FP16 ``values`` x[k] of the rows and ``last`` (k is the last of its sums)
    i_w : In(stream of outputs x weight), for each operand D words: word d holds w[k][d * outputs : (d + 1) * outputs]
    o : Out(stream of outputs x FP32), for each operand that is ``last``: row by row, D words a row
    stalls : Out(32), cycles since reset in which a word waited and the results were not in the way, an operand had been
        taken, and the PEs could not multiply it yet
    overflow : Out(1), since reset a sum had more than ``max_operands`` operands. Only a fixed-point sum can: it is then NaN.
        All its operands and words are taken, and the tiles after it are not touched.
    blocked : Out(1), ``ragged`` only: the results are in the way, and nothing moves in this cycle

    In a ``ragged`` config D is a number of each tile: every operand of ``i_x`` says in ``words`` how many it meets, from 1
    to the config's D, the same for all operands of a tile. Elsewhere it is the config's.

    Latency: ``product_stages + add_stages`` cycles from a word of the last operand to its sums, and 3 more where they are
    converted (``fixed``); with more than one PE, two more from the last word of the last operand to the first sums.
    Initiation interval: 1 cycle a word of ``i_w``; ``max(D, A, C)`` an operand, where A is the accumulator's turnaround
    and C the cycles that an operand is prepared, 0 but with a LUT. Where that exceeds D, the difference is lost in stalls:
    ``sim.model.pe.schedule_of`` gives them operand by operand.
    Backpressure: yes. With one PE ``i_w.ready`` depends on ``o.ready`` within a cycle. With more, complete sums go to a
    result memory of D words a row, and compute goes on while it is read: nothing is lost when K > rows.
    """

    #: Subclasses of ``RowOperands`` and ``OuterProductCell``.
    row_operands = None
    cell = None

    def __init__(self, *, config, ports=None):
        self.config = config
        super().__init__(
            {
                "i_x": In(stream.Signature(config.x_layout)),
                "i_w": In(stream.Signature(config.w_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "stalls": Out(32),
                "overflow": Out(1),
                **({"blocked": Out(1)} if config.ragged else {}),
                **(ports or {}),
            }
        )

    @property
    def latency(self):
        c = self.config
        return c.product_stages + c.add_stages + (2 if c.pes > 1 else 0) + (c.convert.stages if c.fixed else 0)

    #: Stalls of the first operand besides its preparation.
    startup = 0

    def operands(self, m):
        """Build the ``RowOperands`` and return it; a subclass may build more around it."""
        m.submodules.operands = operands = self.row_operands(config=self.config)
        return operands

    def elaborate(self, platform):
        m = Module()
        c = self.config
        operands = self.operands(m)
        cells = {}
        for r in range(c.rows):
            for k in range(c.columns):
                cells[r, k] = cell = self.cell(config=c)
                m.submodules[f"pe_{r}_{k}"] = emit_once(cell)
        done = cells[0, 0].done

        advance = Signal()
        issue = Signal()
        release = Signal()
        first = Signal(init=1)
        slot, empty = self._slots(m, operands, advance, issue, release)
        m.d.comb += [
            issue.eq(advance & ~empty & operands.loaded & self.i_w.valid),
            self.i_w.ready.eq(advance & ~empty & operands.loaded),
        ]
        with m.If(release):
            m.d.sync += first.eq(operands.last)

        m.d.comb += [
            operands.i_x.payload.eq(self.i_x.payload),
            operands.i_x.valid.eq(self.i_x.valid),
            self.i_x.ready.eq(operands.i_x.ready),
            operands.release.eq(release),
            operands.en.eq(advance),
        ]

        # The sums are told of a word one advance before its products arrive.
        ahead = c.product_stages - 1
        overlong = self._overlong(m, release, operands.last)
        control = {"valid": issue, "slot": slot, "first": first, "last": operands.last, "overlong": overlong}
        for name, signal in control.items():
            told = delayed(m, advance, signal, ahead, f"ahead_{name}", reset_less=name != "valid")[-1]
            m.d.comb += [getattr(cell, name).eq(told) for cell in cells.values()]
        for (r, k), cell in cells.items():
            m.d.comb += [cell.en.eq(advance), cell.row.eq(operands.row[r])]
            m.d.comb += [cell.w[j].eq(self.i_w.payload[k * c.lanes + j]) for j in range(c.lanes)]

        # Sums on their way out, still in the accumulators' format.
        raw = stream.Signature(c.raw_layout).create(path=["raw"])
        words = []
        for r in range(c.rows):
            word = Cat(*(cells[r, k].sums for k in range(c.columns)))
            words.append(Cat(word, cells[r, 0].scale) if c.scale_bits else word)
        if c.pes == 1:
            m.d.comb += [advance.eq(~done | raw.ready), raw.payload.eq(words[0]), raw.valid.eq(done)]
        else:
            m.submodules.results = results = Results(config=c)
            m.d.comb += [advance.eq(~done | results.free), results.write.eq(done & results.free)]
            m.d.comb += [results.sums[r].eq(word) for r, word in enumerate(words)]
            if c.ragged:
                ended = ahead + cells[0, 0].accumulator_latency
                m.d.comb += results.end.eq(delayed(m, advance, release, ended, "end", reset_less=True)[-1])
            connect(m, results.o, raw)
        if c.fixed:
            m.submodules.convert = convert = FixedToFloatStream(config=c.convert)
            connect(m, raw, convert.i)
            connect(m, convert.o, self.o)
        else:
            connect(m, raw, self.o)

        if c.ragged:
            m.d.comb += self.blocked.eq(~advance)
        waits = Signal()
        m.d.comb += waits.eq(self.i_w.valid & advance & ~issue & (operands.loaded | operands.pending))
        with m.If(waits):
            m.d.sync += self.stalls.eq(self.stalls + 1)
        return m

    def _slots(self, m, operands, advance, issue, release):
        """A slot a cycle: the words of the current operand, then empty slots until their sums can be read again.

        Drives ``release``, the last word is issued; returns the slot and whether it is empty.
        """
        c = self.config
        slots = max(c.words, c.turnaround)
        slot = Signal(range(max(2, slots)))
        empty = Signal()
        if not c.ragged:
            m.d.comb += [empty.eq(slot >= c.words), release.eq(issue & (slot == c.words - 1))]
            with m.If(issue | (advance & empty)):
                m.d.sync += slot.eq(Mux(slot == slots - 1, 0, slot + 1))
            return slot, empty
        # Once the last word is issued the next operand, which may be of another tile, shows its own number of words.
        again = Signal()
        m.d.comb += [
            release.eq(issue & (slot + 1 == operands.words)),
            again.eq(slot >= c.turnaround - 1),
        ]
        with m.If(issue | (advance & empty)):
            m.d.sync += [
                empty.eq((empty | release) & ~again),
                slot.eq(Mux((empty | release) & again, 0, slot + 1)),
            ]
        return slot, empty

    def _overlong(self, m, release, last):
        """Count the operands of a tile; whether the current one is beyond ``max_operands``."""
        c = self.config
        overlong = Signal()
        if c.fixed:
            taken = Signal(range(c.max_operands + 1))
            m.d.comb += overlong.eq(taken == c.max_operands)
            with m.If(release):
                m.d.sync += [
                    taken.eq(Mux(last, 0, Mux(overlong, taken, taken + 1))),
                    self.overflow.eq(self.overflow | overlong),
                ]
        return overlong


class Results(wiring.Component):
    """Holds the complete sums of a tile, D words of every row, and sends them row by row while the next is computed.

    One memory a row, written by all rows at once and read one row at a time. A chain of registers through the array would
    need no wide multiplexer, and would have to stop the array while it shifts.

    Members
    -------
    write : In(1), ``sums`` are the next word of the tile; only while ``free``
    sums : In per row, a word of its sums
    end : In(1), ``ragged`` only: with ``write``, the word is the tile's last
    free : Out(1), the tile before has been read
    o : Out(stream of words of sums), rows x D words a tile; ``ragged``: rows x its own number
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "write": In(1),
                "sums": In(config.raw_layout).array(config.rows),
                "free": Out(1),
                **({"end": In(1)} if config.ragged else {}),
                "o": Out(stream.Signature(config.raw_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        full = Signal()
        valid = Signal()
        take = Signal()
        read = Signal()
        last = Signal()
        word = Signal(range(max(2, c.words)))
        row = Signal(range(max(2, c.rows)))
        s1_row = Signal(range(max(2, c.rows)))
        m.d.comb += [
            self.free.eq(~full),
            take.eq(~valid | self.o.ready),
            read.eq(full & take),
            self.o.valid.eq(valid),
        ]
        if c.ragged:
            final = Signal.like(word, reset_less=True)
            m.d.comb += last.eq(Mux(full, word == final, self.end))
            with m.If(self.write):
                m.d.sync += final.eq(word)
        else:
            m.d.comb += last.eq(word == c.words - 1)
        # One counter of words: it walks up while the tile is written, and again for each row that is read.
        with m.If(self.write | read):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        with m.If(self.write & last):
            m.d.sync += full.eq(1)
        with m.If(read & last):
            m.d.sync += row.eq(Mux(row == c.rows - 1, 0, row + 1))
            with m.If(row == c.rows - 1):
                m.d.sync += full.eq(0)
        with m.If(take):
            m.d.sync += [valid.eq(full), s1_row.eq(row)]
        shown = []
        for r in range(c.rows):
            sram = Sram(config=SramConfig(depth=max(2, c.words), width=c.raw_layout.size))
            m.submodules[f"row_{r}"] = emit_once(sram)
            m.d.comb += [
                sram.w_en.eq(self.write),
                sram.w_addr.eq(word),
                sram.w_data.eq(self.sums[r]),
                sram.r_en[0].eq(read),
                sram.r_addr[0].eq(word),
            ]
            shown.append(sram.r_data[0])
        with m.Switch(s1_row):
            for r in range(c.rows):
                with m.Case(r):
                    m.d.comb += self.o.payload.eq(shown[r])
        return m
