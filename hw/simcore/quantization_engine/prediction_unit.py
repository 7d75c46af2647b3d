# SPDX-License-Identifier: Apache-2.0
"""Prediction unit (SIMPICKER III-B, IV-C): which tiles of P = softmax(Q K^T / sqrt(d)) are important, before P is there.

::

    i: K, then Q --> reduction tree --> K's means Y_r ---+
                                   \\-> Q's means X_r --> reduced product --> o_scores --> SFU
                                                                                         |
                    i_read, o <--> score buffer <-- sort-and-select <-- i_probabilities -+

A frame of Q is reduced while the one before is multiplied by all of Y_r and the one before that is sorted.

The SFU is outside, since the machine has one for all its units; with ``sfu_inside`` it is built in. The multiplier is
inside: one lane keeps up, because a frame is N d / lanes words and its row of Z_r no more than d F products.

Rejected:

* Z_r on the array of FP16 PEs: a head has 43,264 products at 26 frames of 64 channels, 85 cycles of the array against
  561,600 of reading Q and K at 8 channels a cycle; the lane here, 4.8 kGE, hides behind the reading too and needs no path.
* Frame sums instead of means: they overflow FP16, Z_r would take N^2 out again, and a ragged frame has another N.
* 1/N as a shift by a power of two, without the FP32 multiplier (8.0 kGE), and the rest of the factor in ``scale``: right
  for frames of one N, but a ragged last frame would need a scale of its own within each row.
* A reduction tree each for K and Q: the unit waits for both from one memory anyway.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore.quantization_engine.reduced_product import ReducedProduct, ReducedProductConfig
from zoetrope.hw.simcore.quantization_engine.reduction_tree import ReductionTree, ReductionTreeConfig
from zoetrope.hw.simcore.quantization_engine.score_buffer import ScoreBuffer, ScoreBufferConfig
from zoetrope.hw.simcore.quantization_engine.sort_select import SortSelect, SortSelectConfig
from zoetrope.hw.softmax.sfu import Sfu, SfuConfig
from zoetrope.hw.stream import connect


@dataclass(frozen=True)
class PredictionUnitConfig:
    lanes: int = field(default=4, metadata={"doc": "channels of Q or K a cycle; a power of two"})
    max_channels: int = field(default=128, metadata={"doc": "most channels of a head, d"})
    max_rows: int = field(default=1350, metadata={"doc": "most tokens of a frame, N"})
    max_tiles: int = field(default=32, metadata={"doc": "most tiles of a row or column of the map, text included"})
    p_bits: int = field(default=12, metadata={"doc": "fraction bits of p"})
    select: str = field(default="serial", metadata={"doc": "build of sort-and-select: serial or bitonic"})
    sfu: SfuConfig | None = field(default=None, metadata={"doc": "the SFU's config; None for 4 lanes of max_tiles"})
    sfu_inside: bool = field(default=False, metadata={"doc": "the SFU is part of the unit"})
    product_stages: int = field(default=1, metadata={"doc": "register stages of the FP16 multiplier"})
    add_stages: int = field(default=3, metadata={"doc": "of the FP32 adder"})

    def __post_init__(self):
        if self.sfu is None:
            object.__setattr__(self, "sfu", SfuConfig(max_row=self.max_tiles))
        if self.sfu.scores != FP32 or not self.sfu.scaled or self.sfu.max_row < self.max_tiles:
            raise ValueError(
                f"sfu must take scaled FP32 scores and rows of max_tiles, {self.max_tiles}, not {self.sfu.max_row} "
                f"{self.sfu.scores.name} scores, scaled {self.sfu.scaled}"
            )
        _ = self.tree, self.product, self.sort, self.buffer

    @property
    def tree(self):
        return ReductionTreeConfig(
            lanes=self.lanes, max_channels=self.max_channels, max_rows=self.max_rows, scaled=True, outputs=1
        )

    @property
    def product(self):
        return ReducedProductConfig(
            max_words=self.max_tiles, product_stages=self.product_stages, add_stages=self.add_stages
        )

    @property
    def sort(self):
        return SortSelectConfig(build=self.select, max_scores=self.max_tiles, lanes=self.sfu.lanes, p_bits=self.p_bits)

    @property
    def buffer(self):
        return ScoreBufferConfig(rows=self.max_tiles, columns=self.max_tiles)

    def check(self, tokens, rows, channels, p, text=False):
        """``ValueError`` naming what is wrong with a head of so many ``tokens`` in frames of ``rows``."""
        for name, value, most in (("rows", rows, self.max_rows), ("channels", channels, self.max_channels)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} must be 1 to {most}, not {value}")
        if tokens < 1:
            raise ValueError(f"tokens must be at least 1, not {tokens}")
        if not 0 <= p <= 1:
            raise ValueError(f"p must be between 0 and 1, not {p}")
        tiles = -(-tokens // rows) + text
        self.buffer.check(tiles, tiles)

    @property
    def job_layout(self):
        return data.StructLayout(
            {
                "rows": range(self.max_rows + 1),
                "channels": range(self.max_channels + 1),
                "factor": FP32.layout,
                "last_factor_k": FP32.layout,
                "last_factor_q": FP32.layout,
                "scale": FP32.layout,
                "p": self.p_bits + 1,
                "text": 1,
            }
        )

    @property
    def o_map_layout(self):
        return data.StructLayout({"rows": range(self.max_tiles + 1), "columns": range(self.max_tiles + 1), "error": 1})


class _Means(wiring.Component):
    """K's means, all of them, and Q's of two frames: in words of one, as they come, and to the product in its order.

    Members
    -------
    i : In(stream of the reduction tree's ``o_layout``): K's, then Q's
    o_x : Out(stream of the product's ``x_layout``), Q's, frame by frame
    o_w : Out(stream of FP16), for each of these the means of all frames of K in its channel
    start : In(1), a new pair of matrices is about to come
    frames : Out, frames of K that are kept
    q_frame, q_final : Out(1), a frame of Q is complete in this cycle; it is the last
    over : Out(1), a frame of K comes that there is no room for
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.tree.o_layout)),
                "o_x": Out(stream.Signature(config.product.x_layout)),
                "o_w": Out(stream.Signature(data.ArrayLayout(FP16.layout, 1))),
                "start": In(1),
                "frames": Out(range(config.max_tiles + 1)),
                "q_frame": Out(1),
                "q_final": Out(1),
                "over": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        channel_bits = max(1, ceil_log2(c.max_channels))
        keys = Sram(config=SramConfig(depth=c.max_tiles << channel_bits, width=FP16.width))
        queries = Sram(config=SramConfig(depth=2 << channel_bits, width=FP16.width))
        m.submodules.keys = emit_once(keys)
        m.submodules.queries = emit_once(queries)
        i = self.i.payload
        is_query = Signal()
        channel = Signal(channel_bits)
        last_channel = Signal(channel_bits)
        full = Signal(2)  # banks of Q's means
        bank = Signal()
        take = Signal()
        room = Signal()
        m.d.comb += [
            room.eq(self.frames < c.max_tiles),
            self.i.ready.eq(~is_query | ~full.bit_select(bank, 1)),
            take.eq(self.i.valid & self.i.ready),
            keys.w_en.eq(take & ~is_query & room),
            keys.w_addr.eq(Cat(channel, self.frames)),
            keys.w_data.eq(i.sums[0]),
            queries.w_en.eq(take & is_query),
            queries.w_addr.eq(Cat(channel, bank)),
            queries.w_data.eq(i.sums[0]),
            self.over.eq(take & ~is_query & ~room),
            self.q_frame.eq(take & is_query & i.last),
            self.q_final.eq(self.q_frame & i.final),
        ]
        with m.If(take):
            m.d.sync += channel.eq(Mux(i.last, 0, channel + 1))
            with m.If(i.last):
                m.d.sync += [last_channel.eq(channel), is_query.eq(is_query ^ i.final)]
                with m.If(is_query):
                    m.d.sync += [bank.eq(~bank), full.bit_select(bank, 1).eq(1)]
                with m.Elif(room):
                    m.d.sync += self.frames.eq(self.frames + 1)
        with m.If(self.start):
            m.d.sync += self.frames.eq(0)

        self._send_queries(m, queries, full, last_channel)
        begin = take & ~is_query & i.last & i.final
        self._send_keys(m, keys, begin, last_channel)
        return m

    def _send_queries(self, m, queries, full, last_channel):
        """Q's means, a frame at a time. A memory's read port holds its word: it is the stream's register."""
        channel_bits = len(last_channel)
        x_channel = Signal(channel_bits)
        x_bank = Signal()
        x_read = Signal()
        x_last = Signal(reset_less=True)
        x_end = Signal()
        m.d.comb += [
            x_read.eq(full.bit_select(x_bank, 1) & (~self.o_x.valid | self.o_x.ready)),
            x_end.eq(x_channel == last_channel),
            queries.r_en[0].eq(x_read),
            queries.r_addr[0].eq(Cat(x_channel, x_bank)),
            self.o_x.payload.value.eq(queries.r_data[0]),
            self.o_x.payload.last.eq(x_last),
        ]
        x_valid = Signal()
        m.d.comb += self.o_x.valid.eq(x_valid)
        with m.If(x_read):
            m.d.sync += [x_valid.eq(1), x_last.eq(x_end), x_channel.eq(Mux(x_end, 0, x_channel + 1))]
            with m.If(x_end):
                m.d.sync += [x_bank.eq(~x_bank), full.bit_select(x_bank, 1).eq(0)]
        with m.Elif(self.o_x.ready):
            m.d.sync += x_valid.eq(0)

    def _send_keys(self, m, keys, begin, last_channel):
        """K's means: all frames of a channel, for each channel, from ``begin`` on again and again until the next start."""
        sweeping = Signal()
        w_channel = Signal(len(last_channel))
        w_frame = Signal(range(max(2, self.config.max_tiles)))
        w_valid = Signal()
        w_read = Signal()
        w_end = Signal()
        m.d.comb += [
            w_read.eq(sweeping & (~w_valid | self.o_w.ready)),
            w_end.eq(w_frame == self.frames - 1),
            keys.r_en[0].eq(w_read),
            keys.r_addr[0].eq(Cat(w_channel, w_frame)),
            self.o_w.payload[0].eq(keys.r_data[0]),
            self.o_w.valid.eq(w_valid),
        ]
        with m.If(w_read):
            m.d.sync += [w_valid.eq(1), w_frame.eq(Mux(w_end, 0, w_frame + 1))]
            with m.If(w_end):
                m.d.sync += w_channel.eq(Mux(w_channel == last_channel, 0, w_channel + 1))
        with m.If(begin):
            m.d.sync += sweeping.eq(1)
        with m.If(self.start):
            m.d.sync += [x.eq(0) for x in (sweeping, w_valid, w_channel, w_frame)]


class PredictionUnit(wiring.Component):
    """The map of P's important tiles of a head, into the score buffer.

    A job is a head: N = ``rows`` of a frame, d = ``channels``; ``factor`` = 1/N, and 1/R for K's and Q's last frame of R
    tokens (``last_factor_k``, ``last_factor_q``; 1/N where R = N); ``scale`` = 1/sqrt(d), which makes 1/(N^2 sqrt(d)) of
    it; ``p`` in units of 2**-p_bits; ``text``, whether there are text tokens. All floats are FP32. K follows, then Q, in
    words of ``lanes`` channels, as ``ReductionTree`` takes them: video tokens only, frame by frame.

    Row f of the map are the tiles of Q's frame f with each frame of K. A ragged last frame is a frame. With ``text`` row 0
    and column 0 are the text's, all important, and frame f is tile f + 1. Bits of a row beyond its columns are 0, those of
    the text's row 1.

    ``o_map`` says that the map is complete: its rows and columns, and whether there was an error. It stays until the next
    job is taken, and is read through ``i_read`` and ``o``; a row that is not there yet reads as important.

    Published: 0.02 mm2 at 32 nm, 13 kGE, 1.4 mW (SIMPICKER Table II), not what is in it nor its lanes; 4 KB of score buffer.
    Here 36 kGE with 4 lanes and 31 kGE with one: 1.7 kGE a lane, an FP32 multiplier of 8.0 kGE for the means, 4.8 kGE of
    product, 8.0 kGE of sort-and-select.

    Parameters
    ----------
    config : PredictionUnitConfig

    Members
    -------
    i_job : In(stream of ``rows``, ``channels``, ``factor``, ``last_factor_k``, ``last_factor_q``, ``scale``, ``p``,
        ``text``), one a head
    i : In(stream of lanes x FP16 ``values``, ``last``), see ``ReductionTree``
    o_scores : Out(stream of the SFU's ``i_layout``), a row of Z_r for each frame of Q; not with ``sfu_inside``
    i_probabilities : In(stream of the SFU's ``o_layout``), their softmax; not with ``sfu_inside``
    o_map : Out(stream of ``rows``, ``columns``, ``error``), one a job
    i_read, o : In, Out, see ``ScoreBuffer``; a place outside of the buffer is important, and no error of the job
    clear : In(1), resets ``error``
    error : Out(1), since reset or ``clear`` a job ended with an error

    Cycles: with F frames of K and nothing waiting outside, a frame of Q takes the most of its words, its products and its
    sort: ``sim.model.quantization_engine.frame_cycles``. There is no ``latency`` or ``initiation_interval``: they depend
    on the job.
    Errors, each of which sets ``error`` of the job: what ``ReductionTree`` and ``SortSelect`` call one; more tiles than
    ``max_tiles`` in a row or column, which are dropped: tiles that are not in the map read as important. The next job is
    right. ``PredictionUnitConfig.check`` refuses by name what would lead to these.
    Golden: ``golden.simcore.quantization_engine.prediction_unit.importance_of_p``.
    """

    def __init__(self, *, config):
        self.config = config
        sfu = config.sfu
        outside = {
            "o_scores": Out(stream.Signature(sfu.i_layout)),
            "i_probabilities": In(stream.Signature(sfu.o_layout)),
        }
        super().__init__(
            {
                "i_job": In(stream.Signature(config.job_layout)),
                "i": In(stream.Signature(config.tree.i_layout)),
                **({} if config.sfu_inside else outside),
                "o_map": Out(stream.Signature(config.o_map_layout)),
                "i_read": In(stream.Signature(config.buffer.read_layout)),
                "o": Out(stream.Signature(config.buffer.o_layout)),
                "clear": In(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        tree = ReductionTree(config=c.tree)
        means = _Means(config=c)
        product = ReducedProduct(config=c.product)
        sort = SortSelect(config=c.sort)
        buffer = ScoreBuffer(config=c.buffer)
        m.submodules.tree = emit_once(tree)
        m.submodules.means = emit_once(means)
        m.submodules.product = emit_once(product)
        m.submodules.sort = emit_once(sort)
        m.submodules.buffer = emit_once(buffer)
        job = Signal(c.job_layout, reset_less=True)
        start = Signal()
        connect(m, tree.o, means.i)
        connect(m, means.o_x, product.i_x)
        connect(m, means.o_w, product.i_w)
        m.d.comb += [
            tree.i.payload.eq(self.i.payload),
            tree.i.valid.eq(self.i.valid),
            self.i.ready.eq(tree.i.ready),
            product.words.eq(means.frames),
            means.start.eq(start),
            tree.clear.eq(start),
            sort.clear.eq(start),
            buffer.clear.eq(start),
            buffer.i_read.payload.eq(self.i_read.payload),
            buffer.i_read.valid.eq(self.i_read.valid),
            self.i_read.ready.eq(buffer.i_read.ready),
            self.o.payload.eq(buffer.o.payload),
            self.o.valid.eq(buffer.o.valid),
            buffer.o.ready.eq(self.o.ready),
        ]
        self._scores(m, job, product, means, sort)
        self._control(m, job, start, tree, means, sort, buffer)
        return m

    def _scores(self, m, job, product, means, sort):
        """The words of Z_r to the SFU and back to sort-and-select."""
        c = self.config
        if c.sfu_inside:
            sfu = Sfu(config=c.sfu)
            m.submodules.sfu = emit_once(sfu)
            scores, probabilities = sfu.i, sfu.o
        else:
            scores, probabilities = self.o_scores, self.i_probabilities
        lanes = c.sfu.lanes
        word = [Signal(32, name=f"word_{k}", reset_less=True) for k in range(lanes)]
        place = Signal(range(lanes + 1))
        frame = Signal(range(max(2, c.max_tiles)))
        whole = Signal()
        last = Signal()
        take = Signal()
        m.d.comb += [
            product.o.ready.eq(~whole | scores.ready),
            take.eq(product.o.valid & product.o.ready),
            scores.valid.eq(whole),
            scores.payload.count.eq(place),
            scores.payload.last.eq(last),
            scores.payload.normalise.eq(1),
            scores.payload.scale.eq(job.scale),
        ]
        m.d.comb += [scores.payload.scores[k].as_value().eq(word[k]) for k in range(lanes)]
        at = Signal(range(lanes + 1))
        end = Signal()
        m.d.comb += [at.eq(Mux(whole, 0, place)), end.eq(frame == means.frames - 1)]
        with m.If(take):
            m.d.sync += [
                place.eq(at + 1),
                last.eq(end),
                whole.eq(end | (at == lanes - 1)),
                frame.eq(Mux(end, 0, frame + 1)),
            ]
            for k in range(lanes):
                with m.If(at == k):
                    m.d.sync += word[k].eq(product.o.payload[0])
        with m.Elif(scores.ready):
            with m.If(whole):
                m.d.sync += place.eq(0)
            m.d.sync += whole.eq(0)

        # Of rows that were sent only: what comes from outside before is not of this job.
        sent = Signal(8)
        more = Signal()
        less = Signal()
        back = probabilities.payload
        m.d.comb += [
            more.eq(take & end),
            less.eq(probabilities.valid & probabilities.ready & back.last),
            probabilities.ready.eq(sort.i.ready & sent.any()),
            sort.i.valid.eq(probabilities.valid & sent.any()),
            sort.i.payload.scores.eq(back.results),
            sort.i.payload.count.eq(back.count),
            sort.i.payload.last.eq(back.last),
            sort.i.payload.p.eq(job.p),
            sort.i.payload.magnitude.eq(0),
        ]
        m.d.sync += sent.eq(sent + more - less)

    def _control(self, m, job, start, tree, means, sort, buffer):
        c = self.config
        wrong = Signal()
        text_row = Signal()
        row = Signal(range(c.max_tiles + 2))
        pending = Signal(8)
        final = Signal()
        write = Signal()
        taken = Signal(c.max_tiles)
        columns = Signal(range(c.max_tiles + 2))
        beyond = c.max_tiles + 1
        m.d.comb += [
            taken.eq(Mux(job.text, Cat(Const(1, 1), sort.o.payload.taken), sort.o.payload.taken)),
            columns.eq(means.frames + job.text),
            sort.o.ready.eq(~text_row),
            write.eq(sort.o.valid & ~text_row),
            # Rows beyond the buffer are counted, and not written.
            buffer.i.valid.eq(text_row | (write & (row < c.max_tiles))),
            buffer.i.payload.row.eq(row),
            buffer.i.payload.bits.eq(taken | text_row.replicate(c.max_tiles)),
        ]
        with m.If(text_row | (write & (row != beyond))):
            m.d.sync += row.eq(row + 1)
        m.d.sync += [text_row.eq(0), pending.eq(pending + means.q_frame - write)]
        with m.If(means.q_final):
            m.d.sync += final.eq(1)
        with m.If(means.over | (write & (row >= c.max_tiles))):
            m.d.sync += wrong.eq(1)

        tree_job = tree.i_job.payload
        m.d.comb += [
            tree_job.rows.eq(job.rows),
            tree_job.channels.eq(job.channels),
            tree_job.factor.eq(job.factor),
        ]
        o = self.o_map.payload
        m.d.comb += [
            o.rows.eq(Mux(row < c.max_tiles, row, c.max_tiles)),
            o.columns.eq(Mux(columns < c.max_tiles, columns, c.max_tiles)),
            o.error.eq(wrong | tree.error | sort.error | (columns > c.max_tiles)),
        ]
        sticky(m, self.error, self.o_map.valid & o.error, self.clear)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.i_job.ready.eq(1), start.eq(self.i_job.valid)]
                m.d.sync += [row.eq(0), wrong.eq(0), final.eq(0)]
                with m.If(self.i_job.valid):
                    m.d.sync += [job.eq(self.i_job.payload), text_row.eq(self.i_job.payload.text)]
                    m.next = "KEYS"
            with m.State("KEYS"):
                m.d.comb += [tree_job.last_factor.eq(job.last_factor_k), tree.i_job.valid.eq(1)]
                with m.If(tree.i_job.ready):
                    m.next = "QUERIES"
            with m.State("QUERIES"):
                m.d.comb += [tree_job.last_factor.eq(job.last_factor_q), tree.i_job.valid.eq(1)]
                with m.If(tree.i_job.ready):
                    m.next = "FINISH"
            with m.State("FINISH"):
                with m.If(final & ~pending.any()):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.o_map.valid.eq(1)
                with m.If(self.o_map.ready):
                    m.next = "IDLE"


#: Config of each preset; the first is the default.
PRESETS = {
    "default": PredictionUnitConfig(),
    "whole": PredictionUnitConfig(max_channels=64, sfu_inside=True),
    "bitonic": PredictionUnitConfig(
        lanes=2,
        max_channels=5,
        max_rows=9,
        max_tiles=7,
        select="bitonic",
        sfu=SfuConfig(lanes=2, max_row=7),
        product_stages=2,
        add_stages=1,
    ),
}
