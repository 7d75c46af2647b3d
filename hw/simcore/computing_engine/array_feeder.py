# SPDX-License-Identifier: Apache-2.0
"""What an array computes next, and its operands on their way (SIMPICKER V-A).

::

    i_scores (tasks) ----+                       +--> o_job --> array
    i_products (tasks) --+--> next job --> walk -+--> o_x: rows of Q, or of e
    ready, masks --------+                       +--> o_w: K from memory, or V from its buffer

Products go before scores: they set places free. Scores of a task are computed for all slices of its block one after the
other, so that K is loaded once (``keep_w``).
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks
from zoetrope.hw.memory.ports import Reading, read_port
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.computing_engine.tile_array import Kind, TileArrayConfig
from zoetrope.hw.simcore.computing_engine.tokens import ask_for_tile


@dataclass(frozen=True)
class ArrayFeederConfig:
    array: TileArrayConfig = field(
        default=TileArrayConfig(
            array=FP16PEConfig(rows=8, columns=1, lanes=4, words=32, ragged=True),
            max_channels=64,
            max_tokens=128,
            load_lanes=16,
            slice_bits=2,
            tile_bits=2,
        ),
        metadata={"doc": "the array; the important ones are the FP16 array's, the others the LUT array's"},
    )
    lanes: int = field(default=8, metadata={"doc": "B, elements of a word of memory; a power of two"})
    slices: int = field(default=4, metadata={"doc": "G, most slices of a block; a power of two"})
    tiles: int = field(default=4, metadata={"doc": "W, key tiles that have a place; a power of two"})
    matrix_words: int = field(default=4352 * 8, metadata={"doc": "most words of K in memory"})
    address_bits: int = field(default=32, metadata={"doc": "of an address, in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.power_of_two(self, "slices", "tiles", least=2)
        checks.at_least(self, 1, "matrix_words", "address_bits", "length_bits")
        for name, number in (("slice_bits", self.slices), ("tile_bits", self.tiles)):
            if number > 1 << getattr(self.array, name):
                raise ValueError(
                    f"{name} of array must be at least {exact_log2(number)} for {number}, "
                    f"not {getattr(self.array, name)}"
                )
        for name, value in (("load_lanes", self.load_lanes), ("rows", self.rows)):
            if value & (value - 1):
                raise ValueError(f"{name} of array must be a power of two, not {value}")

    @property
    def fp16(self):
        """It is the FP16 array: important tiles and columns are its own."""
        return isinstance(self.array.array, FP16PEConfig)

    @property
    def rows(self):
        return self.array.array.rows

    @property
    def load_lanes(self):
        return self.array.load_lanes

    @property
    def max_words(self):
        """Words of memory of the widest token."""
        return -(-self.array.max_channels // self.lanes)

    @property
    def channel_words(self):
        """Words of operands of the widest token."""
        return -(-self.array.max_channels // self.load_lanes)

    @property
    def key_words(self):
        """Words of operands of a row of the largest key tile."""
        return -(-self.array.max_tokens // self.load_lanes)

    @property
    def head_layout(self):
        """What stays the same during a head; ``k``: K's address."""
        sizes = {"channels": range(self.array.max_channels + 1), "words": range(self.max_words + 1)}
        return data.StructLayout({**sizes, "k": self.address_bits})

    @property
    def scores_layout(self):
        return layouts.scores_task(self.tiles, self.array.max_tokens, self.matrix_words, self.rows, self.slices)

    @property
    def products_layout(self):
        return layouts.products_task(self.tiles, self.array.max_tokens, self.rows, self.slices)

    @property
    def slice_layout(self):
        return layouts.slice_layout(self.slices, self.tiles)

    @property
    def q_address(self):
        return layouts.q_address(self.channel_words, self.rows, self.slices)

    @property
    def e_address(self):
        return layouts.e_address(self.key_words, self.rows, self.slices, self.tiles)

    @property
    def v_address(self):
        return layouts.v_address(self.channel_words, self.array.max_tokens, self.tiles)


class ArrayFeeder(wiring.Component):
    """Jobs and operands of one array.

    Parameters
    ----------
    config : ArrayFeederConfig

    Members
    -------
    head : In, ``channels`` and ``words`` of a token, and ``k``, K's address; stable while there are tasks
    i_scores, i_products : In(streams of tasks), each taken when its operands have gone. Of ``i_scores`` only those of this
        array's kind are computed, the others are taken at once
    values_ready : In(1 a place), V of the place's tile is there
    slices_ready : In(1 a slice and place), e and the mask of its columns are there
    mask : Out(read port) of the map of A
    o_command, i_k : the AXI reader's command for K of a task, and K as ``KeyStream`` gives it
    q, e, v : Out(read ports) of the rows of Q (the LUT array: folded), of e, of V (the LUT array: codes)
    o_job, o_x, o_w : Out(streams), the array's

    Cycles of a job of scores: its words of x and 4, or of K and 3, the larger number; of products the most of its words of x
    and of V, and 5. A slice whose mask leaves this array no column is skipped.
    Golden: ``golden.simcore.computing_engine.array_feeder.array_feeder``.
    """

    def __init__(self, *, config):
        self.config = config
        c, array = config, config.array
        x_bits = array.x_layout.size
        super().__init__(
            {
                "head": In(c.head_layout),
                "i_scores": In(stream.Signature(c.scores_layout)),
                "i_products": In(stream.Signature(c.products_layout)),
                "values_ready": In(c.tiles),
                "slices_ready": In(1 << c.slice_layout.size),
                "mask": Out(read_port(c.slice_layout, array.max_channels)),
                "o_command": Out(stream.Signature(layouts.command_layout(c.address_bits, c.length_bits))),
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
        job = self._job(m)
        x_done = self._walk_x(m, job)
        w_done = self._walk_w(m, job)
        sent = Signal()
        active = Signal()
        told = Signal()
        finish = Signal()
        m.d.comb += [
            self.o_job.valid.eq(active & ~sent),
            told.eq(sent | self.o_job.ready),
            finish.eq(active & told & x_done & w_done),
        ]
        with m.If(active):
            m.d.sync += sent.eq(told & ~finish)
        following = self._choose(m, job, active, finish)
        self._take(m, job, following)
        return m

    def _job(self, m):
        """The job that is computed: a slice of the task of scores, or of the task of products."""
        c, head = self.config, self.head
        scores, products = self.i_scores.payload, self.i_products.payload
        j = SimpleNamespace(
            products=Signal(name="products"),  # a tile of A, else of S
            scores_slice=Signal(range(c.slices + 1), name="scores_slice"),
            products_slice=Signal(range(c.slices + 1), name="products_slice"),
            at=Signal(range(c.slices + 1), name="at"),
            rows=Signal(range(c.rows + 1), name="rows"),
            counts=Signal(layouts.rows_of_slices(c.rows, c.slices), name="counts"),
            tokens=Signal(range(c.array.max_tokens + 1), name="tokens"),
            place=Signal(range(c.tiles), name="place"),
            columns=Signal(c.array.max_channels, name="columns"),
            last=Signal(name="last"),  # slice of its task
            begin=Signal(name="begin"),
        )
        m.d.comb += [
            j.at.eq(Mux(j.products, j.products_slice, j.scores_slice)),
            j.counts.eq(Mux(j.products, Value.cast(products.rows), Value.cast(scores.rows))),
            j.rows.eq(j.counts[j.at]),
            j.tokens.eq(Mux(j.products, products.tokens, scores.tokens)),
            j.place.eq(Mux(j.products, products.place, scores.place)),
            j.last.eq(j.at + 1 == Mux(j.products, products.slices, scores.slices)),
            j.columns.eq(self.mask.data if c.fp16 else ~self.mask.data),
        ]
        payload = self.o_job.payload
        m.d.comb += [
            payload.kind.eq(Mux(j.products, Kind.A, Kind.S)),
            payload.slice.eq(j.at),
            payload.tile.eq(j.place),
            payload.rows.eq(j.rows),
            payload.operands.eq(Mux(j.products, j.tokens, head.channels)),
            payload.outputs.eq(Mux(j.products, head.channels, j.tokens)),
            payload.keep_w.eq(~j.products & ~j.last),
            payload.mask.eq(j.columns),
        ]
        return j

    def _choose(self, m, job, active, finish):
        """Products of a slice that is ready, unless scores of a task have begun; else scores. Returns when one is done."""
        task = self.i_products.payload
        place = Signal(self.config.slice_layout)
        ready = Signal()
        following = Signal()
        m.d.comb += [
            place.place.eq(task.place),
            place.slice.eq(job.products_slice),
            self.mask.addr.eq(place),
            ready.eq(
                self.i_products.valid
                & self.values_ready.bit_select(task.place, 1)
                & self.slices_ready.bit_select(Value.cast(place), 1)
            ),
        ]
        with m.FSM():
            with m.State("CHOOSE"):
                with m.If(ready & ~job.scores_slice.any()):
                    m.d.comb += self.mask.en.eq(1)
                    m.d.sync += job.products.eq(1)
                    m.next = "MASK"
                with m.Elif(self.i_scores.valid & self._own):
                    m.d.sync += job.products.eq(0)
                    m.next = "BEGIN"
            with m.State("MASK"):
                m.next = "BEGIN"
                with m.If(~job.columns.any()):
                    m.d.comb += following.eq(1)
                    m.next = "CHOOSE"
            with m.State("BEGIN"):
                m.d.comb += job.begin.eq(1)
                m.next = "JOB"
            with m.State("JOB"):
                m.d.comb += active.eq(1)
                with m.If(finish):
                    m.d.comb += following.eq(1)
                    m.next = "CHOOSE"
        return following

    @property
    def _own(self):
        """The task of scores is this array's."""
        important = self.i_scores.payload.important
        return important if self.config.fp16 else ~important

    def _take(self, m, job, following):
        """The next slice, and the next task behind the last one. K is asked for as soon as it is known which comes next."""
        c, head, task = self.config, self.head, self.i_scores.payload
        taken = {kind: Signal(name=f"{kind}_taken") for kind in ("scores", "products")}
        asked = Signal()
        ask_for_tile(m, self.o_command, head.k, task, head.words, c.lanes)
        m.d.comb += [
            self.i_scores.ready.eq(Mux(self._own, taken["scores"], self.i_scores.valid)),
            self.i_products.ready.eq(taken["products"]),
            self.o_command.valid.eq(self.i_scores.valid & self._own & ~asked),
        ]
        with m.If(taken["scores"]):
            m.d.sync += asked.eq(0)
        with m.Elif(self.o_command.valid & self.o_command.ready):
            m.d.sync += asked.eq(1)
        for kind, number in (("scores", job.scores_slice), ("products", job.products_slice)):
            with m.If(following & (job.products == (kind == "products"))):
                m.d.comb += taken[kind].eq(job.last)
                m.d.sync += number.eq(Mux(job.last, 0, number + 1))

    def _walk_x(self, m, job):
        """Rows of Q or of e, word by word. Returns whether all have gone."""
        c, head = self.config, self.head
        most = max(c.channel_words, c.key_words)
        words = Signal(range(most + 1), name="x_words")
        row = Signal(range(c.rows), name="x_row")
        word = Signal(range(max(2, most)), name="x_word")
        reading = Signal(name="x_reading")
        q = Reading(m, self.q, "q")
        e = Reading(m, self.e, "e")
        word_end = Signal(name="x_word_end")
        done = Signal(name="x_done")
        elements = Mux(job.products, job.tokens, head.channels)
        m.d.comb += [
            words.eq((elements + c.load_lanes - 1) >> exact_log2(c.load_lanes)),
            word_end.eq(word + 1 == words),
            q.fetch.eq(reading & ~job.products),
            e.fetch.eq(reading & job.products),
            self.q.addr.word.eq(word),
            self.q.addr.row.row.eq(row),
            self.q.addr.row.slice.eq(job.at),
            self.q.addr.row.bank.eq(self.i_scores.payload.bank),
            self.e.addr.word.eq(word),
            self.e.addr.row.eq(row),
            self.e.addr.slice.slice.eq(job.at),
            self.e.addr.slice.place.eq(job.place),
            self.o_x.valid.eq(q.valid | e.valid),
            Value.cast(self.o_x.payload).eq(Mux(job.products, e.data, q.data)),
            q.take.eq(self.o_x.ready),
            e.take.eq(self.o_x.ready),
            done.eq(~reading & ~self.o_x.valid),
        ]
        with m.If(reading & Mux(job.products, e.ready, q.ready)):
            m.d.sync += word.eq(Mux(word_end, 0, word + 1))
            with m.If(word_end):
                m.d.sync += [row.eq(row + 1), reading.eq(row + 1 != job.rows)]
        with m.If(job.begin):
            m.d.sync += [row.eq(0), word.eq(0), reading.eq(1)]
        return done

    def _walk_w(self, m, job):
        """V from its buffer, or K from memory with the first slice. Returns whether all has gone."""
        c, head = self.config, self.head
        words = Signal(range(c.channel_words + 1), name="w_words")
        token = Signal(range(c.array.max_tokens), name="w_token")
        word = Signal(range(max(2, c.channel_words)), name="w_word")
        reading = Signal(name="w_reading")  # V, or K is being passed on
        v = Reading(m, self.v, "v")
        word_end = Signal(name="w_word_end")
        step = Signal(name="w_step")
        done = Signal(name="w_done")
        m.d.comb += [
            words.eq((head.channels + c.load_lanes - 1) >> exact_log2(c.load_lanes)),
            word_end.eq(word + 1 == words),
            v.fetch.eq(reading & job.products),
            v.take.eq(self.o_w.ready),
            self.v.addr.word.eq(word),
            self.v.addr.token.eq(token),
            self.v.addr.place.eq(job.place),
            self.o_w.valid.eq(Mux(job.products, v.valid, reading & self.i_k.valid)),
            Value.cast(self.o_w.payload).eq(Mux(job.products, v.data, Value.cast(self.i_k.payload))),
            self.i_k.ready.eq(reading & ~job.products & self.o_w.ready),
            step.eq(Mux(job.products, reading & v.ready, self.i_k.valid & self.i_k.ready)),
            done.eq(~reading & ~v.valid),
        ]
        with m.If(step):
            m.d.sync += word.eq(Mux(word_end, 0, word + 1))
            with m.If(word_end):
                m.d.sync += [token.eq(token + 1), reading.eq(token + 1 != job.tokens)]
        with m.If(job.begin):
            m.d.sync += [token.eq(0), word.eq(0), reading.eq(job.products | (job.scores_slice == 0))]
        return done


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ArrayFeederConfig(),
    "tiny": ArrayFeederConfig(
        array=TileArrayConfig(
            array=LutPEConfig(rows=2, columns=1, lanes=2, words=8, copy_width=64, slices="generator", ragged=True),
            max_channels=9,
            max_tokens=6,
            load_lanes=4,
            slice_bits=1,
            tile_bits=1,
        ),
        lanes=2,
        slices=2,
        tiles=2,
        matrix_words=90,
        address_bits=20,
        length_bits=6,
    ),
}
