# SPDX-License-Identifier: Apache-2.0
"""Tile merge unit (SIMPICKER V-A): the softmax of a row of which one tile of keys at a time was computed.

A row of 35,100 scores does not fit the paper's global buffer, so its softmax and its product with V are made in tiles of
keys, each with a maximum of its own. Of tile g the SFU gives m_g and l_g, the arrays A_g = sum of exp(x - m_g) V::

    m' = max(m, m_g);  alpha = exp(m - m');  beta = exp(m_g - m')
    acc = acc * alpha + A_g * beta;  l = l * alpha + l_g * beta;  after the last tile  A = float16(acc * (1 / l))

One of alpha and beta is exactly 1, so one exponential a tile and one multiplier a lane do, with a multiplexer in front::

    i_tile --> m, l --> compare, subtract, exp --> factors -+     l' --> 1 / l' --> inverses -+
                                                            v                                 |
    i (A_g) ----+-> multiplexer -> * factor --> + --+--> acc (memory)                         |
                |        ^            |                                                       |
                +-- acc -+            +--> FP16 --> o                <------------------------+

After the last tile the words of the row pass the same multipliers once more, times 1 / l.

The paper has no such unit and no area for one. Four lanes of 16 rows are 102 kGE beside the memory of acc: 12 a lane, of
which 8 are its multiplier, and 54 whatever the lanes: 1 / l 12.4, exp 9.9, l and m in registers 9.9. Rejected:

* Multipliers of their own for 1 / l: 8 kGE a lane, to save one pass in tiles + 1.
* Both operands multiplied: another 8 kGE a lane, and one of the two always by 1.
* Factors computed when the words come: each tile of a row would wait 9 cycles for its own, or A_g pass a delay line of 9
  words. Here they run ahead, by up to ``ahead`` tiles.
* The exponentials of the SFU: they are busy with the next tile's scores. Its reciprocal is not, as tiles have no use for
  it; it would save 12.4 kGE here, for a port of the SFU and an order between its rows and these.
* Division by l: a reciprocal a row and a multiplier that is there already do it, within 1.5 ulp of FP32.
* Results rounded once from the product of 48 bits: a second rounder in every multiplier, for 2**-14 ulp of FP16.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.exp import Exp, ExpConfig
from zoetrope.hw.arith.float_add import FloatAdd, FloatAddConfig
from zoetrope.hw.arith.float_compare import FloatCompare, FloatCompareConfig
from zoetrope.hw.arith.float_convert import FloatConvert, FloatConvertConfig
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.arith.reciprocal import Reciprocal, ReciprocalConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined, check_parts, delayed, operator

_MINUS_INF = FP32.inf | 1 << 31
_MINUS_ZERO = 1 << 31


@dataclass(frozen=True)
class TileMergeUnitConfig:
    lanes: int = field(default=4, metadata={"doc": "channels a cycle"})
    rows: int = field(default=16, metadata={"doc": "rows of a slice, whose tiles are merged side by side"})
    max_channels: int = field(default=128, metadata={"doc": "channels of the widest row, d"})
    ahead: int = field(default=4, metadata={"doc": "tiles of rows whose factors are computed before their words come"})
    multiply_stages: int = field(default=3, metadata={"doc": "register stages of the multipliers"})
    add_stages: int = field(default=3, metadata={"doc": "of the adders"})
    exp_stages: int = field(default=3, metadata={"doc": "of the exponential"})
    reciprocal_stages: int = field(default=4, metadata={"doc": "of the reciprocal"})
    convert_stages: int = field(default=1, metadata={"doc": "of the conversion to FP16"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes", "rows", "max_channels")
        checks.at_least(self, 2, "ahead")
        check_parts(self, "multiply", "add", "exp", "reciprocal", "convert")

    @property
    def multiply(self):
        return FloatMultiplyConfig(operand=FP32, product=FP32, stages=self.multiply_stages)

    @property
    def add(self):
        return FloatAddConfig(a=FP32, b=FP32, stages=self.add_stages)

    @property
    def compare(self):
        return FloatCompareConfig(fmt=FP32, stages=1)

    @property
    def exp(self):
        return ExpConfig(source=FP32, target=FP32, stages=self.exp_stages)

    @property
    def reciprocal(self):
        return ReciprocalConfig(fmt=FP32, stages=self.reciprocal_stages)

    @property
    def convert(self):
        return FloatConvertConfig(source=FP32, target=FP16, stages=self.convert_stages)

    @property
    def words(self):
        """Words of the widest row."""
        return -(-self.max_channels // self.lanes)

    @property
    def row_bits(self):
        return max(1, ceil_log2(self.rows))

    @property
    def kept_rows(self):
        """Rows that an address can name; there is room for each, so that none is out of range."""
        return 1 << self.row_bits

    # Cycles from a tile's transfer, from which all other figures are made.

    @property
    def factor_cycle(self):
        """Memory, comparison, subtraction, exp: the factor is written into its queue."""
        return 2 + self.add_stages + self.exp_stages

    @property
    def total_cycle(self):
        """l' is written."""
        return self.factor_cycle + self.multiply_stages + self.add_stages

    @property
    def turnaround(self):
        """From a read of a sum to the first that finds what it became; nor sooner is m' there: memory, comparison."""
        return max(3, self.multiply_stages + self.add_stages + 2)

    @property
    def out_latency(self):
        """From reading a word of acc to offering its result."""
        return 1 + self.multiply_stages + self.convert_stages

    @property
    def tile_layout(self):
        return data.StructLayout(
            {"row": self.row_bits, "maximum": FP32.layout, "total": FP32.layout, "first": 1, "last": 1}
        )

    @property
    def i_layout(self):
        """A word of A_g; ``count`` of its values count in the ``last`` word of a tile's row, all in every other."""
        return data.StructLayout(
            {"values": data.ArrayLayout(FP32.layout, self.lanes), "count": ceil_log2(self.lanes + 1), "last": 1}
        )

    @property
    def o_layout(self):
        return data.StructLayout(
            {
                "results": data.ArrayLayout(FP16.layout, self.lanes),
                "count": ceil_log2(self.lanes + 1),
                "last": 1,
                "row": self.row_bits,
            }
        )

    @property
    def factor_layout(self):
        """What the lanes must know of a tile of a row: ``factor`` scales acc where m was ``less``, else A_g."""
        return data.StructLayout({"row": self.row_bits, "first": 1, "last": 1, "less": 1, "factor": 32})


class TileMergeUnit(FullyPipelined):
    """Merges the tiles of up to ``rows`` rows; a row's tiles come in any number and among those of other rows.

    Of each tile of each row comes one ``i_tile`` and then, in the same order, its words on ``i``. ``first`` begins the row
    anew, whatever was in its place; ``last`` sends its results on ``o``, as many words as its tile had. Both may be set. The
    number of channels is what the words before ``last`` and its ``count`` say; more than ``lanes`` counts as ``lanes``, 0 as
    an empty word.

    ======================  ============================================================
    tiles of a row          results
    ======================  ============================================================
    m_g = -inf, l_g = 0     as without this tile; 0 if all are so
    a NaN among m_g, l_g    all NaN
    a NaN in A_g            NaN in this channel
    an infinity             as IEEE 754 has it: inf - inf and inf * 0 are NaN
    ======================  ============================================================

    Cycles, W words a row, nothing waiting outside: a merge takes W cycles, and a row's last one W more, for its results.
    A slice of long rows takes

        rows * W * (tiles + 1) + ``factor_cycle`` + ``out_latency``

    from its first ``i_tile`` to its last result: the lanes never wait between the first factor and the last word. Short
    rows wait where one comes again within ``turnaround`` = max(3, multiply + add stages + 2) cycles (interlocked, in any
    order of tiles), where its 1 / l is not there yet, and for factors: ``sim.model.softmax.merge_cycles`` is exact for
    all, and ``merge_gapless`` says which are long.

    Accuracy: with ``golden.softmax.sfu.tile`` and FP16 products summed in FP32 before it, over 26 tiles of 99 and of
    1,350 tokens, A
    is within 5e-4 * (P |V|) of float64 attention, and the rms of its error within 4e-4 of that of A.

    Parameters
    ----------
    config : TileMergeUnitConfig

    Members
    -------
    i_tile : In(stream of ``row``, ``maximum``: FP32 m_g, ``total``: FP32 l_g, ``first``, ``last``)
    i : In(stream of ``values``: lanes x FP32, ``count``, ``last``: of the row's words)
    o : Out(stream of ``results``: lanes x FP16, ``count``, ``last``, ``row``); results beyond ``count`` are +0
    not_finite : Out(1), a result was NaN or infinite; until ``clear``
    wrong_length : Out(1), a tile of a row had more words than ``words``, and those were dropped, or another number of
        channels than the tile before it and was not a ``first``: some of its results are undefined; until ``clear``
    clear : In(1), takes both flags down

    Latency: from ``i_tile`` of a row of one tile and one word to its result, ``latency``. Initiation interval: 1 word a
    cycle. Backpressure: yes; while ``o`` waits nothing is merged.
    Errors: as above; never a hang, as long as every tile has its words.
    Memories: acc, ``words`` * rows (a power of two) of lanes x 32 bits; m and l, rows of 32 bits each.
    Golden: ``golden.softmax.tile_merge_unit.tile_merge_unit``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_tile": In(stream.Signature(config.tile_layout)),
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "not_finite": Out(1),
                "wrong_length": Out(1),
                "clear": In(1),
            }
        )

    @property
    def latency(self):
        c = self.config
        return c.total_cycle + max(2, c.reciprocal_stages) + 1 + c.out_latency

    def elaborate(self, platform):
        m = Module()
        c = self.config
        factors = self._queue(m, "factors", c.factor_layout.size)
        inverses = self._queue(m, "inverses", 32)
        released = Signal()
        self._prepare(m, factors, inverses, released)
        self._merge(m, factors, inverses, released)
        return m

    def _queue(self, m, name, width):
        """A first-in first-out queue whose head shows before it is taken."""
        m.submodules[name] = queue = SyncFIFO(width=width, depth=self.config.ahead)
        return queue

    # Prepare: m', l', the factor and 1 / l' of a tile of a row. Nothing waits here: the queues have room.

    def _prepare(self, m, factors, inverses, released):
        c, always = self.config, Const(1, 1)
        tile = self.i_tile.payload
        taken = Signal(name="tile_taken")
        end = c.total_cycle
        valid = delayed(m, always, taken, end + c.reciprocal_stages, "tile_valid")
        row = delayed(m, always, tile.row, end, "tile_row", reset_less=True)
        last = delayed(m, always, tile.last, end + c.reciprocal_stages, "tile_last", reset_less=True)
        first = delayed(m, always, tile.first, c.factor_cycle, "tile_first", reset_less=True)
        busy = [valid[k] & (row[k] == tile.row) for k in range(1, c.turnaround)]
        held = Signal(range(c.ahead + 1), name="tiles_held")
        m.d.comb += [
            self.i_tile.ready.eq((held != c.ahead) & ~Cat(*busy).any()),
            taken.eq(self.i_tile.valid & self.i_tile.ready),
        ]
        with m.If(taken & ~released):
            m.d.sync += held.eq(held + 1)
        with m.Elif(released & ~taken):
            m.d.sync += held.eq(held - 1)

        # m: read, compared a cycle later, written when the greater is known. A row begins at -inf.
        maxima = self._state(m, "maxima", taken, row[0])
        compare = operator(m, "compare", FloatCompare, c.compare)
        m.d.comb += [
            compare.i.a.eq(Mux(first[1], _MINUS_INF, maxima.r_data[0])),
            compare.i.b.eq(delayed(m, always, tile.maximum.as_value(), 1, "tile_maximum", reset_less=True)[-1]),
            maxima.w_en.eq(valid[2]),
            maxima.w_addr.eq(row[2]),
            maxima.w_data.eq(compare.o.max.as_value()),
        ]

        # exp of the lesser minus the greater: 1 of equals, of which infinities would give NaN.
        subtract = operator(m, "subtract", FloatAdd, c.add)
        exp = operator(m, "exp", Exp, c.exp)
        equal = delayed(m, always, compare.o.equal, c.add_stages, "tile_equal", reset_less=True)[-1]
        less = delayed(m, always, compare.o.less, c.factor_cycle - 2, "tile_less", reset_less=True)[-1]
        entry = Signal(c.factor_layout, name="tile_entry")
        m.d.comb += [
            subtract.i.a.eq(compare.o.min),
            subtract.i.b.eq(compare.o.max.as_value() ^ (1 << 31)),
            exp.i.eq(subtract.o.as_value() & ~equal.replicate(32)),
            entry.row.eq(row[c.factor_cycle]),
            entry.first.eq(first[-1]),
            entry.last.eq(last[c.factor_cycle]),
            entry.less.eq(less),
            entry.factor.eq(exp.o),
            factors.w_en.eq(valid[c.factor_cycle]),
            factors.w_data.eq(entry),
        ]
        self._prepare_total(m, entry, valid, row, last, inverses)

    def _prepare_total(self, m, entry, valid, row, last, inverses):
        """l, read in time for the factor, and 1 / l' of the last tile; 0 of a row of which nothing was seen."""
        c, always, start, end = self.config, Const(1, 1), self.config.factor_cycle, self.config.total_cycle
        totals = self._state(m, "totals", valid[start - 1], row[start - 1])
        total = delayed(m, always, self.i_tile.payload.total.as_value(), start, "tile_total", reset_less=True)[-1]
        before = Signal(32, name="total_before")
        m.d.comb += before.eq(Mux(entry.first, _MINUS_ZERO, totals.r_data[0]))
        after = self._weighted(m, "total", before, total, entry.less, entry.factor, always)[1]
        m.d.comb += [totals.w_en.eq(valid[end]), totals.w_addr.eq(row[end]), totals.w_data.eq(after)]
        reciprocal = operator(m, "reciprocal", Reciprocal, c.reciprocal)
        something = delayed(m, always, after[:31].any(), c.reciprocal_stages, "total_something", reset_less=True)[-1]
        m.d.comb += [
            reciprocal.i.eq(after),
            inverses.w_en.eq(valid[-1] & last[-1]),
            inverses.w_data.eq(reciprocal.o.as_value() & something.replicate(32)),
        ]

    def _state(self, m, name, read, row):
        """A memory of a number a row, its read port connected."""
        sram = Sram(config=SramConfig(depth=self.config.kept_rows, width=32))
        m.submodules[name] = emit_once(sram)
        m.d.comb += [sram.r_en[0].eq(read), sram.r_addr[0].eq(row)]
        return sram

    def _weighted(self, m, name, before, new, less, factor, en):
        """(product, sum): ``before * factor + new`` where ``less``, else ``before + new * factor``."""
        c = self.config
        scaled = Signal(32, name=f"{name}_scaled")
        other = Signal(32, name=f"{name}_other")
        m.d.comb += [scaled.eq(Mux(less, before, new)), other.eq(Mux(less, new, before))]
        multiply = operator(m, f"{name}_multiply", FloatMultiply, c.multiply, en)
        add = operator(m, f"{name}_add", FloatAdd, c.add, en)
        m.d.comb += [
            multiply.i.a.eq(scaled),
            multiply.i.b.eq(factor),
            add.i.a.eq(multiply.o),
            add.i.b.eq(delayed(m, en, other, c.multiply_stages, f"{name}_other", reset_less=True)[-1]),
        ]
        return multiply.o.as_value(), add.o.as_value()

    # Merge: a word a cycle, of a tile or, after a row's last tile, of its results.

    def _merge(self, m, factors, inverses, released):
        c = self.config
        advance = Signal(name="advance")
        index_bits = max(1, ceil_log2(c.words))
        i = self.i.payload
        entry = Signal(c.factor_layout, name="s0_entry")
        finishing = Signal(name="s0_finishing")
        index = Signal(index_bits, name="s0_index")
        beyond = Signal(name="s0_beyond")
        # Of the row that was merged last: its place, its last word, how many values that has.
        row = Signal(c.row_bits, name="done_row", reset_less=True)
        last_index = Signal(index_bits, name="done_index", reset_less=True)
        last_count = Signal(i.count.shape(), name="done_count", reset_less=True)
        clash = Signal(name="s0_clash")
        merging = Signal(name="s0_merging")
        sending = Signal(name="s0_sending")
        ends = Signal(name="s0_ends")
        count = Signal(i.count.shape(), name="s0_count")
        address = Signal(index_bits + c.row_bits, name="s0_address")
        m.d.comb += [
            entry.eq(factors.r_data),
            self.i.ready.eq(advance & ~finishing & factors.r_rdy & ~clash),
            merging.eq(self.i.valid & self.i.ready),
            sending.eq(advance & finishing & inverses.r_rdy & ~clash),
            ends.eq(Mux(finishing, index == last_index, i.last)),
            address.eq(Cat(Mux(finishing, row, entry.row), index)),
            factors.r_en.eq(merging & i.last),
            inverses.r_en.eq(sending & ends),
            released.eq(Mux(finishing, inverses.r_en, factors.r_en & ~entry.last)),
        ]
        with m.If(finishing):
            m.d.comb += count.eq(Mux(ends, last_count, c.lanes))
        with m.Else():
            m.d.comb += count.eq(Mux(i.last & (i.count < c.lanes), i.count, c.lanes))
        with m.If(sending & ends):
            m.d.sync += [finishing.eq(0), index.eq(0)]
        with m.Elif(merging & i.last):
            m.d.sync += [finishing.eq(entry.last), index.eq(0), beyond.eq(0)]
            m.d.sync += [row.eq(entry.row), last_index.eq(index), last_count.eq(Mux(beyond, c.lanes, count))]
        with m.Elif(sending | (merging & (index != c.words - 1))):
            m.d.sync += index.eq(index + 1)
        with m.Elif(merging):
            m.d.sync += beyond.eq(1)
        unequal = Signal(name="s0_unequal")
        m.d.comb += unequal.eq(~entry.first & i.last & ((index != last_index) | (count != last_count)))
        sticky(m, self.wrong_length, merging & (beyond | unequal), self.clear)

        # A word is read, and what becomes of it written where it was; until then it is not read again.
        sram = Sram(config=SramConfig(depth=c.words << c.row_bits, width=c.lanes * 32))
        m.submodules.acc = emit_once(sram)
        steps = 1 + c.multiply_stages + c.add_stages
        writes = Signal(name="s0_writes")
        m.d.comb += writes.eq(merging & ~beyond)
        late_write = delayed(m, advance, writes, steps, "write")
        late_address = delayed(m, advance, address, steps, "address", reset_less=True)
        same = [write & (place == address) for write, place in zip(late_write[1:], late_address[1:])]
        m.d.comb += [
            clash.eq(Cat(*same).any()),
            sram.r_en[0].eq(advance),
            sram.r_addr[0].eq(address),
            sram.w_en.eq(advance & late_write[-1]),
            sram.w_addr.eq(late_address[-1]),
        ]
        products, sums = self._lanes(m, advance, sram, entry, count, finishing, inverses)
        m.d.comb += sram.w_data.eq(Cat(*sums))
        self._send(m, advance, products, {"count": count, "last": ends, "row": address[: c.row_bits]}, sending)

    def _lanes(self, m, advance, sram, entry, count, finishing, inverses):
        """(products, sums) of the lanes, each a list."""
        i = self.i.payload
        factor = Signal(32, name="s0_factor")
        less = Signal(name="s0_less")
        m.d.comb += [factor.eq(Mux(finishing, inverses.r_data, entry.factor)), less.eq(finishing | entry.less)]
        s1_factor, s1_less, s1_first = (
            delayed(m, advance, signal, 1, name, reset_less=True)[-1]
            for name, signal in (("factor", factor), ("less", less), ("first", entry.first & ~finishing))
        )
        products, sums = [], []
        for k in range(self.config.lanes):
            new = Signal(32, name=f"s0_new_{k}")
            before = Signal(32, name=f"s1_before_{k}")
            m.d.comb += [
                new.eq(i.values[k].as_value() & (count > k).replicate(32)),
                before.eq(Mux(s1_first, _MINUS_ZERO, sram.r_data[0].word_select(k, 32))),
            ]
            s1_new = delayed(m, advance, new, 1, f"new_{k}", reset_less=True)[-1]
            product, total = self._weighted(m, f"lane_{k}", before, s1_new, s1_less, s1_factor, advance)
            products.append(product)
            sums.append(total)
        return products, sums

    def _send(self, m, advance, products, beside, sending):
        c, o = self.config, self.o.payload
        valid = delayed(m, advance, sending, c.out_latency, "out_valid")[-1]
        late = {
            name: delayed(m, advance, signal, c.out_latency, f"out_{name}", reset_less=True)[-1]
            for name, signal in beside.items()
        }
        m.d.comb += [
            advance.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            o.count.eq(late["count"]),
            o.last.eq(late["last"]),
            o.row.eq(late["row"]),
        ]
        special = []
        for k, product in enumerate(products):
            convert = operator(m, f"convert_{k}", FloatConvert, c.convert, advance)
            m.d.comb += [
                convert.i.eq(product),
                o.results[k].eq(convert.o.as_value() & (late["count"] > k).replicate(16)),
            ]
            special.append(o.results[k].exponent == FP16.exponent_max)
        sticky(m, self.not_finite, valid & self.o.ready & Cat(*special).any(), self.clear)


#: Config of each preset; the first is the default.
PRESETS = {
    "default": TileMergeUnitConfig(),
    "odd": TileMergeUnitConfig(
        lanes=3,
        rows=5,
        max_channels=7,
        ahead=3,
        multiply_stages=1,
        add_stages=2,
        exp_stages=5,
        reciprocal_stages=3,
        convert_stages=0,
    ),
    "single": TileMergeUnitConfig(
        lanes=1, rows=1, max_channels=2, ahead=9, multiply_stages=0, add_stages=0, convert_stages=3
    ),
}
