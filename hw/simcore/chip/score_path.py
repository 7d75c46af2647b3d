# SPDX-License-Identifier: Apache-2.0
"""From scores to e, row maxima and sums, and the map of A (SIMPICKER V-A): between the two products.

::

    i_fp16 (S) --+                         +--> e (memory) ------------------------------------> arrays
    i_lut (S) ---+--> lanes --> SFU -------+--> m, l (memory) ----------------------------------> merging
    i_scores ----+               |         +--> queue --> column importance (i_v) --> masks -+--> arrays, merging
                                 +--> o_probabilities                                        +--> ready

The SFU is the machine's only one: the prediction unit has it before the first tile. Of the two arrays the one that has a
whole job to give is served, turn and turn about.

Rejected: e straight from the SFU into column importance, without the queue: while it multiplies the sums of one slice by V
the scores of the next wait, and with them the array (blocked in 11 % of the cycles, where it is none now).
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.memory.ports import Reading, read_port, serve
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.memory.wide_store import wide_store
from zoetrope.hw.memory.word_fifo import StreamFifo, WordFifoConfig
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngineConfig
from zoetrope.hw.simcore.quantization_engine.column_importance import ColumnImportance, ColumnImportanceConfig
from zoetrope.hw.softmax.sfu import Sfu, SfuConfig

SOURCES = ("fp16", "lut", "map")

#: The arrays of a small SIMCORE, by default.
ENGINE = ComputingEngineConfig(
    fp16=FP16PEConfig(rows=8, columns=1, lanes=4, words=32, add_stages=2, ragged=True),
    lut=LutPEConfig(rows=8, columns=1, lanes=4, words=32, add_stages=2, copy_width=64, slices="generator", ragged=True),
    max_channels=64,
    max_tokens=128,
    load_lanes=16,
)


@dataclass(frozen=True)
class ScorePathConfig:
    engine: ComputingEngineConfig = field(
        default=ENGINE,
        metadata={"doc": "the two arrays, whose scores come and whose operands e is"},
    )
    slices: int = field(default=4, metadata={"doc": "G, most slices of a block; a power of two"})
    tiles: int = field(default=4, metadata={"doc": "W, key tiles that have a place; a power of two"})
    sfu: SfuConfig = field(
        default=SfuConfig(lanes=4, max_row=128, tiles=True), metadata={"doc": "the SFU: it is in here"}
    )
    v_lanes: int = field(default=8, metadata={"doc": "channels of V a cycle in column importance; a power of two"})
    p_bits: int = field(default=12, metadata={"doc": "fraction bits of p_a"})

    def __post_init__(self):
        checks.power_of_two(self, "slices", "tiles", least=2)
        checks.power_of_two(self, "v_lanes", most=self.load_lanes, why="a word of V is read in parts")
        lanes = self.sfu.lanes
        if (
            not self.sfu.tiles
            or self.load_lanes % lanes
            or any(array.outputs % lanes for array in self.arrays.values())
        ):
            raise ValueError(
                f"sfu must have tiles, and lanes that divide load_lanes and the outputs of both arrays, not {self.sfu}"
            )
        if self.sfu.max_row < self.keys:
            raise ValueError(f"max_row of sfu must be at least {self.keys}, a key tile, not {self.sfu.max_row}")
        if self.rows & (self.rows - 1):
            raise ValueError(f"rows of engine must be a power of two, not {self.rows}")
        _ = self.importance

    @property
    def arrays(self):
        return {"fp16": self.engine.fp16, "lut": self.engine.lut}

    @property
    def rows(self):
        """t, most rows of a slice."""
        return self.engine.fp16.rows

    @property
    def keys(self):
        """Most tokens of a key tile."""
        return self.engine.max_tokens

    @property
    def load_lanes(self):
        return self.engine.load_lanes

    @property
    def max_channels(self):
        return self.engine.max_channels

    @property
    def channel_words(self):
        """Words of operands of the widest token."""
        return -(-self.max_channels // self.load_lanes)

    @property
    def key_words(self):
        """Words of operands of a row of the largest key tile."""
        return -(-self.keys // self.load_lanes)

    @property
    def importance(self):
        return ColumnImportanceConfig(
            lanes=self.sfu.lanes,
            max_columns=self.keys,
            max_rows=self.rows,
            v_lanes=self.v_lanes,
            max_channels=self.max_channels,
            p_bits=self.p_bits,
        )

    @property
    def head_layout(self):
        """What stays the same during a head; ``codes_v``: columns of A may be the LUT array's."""
        sizes = {"channels": range(self.max_channels + 1), "codes_v": 1}
        return data.StructLayout({**sizes, "p_a": self.p_bits + 1, "score_scale": FP32.width})

    @property
    def tile_layout(self):
        """What is to be known of the task in a place: the tokens of its key tile, the rows of its slices."""
        return layouts.tile_and_rows(self.keys, self.rows, self.slices)

    @property
    def slice_layout(self):
        return layouts.slice_layout(self.slices, self.tiles)

    @property
    def e_address(self):
        return layouts.e_address(self.key_words, self.rows, self.slices, self.tiles)

    @property
    def v_address(self):
        return layouts.v_address(self.channel_words, self.keys, self.tiles)

    @property
    def sums_address(self):
        """Of m and l of a row."""
        return data.StructLayout({"row": layouts.up_to(self.rows), "slice": self.slice_layout})

    @property
    def order_layout(self):
        """What is to be known of a row that is in the SFU."""
        row = {"slice": self.slice_layout, "row": layouts.up_to(self.rows)}
        return data.StructLayout(row | {"first": 1, "last": 1, "map": 1})

    @property
    def job_layout(self):
        """Of column importance."""
        sizes = {"tokens": range(self.keys + 1), "rows": range(self.rows + 1)}
        return data.StructLayout({"slice": self.slice_layout, **sizes})


class ScorePath(wiring.Component):
    """Softmax of tiles, importance of the columns of A, and what is kept of both until the products are merged.

    Parameters
    ----------
    config : ScorePathConfig

    Members
    -------
    head : In, ``channels``, ``codes_v``, ``p_a`` and the scale of the scores; stable while there are scores
    tasks : In, of the task in each place ``tokens`` and ``rows`` of each slice; stable until ``begun``
    begun : In(1 a place), a new task takes the place
    i_fp16, i_lut : In(streams of the arrays' results of kind S)
    i_scores, o_probabilities : In, Out(streams of the SFU), for the prediction unit
    values_ready : In(1 a place), the tile of V is there
    v : Out(read port) of V, for column importance
    ready : Out(1 a slice and place), e, m, l and the mask of the slice are there
    e_fp16, e_lut : In(read ports) of e
    mask_fp16, mask_lut, mask_merge : In(read ports) of the masks; bits behind the last channel are 1
    sums : In(read port) of m (low) and l of a row
    busy : Out(1), the SFU takes scores

    Cycles: ``tokens / sfu_lanes`` a row, one row after the other. The map of A of a slice is there ``tile_cycles`` of
    ``ColumnImportance`` and the sort behind its last row. Memory: of each slice and place t rows of keys x 16 bits of e (two
    read ports), of m and l, and a mask (three); a queue of the e of G slices.
    Golden: ``golden.simcore.chip.score_path.score_path``.
    """

    def __init__(self, *, config):
        self.config = config
        c = config
        e_port = In(read_port(c.e_address, c.load_lanes * FP16.width))
        mask_port = In(read_port(c.slice_layout, c.max_channels))
        super().__init__(
            {
                "head": In(c.head_layout),
                "tasks": In(data.ArrayLayout(c.tile_layout, c.tiles)),
                "begun": In(c.tiles),
                "i_fp16": In(stream.Signature(c.engine.array("fp16").o_layout)),
                "i_lut": In(stream.Signature(c.engine.array("lut").o_layout)),
                "i_scores": In(stream.Signature(c.sfu.i_layout)),
                "o_probabilities": Out(stream.Signature(c.sfu.o_layout)),
                "values_ready": In(c.tiles),
                "v": Out(read_port(c.v_address, c.load_lanes * FP16.width)),
                "ready": Out(1 << c.slice_layout.size),
                "e_fp16": e_port,
                "e_lut": e_port,
                "mask_fp16": mask_port,
                "mask_lut": mask_port,
                "mask_merge": mask_port,
                "sums": In(read_port(c.sums_address, 64)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sfu = Sfu(config=c.sfu)
        importance = ColumnImportance(config=c.importance)
        order = SyncFIFO(width=c.order_layout.size, depth=4 * c.sfu.rows)
        m.submodules.sfu = emit_once(sfu)
        m.submodules.importance = emit_once(importance)
        m.submodules.order = order
        self._choose(m, sfu, order)
        result = self._results(m, sfu, order)
        self._keep(m, result)
        jobs = self._tell(m, result, importance)
        self._feed(m, result, importance)
        slices = self._bring_values(m, importance, jobs)
        found = self._masks(m, importance, slices, result)
        clear = Cat(self.begun[place].replicate(len(self.ready) // c.tiles) for place in range(c.tiles))
        m.d.sync += self.ready.eq((self.ready & ~clear) | found)
        return m

    def _choose(self, m, sfu, order):
        """Scores from either array, job by job, or of the prediction unit, row by row."""
        locked = Signal()
        source = Signal(range(3))
        served = Signal()  # the array that was served last
        chosen = Signal(range(3))
        valid = {"fp16": self.i_fp16.valid, "lut": self.i_lut.valid, "map": self.i_scores.valid}
        prefer = Mux(served, 0, 1)
        other = Mux(served, 1, 0)
        arrays = Cat(self.i_fp16.valid, self.i_lut.valid)
        m.d.comb += chosen.eq(
            Mux(locked, source, Mux(arrays.bit_select(prefer, 1), prefer, Mux(arrays.any(), other, 2)))
        )
        entry = Signal(self.config.order_layout)
        row_end = Signal()
        job_end = Signal()
        go = Signal()
        taken = Signal()
        payload = sfu.i.payload
        parts = {
            name: self._words(m, name, getattr(self, f"i_{name}").payload, taken & (chosen == k))
            for k, name in enumerate(SOURCES[:2])
        }
        m.d.comb += [
            taken.eq(sfu.i.valid & sfu.i.ready),
            sfu.i.valid.eq(go & order.w_rdy),
            self.busy.eq(taken),
            order.w_data.eq(entry),
            order.w_en.eq(taken & row_end),
        ]
        with m.Switch(chosen):
            for k, name in enumerate(SOURCES[:2]):
                i = getattr(self, f"i_{name}")
                part = parts[name]
                with m.Case(k):
                    m.d.comb += [
                        go.eq(valid[name]),
                        i.ready.eq(taken & part.end),
                        payload.scores.eq(part.values),
                        payload.count.eq(part.count),
                        payload.last.eq(part.row_end),
                        payload.tile.eq(1),
                        payload.scale.eq(self.head.score_scale),
                        row_end.eq(part.row_end),
                        job_end.eq(part.row_end & (i.payload.row + 1 == part.rows)),
                        entry.slice.slice.eq(i.payload.slice),
                        entry.slice.place.eq(i.payload.tile),
                        entry.row.eq(i.payload.row),
                        entry.first.eq(i.payload.row == 0),
                        entry.last.eq(job_end),
                    ]
            with m.Default():
                m.d.comb += [
                    go.eq(valid["map"]),
                    self.i_scores.ready.eq(sfu.i.ready & order.w_rdy),
                    payload.eq(self.i_scores.payload),
                    row_end.eq(self.i_scores.payload.last),
                    job_end.eq(row_end),
                    entry.map.eq(1),
                ]
        with m.If(go):
            m.d.sync += [locked.eq(~(taken & job_end)), source.eq(chosen)]
        with m.If(taken & job_end & (chosen != 2)):
            m.d.sync += served.eq(chosen[0])

    def _words(self, m, name, result, taken):
        """A word of an array's results in parts of the SFU's lanes: those that hold scores of the row."""
        c = self.config
        lanes = c.sfu.lanes
        parts = c.arrays[name].outputs // lanes
        task = Signal(c.tile_layout, name=f"{name}_task")
        part = Signal(range(max(2, parts)), name=f"{name}_part")
        done = Signal(range(c.keys + lanes + 1), name=f"{name}_done")  # scores of the row before this part
        left = Signal(range(c.keys + 1), name=f"{name}_left")
        row_end = Signal(name=f"{name}_row_end")
        end = Signal(name=f"{name}_end")
        values = Value.cast(result["values"]).word_select(part, lanes * FP32.width)
        rows = Signal(range(c.rows + 1), name=f"{name}_rows")
        m.d.comb += [
            task.eq(self.tasks[result.tile]),
            left.eq(task.tokens - done),
            row_end.eq(left <= lanes),
            end.eq(row_end | (part == parts - 1)),
            rows.eq(task.rows[result.slice]),
        ]
        with m.If(taken):
            m.d.sync += [part.eq(Mux(end, 0, part + 1)), done.eq(Mux(row_end, 0, done + lanes))]
        count = Mux(row_end, left, lanes)
        return SimpleNamespace(values=values, count=count, row_end=row_end, end=end, rows=rows)

    def _results(self, m, sfu, order):
        """The word that leaves the SFU: of a row of the map, which goes on, or of a tile's; ``taken`` with ``room``."""
        c, head = self.config, self.head
        row = data.View(c.order_layout, order.r_data)
        r = SimpleNamespace(
            row=row,
            payload=sfu.o.payload,
            task=Signal(c.tile_layout, name="result_task"),
            of_tile=Signal(name="of_tile"),
            wanted=Signal(name="importance_wanted"),  # column importance takes it, too
            room=Signal(name="importance_room"),
            taken=Signal(name="result_taken"),
        )
        m.d.comb += [
            r.of_tile.eq(sfu.o.valid & order.r_rdy & ~row.map),
            r.wanted.eq(r.of_tile & head.codes_v),
            r.task.eq(self.tasks[row.slice.place]),
            self.o_probabilities.payload.eq(r.payload),
            self.o_probabilities.valid.eq(sfu.o.valid & order.r_rdy & row.map),
            sfu.o.ready.eq(order.r_rdy & Mux(row.map, self.o_probabilities.ready, r.room)),
            r.taken.eq(r.of_tile & r.room),
            order.r_en.eq(sfu.o.valid & sfu.o.ready & r.payload.last),
        ]
        return r

    def _keep(self, m, r):
        """e, m and l into their memories."""
        c = self.config
        address = Signal(c.e_address, name="e_write")
        m.d.comb += [address.row.eq(r.row.row), address.slice.eq(r.row.slice)]
        parts, ports = c.load_lanes // c.sfu.lanes, [self.e_fp16, self.e_lut]
        wide_store(m, "e", ports, address, r.payload.results, r.taken, r.payload.last, words=c.key_words, parts=parts)
        sums = Sram(config=SramConfig(depth=1 << c.sums_address.size, width=64))
        m.submodules.sums = emit_once(sums)
        m.d.comb += [
            sums.w_en.eq(r.taken & r.payload.last),
            sums.w_addr.eq(Cat(r.row.row, r.row.slice)),
            sums.w_data.eq(Cat(r.payload.maximum, r.payload.reciprocal)),
        ]
        serve(m, sums, [self.sums])

    def _tell(self, m, r, importance):
        """A slice's job, known with its first word, to column importance, and to who brings it V: that queue is returned."""
        c, head = self.config, self.head
        job = Signal(c.job_layout, name="importance_job")
        jobs = [SyncFIFO(width=c.job_layout.size, depth=2 * c.slices) for _ in range(2)]
        m.submodules.jobs, m.submodules.v_jobs = jobs
        known = data.View(c.job_layout, jobs[0].r_data)
        begins = Signal(init=1, name="slice_begins")
        told = Signal(name="importance_told")
        told_now = Signal(name="importance_told_now")
        r.tell = Signal(name="importance_tell")
        m.d.comb += [
            job.slice.eq(r.row.slice),
            job.tokens.eq(r.task.tokens),
            job.rows.eq(r.task.rows[r.row.slice.slice]),
            r.tell.eq(r.wanted & begins & ~told),
            told_now.eq(r.tell & jobs[0].w_rdy & jobs[1].w_rdy),
            *(queue.w_data.eq(job) for queue in jobs),
            *(queue.w_en.eq(told_now) for queue in jobs),
            importance.i_job.payload.rows.eq(known.rows),
            importance.i_job.payload.columns.eq(known.tokens),
            importance.i_job.payload.channels.eq(head.channels),
            importance.i_job.payload.factor.eq(_inverse(c.rows)),
            importance.i_job.payload.p.eq(head.p_a),
            importance.i_job.payload.last.eq(1),
            importance.i_job.valid.eq(jobs[0].r_rdy),
            jobs[0].r_en.eq(importance.i_job.ready),
        ]
        with m.If(told_now):
            m.d.sync += told.eq(1)
        with m.If(r.taken):
            m.d.sync += [told.eq(0), begins.eq(r.payload.last & r.row.last)]
        return jobs[1]

    def _feed(self, m, r, importance):
        """Rows wait in a queue: while scores of a slice are summed and multiplied by V, those of others go on."""
        c, head = self.config, self.head
        layout = importance.i.payload.shape()
        depth = c.slices * c.rows * -(-c.keys // c.sfu.lanes)
        feed = StreamFifo(config=WordFifoConfig(depth=depth, width=layout.size))
        m.submodules.feed = emit_once(feed)
        word = Signal(layout, name="fed")
        m.d.comb += [
            word["values"].eq(r.payload.results),
            word.last.eq(r.row.last),
            feed.i.payload.eq(word),
            feed.i.valid.eq(r.wanted & ~r.tell),
            r.room.eq(~head.codes_v | (feed.i.ready & ~r.tell)),
            importance.i.payload.eq(feed.o.payload),
            importance.i.valid.eq(feed.o.valid),
            feed.o.ready.eq(importance.i.ready),
        ]

    def _bring_values(self, m, importance, jobs):
        """V to column importance, job by job. Returns a queue of the slices whose masks are to come."""
        c, head = self.config, self.head
        m.submodules.waiting = waiting = SyncFIFO(width=c.slice_layout.size, depth=2 * c.slices)
        job = data.View(c.job_layout, jobs.r_data)
        parts = c.load_lanes // c.v_lanes
        part_bits = ceil_log2(parts)
        words = Signal(range(c.channel_words * parts + 1), name="v_words")
        word = Signal(range(max(2, c.channel_words * parts)), name="v_word")
        token = Signal(range(c.keys), name="v_token")
        word_end = Signal(name="v_word_end")
        v = Reading(m, self.v, "v")
        part = Signal(max(1, part_bits), name="v_part", reset_less=True)
        start = Signal(name="v_start")
        step = Signal(name="v_step")
        m.d.comb += [
            words.eq((head.channels + c.v_lanes - 1) >> exact_log2(c.v_lanes)),
            word_end.eq(word + 1 == words),
            start.eq(jobs.r_rdy & self.values_ready.bit_select(job.slice.place, 1) & waiting.w_rdy),
            step.eq(start & v.ready),
            v.fetch.eq(start),
            self.v.addr.word.eq(word >> part_bits),
            self.v.addr.token.eq(token),
            self.v.addr.place.eq(job.slice.place),
            importance.i_v.valid.eq(v.valid),
            importance.i_v.payload.eq(self.v.data.word_select(part, c.v_lanes * FP16.width)),
            v.take.eq(importance.i_v.ready),
            waiting.w_data.eq(job.slice),
        ]
        with m.If(step):
            m.d.sync += [part.eq(word[:part_bits] if part_bits else 0), word.eq(Mux(word_end, 0, word + 1))]
            with m.If(word_end):
                m.d.sync += token.eq(token + 1)
                with m.If(token + 1 == job.tokens):
                    m.d.sync += token.eq(0)
                    m.d.comb += [jobs.r_en.eq(1), waiting.w_en.eq(1)]
        return waiting

    def _masks(self, m, importance, waiting, r):
        """Masks of column importance, or of ones without it, into their memory. Returns whose comes now, a bit each."""
        c, head = self.config, self.head
        masks = Sram(config=SramConfig(depth=1 << c.slice_layout.size, width=c.max_channels, read_ports=3))
        m.submodules.masks = emit_once(masks)
        plain = Signal(name="plain")
        beyond = Signal(c.max_channels, name="beyond")
        slice_ = Signal(c.slice_layout, name="mask_slice")
        write = Signal(name="mask_write")
        m.d.comb += [
            plain.eq(r.taken & r.payload.last & r.row.last & ~head.codes_v),
            *(beyond[k].eq(head.channels <= k) for k in range(c.max_channels)),
            importance.o.ready.eq(waiting.r_rdy),
            waiting.r_en.eq(importance.o.valid),
            write.eq(plain | (importance.o.valid & waiting.r_rdy)),
            slice_.eq(Mux(plain, Value.cast(r.row.slice), waiting.r_data)),
            masks.w_en.eq(write),
            masks.w_addr.eq(slice_),
            masks.w_data.eq(importance.o.payload.taken | beyond | plain.replicate(c.max_channels)),
        ]
        serve(m, masks, [self.mask_fp16, self.mask_lut, self.mask_merge])
        return write << Value.cast(slice_)


def _inverse(n):
    """1 / n of a power of two, in FP32."""
    return (127 - exact_log2(n)) << 23


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ScorePathConfig(),
    "tiny": ScorePathConfig(
        engine=ComputingEngineConfig(
            fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=8, ragged=True),
            lut=LutPEConfig(rows=2, columns=1, lanes=2, words=8, copy_width=64, slices="generator", ragged=True),
            max_channels=9,
            max_tokens=6,
            load_lanes=4,
        ),
        slices=2,
        tiles=2,
        sfu=SfuConfig(lanes=2, max_row=6, tiles=True),
        v_lanes=2,
    ),
}
