"""What an array computes next, and its operands on their way (SIMPICKER V-A).

::

    i_scores (tasks) ----+                       +--> o_job --> array
    i_products (tasks) --+--> next job --> walk -+--> o_x: rows of Q, or of e
    ready, masks --------+                       +--> o_w: K from memory, or V from its buffer

Products go before scores: they set places free. Scores of a task are computed for all slices of its block one after the
other, so that K is loaded once (``keep_w``).
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.formats import FP16
from zoetrope.hw.simcore.chip.simcore_config import Reading, SimcoreConfig, read_port
from zoetrope.hw.simcore.chip.value_buffer import command_of
from zoetrope.hw.simcore.computing_engine.tile_array import Kind


@dataclass(frozen=True)
class ArrayFeederConfig:
    machine: SimcoreConfig = field(metadata={"doc": "the machine's"})
    name: str = field(metadata={"doc": "of the array: fp16 or lut"})

    def __post_init__(self):
        if self.name not in ("fp16", "lut"):
            raise ValueError(f"name must be fp16 or lut, not {self.name!r}")

    @property
    def array(self):
        return self.machine.engine.array(self.name)


class ArrayFeeder(wiring.Component):
    """Jobs and operands of one array.

    Parameters
    ----------
    config : ArrayFeederConfig

    Members
    -------
    head : In, geometry and the address of K
    i_scores, i_products : In(streams of tasks), each taken when its operands have gone. Of ``i_scores`` only those of this
        array's kind are computed
    values_ready : In(1 a place), V of the place's task is there
    slices_ready : In(1 a slice and place), e and the mask of its columns are there
    mask : Out(read port) of the map of A
    o_command, i_k : the AXI reader's command for K of a task, and K as ``KeyStream`` gives it
    q, e, v : Out(read ports) of the rows of Q (the LUT array: folded), of e, of V (the LUT array: codes)
    o_job, o_x, o_w : Out(streams), the array's

    Cycles of a job: the most of its words of x and of w, and 4. A slice whose mask leaves this array no column is skipped.
    """

    def __init__(self, *, config: ArrayFeederConfig):
        self.config = config
        c, array = config.machine, config.array
        task = In(stream.Signature(c.task_layout))
        x_bits = c.load_lanes * FP16.width
        super().__init__(
            {
                "head": In(c.head_layout),
                "i_scores": task,
                "i_products": task,
                "values_ready": In(c.tiles),
                "slices_ready": In(1 << c.slice_layout.size),
                "mask": Out(read_port(c.slice_layout, c.max_channels)),
                "o_command": Out(stream.Signature(c.axi.command_layout)),
                "i_k": In(stream.Signature(array.w_layout)),
                "q": Out(read_port(c.q_address, x_bits)),
                "e": Out(read_port(c.e_address, x_bits)),
                "v": Out(read_port(c.v_address, array.w_layout.size)),
                "o_job": Out(stream.Signature(array.job_layout)),
                "o_x": Out(stream.Signature(array.x_layout)),
                "o_w": Out(stream.Signature(array.w_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, head = self.config.machine, self.head
        fp16 = self.config.name == "fp16"
        products = Signal()  # of the job: a tile of A, else of S
        number = {kind: Signal(range(c.slices + 1), name=f"{kind}_slice") for kind in ("scores", "products")}
        scores_task, products_task = self.i_scores.payload, self.i_products.payload
        task = Signal(c.task_layout)
        at = Signal(range(c.slices + 1))
        rows = Signal(range(c.rows + 1))
        columns = Signal(c.max_channels)
        m.d.comb += [
            task.eq(Mux(products, Value.cast(products_task), Value.cast(scores_task))),
            at.eq(Mux(products, number["products"], number["scores"])),
            rows.eq(task.rows[at]),
            columns.eq(self.mask.data if fp16 else ~self.mask.data),
        ]
        place = Signal(c.slice_layout)
        ready = Signal()
        mine = Signal()
        last = Signal()
        m.d.comb += [
            place.place.eq(products_task.place),
            place.slice.eq(number["products"]),
            self.mask.addr.eq(place),
            ready.eq(
                self.i_products.valid
                & self.values_ready.bit_select(products_task.place, 1)
                & self.slices_ready.bit_select(Value.cast(place), 1)
            ),
            mine.eq(scores_task.important == fp16),
            last.eq(at + 1 == task.slices),
        ]

        job = self.o_job.payload
        sent = Signal()
        m.d.comb += [
            job.kind.eq(Mux(products, Kind.A, Kind.S)),
            job.slice.eq(at),
            job.tile.eq(task.place),
            job.rows.eq(rows),
            job.operands.eq(Mux(products, task.tokens, head.channels)),
            job.outputs.eq(Mux(products, head.channels, task.tokens)),
            job.keep_w.eq(~products & ~last),
            job.mask.eq(columns),
        ]
        active = Signal()
        begin = Signal()
        x_done = self._walk_x(m, begin, products, task, at, rows)
        w_done = self._walk_w(m, begin, products, task, at)
        job_done = Signal()
        finish = Signal()
        following = Signal()  # the slice is done with
        m.d.comb += [
            self.o_job.valid.eq(active & ~sent),
            job_done.eq(sent | self.o_job.ready),
            finish.eq(active & job_done & x_done & w_done),
        ]
        with m.If(active):
            m.d.sync += sent.eq(job_done & ~finish)
        with m.FSM():
            with m.State("CHOOSE"):
                run = number["scores"].any()
                with m.If(ready & ~run):
                    m.d.comb += self.mask.en.eq(1)
                    m.d.sync += products.eq(1)
                    m.next = "MASK"
                with m.Elif(self.i_scores.valid & mine):
                    m.d.sync += products.eq(0)
                    m.next = "BEGIN"
            with m.State("MASK"):
                m.next = "BEGIN"
                with m.If(~columns.any()):
                    m.d.comb += following.eq(1)
                    m.next = "CHOOSE"
            with m.State("BEGIN"):
                m.d.comb += begin.eq(1)
                m.next = "JOB"
            with m.State("JOB"):
                m.d.comb += active.eq(1)
                with m.If(finish):
                    m.d.comb += following.eq(1)
                    m.next = "CHOOSE"
        taken = {kind: Signal(name=f"{kind}_taken") for kind in number}
        m.d.comb += [
            self.i_scores.ready.eq(Mux(mine, taken["scores"], self.i_scores.valid)),  # at once if the other array's
            self.i_products.ready.eq(taken["products"]),
        ]
        # K is asked for as soon as it is known which comes next, and waits in its queue.
        asked = Signal()
        command_of(m, c, self.o_command, head.k, scores_task, head.words)
        m.d.comb += self.o_command.valid.eq(self.i_scores.valid & mine & ~asked)
        with m.If(taken["scores"]):
            m.d.sync += asked.eq(0)
        with m.Elif(self.o_command.valid & self.o_command.ready):
            m.d.sync += asked.eq(1)
        with m.If(following):
            for kind in number:
                with m.If(products == (kind == "products")):
                    m.d.comb += taken[kind].eq(last)
                    m.d.sync += number[kind].eq(Mux(last, 0, number[kind] + 1))
        return m

    def _walk_x(self, m, begin, products, task, at, rows):
        """Rows of Q or of e, word by word. Returns whether all have gone."""
        c, head = self.config.machine, self.head
        most = max(c.channel_words, c.key_words)
        words = Signal(range(most + 1), name="x_words")
        row = Signal(range(c.rows), name="x_row")
        word = Signal(range(max(2, most)), name="x_word")
        reading = Signal(name="x_reading")
        q = Reading(m, self.q, "q")
        e = Reading(m, self.e, "e")
        word_end = Signal(name="x_word_end")
        done = Signal(name="x_done")
        m.d.comb += [
            words.eq((Mux(products, task.tokens, head.channels) + c.load_lanes - 1) >> ceil_log2(c.load_lanes)),
            word_end.eq(word + 1 == words),
            q.fetch.eq(reading & ~products),
            e.fetch.eq(reading & products),
            self.q.addr.word.eq(word),
            self.q.addr.row.row.eq(row),
            self.q.addr.row.slice.eq(at),
            self.q.addr.row.bank.eq(task.bank),
            self.e.addr.word.eq(word),
            self.e.addr.row.eq(row),
            self.e.addr.slice.slice.eq(at),
            self.e.addr.slice.place.eq(task.place),
            self.o_x.valid.eq(q.valid | e.valid),
            Value.cast(self.o_x.payload).eq(Mux(products, e.data, q.data)),
            q.take.eq(self.o_x.ready),
            e.take.eq(self.o_x.ready),
            done.eq(~reading & ~self.o_x.valid),
        ]
        with m.If(reading & Mux(products, e.ready, q.ready)):
            m.d.sync += word.eq(Mux(word_end, 0, word + 1))
            with m.If(word_end):
                m.d.sync += [row.eq(row + 1), reading.eq(row + 1 != rows)]
        with m.If(begin):
            m.d.sync += [row.eq(0), word.eq(0), reading.eq(1)]
        return done

    def _walk_w(self, m, begin, products, task, at):
        """V from its buffer, or K from memory with the first slice. Returns whether all has gone."""
        c, head = self.config.machine, self.head
        words = Signal(range(c.channel_words + 1), name="w_words")
        token = Signal(range(c.keys), name="w_token")
        word = Signal(range(max(2, c.channel_words)), name="w_word")
        reading = Signal(name="w_reading")  # V, or K is being passed on
        v = Reading(m, self.v, "v")
        word_end = Signal(name="w_word_end")
        step = Signal(name="w_step")
        done = Signal(name="w_done")
        m.d.comb += [
            words.eq((head.channels + c.load_lanes - 1) >> ceil_log2(c.load_lanes)),
            word_end.eq(word + 1 == words),
            v.fetch.eq(reading & products),
            v.take.eq(self.o_w.ready),
            self.v.addr.word.eq(word),
            self.v.addr.token.eq(token),
            self.v.addr.place.eq(task.place),
            self.o_w.valid.eq(Mux(products, v.valid, reading & self.i_k.valid)),
            Value.cast(self.o_w.payload).eq(Mux(products, v.data, Value.cast(self.i_k.payload))),
            self.i_k.ready.eq(reading & ~products & self.o_w.ready),
            step.eq(Mux(products, reading & v.ready, self.i_k.valid & self.i_k.ready)),
            done.eq(~reading & ~v.valid),
        ]
        with m.If(step):
            m.d.sync += word.eq(Mux(word_end, 0, word + 1))
            with m.If(word_end):
                m.d.sync += [token.eq(token + 1), reading.eq(token + 1 != task.tokens)]
        with m.If(begin):
            m.d.sync += [token.eq(0), word.eq(0)]
            m.d.sync += reading.eq(products | (at == 0))
        return done
