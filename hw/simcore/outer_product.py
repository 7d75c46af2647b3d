"""Outer products: one FP16 operand a row meets D words of weights a column, FP32 sums over k in every PE.

::

    i_x (rows operands) --> operands of the rows ---------------+
                                                               v  one operand a row
    i_w (columns x lanes weights) --one word a column--> rows x columns PEs --sums--> o

What all PEs of Zoetrope share is here: ports, slots, stalls, sums, results. They differ in two parts that a subclass
names: how the operands of the rows are held (``RowOperands``), and how a PE turns an operand and a word of weights into
products (``OuterProductCell``). A single PE is the array of one row and one column.
"""

import itertools
from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.emit import emit_once
from hw.formats import FP16, FP17, FP32, INT8
from hw.memory.sram import Sram, SramConfig
from hw.simcore.accumulator import Accumulator, AccumulatorConfig
from hw.stream import delayed


@dataclass(frozen=True)
class OuterProductConfig:
    lanes: int = field(default=8, metadata={"doc": "multipliers of a PE, which share one FP16 operand"})
    words: int = field(default=16, metadata={"doc": "D, words of weights that one FP16 operand meets"})
    rows: int = field(default=1, metadata={"doc": "rows of PEs; a row shares an FP16 operand"})
    columns: int = field(default=1, metadata={"doc": "columns of PEs; a column shares a word of weights"})
    add_stages: int = field(default=3, metadata={"doc": "register stages of the FP32 adders, 0 to 6"})
    product_stages: int = field(default=1, metadata={"doc": "register stages of the multipliers, 1 or 2"})

    def __post_init__(self):
        for name in ("rows", "columns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if self.product_stages not in (1, 2):
            raise ValueError(f"product_stages must be 1 or 2, not {self.product_stages!r}")
        _ = self.accumulator

    #: Formats of a weight and of a product.
    weight = INT8
    product = FP17

    @property
    def accumulator(self):
        return AccumulatorConfig(product=self.product, lanes=self.lanes, words=self.words, add_stages=self.add_stages)

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
        return data.StructLayout({"values": data.ArrayLayout(FP16.layout, self.rows), "last": 1})

    @property
    def w_layout(self):
        return data.ArrayLayout(self.weight, self.outputs)

    @property
    def o_layout(self):
        return data.ArrayLayout(FP32.layout, self.outputs)


class RowOperands(wiring.Component):
    """What a subclass of ``OuterProduct`` supplies: takes operands, makes them ready, shows the current one to the PEs.

    Members
    -------
    i_x : In(stream of ``x_layout``)
    loaded : Out(1), the current operand is ready to be multiplied
    last : Out(1), the current operand ends its sums
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
    valid, slot, first, last : In, one advance before the products, see ``Accumulator``
    sums, done : Out, see ``Accumulator``
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
                "sums": Out(data.ArrayLayout(FP32.layout, config.lanes)),
                "done": Out(1),
            }
        )

    def products(self, m):
        """The products of the lanes, ``product_stages`` advances after ``w``, as a list."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        accumulator = Accumulator(config=self.config.accumulator)
        m.submodules.accumulator = emit_once(accumulator)
        for name in ("en", "valid", "slot", "first", "last"):
            m.d.comb += getattr(accumulator, name).eq(getattr(self, name))
        m.d.comb += [accumulator.products[k].eq(product) for k, product in enumerate(self.products(m))]
        m.d.comb += [self.sums.eq(accumulator.sums), self.done.eq(accumulator.done)]
        return m


class OuterProduct(wiring.Component):
    """``o[r][d * outputs + j] = sum over k of x[k][r] * w[k][d * outputs + j]``, FP32, in the order of k, from +0.

    ``outputs`` is columns x lanes, and j counts lanes within columns.

    Members
    -------
    i_x : In(stream of ``x_layout``), FP16 ``values`` x[k] of the rows and ``last`` (k is the last of its sums)
    i_w : In(stream of outputs x weight), for each operand D words: word d holds w[k][d * outputs : (d + 1) * outputs]
    o : Out(stream of outputs x FP32), for each operand that is ``last``: row by row, D words a row
    stalls : Out(32), cycles since reset in which a word waited and the results were not in the way, an operand had been
        taken, and the PEs could not multiply it yet

    Latency: ``product_stages + add_stages`` cycles from a word of the last operand to its sums; with more than one PE, two
    more from the last word of the last operand to the first sums.
    Initiation interval: 1 cycle a word of ``i_w``; ``max(D, A, C)`` an operand, where A is the accumulator's turnaround
    and C the preparation of an operand (``operand_interval``). Where that exceeds D, the difference is lost in stalls.
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
                **(ports or {}),
            }
        )

    @property
    def latency(self):
        return self.config.product_stages + self.config.add_stages + (2 if self.config.pes > 1 else 0)

    @property
    def initiation_interval(self):
        return 1

    def preparation(self, operands):
        """C of each operand: cycles that its preparation takes, from ``operands`` codes (K, rows). Here none."""
        return [0] * len(operands)

    #: Stalls of the first operand besides its preparation.
    startup = 0

    def schedule(self, operands):
        """The cycle, counted from the first word, in which each operand of ``operands`` (K, rows) meets its first word.

        For operands and words that always wait and results that are always taken: an operand starts when the one before
        it is done and its sums are free, and when it is prepared, which begins when the one before has been prepared and
        the one before that was released.
        """
        c = self.config
        slots = max(c.words, c.accumulator.turnaround)
        starts, prepared = [], 0
        for k, cycles in enumerate(self.preparation(operands)):
            released = starts[k - 2] + c.words if k > 1 else prepared
            prepared = max(prepared, released) + cycles if k else 0
            starts.append(max(starts[-1] + slots, prepared) if k else 0)
        return starts

    def expected_stalls(self, operands):
        """What ``stalls`` counts for ``operands`` (K, rows), nothing outside stalling."""
        starts, c = self.schedule(operands), self.config
        waits = sum(b - a - c.words for a, b in itertools.pairwise(starts))
        first = next(iter(self.preparation(operands)))
        return (first + self.startup if first else 0) + waits

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

        # A slot a cycle: D words of the current operand, then empty slots until their sums can be read again.
        slots = max(c.words, c.accumulator.turnaround)
        slot = Signal(range(max(2, slots)))
        advance = Signal()
        empty = Signal()
        issue = Signal()
        release = Signal()
        first = Signal(init=1)
        m.d.comb += [
            empty.eq(slot >= c.words),
            issue.eq(advance & ~empty & operands.loaded & self.i_w.valid),
            release.eq(issue & (slot == c.words - 1)),
            self.i_w.ready.eq(advance & ~empty & operands.loaded),
        ]
        with m.If(issue | (advance & empty)):
            m.d.sync += slot.eq(Mux(slot == slots - 1, 0, slot + 1))
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
        control = {"valid": issue, "slot": slot, "first": first, "last": operands.last}
        for name, signal in control.items():
            told = delayed(m, advance, signal, ahead, f"ahead_{name}", reset_less=name != "valid")[-1]
            m.d.comb += [getattr(cell, name).eq(told) for cell in cells.values()]
        for (r, k), cell in cells.items():
            m.d.comb += [cell.en.eq(advance), cell.row.eq(operands.row[r])]
            m.d.comb += [cell.w[j].eq(self.i_w.payload[k * c.lanes + j]) for j in range(c.lanes)]

        if c.pes == 1:
            m.d.comb += [
                advance.eq(~done | self.o.ready),
                self.o.payload.eq(cells[0, 0].sums),
                self.o.valid.eq(done),
            ]
        else:
            m.submodules.results = results = Results(config=c)
            m.d.comb += [
                advance.eq(~done | results.free),
                results.write.eq(done & results.free),
                self.o.payload.eq(results.o.payload),
                self.o.valid.eq(results.o.valid),
                results.o.ready.eq(self.o.ready),
            ]
            for r in range(c.rows):
                m.d.comb += results.sums[r].eq(Cat(cells[r, k].sums for k in range(c.columns)))

        waits = Signal()
        m.d.comb += waits.eq(self.i_w.valid & advance & ~issue & (operands.loaded | operands.pending))
        with m.If(waits):
            m.d.sync += self.stalls.eq(self.stalls + 1)
        return m


class Results(wiring.Component):
    """Holds the complete sums of a tile, D words of every row, and sends them row by row while the next is computed.

    One memory a row, written by all rows at once and read one row at a time. A chain of registers through the array would
    need no wide multiplexer, and would have to stop the array while it shifts.

    Members
    -------
    write : In(1), ``sums`` are the next word of the tile; only while ``free``
    sums : In per row, outputs x FP32
    free : Out(1), the tile before has been read
    o : Out(stream of outputs x FP32), rows x D words a tile
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "write": In(1),
                "sums": In(config.o_layout).array(config.rows),
                "free": Out(1),
                "o": Out(stream.Signature(config.o_layout)),
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
            last.eq(word == c.words - 1),
            take.eq(~valid | self.o.ready),
            read.eq(full & take),
            self.o.valid.eq(valid),
        ]
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
            sram = Sram(config=SramConfig(depth=max(2, c.words), width=32 * c.outputs))
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
