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

from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.memory.ports import Reading, read_port
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.memory.word_fifo import WordFifo, WordFifoConfig
from zoetrope.hw.simcore.chip.simcore_config import SimcoreConfig, depth
from zoetrope.hw.simcore.quantization_engine.column_importance import ColumnImportance
from zoetrope.hw.softmax.sfu import Sfu

SOURCES = ("fp16", "lut", "map")


class ScorePath(wiring.Component):
    """Softmax of tiles, importance of the columns of A, and what is kept of both until the products are merged.

    Parameters
    ----------
    config : SimcoreConfig

    Members
    -------
    head : In, geometry, switches, p_a and the scale of the scores
    tasks : In, the task in each place
    begun : In(1 a place), a new task takes the place
    i_fp16, i_lut : In(streams of the arrays' results of kind S)
    i_scores, o_probabilities : In, Out(streams of the SFU), for the prediction unit
    values_ready : In(1 a place), v : Out(read port) of V, for column importance
    ready : Out(1 a slice and place), e, m, l and the mask of the slice are there
    e_fp16, e_lut : In(read ports) of e
    mask_fp16, mask_lut, mask_merge : In(read ports) of the masks; bits behind the last channel are 1
    sums : In(read port) of m (low) and l of a row
    busy : Out(1), the SFU takes scores

    Cycles: ``tokens / sfu_lanes`` a row, one row after the other. The map of A of a slice is there ``tile_cycles`` of
    ``ColumnImportance`` and the sort behind its last row. Memory: of each slice and place t rows of keys x 16 bits of e (two
    read ports), of m and l, and a mask (three); a queue of the e of G slices.
    """

    def __init__(self, *, config: SimcoreConfig):
        self.config = config
        engine = config.engine
        e_port = In(read_port(config.e_address, config.load_lanes * FP16.width))
        mask_port = In(read_port(config.slice_layout, config.max_channels))
        super().__init__(
            {
                "head": In(config.head_layout),
                "tasks": In(data.ArrayLayout(config.task_layout, config.tiles)),
                "begun": In(config.tiles),
                "i_fp16": In(stream.Signature(engine.array("fp16").o_layout)),
                "i_lut": In(stream.Signature(engine.array("lut").o_layout)),
                "i_scores": In(stream.Signature(config.sfu.i_layout)),
                "o_probabilities": Out(stream.Signature(config.sfu.o_layout)),
                "values_ready": In(config.tiles),
                "v": Out(read_port(config.v_address, config.load_lanes * FP16.width)),
                "ready": Out(1 << config.slice_layout.size),
                "e_fp16": e_port,
                "e_lut": e_port,
                "mask_fp16": mask_port,
                "mask_lut": mask_port,
                "mask_merge": mask_port,
                "sums": In(read_port(sums_address(config), 64)),
                "busy": Out(1),
            }
        )

    @property
    def order_layout(self):
        """What is to be known of a row that is in the SFU."""
        c = self.config
        return data.StructLayout(
            {"slice": c.slice_layout, "row": range(max(2, c.rows)), "first": 1, "last": 1, "map": 1}
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sfu = Sfu(config=c.sfu)
        importance = ColumnImportance(config=c.importance)
        order = SyncFIFO(width=self.order_layout.size, depth=4 * c.sfu.rows)
        m.submodules.sfu = emit_once(sfu)
        m.submodules.importance = emit_once(importance)
        m.submodules.order = order
        self._choose(m, sfu, order)
        jobs, plain = self._results(m, sfu, order, importance)
        found = self._importance(m, importance, jobs, plain)
        slices = len(self.ready) // c.tiles
        clear = Cat(self.begun[place].replicate(slices) for place in range(c.tiles))
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
        entry = Signal(self.order_layout)
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
        outputs = getattr(c.engine, name).outputs
        parts = outputs // c.sfu_lanes
        task = Signal(c.task_layout, name=f"{name}_task")
        part = Signal(range(max(2, parts)), name=f"{name}_part")
        done = Signal(range(c.keys + c.sfu_lanes + 1), name=f"{name}_done")  # scores of the row before this part
        left = Signal(range(c.keys + 1), name=f"{name}_left")
        row_end = Signal(name=f"{name}_row_end")
        end = Signal(name=f"{name}_end")
        values = Value.cast(result["values"]).word_select(part, c.sfu_lanes * FP32.width)
        rows = Signal(range(c.rows + 1), name=f"{name}_rows")
        m.d.comb += [
            task.eq(self.tasks[result.tile]),
            left.eq(task.tokens - done),
            row_end.eq(left <= c.sfu_lanes),
            end.eq(row_end | (part == parts - 1)),
            rows.eq(task.rows[result.slice]),
        ]
        with m.If(taken):
            m.d.sync += [part.eq(Mux(end, 0, part + 1)), done.eq(Mux(row_end, 0, done + c.sfu_lanes))]
        count = Mux(row_end, left, c.sfu_lanes)
        return SimpleNamespace(values=values, count=count, row_end=row_end, end=end, rows=rows)

    def _results(self, m, sfu, order, importance):
        """Rows that leave the SFU to where they belong.

        Returns the queue of column importance's jobs, and a stream of slices that are ready without it.
        """
        c, head = self.config, self.head
        row = data.View(self.order_layout, order.r_data)
        result = sfu.o.payload
        parts = c.load_lanes // c.sfu_lanes
        part_bits = ceil_log2(parts)
        width = c.sfu_lanes * FP16.width
        e = Sram(config=SramConfig(depth=depth(c.e_address), width=parts * width, granularity=width, read_ports=2))
        sums = Sram(config=SramConfig(depth=depth(sums_address(c)), width=64))
        m.submodules.e = emit_once(e)
        m.submodules.sums = emit_once(sums)
        word = Signal(range(max(2, c.key_words * parts)), name="e_word")
        address = Signal(c.e_address, name="e_write")
        taken = Signal(name="result_taken")
        of_tile = Signal(name="of_tile")
        wanted = Signal(name="importance_wanted")
        task = Signal(c.task_layout, name="result_task")
        job = Signal(self.job_layout, name="importance_job")
        # A slice's job is known with its first word: to column importance, and to who brings it V.
        jobs = [SyncFIFO(width=self.job_layout.size, depth=2 * c.slices) for _ in range(2)]
        m.submodules.jobs, m.submodules.v_jobs = jobs
        known = data.View(self.job_layout, jobs[0].r_data)
        told = Signal(name="importance_told")
        tell = Signal(name="importance_tell")
        told_now = Signal(name="importance_told_now")
        # Its rows wait in a queue: while scores of a slice are summed and multiplied by V, those of others go on.
        feed_layout = importance.i.payload.shape()
        depth_of_feed = c.block_rows * -(-c.keys // c.sfu_lanes)
        feed = WordFifo(config=WordFifoConfig(depth=depth_of_feed, width=feed_layout.size))
        m.submodules.feed = emit_once(feed)
        level = Signal(range(depth_of_feed + 2), name="feed_level")
        fed = Signal(feed_layout, name="fed")
        room = Signal(name="importance_room")
        m.d.comb += [
            of_tile.eq(sfu.o.valid & order.r_rdy & ~row.map),
            wanted.eq(of_tile & head.codes_v),
            task.eq(self.tasks[row.slice.place]),
            job.slice.eq(row.slice),
            job.tokens.eq(task.tokens),
            job.rows.eq(task.rows[row.slice.slice]),
            tell.eq(wanted & row.first & (word == 0) & ~told),
            told_now.eq(tell & jobs[0].w_rdy & jobs[1].w_rdy),
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
            room.eq(~head.codes_v | ((level != depth_of_feed) & ~tell)),
            fed["values"].eq(result.results),
            fed.last.eq(row.last),
            feed.w_data.eq(fed),
            feed.w_en.eq(taken & head.codes_v),
            importance.i.payload.eq(feed.o.payload),
            importance.i.valid.eq(feed.o.valid),
            feed.o.ready.eq(importance.i.ready),
            self.o_probabilities.payload.eq(result),
            self.o_probabilities.valid.eq(sfu.o.valid & order.r_rdy & row.map),
            sfu.o.ready.eq(order.r_rdy & Mux(row.map, self.o_probabilities.ready, room)),
            taken.eq(of_tile & room),
            order.r_en.eq(sfu.o.valid & sfu.o.ready & result.last),
        ]
        m.d.sync += level.eq(level + feed.w_en - (feed.o.valid & feed.o.ready))
        with m.If(told_now):
            m.d.sync += told.eq(1)
        with m.If(taken):
            m.d.sync += [told.eq(0), word.eq(Mux(result.last, 0, word + 1))]
        m.d.comb += [
            address.word.eq(word >> part_bits),
            address.row.eq(row.row),
            address.slice.eq(row.slice),
            e.w_en.eq(taken << (word[:part_bits] if part_bits else Const(0, 1))),
            e.w_addr.eq(address),
            e.w_data.eq(Value.cast(result.results).replicate(parts)),
            sums.w_en.eq(taken & result.last),
            sums.w_addr.eq(Cat(row.row, row.slice)),
            sums.w_data.eq(Cat(result.maximum, result.reciprocal)),
            sums.r_en[0].eq(self.sums.en),
            sums.r_addr[0].eq(self.sums.addr),
            self.sums.data.eq(sums.r_data[0]),
        ]
        for k, port in enumerate((self.e_fp16, self.e_lut)):
            m.d.comb += [e.r_en[k].eq(port.en), e.r_addr[k].eq(port.addr), port.data.eq(e.r_data[k])]
        plain = SimpleNamespace(valid=Signal(name="plain"), slice=Signal(c.slice_layout, name="plain_slice"))
        m.d.comb += [plain.valid.eq(taken & result.last & row.last & ~head.codes_v), plain.slice.eq(row.slice)]
        return jobs[1], plain

    @property
    def job_layout(self):
        c = self.config
        return data.StructLayout({"slice": c.slice_layout, "tokens": range(c.keys + 1), "rows": range(c.rows + 1)})

    def _importance(self, m, importance, jobs, plain):
        """V to column importance, job by job; its masks, or masks of ones, into their memory. Returns whose come now."""
        c, head = self.config, self.head
        slice_bits = c.slice_layout.size
        m.submodules.waiting = waiting = SyncFIFO(width=slice_bits, depth=2 * c.slices)
        job = data.View(self.job_layout, jobs.r_data)
        parts = c.load_lanes // c.importance_lanes
        part_bits = ceil_log2(parts)
        words = Signal(range(c.channel_words * parts + 1), name="v_words")
        word = Signal(range(max(2, c.channel_words * parts)), name="v_word")
        token = Signal(range(c.keys), name="v_token")
        word_end = Signal(name="v_word_end")
        v = Reading(m, self.v, "v")
        part = Signal(max(1, part_bits), name="v_part", reset_less=True)
        start = Signal(name="v_start")
        m.d.comb += [
            words.eq((head.channels + c.importance_lanes - 1) >> ceil_log2(c.importance_lanes)),
            word_end.eq(word + 1 == words),
            start.eq(jobs.r_rdy & self.values_ready.bit_select(job.slice.place, 1) & waiting.w_rdy),
            v.fetch.eq(start),
            self.v.addr.word.eq(word >> part_bits),
            self.v.addr.token.eq(token),
            self.v.addr.place.eq(job.slice.place),
            importance.i_v.valid.eq(v.valid),
            importance.i_v.payload.eq(self.v.data.word_select(part, c.importance_lanes * FP16.width)),
            v.take.eq(importance.i_v.ready),
            waiting.w_data.eq(job.slice),
        ]
        step = Signal(name="v_step")
        m.d.comb += step.eq(start & v.ready)
        with m.If(step):
            m.d.sync += [part.eq(word[:part_bits] if part_bits else 0), word.eq(Mux(word_end, 0, word + 1))]
            with m.If(word_end):
                m.d.sync += token.eq(token + 1)
                with m.If(token + 1 == job.tokens):
                    m.d.sync += token.eq(0)
                    m.d.comb += [jobs.r_en.eq(1), waiting.w_en.eq(1)]

        masks = Sram(config=SramConfig(depth=1 << slice_bits, width=c.max_channels, read_ports=3))
        m.submodules.masks = emit_once(masks)
        found = importance.o.payload
        beyond = Signal(c.max_channels, name="beyond")
        written = Signal(slice_bits, name="mask_slice")
        write = Signal(name="mask_write")
        m.d.comb += [
            *(beyond[k].eq(head.channels <= k) for k in range(c.max_channels)),
            importance.o.ready.eq(waiting.r_rdy),
            waiting.r_en.eq(importance.o.valid),
            write.eq(plain.valid | (importance.o.valid & waiting.r_rdy)),
            written.eq(Mux(plain.valid, Value.cast(plain.slice), waiting.r_data)),
            masks.w_en.eq(write),
            masks.w_addr.eq(written),
            masks.w_data.eq(found.taken | beyond | plain.valid.replicate(c.max_channels)),
        ]
        for k, port in enumerate((self.mask_fp16, self.mask_lut, self.mask_merge)):
            m.d.comb += [masks.r_en[k].eq(port.en), masks.r_addr[k].eq(port.addr), port.data.eq(masks.r_data[k])]
        return write << written


def sums_address(config):
    """Of m and l of a row."""
    return data.StructLayout({"row": range(max(2, config.rows)), "slice": config.slice_layout})


def _inverse(n):
    """1 / n of a power of two, in FP32."""
    return (127 - ceil_log2(n)) << 23
