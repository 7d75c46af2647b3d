# SPDX-License-Identifier: Apache-2.0
"""Importance of A's columns (SIMPICKER III-B, V-A, V-B): which columns of A = P V are worth FP16 x FP16, from P in flight.

::

    i: t rows of P, tile by tile --> reduction tree --> x, a sum a column --> reduced product --> |scores| --> select --> o
    i_v: the rows of V ------------------------------------------------------/

With adaptive grouping the rows are those of the compacted P_c, as they are (V-B): the sum takes what streams past, and
neither an index table nor a recovered row of P is needed.

Rejected:

* One unit with the prediction unit of P: the two work at different times, so that most of the smaller one (a tree, a lane of
  the product, a sort: 30 kGE) could be saved, for multiplexers before each part, and P's map would wait for A's; the parts
  are separate, so that a machine may share them.
* Sums of a whole row of P in one go: 35,100 columns are a memory of 210 KiB, where a tile of a frame has 8 KiB.
* A copy of the column sums, so that the next tile is summed while this one is multiplied by V: 1.2 times as fast at t = 16
  and 64 channels, for a second memory of 2.6 KiB; V is read at C d / v_lanes words a tile all the same.
* The bitonic sort-and-select: one row a slice.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.float_convert import FloatConvert, FloatConvertConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import sticky
from zoetrope.hw.simcore.quantization_engine.reduced_product import ReducedProduct, ReducedProductConfig
from zoetrope.hw.simcore.quantization_engine.reduction_tree import ReductionTree, ReductionTreeConfig
from zoetrope.hw.simcore.quantization_engine.sort_select import SortSelect, SortSelectConfig


@dataclass(frozen=True)
class ColumnImportanceConfig:
    lanes: int = field(default=4, metadata={"doc": "columns of P a cycle; a power of two"})
    max_columns: int = field(default=1350, metadata={"doc": "most columns of a tile of P"})
    max_rows: int = field(default=64, metadata={"doc": "most rows of P in flight, t"})
    v_lanes: int = field(default=4, metadata={"doc": "channels of V a cycle; a power of two"})
    max_channels: int = field(default=128, metadata={"doc": "most channels of V, d"})
    p_bits: int = field(default=12, metadata={"doc": "fraction bits of p"})
    product_stages: int = field(default=1, metadata={"doc": "register stages of the FP16 multipliers"})
    add_stages: int = field(default=3, metadata={"doc": "of the FP32 adders"})

    def __post_init__(self):
        checks.power_of_two(self, "v_lanes")
        checks.at_least(self, 1, "max_columns", "max_channels")
        _ = self.tree, self.product, self.sort

    @property
    def tree(self):
        return ReductionTreeConfig(
            lanes=self.lanes, max_channels=self.max_columns, max_rows=self.max_rows, scaled=True, outputs=1
        )

    @property
    def product(self):
        return ReducedProductConfig(
            lanes=self.v_lanes,
            max_words=-(-self.max_channels // self.v_lanes),
            product_stages=self.product_stages,
            add_stages=self.add_stages,
        )

    @property
    def sort(self):
        return SortSelectConfig(max_scores=self.max_channels, lanes=self.v_lanes, p_bits=self.p_bits)

    @property
    def job_layout(self):
        return data.StructLayout(
            {
                "rows": range(self.max_rows + 1),
                "columns": range(self.max_columns + 1),
                "channels": range(self.max_channels + 1),
                "factor": FP32.layout,
                "p": self.p_bits + 1,
                "last": 1,
            }
        )


class ColumnImportance(wiring.Component):
    """One bit for each column of A of a slice of t rows.

    A slice is one or more tiles of P, of the same ``rows`` t and together all columns. A job is a tile: t, its ``columns``
    C, d = ``channels`` of V, ``factor``, an FP32 number by which column sums are multiplied before they are rounded to FP16
    (1, or 1/t where V is so large that t times its largest could exceed 65,504), ``p`` in units of 2**-p_bits, and
    ``last``, the slice's last tile. Its t rows of P follow on ``i``, as ``ReductionTree`` takes them, and the C rows of V
    on ``i_v``, ceil(d / v_lanes) words each. ``channels`` is the same in all tiles of a slice, ``p`` the last one's.

    ``o`` has a bit for each column of A, ``taken``, to be written to a row of a ``ScoreBuffer``; ``count`` = d, ``error``.

    Published: in words only (SIMPICKER III-B, V-A); the whole prediction unit is 13 kGE there. Here 4 lanes of P and 4 of V
    are 43 kGE.

    Parameters
    ----------
    config : ColumnImportanceConfig

    Members
    -------
    i_job : In(stream of ``rows``, ``columns``, ``channels``, ``factor``, ``p``, ``last``), one a tile
    i : In(stream of lanes x FP16 ``values``, ``last``), see ``ReductionTree``
    i_v : In(stream of v_lanes x FP16)
    o : Out(stream of ``taken``, ``count``, ``error``), one a slice
    clear : In(1), resets ``error``
    error : Out(1), since reset or ``clear`` a slice had an error

    Cycles: those of ``sim.model.quantization_engine.tile_cycles`` a tile that is followed by another, and of
    ``sort_cycles`` the sort of d scores a slice, which goes on while the next slice is summed. There is no ``latency`` or
    ``initiation_interval``: both depend on the job.
    Errors, each of which sets ``error`` of the slice: ``rows``, ``columns`` or ``channels`` of 0 count as 1, and beyond
    their maximum as the maximum; of a tile of more than ``rows`` rows only the last t or fewer count; NaN and infinities
    in P or V, or a score beyond FP16, make every column important, p above 1 too. The next slice is right.
    Golden: ``golden.simcore.quantization_engine.prediction_unit.importance_of_a``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(config.job_layout)),
                "i": In(stream.Signature(config.tree.i_layout)),
                "i_v": In(stream.Signature(data.ArrayLayout(FP16.layout, config.v_lanes))),
                "o": Out(stream.Signature(config.sort.o_layout)),
                "clear": In(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        tree = ReductionTree(config=c.tree)
        product = ReducedProduct(config=c.product)
        sort = SortSelect(config=c.sort)
        m.submodules.tree = emit_once(tree)
        m.submodules.product = emit_once(product)
        m.submodules.sort = emit_once(sort)
        job = Signal(c.job_layout, reset_less=True)
        m.d.comb += [
            tree.i.payload.eq(self.i.payload),
            tree.i.valid.eq(self.i.valid),
            self.i.ready.eq(tree.i.ready),
            product.i_w.payload.eq(self.i_v.payload),
            product.i_w.valid.eq(self.i_v.valid),
            self.i_v.ready.eq(product.i_w.ready),
        ]

        # Words of V, and how many of the last one count.
        channels = Signal(job.channels.shape())
        levels = ceil_log2(c.v_lanes)
        words = Signal(range(c.product.max_words + 1))
        m.d.comb += [
            channels.eq(Mux(job.channels == 0, 1, Mux(self._above(job.channels), c.max_channels, job.channels))),
            words.eq(((channels - 1) >> levels) + 1),
            product.words.eq(words),
        ]
        ended = self._scores(m, job, channels, words, product, sort)
        self._control(m, job, channels, ended, tree, product, sort)
        return m

    def _above(self, channels):
        most = self.config.max_channels
        return channels > most if most + 1 < 1 << len(channels) else 0

    def _scores(self, m, job, channels, words, product, sort):
        """The words of scores to sort-and-select; returns whether the last of a slice goes there."""
        c = self.config
        word = Signal(range(max(2, c.product.max_words)))
        last = Signal()
        ended = Signal()
        payload = sort.i.payload
        for k in range(c.v_lanes):
            convert = FloatConvert(config=FloatConvertConfig(source=FP32, target=FP16, stages=0))
            m.submodules[f"convert_{k}"] = emit_once(convert)
            m.d.comb += [convert.i.eq(product.o.payload[k]), payload.scores[k].eq(convert.o)]
        m.d.comb += [
            last.eq(word == words - 1),
            payload.last.eq(last),
            payload.count.eq(((channels - 1) & (c.v_lanes - 1)) + 1),
            payload.p.eq(job.p),
            payload.magnitude.eq(1),
            sort.i.valid.eq(product.o.valid),
            product.o.ready.eq(sort.i.ready),
            ended.eq(product.o.valid & product.o.ready & last),
        ]
        with m.If(product.o.valid & product.o.ready):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return ended

    def _control(self, m, job, channels, ended, tree, product, sort):
        fresh = Signal(init=1)
        wrong = Signal()
        slice_wrong = Signal()
        tree_job = tree.i_job.payload
        element = tree.o.payload
        tile_end = Signal()
        m.d.comb += [
            tree_job.rows.eq(job.rows),
            tree_job.channels.eq(job.columns),
            tree_job.factor.eq(job.factor),
            tree_job.last_factor.eq(job.factor),
            # A sum that is not the tile's last is of rows that should not be there.
            product.i_x.valid.eq(tree.o.valid & element.final),
            tree.o.ready.eq(product.i_x.ready | ~element.final),
            product.i_x.payload.value.eq(element.sums[0]),
            product.i_x.payload.last.eq(element.last & job.last),
            tile_end.eq(tree.o.valid & tree.o.ready & element.last & element.final),
            self.o.payload.eq(sort.o.payload),
            self.o.payload.error.eq(sort.o.payload.error | slice_wrong),
            self.o.valid.eq(sort.o.valid),
            sort.o.ready.eq(self.o.ready),
        ]
        sticky(m, self.error, self.o.valid & self.o.payload.error, self.clear)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.i_job.ready.eq(1), tree.clear.eq(fresh)]
                with m.If(fresh):
                    m.d.sync += wrong.eq(0)
                with m.If(self.i_job.valid):
                    m.d.sync += [job.eq(self.i_job.payload), fresh.eq(0)]
                    m.next = "TREE"
            with m.State("TREE"):
                m.d.comb += tree.i_job.valid.eq(1)
                with m.If(job.channels != channels):
                    m.d.sync += wrong.eq(1)
                with m.If(tree.i_job.ready):
                    m.next = "SUMS"
            with m.State("SUMS"):
                with m.If(tree.o.valid & ~element.final):
                    m.d.sync += wrong.eq(1)
                with m.If(tile_end):
                    m.next = "IDLE"
                    with m.If(job.last):
                        m.next = "SCORES"
            with m.State("SCORES"):
                # The next slice may have other channels, so its first words wait for the last scores of this one.
                with m.If(ended):
                    m.d.sync += [slice_wrong.eq(wrong | tree.error), fresh.eq(1)]
                    m.next = "IDLE"


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ColumnImportanceConfig(),
    "small": ColumnImportanceConfig(
        lanes=2, max_columns=31, max_rows=5, v_lanes=1, max_channels=5, product_stages=3, add_stages=0
    ),
}
