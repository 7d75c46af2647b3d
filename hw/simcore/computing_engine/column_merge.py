# SPDX-License-Identifier: Apache-2.0
"""Column merge (SIMPICKER V-A): the columns of a row of A that either array computed, side by side again.

Columns of V are grouped by the map of A: the important ones go to the FP16 array, the others to the LUT array, and each
sends the sums of its columns one behind the other. Here a row of them becomes a row of A_g, ``lanes`` channels a cycle::

    i_row (map of A) --> bits of a word --> counts --+-----------------+
                                                     v                 v
    i_fp16 --> slices of lanes --> window of 2 --> lanes --+--> multiplexer a channel --> * (scale, or 1) --> o
    i_lut  --> slices of lanes --> window of 2 --> lanes --+                                     ^
    i_scale --> scales of V -----------------------------------------------------------------------+

A slice of a word is taken when a channel asks for it, and what is left of it is kept for the next word of the row; the
words of the arrays themselves stay where they wait.

The paper has no such unit. Four lanes are 40.1 kGE beside the memory of scales, of which 32.1 are the multipliers that V's
scales need wherever they are applied, and 7.9 all the rest: windows 4 to 1 and slices 2 to 1, of 32 bits a lane.

Rejected:

* A row in a memory, written by either array at its channels: a permutation of a whole word of ``outputs`` sums on the
  write side, two rows of memory, and a row's cycles more of latency.
* Words wider than those of the arrays (``lanes`` above ``outputs``): the arrays need many cycles for a word of sums, so
  lanes beyond it would wait.
* Scales applied to each word of the LUT array before its columns find their places: the scales would have to be packed by
  the map as V's columns were.
* A delay line beside the multiplier for values of the FP16 array: 32 flip-flops a stage and lane and a multiplexer, where
  a factor of 1 is 32 gates and as exact.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP32
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined, check_parts, delayed, operator

_ONE = 0x3F800000


@dataclass(frozen=True)
class ColumnMergeConfig:
    fp16_outputs: int = field(default=4, metadata={"doc": "sums in a word of the FP16 array"})
    lut_outputs: int = field(default=8, metadata={"doc": "sums in a word of the LUT array"})
    lanes: int = field(default=4, metadata={"doc": "channels a cycle; divides both numbers of outputs"})
    max_channels: int = field(default=128, metadata={"doc": "channels of the widest row, d"})
    multiply_stages: int = field(default=3, metadata={"doc": "register stages of the multipliers"})

    def __post_init__(self):
        checks.at_least(self, 1, "fp16_outputs", "lut_outputs", "lanes", "max_channels")
        for name in ("fp16_outputs", "lut_outputs"):
            if getattr(self, name) % self.lanes:
                raise ValueError(f"lanes must divide {name}, {getattr(self, name)}; {self.lanes} does not")
        check_parts(self, "multiply")

    @property
    def multiply(self):
        return FloatMultiplyConfig(operand=FP32, product=FP32, stages=self.multiply_stages)

    @property
    def words(self):
        """Words of the widest row."""
        return -(-self.max_channels // self.lanes)

    @property
    def row_layout(self):
        """Bit c of ``mask``: column c is the FP16 array's; of ``channels`` columns."""
        return data.StructLayout({"mask": self.max_channels, "channels": ceil_log2(self.max_channels + 1)})

    @property
    def fp16_layout(self):
        return data.ArrayLayout(FP32.layout, self.fp16_outputs)

    @property
    def lut_layout(self):
        return data.ArrayLayout(FP32.layout, self.lut_outputs)

    @property
    def scale_layout(self):
        return data.StructLayout({"scale": FP32.layout, "last": 1})

    @property
    def o_layout(self):
        """A word of a row, as ``hw.softmax.tile_merge_unit`` takes it."""
        return data.StructLayout(
            {"values": data.ArrayLayout(FP32.layout, self.lanes), "count": ceil_log2(self.lanes + 1), "last": 1}
        )


class ColumnMerge(FullyPipelined):
    """Rows of A_g from the columns of two arrays; ``o[c]`` is the FP16 array's, or the LUT array's times V's scale.

    For each ``i_row`` with n of its ``channels`` bits of ``mask`` set there come ceil(n / ``fp16_outputs``) words on
    ``i_fp16`` and ceil((channels - n) / ``lut_outputs``) on ``i_lut``, none where that is 0: its columns in order, from the
    lowest value of its first word on. What is behind the last one is ignored, as are bits of ``mask`` behind ``channels``.
    The three streams are held until they are used: words wait at ``i_fp16`` and ``i_lut`` for their row, and may come
    before it.

    The scales of V come once after reset, one a cycle, in order of channels. Words with a column of the LUT array wait
    until all have; rows of which every column is the FP16 array's do not need them.

    Products are rounded once, IEEE 754 with subnormals and one NaN; values of the FP16 array stay as they are, but a NaN
    becomes the one NaN.

    Parameters
    ----------
    config : ColumnMergeConfig

    Members
    -------
    i_row : In(stream of ``mask``: max_channels bits, ``channels``), one a row, taken with its last word
    i_fp16 : In(stream of fp16_outputs x FP32)
    i_lut : In(stream of lut_outputs x FP32)
    i_scale : In(stream of ``scale``: FP32, ``last``); not ready from the last one on, until reset
    o : Out(stream of ``values``: lanes x FP32, ``count``, ``last``: of a row); ``count`` is lanes in every word but the
        last; values beyond it are +0
    wrong_length : Out(1), more scales than ``max_channels`` came, and were dropped; or ``channels`` of a row were more, and
        count as ``max_channels``; or those of a row with a column of the LUT array were not as many as the scales, and its
        products may be wrong; until reset

    A row of 0 channels is one word with a ``count`` of 0.

    Latency: 1 + ``multiply_stages`` from the last word that is needed to ``o``. Initiation interval: 1 word a cycle, from
    row to row too, where the sources keep up: a row takes ceil(channels / lanes). Each source
    is asked for a slice of ``lanes`` values at most once a cycle. Backpressure: yes; ``ready`` of the inputs depends on
    ``valid`` of each other and on ``o.ready`` within a cycle.
    Errors: as above; never a hang, as long as rows have their words and, where they need them, scales.
    Memory: ``words`` of lanes x 32 bits.
    Golden: ``golden.simcore.computing_engine.column_merge.column_merge``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_row": In(stream.Signature(config.row_layout)),
                "i_fp16": In(stream.Signature(config.fp16_layout)),
                "i_lut": In(stream.Signature(config.lut_layout)),
                "i_scale": In(stream.Signature(config.scale_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "wrong_length": Out(1),
            }
        )

    @property
    def latency(self):
        return 1 + self.config.multiply_stages

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=c.words, width=c.lanes * 32, granularity=32))
        m.submodules.sram = emit_once(sram)
        scales = self._load(m, sram)
        word = self._columns(m, scales)
        self._multiply(m, sram, word)
        return m

    def _load(self, m, sram):
        """Scales into their memory: whether they are complete, their number, and whether one is dropped now."""
        c = self.config
        index = Signal(range(c.words), name="scale_index")
        lane = Signal(range(c.lanes), name="scale_lane")
        taken = Signal(name="scale_taken")
        beyond = Signal(name="scale_beyond")
        complete = Signal(name="scales_complete")
        count = Signal(range(c.max_channels + 1), name="scales_count")
        m.d.comb += [
            self.i_scale.ready.eq(~complete),
            taken.eq(self.i_scale.valid & self.i_scale.ready),
            beyond.eq(count == c.max_channels),
            sram.w_en.eq((taken & ~beyond) << lane),
            sram.w_addr.eq(index),
            sram.w_data.eq(self.i_scale.payload.scale.as_value().replicate(c.lanes)),
        ]
        with m.If(taken):
            m.d.sync += complete.eq(self.i_scale.payload.last)
            with m.If(~beyond):
                m.d.sync += [
                    count.eq(count + 1),
                    lane.eq(Mux(lane == c.lanes - 1, 0, lane + 1)),
                    index.eq(Mux(lane == c.lanes - 1, index + 1, index)),
                ]
        return SimpleNamespace(complete=complete, count=count, dropped=taken & beyond)

    def _columns(self, m, scales):
        """Stage 0: the values of a word's channels, each from its source, and the handshakes of rows and sources."""
        c, row = self.config, self.i_row.payload
        advance = Signal()
        taken = Signal(name="s0_taken")
        channels = Signal(range(c.max_channels + 1), name="s0_channels")
        too_many = Signal(name="s0_too_many")
        index = Signal(range(c.words), name="s0_index")
        before = Signal(range(c.words * c.lanes), name="s0_before")  # channels of the row's words before
        left = Signal(range(c.max_channels + 1), name="s0_left")
        last = Signal(name="s0_last")
        count = Signal(range(c.lanes + 1), name="s0_count")
        bits = Signal(c.lanes, name="s0_bits")
        padded = Signal(c.words * c.lanes, name="s0_mask")
        m.d.comb += [
            channels.eq(Mux(too_many, c.max_channels, row.channels)),
            left.eq(channels - before),
            last.eq(left <= c.lanes if c.words > 1 else 1),
            count.eq(Mux(last, left, c.lanes)),
            padded.eq(row.mask),
            bits.eq(padded.word_select(index, c.lanes)),
        ]
        if c.max_channels + 1 != 1 << len(row.channels):  # otherwise no number of channels is too large
            m.d.comb += too_many.eq(row.channels > c.max_channels)
        # Columns of the FP16 array below each lane; those of the LUT array are the others.
        below = [Const(0, 1)]
        live = Signal(c.lanes, name="s0_live")
        m.d.comb += live.eq(Cat(count > k for k in range(c.lanes)))
        for k in range(c.lanes):
            rank = Signal(range(k + 2), name=f"s0_below_{k + 1}")
            m.d.comb += rank.eq(below[k] + (bits[k] & live[k]))
            below.append(rank)
        lut_count = Signal(range(c.lanes + 1), name="s0_lut_count")
        m.d.comb += lut_count.eq(count - below[-1])

        fp16 = self._source(m, "fp16", self.i_fp16, c.fp16_outputs, below[-1], taken, last)
        lut = self._source(m, "lut", self.i_lut, c.lut_outputs, lut_count, taken, last)
        m.d.comb += [
            taken.eq(self.i_row.valid & advance & fp16.there & lut.there & (scales.complete | ~lut_count.any())),
            self.i_row.ready.eq(taken & last),
        ]
        with m.If(taken):
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), before.eq(Mux(last, 0, before + c.lanes))]

        values = []
        scaled = Signal(c.lanes, name="s1_scaled", reset_less=True)
        with m.If(advance):
            m.d.sync += scaled.eq(~bits & live)
        for k in range(c.lanes):
            other = Signal(range(k + 1), name=f"s0_others_{k}")
            value = Signal(32, name=f"s0_value_{k}")
            held = Signal(32, name=f"s1_value_{k}", reset_less=True)
            m.d.comb += [
                other.eq(k - below[k]),
                value.eq(Mux(bits[k], fp16.window.word_select(below[k], 32), lut.window.word_select(other, 32))),
            ]
            with m.If(advance):
                m.d.sync += held.eq(value & live[k].replicate(32))
            values.append(held)
        unequal = lut_count.any() & (channels != scales.count)
        with m.If(scales.dropped | (taken & (too_many | unequal))):
            m.d.sync += self.wrong_length.eq(1)
        return SimpleNamespace(
            advance=advance, taken=taken, index=index, last=last, count=count, values=values, scaled=scaled
        )

    def _source(self, m, name, words, outputs, wanted, taken, last):
        """``window``, the next values of an array, of which ``wanted`` are used; ``there`` says that they have come."""
        c = self.config
        slices = outputs // c.lanes
        held = Signal(c.lanes * 32, name=f"{name}_held", reset_less=True)  # the slice taken last
        used = Signal(range(c.lanes + 1), name=f"{name}_used", init=c.lanes)  # of its values
        place = Signal(range(slices), name=f"{name}_place")  # of the next slice in its word
        end = Signal(range(2 * c.lanes + 1), name=f"{name}_end")
        fetch = Signal(name=f"{name}_fetch")
        there = Signal(name=f"{name}_there")
        next_slice = Signal(c.lanes * 32, name=f"{name}_slice")
        both = Signal(2 * c.lanes * 32, name=f"{name}_both")
        window = Signal(c.lanes * 32, name=f"{name}_window")
        final = place == slices - 1
        m.d.comb += [
            next_slice.eq(words.payload.as_value().word_select(place, c.lanes * 32)),
            both.eq(Cat(held, next_slice)),
            window.eq(both.bit_select(Cat(Const(0, 5), used), c.lanes * 32)),
            end.eq(used + wanted),
            fetch.eq(end > c.lanes),
            there.eq(~fetch | words.valid),
            # A word of which a part was used is taken at the row's end: the next row begins with a new one.
            words.ready.eq(taken & ((fetch & final) | (last & (fetch | place.any())))),
        ]
        with m.If(taken):
            m.d.sync += used.eq(Mux(last, c.lanes, Mux(fetch, end - c.lanes, end)))
            with m.If(last):
                m.d.sync += place.eq(0)
            with m.Elif(fetch):
                m.d.sync += [held.eq(next_slice), place.eq(Mux(final, 0, place + 1))]
        return SimpleNamespace(window=window, there=there)

    def _multiply(self, m, sram, word):
        """Stages 1 and on: values times scales, or 1."""
        c, o, advance = self.config, self.o.payload, word.advance
        valid = delayed(m, advance, word.taken, self.latency, "valid")[-1]
        last = delayed(m, advance, word.last, self.latency, "late_last", reset_less=True)[-1]
        count = delayed(m, advance, word.count, self.latency, "late_count", reset_less=True)[-1]
        m.d.comb += [
            sram.r_en[0].eq(advance),
            sram.r_addr[0].eq(word.index),
            advance.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            o.last.eq(last),
            o.count.eq(count),
        ]
        for k in range(c.lanes):
            multiply = operator(m, f"multiply_{k}", FloatMultiply, c.multiply, advance)
            m.d.comb += [
                multiply.i.a.eq(word.values[k]),
                multiply.i.b.eq(Mux(word.scaled[k], sram.r_data[0].word_select(k, 32), _ONE)),
                o.values[k].eq(multiply.o),
            ]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ColumnMergeConfig(),
    "odd": ColumnMergeConfig(fp16_outputs=6, lut_outputs=3, lanes=3, max_channels=7, multiply_stages=0),
    "single": ColumnMergeConfig(fp16_outputs=1, lut_outputs=2, lanes=1, max_channels=1, multiply_stages=1),
    "paper": ColumnMergeConfig(fp16_outputs=64, lut_outputs=64, lanes=8),
}
