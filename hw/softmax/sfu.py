# SPDX-License-Identifier: Apache-2.0
"""Special function unit (SIMPICKER IV-A, V-A): the softmax of rows of scores, streaming, ``lanes`` elements a cycle.

``o = exp(x - max x) / sum exp(x - max x)``, with x = scale * score, a row::

    i --> * scale --+--> score rows ----> x - m --> exp --+--> exponential rows --> * 1/s --> FP16 --> o
                    |                     ^               |                         ^
                    +--> compare tree, m -+               +--> add tree, s --> 1/s -+

    fill, row n + 2                       exp, row n + 1                            out, row n

Three passes over a row, each of one word a cycle, each on another row. Between two passes stands a memory of the longest
row and of the words that enter while a result of the whole row (m, 1/s) is on its way: a word is freed as soon as it is
read, so the next row follows without a gap and takes its place.

Rejected:

* Ping-pong buffers: two rows each instead of one, 1.9 times the memory, and a gap between rows all the same, because a bank
  is taken from the first word written until m is known and the last word is read: 2W + latency cycles of every 2W.
* Exponentials kept in FP16: half of the second memory, and results up to 1.5 ulp off instead of 0.501.
* No second memory, exp computed twice: an exponential a lane, against 32 bits a word and lane.
* Running maximum with rescaled sums (online softmax) in place of the first pass: the loop of compare, exp and multiply is
  20 cycles deep, so a lane would need 20 running maxima; and the second pass is needed for the results all the same.
* Scaling behind the subtraction: the same multipliers, and m would be wrong for a negative scale.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.exp import Exp, ExpConfig
from zoetrope.hw.arith.float_add import FloatAdd, FloatAddConfig
from zoetrope.hw.arith.float_convert import FloatConvert, FloatConvertConfig
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.arith.reciprocal import Reciprocal, ReciprocalConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32, Float
from zoetrope.hw.softmax.row_buffer import RowBuffer, RowBufferConfig
from zoetrope.hw.softmax.row_maximum import row_maximum
from zoetrope.hw.softmax.row_sum import RowSum, RowSumConfig
from zoetrope.hw.stream import FullyPipelined, check_parts, delayed, operator

_ONE = 0x3F800000


@dataclass(frozen=True)
class SfuConfig:
    lanes: int = field(default=4, metadata={"doc": "elements a cycle; a power of two"})
    max_row: int = field(default=1350, metadata={"doc": "elements of the longest row"})
    scores: Float = field(default=FP32, metadata={"doc": "format of the scores: FP32 or FP16"})
    scaled: bool = field(default=True, metadata={"doc": "scores are multiplied by a factor that comes with them"})
    tiles: bool = field(default=False, metadata={"doc": "a row may ask for its maximum and the sum in place of 1 / s"})
    rows: int = field(default=16, metadata={"doc": "rows between the first exp and the last result at one time"})
    memory_stages: int = field(
        default=1, metadata={"doc": "of a memory's read port: 1, or 2 with a register behind it"}
    )
    multiply_stages: int = field(default=3, metadata={"doc": "register stages of the FP32 multipliers"})
    add_stages: int = field(default=3, metadata={"doc": "of the FP32 adders, and running sums of a row; at least 1"})
    exp_stages: int = field(default=3, metadata={"doc": "of the exponentials"})
    reciprocal_stages: int = field(default=4, metadata={"doc": "of the reciprocal"})
    convert_stages: int = field(default=1, metadata={"doc": "of the format conversions"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_row", "add_stages")
        # With two rows or one, a row would wait for the reciprocal of the one before, however long it is.
        checks.at_least(self, 3, "rows")
        checks.between(self, 1, 2, "memory_stages")
        if self.scores not in (FP16, FP32):
            raise ValueError(f"scores must be FP16 or FP32, not {self.scores.name}")
        if self.tiles and self.kept != FP32:
            raise ValueError("tiles must be False where scores are kept in FP16: their maxima leave in FP32")
        check_parts(self, "multiply", "add", "exp", "reciprocal", "convert")

    @property
    def multiply(self):
        return FloatMultiplyConfig(operand=FP32, product=FP32, stages=self.multiply_stages)

    @property
    def add(self):
        return FloatAddConfig(a=FP32, b=FP32, stages=self.add_stages)

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
    def widen(self):
        return FloatConvertConfig(source=FP16, target=FP32, stages=self.convert_stages)

    @property
    def kept(self):
        """Format in which scores are compared and kept: products are FP32."""
        return FP32 if self.scaled else self.scores

    @property
    def levels(self):
        """Of a tree over the lanes."""
        return ceil_log2(self.lanes)

    @property
    def words(self):
        """Words of the longest row; one more than its elements fill where it may end with an empty word."""
        return self.max_row // self.lanes + 1

    # Cycles on the way of a row, from which all other figures are made.

    @property
    def fill_latency(self):
        """From a word's transfer to its being kept."""
        widened = self.convert_stages if self.scores == FP16 else 0
        return widened + self.multiply_stages if self.scaled else 0

    @property
    def max_latency(self):
        """From keeping the last word of a row to reading its first: compare tree, running maximum, queue."""
        return self.levels + 2

    @property
    def exp_latency(self):
        """From reading a score to keeping its exponential."""
        widened = self.convert_stages if self.kept == FP16 else 0
        return self.memory_stages + widened + self.add_stages + self.exp_stages

    @property
    def sum_latency(self):
        return self.add_stages * (self.levels + 1 + ceil_log2(self.add_stages))

    @property
    def inverse_latency(self):
        """From reading the last score of a row to reading its first exponential: all above, reciprocal, queue."""
        return self.exp_latency + self.sum_latency + self.reciprocal_stages + 1

    @property
    def out_latency(self):
        """From reading an exponential to offering its result."""
        return self.memory_stages + self.multiply_stages + self.convert_stages

    @property
    def i_layout(self):
        """A word of scores; ``count`` of them count in the ``last`` word of a row, all in every other."""
        fields = {
            "scores": data.ArrayLayout(self.scores.layout, self.lanes),
            "count": ceil_log2(self.lanes + 1),
            "last": 1,
            "normalise": 1,
        }
        fields |= {"scale": FP32.layout} if self.scaled else {}
        return data.StructLayout(fields | ({"tile": 1} if self.tiles else {}))

    @property
    def o_layout(self):
        fields = {
            "results": data.ArrayLayout(FP16.layout, self.lanes),
            "count": ceil_log2(self.lanes + 1),
            "last": 1,
            "error": 1,
            "reciprocal": FP32.layout,
        }
        return data.StructLayout(fields | ({"maximum": FP32.layout} if self.tiles else {}))

    @property
    def row_layout(self):
        """What is known of a row when its last word has come."""
        return data.StructLayout(self._row_fields | ({"tile": 1} if self.tiles else {}))

    @property
    def started_layout(self):
        """What is known of a row when its last exponential is on its way."""
        return data.StructLayout(self._row_fields | ({"tile": 1, "maximum": FP32.layout} if self.tiles else {}))

    @property
    def _row_fields(self):
        return {"last_word": range(max(2, self.words)), "count": ceil_log2(self.lanes + 1), "normalise": 1, "error": 1}


class Sfu(FullyPipelined):
    """The softmax of each row of scores, or its exponentials and the reciprocal of their sum.

    A row is a sequence of words of ``lanes`` scores, ended by ``last``; its length need not be known before. The last word
    holds ``count`` scores, 0 to ``lanes`` (more counts as ``lanes``), every other one ``lanes``. An empty row is one word
    with count 0. ``scale`` applies to the word that it comes with, and ``normalise`` is the last word's.

    * ``normalise`` = 1: results are ``exp(x - m) * (1 / s)``, rounded to FP32 and then to FP16, subnormals kept.
    * ``normalise`` = 0: results are ``exp(x - m)`` in FP16; whoever multiplies by V then multiplies by ``reciprocal``. At
      35,100 tokens over half of the normalised results would be subnormal or zero.
    * ``tile`` = 1, the last word's too, in a config with ``tiles``: a row of a tile of keys, for a softmax over several
      (``hw.softmax.tile_merge_unit``). Results are ``exp(x - m)`` as above, ``reciprocal`` is s itself, and ``maximum`` is m
      in FP32, of the scaled scores; without a score s is 0 and m -inf. Latency and intervals are the same. ``tiles`` adds
      4 % to the default: 7 kGE, most of it the maxima of ``rows`` rows and delays of m and s.

    Out come as many words as went in, with the same ``count`` and ``last``; ``reciprocal`` (1 / s, FP32) and ``error`` are
    the same in all words of a row; results beyond ``count`` are +0.

    ======================  ============================================================
    row                     results and reciprocal
    ======================  ============================================================
    empty                   none; 0
    all -inf (all masked)   all 0; 0
    some -inf               0 there
    a NaN or a +inf         all NaN; NaN (IEEE: inf - inf)
    longer than ``max_row`` all NaN; NaN, and ``error``; ``max_row`` results, the rest dropped
    ======================  ============================================================

    Published: 0.23 mm2 at 32 nm, 151 kGE, 11 mW, and what it is used for (SIMPICKER IV-C, V-A, Table II); not its lanes, nor
    its structure. Four lanes of 3-stage operators are 160 kGE here, 40 % of it FP32 multipliers, 25 % exponentials.

    Accuracy: results of either mode within 0.51 ulp of FP16 of float64, 1 / s within 8 ulp of FP32, measured on normal
    scores and on those of a clip, rows of 26 to 17,550 elements (``zoetrope study softmax``). Rows can be made in
    which every addition rounds the same way, and ``scale`` times a score of 60,000 is rounded to 1/512: what holds for
    every row is ``golden.reference.sfu_bounds``.

    Parameters
    ----------
    config : SfuConfig

    Members
    -------
    i : In(stream of ``scores``: lanes x FP32 or FP16, ``count``, ``last``, ``normalise``, FP32 ``scale`` if ``scaled``, and
        ``tile`` if ``tiles``)
    o : Out(stream of ``results``: lanes x FP16, ``count``, ``last``, ``error``, ``reciprocal``: FP32, and FP32
        ``maximum`` if ``tiles``)

    Latency: from the last word of a row to its first word of results, W - 1 cycles for a row of W words and ``latency``
    for a row of one. Initiation interval: 1 cycle a word; equal rows follow each other in
    max(W, (``inverse_latency`` + 2W - 1) / ``rows``) cycles (``sim.model.softmax.row_interval``). Backpressure: yes.
    Errors: a row that is too long, as above. The next row is right again.
    Memories: ``words`` + latency of lanes x 32 bits, twice (``score_buffer``, ``exponential_buffer``).
    Golden: ``golden.softmax.sfu.sfu``, with ``running`` = ``add_stages``; of a row of a tile ``golden.softmax.sfu.tile``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(stream.Signature(config.i_layout)), "o": Out(stream.Signature(config.o_layout))})

    @property
    def latency(self):
        """Of a row of one word: from its transfer to that of its results."""
        c = self.config
        return c.fill_latency + c.max_latency + c.inverse_latency + c.out_latency

    @property
    def score_buffer(self):
        c = self.config
        return RowBufferConfig(depth=c.words + c.max_latency, width=c.lanes * c.kept.width)

    @property
    def exponential_buffer(self):
        c = self.config
        return RowBufferConfig(depth=c.words + c.inverse_latency, width=c.lanes * 32)

    def elaborate(self, platform):
        m = Module()
        scores = RowBuffer(config=self.score_buffer)
        exponentials = RowBuffer(config=self.exponential_buffer)
        m.submodules.scores = emit_once(scores)
        m.submodules.exponentials = emit_once(exponentials)
        filled = self._fill(m, scores)
        summed = self._exponentiate(m, scores, exponentials, *filled)
        self._send(m, exponentials, *summed)
        return m

    def _queue(self, m, name, width, depth):
        """A first-in first-out queue whose head shows before it is taken."""
        m.submodules[name] = queue = SyncFIFO(width=width, depth=depth)
        return queue

    def _row_queue(self, m, name, layout, depth):
        """A queue of rows, its head a register, and the words of the head counted down.

        Returns (queue, head, step, last): to say that a word of the head is read, and whether it is the last, which takes
        the head. Counting up to ``last_word`` would put a comparison in front of all that ``last`` decides.
        """
        queue = self._queue(m, name, layout.size, depth - 1)
        coming = Signal(layout, name=f"{name}_coming")
        head = Signal(layout, name=f"{name}_head", reset_less=True)
        shown = Signal(name=f"{name}_shown")
        left = Signal(coming.last_word.shape(), name=f"{name}_left", reset_less=True)
        last = Signal(name=f"{name}_is_last", reset_less=True)
        step = Signal(name=f"{name}_step")
        m.d.comb += [coming.eq(queue.r_data), queue.r_en.eq(~shown | (step & last))]
        with m.If(queue.r_en):
            m.d.sync += [head.eq(coming), shown.eq(queue.r_rdy)]
            m.d.sync += [left.eq(coming.last_word), last.eq(coming.last_word == 0)]
        with m.Elif(step):
            m.d.sync += [left.eq(left - 1), last.eq(left == 1)]
        return queue, head, step, last

    # Fill: scale, keep, find the maximum.

    def _fill(self, m, scores):
        """Returns what ``_row_queue`` does of the rows, without the queue, and the queue of their maxima."""
        c = self.config
        advance = Signal(name="fill_advance")
        word = self._scaled_word(m, advance)
        filled, *rows = self._row_queue(m, "filled", c.row_layout, c.max_latency + 1)
        maxima = self._queue(m, "maxima", c.kept.width, c.max_latency + 1)

        # How many words have come; the one that exceeds the longest row, and all after it, cannot be right.
        index = Signal(range(max(2, c.words)), name="fill_index")
        over = Signal(name="fill_over")
        beyond = Signal(name="fill_beyond")
        exceeds = Signal(name="fill_exceeds")
        taken = Signal(name="fill_taken")
        row = Signal(c.row_layout, name="fill_row")
        room = c.max_row % c.lanes
        m.d.comb += [
            exceeds.eq(over | ((index == c.words - 1) & (word.count > room))),
            taken.eq(word.valid & filled.w_rdy & (scores.room | beyond)),
            advance.eq(~word.valid | taken),
            self.i.ready.eq(advance if c.fill_latency else taken),
            row.last_word.eq(index),
            row.count.eq(Mux(exceeds, room, word.count)),
            row.normalise.eq(word.normalise & ~word.tile if c.tiles else word.normalise),
            row.error.eq(exceeds),
            filled.w_data.eq(row),
            filled.w_en.eq(taken & word.last),
            scores.reserve.eq(taken & ~beyond),
            scores.write.eq(taken & ~beyond),
            scores.w_data.eq(Cat(*word.scores)),
        ]
        if c.tiles:
            m.d.comb += row.tile.eq(word.tile)
        with m.If(taken):
            m.d.sync += [
                over.eq(exceeds & ~word.last),
                beyond.eq((index == c.words - 1) & ~word.last),
                index.eq(Mux(word.last, 0, Mux(index == c.words - 1, index, index + 1))),
            ]

        row_maximum(m, c.kept, word.scores, (taken, word.last, exceeds), maxima)
        return *rows, maxima

    def _scaled_word(self, m, advance):
        """The word that enters the buffer: scaled scores, padded with -inf, and what came with them."""
        c = self.config
        i = self.i.payload
        count = Signal(i.count.shape(), name="i_count")
        m.d.comb += count.eq(Mux(i.last & (i.count < c.lanes), i.count, c.lanes))
        beside = {"valid": self.i.valid, "count": count, "last": i.last, "normalise": i.normalise}
        beside |= {"tile": i.tile} if c.tiles else {}
        scores = [i.scores[k].as_value() for k in range(c.lanes)]
        if c.scaled:
            scale = i.scale.as_value()
            if c.scores == FP16:
                scores = [self._widened(m, f"widen_{k}", score, advance) for k, score in enumerate(scores)]
                scale = delayed(m, advance, scale, c.convert_stages, "scale", reset_less=True)[-1]
            scores = [self._product(m, f"scale_{k}", score, scale, advance) for k, score in enumerate(scores)]
        late = {
            name: delayed(m, advance, signal, c.fill_latency, f"fill_{name}", reset_less=name != "valid")[-1]
            for name, signal in beside.items()
        }
        word = SimpleNamespace(**late)
        word.scores = []
        minus_inf = c.kept.inf | 1 << (c.kept.width - 1)
        for k, score in enumerate(scores):
            padded = Signal(c.kept.width, name=f"fill_score_{k}")
            m.d.comb += padded.eq(Mux(word.count > k, score, minus_inf))
            word.scores.append(padded)
        return word

    # Exp: subtract, exponentiate, keep, sum.

    def _exponentiate(self, m, scores, exponentials, row, step, last, maxima):
        """Returns the same of the rows that were read, and the queue of the reciprocals of their sums."""
        c = self.config
        started, *rows = self._row_queue(m, "started", c.started_layout, c.rows)
        inverses = self._queue(m, "inverses", 32, c.rows)
        issue = Signal(name="exp_issue")
        m.d.comb += [
            issue.eq(maxima.r_rdy & exponentials.room & started.w_rdy),
            scores.read.eq(issue),
            exponentials.reserve.eq(issue),
            step.eq(issue),
            maxima.r_en.eq(issue & last),
            started.w_en.eq(issue & last),
            started.w_data.eq(Cat(row, maxima.r_data) if c.tiles else row),
        ]
        modes = None
        if c.tiles:
            modes = self._queue(m, "modes", 1, c.rows)
            m.d.comb += [modes.w_en.eq(issue & last), modes.w_data.eq(row.tile)]

        # The scores arrive, and what is subtracted from them. From here on nothing waits: room is reserved.
        always = Const(1, 1)
        word = delayed(m, always, scores.r_data, c.memory_stages - 1, "exp_word", reset_less=True)[-1]
        maximum = delayed(m, always, maxima.r_data, c.memory_stages, "exp_maximum", reset_less=True)[-1]
        values = [word.word_select(k, c.kept.width) for k in range(c.lanes)]
        if c.kept == FP16:
            values = [self._widened(m, f"widen_{k}", value, always) for k, value in enumerate(values)]
            maximum = self._widened(m, "widen_maximum", maximum, always)
        results = []
        for k, value in enumerate(values):
            subtract = operator(m, f"subtract_{k}", FloatAdd, c.add)
            exp = operator(m, f"exp_{k}", Exp, c.exp)
            m.d.comb += [
                subtract.i.a.eq(value),
                subtract.i.b.eq(maximum ^ (1 << 31)),
                exp.i.eq(subtract.o),
            ]
            results.append(exp.o.as_value())
        valid = delayed(m, always, issue, c.exp_latency, "exp_valid")[-1]
        last = delayed(m, always, last, c.exp_latency, "exp_last", reset_less=True)[-1]
        total = RowSum(config=RowSumConfig(lanes=c.lanes, add=c.add))
        m.submodules.sum = emit_once(total)
        m.d.comb += [
            exponentials.write.eq(valid),
            exponentials.w_data.eq(Cat(*results)),
            total.valid.eq(valid),
            total.last.eq(last),
            total.word.eq(Cat(*results)),
        ]
        self._inverse(m, total, modes, inverses)
        return *rows, inverses

    def _inverse(self, m, total, modes, inverses):
        """The reciprocal of a sum into the queue ``inverses``: 0 of a row without a score. Every other sum is at least 1.

        Of a tile's row the sum itself, at the same time, so that rows stay in order.
        """
        always, stages = Const(1, 1), self.config.reciprocal_stages
        reciprocal = operator(m, "reciprocal", Reciprocal, self.config.reciprocal)
        done = delayed(m, always, total.done, stages, "inverse_valid")[-1]
        infinite = Signal(name="inverse_infinite")
        code = reciprocal.o
        m.d.comb += [
            reciprocal.i.eq(total.total),
            infinite.eq((code.exponent == FP32.exponent_max) & ~code.fraction.any()),
            inverses.w_en.eq(done),
            inverses.w_data.eq(Mux(infinite, 0, code.as_value())),
        ]
        if modes is not None:
            tile = delayed(m, always, modes.r_data, stages, "inverse_tile", reset_less=True)[-1]
            total_late = delayed(m, always, total.total.as_value(), stages, "inverse_total", reset_less=True)[-1]
            m.d.comb += modes.r_en.eq(total.done)
            with m.If(tile):
                m.d.comb += inverses.w_data.eq(total_late)

    # Out: multiply, round, send.

    def _send(self, m, exponentials, row, step, last, inverses):
        c = self.config
        o = self.o.payload
        advance = Signal(name="out_advance")
        issue = Signal(name="out_issue")
        count = Signal(row.count.shape(), name="out_count")
        m.d.comb += [
            issue.eq(inverses.r_rdy & advance),
            count.eq(Mux(last, row.count, c.lanes)),
            exponentials.read.eq(issue),
            step.eq(issue),
            inverses.r_en.eq(issue & last),
        ]
        inverse = delayed(m, advance, inverses.r_data, c.out_latency, "out_inverse", reset_less=True)
        normalise = delayed(m, advance, row.normalise, c.memory_stages, "out_normalise", reset_less=True)[-1]
        word = delayed(m, advance, exponentials.r_data, c.memory_stages - 1, "out_word", reset_less=True)[-1]
        factor = Signal(32, name="out_factor")
        m.d.comb += factor.eq(Mux(normalise, inverse[c.memory_stages], _ONE))
        beside = {"count": count, "last": last, "error": row.error}
        if c.tiles:
            # Of a row without a score 0 was subtracted; its sum, and no other, is 0.
            maximum = Signal(32, name="out_maximum")
            m.d.comb += maximum.eq(Mux(inverses.r_data.any(), row.maximum.as_value(), FP32.inf | 1 << 31))
            beside |= {"maximum": maximum}
        late = {
            name: delayed(m, advance, signal, c.out_latency, f"out_{name}", reset_less=True)[-1]
            for name, signal in beside.items()
        }
        valid = delayed(m, advance, inverses.r_rdy, c.out_latency, "out_valid")[-1]
        m.d.comb += [
            advance.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            o.count.eq(late["count"]),
            o.last.eq(late["last"]),
            o.error.eq(late["error"]),
            o.reciprocal.eq(inverse[-1]),
        ]
        if c.tiles:
            m.d.comb += o.maximum.eq(late["maximum"])
        for k in range(c.lanes):
            value = word.word_select(k, 32)
            convert = operator(m, f"convert_{k}", FloatConvert, c.convert, advance)
            m.d.comb += [
                convert.i.eq(self._product(m, f"normalise_{k}", value, factor, advance)),
                o.results[k].eq(Mux(late["count"] > k, convert.o.as_value(), 0)),
            ]

    def _product(self, m, name, a, b, en):
        multiply = operator(m, name, FloatMultiply, self.config.multiply, en)
        m.d.comb += [multiply.i.a.eq(a), multiply.i.b.eq(b)]
        return multiply.o.as_value()

    def _widened(self, m, name, value, en):
        convert = operator(m, name, FloatConvert, self.config.widen, en)
        m.d.comb += convert.i.eq(value)
        return convert.o.as_value()


#: Config of each preset; the first is the default.
PRESETS = {
    "default": SfuConfig(),
    "deep": SfuConfig(
        lanes=1,
        max_row=53,
        memory_stages=2,
        multiply_stages=6,
        add_stages=6,
        exp_stages=10,
        reciprocal_stages=8,
        convert_stages=3,
    ),
    "tiles": SfuConfig(lanes=2, max_row=130, tiles=True),
    "fp16": SfuConfig(lanes=2, max_row=130, scores=FP16, scaled=False),
}
