# SPDX-License-Identifier: Apache-2.0
"""One array of the computing engine (SIMPICKER IV-A): PEs, their job queue and their operand memories."""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, fifo, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import exceeds
from zoetrope.hw.memory.transpose_buffer import TransposeBuffer, TransposeBufferConfig
from zoetrope.hw.pe.fp16_pe import FP16PE, FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPE, LutPEConfig
from zoetrope.hw.pe.outer_product import OuterProductConfig
from zoetrope.hw.stream import FullyPipelined, register


class Kind(enum.Enum, shape=1):
    """What a job is a tile of."""

    S = 0  # Q K^T: operands are channels, outputs are keys
    A = 1  # P V: operands are tokens, outputs are the channels of the mask


SIZES = {
    "max_channels": "d, most channels of Q, K and V",
    "max_tokens": "most tokens of a tile: keys of a tile of S, values of a tile of A",
    "load_lanes": "L, elements of a word of operands",
    "queue": "jobs that wait in an array beside the one whose operands load and the one that computes",
    "slice_bits": "bits of the number of a slice of rows, a tag",
    "tile_bits": "bits of the number of a tile, a tag",
}


def size_field(name, default):
    """The field ``name`` of a config, one of ``SIZES``."""
    return field(default=default, metadata={"doc": SIZES[name]})


@dataclass(frozen=True)
class TileArrayConfig:
    array: OuterProductConfig = field(
        default=FP16PEConfig(rows=4, columns=1, lanes=4, words=25, ragged=True), metadata={"doc": "the array of PEs"}
    )
    max_channels: int = size_field("max_channels", 64)
    max_tokens: int = size_field("max_tokens", 100)
    load_lanes: int = size_field("load_lanes", 16)
    queue: int = size_field("queue", 2)
    slice_bits: int = size_field("slice_bits", 16)
    tile_bits: int = size_field("tile_bits", 8)

    def __post_init__(self):
        checks.at_least(self, 1, "max_channels", "max_tokens", "load_lanes", "slice_bits", "tile_bits")
        checks.at_least(self, 2, "queue")
        c = self.array
        if not c.ragged or c.pes < 2:
            raise ValueError("the array must be ragged, and have more than one PE")
        most = max(self.max_tokens, self.max_channels)
        if c.words * c.outputs < most:
            raise ValueError(f"words must be at least {-(-most // c.outputs)} for {most} outputs, not {c.words}")

    @property
    def max_operands(self):
        return max(self.max_channels, self.max_tokens)

    @property
    def weight_bits(self):
        return data.ArrayLayout(self.array.weight, 1).size

    @property
    def words(self):
        """Most words of outputs of a job."""
        return -(-self.max_operands // self.array.outputs)

    @property
    def operand_tag(self):
        """What travels with the operands of a job: its rows, and the words that an operand meets."""
        return data.StructLayout({"rows": range(self.array.rows + 1), "words": range(self.words + 1)})

    @property
    def x_buffer(self):
        return TransposeBufferConfig(
            columns=self.array.rows,
            lanes=self.load_lanes,
            max_operands=self.max_operands,
            max_outputs=self.array.rows,
            width=FP16.width,
            tag_bits=self.operand_tag.size,
        )

    @property
    def w_buffer(self):
        return TransposeBufferConfig(
            columns=self.array.outputs,
            lanes=self.load_lanes,
            max_operands=self.max_channels,
            max_outputs=self.max_tokens,
            max_rows=self.max_tokens,
            max_channels=self.max_channels,
            width=self.weight_bits,
        )

    @property
    def memory_bits(self):
        """Bits of the operand memories, both halves."""
        buffers = (self.x_buffer, self.w_buffer)
        return sum(2 * b.banks * b.depth * b.lanes * b.width for b in buffers)

    @property
    def tag_layout(self):
        return {"kind": Kind, "slice": self.slice_bits, "tile": self.tile_bits}

    @property
    def job_layout(self):
        return data.StructLayout(
            {
                **self.tag_layout,
                "rows": range(self.array.rows + 1),
                "operands": range(self.max_operands + 1),
                "outputs": range(self.max_operands + 1),
                "keep_x": 1,
                "keep_w": 1,
                "mask": self.max_channels,
            }
        )

    @property
    def x_layout(self):
        return data.ArrayLayout(FP16.layout, self.load_lanes)

    @property
    def w_layout(self):
        return data.ArrayLayout(self.array.weight, self.load_lanes)

    @property
    def o_layout(self):
        place = {"row": range(max(2, self.array.rows)), "word": range(max(2, self.words)), "last": 1}
        values = data.ArrayLayout(FP32.layout, self.array.outputs)
        return data.StructLayout({**self.tag_layout, **place, "values": values})


#: What an array did in a cycle; in every other it had no job.
ACTIVITIES = ("busy", "waiting", "stalled", "blocked")


def array_members(config):
    """The ports of an array, whether alone or one of two."""
    return {
        "i_job": In(stream.Signature(config.job_layout)),
        "i_x": In(stream.Signature(config.x_layout)),
        "i_w": In(stream.Signature(config.w_layout)),
        "o": Out(stream.Signature(config.o_layout)),
        **{name: Out(32) for name in ACTIVITIES},
        "error": Out(1),
    }


class TileArray(FullyPipelined):
    """An array of PEs with its job queue and operand memories: computes one tile while it loads the next.

    Members
    -------
    i_job : In(stream), a tile; ``slice`` and ``tile`` are tags, the other fields are described below
    i_x : In(stream of L x FP16), Q or P of each job, row by row, each row beginning with a new word
    i_w : In(stream of L weights), K or V of each job, token by token, each token beginning with a new word
    o : Out(stream), the results: ``kind``, ``slice`` and ``tile`` of the job, ``row``, ``word`` of the row, ``last`` word of
        the job, and ``values``: outputs ``word * columns`` and on, those of the mask without gaps; +0 behind the last
    busy, waiting, stalled, blocked : Out(32), cycles since reset in which a job was there and its weights were multiplied;
        had not come; could not be multiplied yet (slices, or sums that are still in the adder); or could not, because of
        results that were not taken
    error : Out(1), since reset a job had no rows, operands or outputs, more than the config has, or did not fit what was
        kept for it. It is dropped: no operands are taken for it, and there are no results
    filled : Out(1), a LUT array only: the LUT buffer is complete

    Fields of a job:

    - ``kind``; ``slice`` and ``tile``, which its results bear
    - ``rows``, 1 to t; ``operands`` (K) and ``outputs``: channels and keys of a tile of S, tokens and channels of one of A
    - ``mask``, of a tile of A: bit c, channel c of V is a column of this array. Others are neither kept nor multiplied. A
      tile without any takes its operands and has no results
    - ``keep_x``, ``keep_w``: the next job multiplies the same x, or the same w, and none is loaded for it. It must have the
      same kind and operands; no more rows, or the same outputs. Its own mask is not looked at

    Cycles of a job: loads ``rows * ceil(K / L)`` and ``tokens * ceil(channels / L)``, both at once and while the job before
    computes; sums ``sum over k of max(D, A, C_k)``, D = ceil(outputs / columns), A and C as in ``OuterProduct``; results
    ``t * D``, while the next computes, which is hidden when K > t. Between jobs whose operands have come no cycle is lost.
    Initiation interval: 1 cycle a word of weights. Backpressure: yes.

    Operand memories hold two whole tiles. Blocks of a few operands would do for K read once; a tile that stays for every
    slice of a frame travels once a frame. Rows that a slice lacks repeat its first: they ask for no table of their own, and
    are dropped behind the array.

    The whole is ``sim.model.computing_engine.engine_cycles``.

    Golden: ``golden.simcore.computing_engine.computing_engine.computing_engine``.
    """

    def __init__(self, *, config):
        self.config = config
        self._lut = isinstance(config.array, LutPEConfig)
        self._array = (LutPE if self._lut else FP16PE)(config=config.array)
        super().__init__(array_members(config) | ({"filled": Out(1)} if self._lut else {}))

    @property
    def latency(self):
        """Cycles from the last word of operands of a job of one operand and one word of weights to its first result."""
        buffer = TransposeBuffer(config=self.config.w_buffer)
        copy = self.config.array.source.beats + self._array.startup if self._lut else 0
        return buffer.latency + 1 + copy + self._array.latency

    def elaborate(self, platform):
        m = Module()
        c = self.config
        array = self._array
        x = TransposeBuffer(config=c.x_buffer)
        w = TransposeBuffer(config=c.w_buffer)
        for name, part in (("array", array), ("x_buffer", x), ("w_buffer", w)):
            m.submodules[name] = emit_once(part)
        run, tag = self._intake(m, x, w)
        self._start(m, run, x, w)
        m.d.comb += [
            x.i.payload.eq(self.i_x.payload.as_value()),
            x.i.valid.eq(self.i_x.valid),
            self.i_x.ready.eq(x.i.ready),
            w.i.payload.eq(self.i_w.payload.as_value()),
            w.i.valid.eq(self.i_w.valid),
            self.i_w.ready.eq(w.i.ready),
        ]
        operand = data.View(c.operand_tag, x.o.payload.tag)
        m.d.comb += [
            array.i_x.payload.last.eq(x.o.payload.last),
            array.i_x.payload.words.eq(operand.words),
            array.i_x.valid.eq(x.o.valid),
            x.o.ready.eq(array.i_x.ready),
            array.i_w.payload.eq(w.o.payload["values"].as_value()),
            array.i_w.valid.eq(w.o.valid),
            w.o.ready.eq(array.i_w.ready),
        ]
        values = x.o.payload["values"]
        for r in range(c.array.rows):
            present = Const(1, 1) if r == 0 else operand.rows > r
            m.d.comb += array.i_x.payload["values"][r].eq(Mux(present, values[r], values[0]))
        self._results(m, array, tag)

        doing = {
            "busy": w.o.valid & w.o.ready,
            "waiting": ~w.o.valid & (run.r_rdy | w.reading),
            "stalled": w.o.valid & ~w.o.ready & ~array.blocked,
            "blocked": w.o.valid & ~w.o.ready & array.blocked,
        }
        for name, happens in doing.items():
            counter = getattr(self, name)
            with m.If(happens):
                m.d.sync += counter.eq(counter + 1)
        if self._lut:
            m.d.comb += self.filled.eq(array.filled)
        return m

    def _intake(self, m, x, w):
        """Check jobs and send each to the queues of what is done for it. Returns those of its reads and of its results."""
        c = self.config
        job = register(m, c.job_layout, self.i_job.payload, self.i_job.valid, self.i_job.ready, "job")
        coming = job.payload
        of_a = Signal()
        accepted = Signal()
        before = Signal(c.job_layout, reset_less=True)
        kept_x = Signal()
        kept_w = Signal()
        m.d.comb += of_a.eq(coming.kind == Kind.A)

        # How many outputs, and words of them.
        sent = Signal(c.max_channels)  # bits of the mask whose channels come
        count = Signal(range(c.max_operands + 1))
        words = Signal(range(c.words + 1))
        before_count = Signal.like(count, reset_less=True)
        before_words = Signal.like(words, reset_less=True)
        selected = [Signal(range(k + 1), name=f"selected_{k}") for k in range(c.max_channels + 1)]
        for k in range(c.max_channels):
            m.d.comb += [
                sent[k].eq(coming.mask[k] & (coming.outputs > k)),
                selected[k + 1].eq(selected[k] + sent[k]),
            ]
        new_words = sum((count > k * c.array.outputs for k in range(1, c.words)), (count > 0).as_unsigned())
        m.d.comb += [
            count.eq(Mux(kept_w, before_count, Mux(of_a, selected[-1], coming.outputs))),
            words.eq(Mux(kept_w, before_words, new_words)),
        ]

        wrong = Signal()
        m.d.comb += wrong.eq(self._wrong(coming, of_a, before, kept_x, kept_w))
        load_x = self._queue(m, "load_x", x.i_load.payload.shape())
        load_w = self._queue(m, "load_w", w.i_load.payload.shape())
        run_layout = {"rows": range(c.array.rows + 1), "words": range(c.words + 1), "keep_x": 1, "keep_w": 1}
        run = self._queue(m, "run", data.StructLayout({**run_layout, "operands": range(c.max_operands + 1)}))
        tag_layout = {**c.tag_layout, "rows": range(c.array.rows + 1), "words": range(c.words + 1)}
        # A job has a place here until its last result is out: while it waits, computes, and is read from the array.
        tag = self._queue(m, "tag", data.StructLayout({**tag_layout, "count": range(c.max_operands + 1)}), 3)
        room = Cat(queue.w_rdy for queue in (load_x, load_w, run, tag)).all()
        m.d.comb += [
            job.ready.eq(wrong | room),
            accepted.eq(job.valid & ~wrong & room),
            load_x.w_en.eq(accepted & ~kept_x),
            load_w.w_en.eq(accepted & ~kept_w),
            run.w_en.eq(accepted),
            tag.w_en.eq(accepted & words.any()),
        ]
        for queue in (load_x, load_w, run, tag):
            known = {
                name: coming[name] for name in ("rows", "operands", "outputs", "keep_x", "keep_w", "slice", "tile")
            }
            known |= {"kind": coming.kind, "words": words, "count": count, "straight": of_a, "mask": sent}
            if queue is load_x:
                known |= {"outputs": coming.rows, "words": Const(1, 1)}
            for name in queue.payload_in.shape().members:
                m.d.comb += queue.payload_in[name].eq(known[name])
        with m.If(accepted):
            m.d.sync += [
                before.eq(coming),
                before_count.eq(count),
                before_words.eq(words),
                kept_x.eq(coming.keep_x),
                kept_w.eq(coming.keep_w),
            ]
        with m.If(job.valid & wrong):
            m.d.sync += self.error.eq(1)
        for queue, load in ((load_x, x.i_load), (load_w, w.i_load)):
            m.d.comb += [load.payload.eq(queue.payload_out), load.valid.eq(queue.r_rdy), queue.r_en.eq(load.ready)]
        return run, tag

    def _queue(self, m, name, layout, more=0):
        """A queue of jobs, with its two ends as ``layout``."""
        queue = fifo.SyncFIFO(width=layout.size, depth=self.config.queue + more)
        m.submodules[name] = queue
        queue.payload_in = Signal(layout, name=f"{name}_in")
        queue.payload_out = data.View(layout, queue.r_data)
        m.d.comb += queue.w_data.eq(queue.payload_in)
        return queue

    def _wrong(self, job, of_a, before, kept_x, kept_w):
        """Whether a job is impossible."""
        c = self.config
        limits = (c.max_channels, c.max_tokens)
        kept = kept_x | kept_w
        return (
            (job.rows == 0)
            | (job.operands == 0)
            | (job.outputs == 0)
            | exceeds(job.rows, c.array.rows)
            | Mux(of_a, exceeds(job.operands, limits[1]), exceeds(job.operands, limits[0]))
            | Mux(of_a, exceeds(job.outputs, limits[0]), exceeds(job.outputs, limits[1]))
            | (kept & ((Value.cast(job.kind) != Value.cast(before.kind)) | (job.operands != before.operands)))
            | (kept_x & (job.rows > before.rows))
            | (kept_w & (job.outputs != before.outputs))
        )

    def _start(self, m, run, x, w):
        """Have the operands of the next job read, each memory's when it is free and they have come."""
        c = self.config
        job = run.payload_out
        told_x = Signal()
        told_w = Signal()
        tag = Signal(c.operand_tag)
        done_x = Signal()
        done_w = Signal()
        m.d.comb += [
            tag.rows.eq(job.rows),
            tag.words.eq(job.words),
            x.i_read.payload.operands.eq(job.operands),
            x.i_read.payload.words.eq(job.words.any()),
            x.i_read.payload.keep.eq(job.keep_x),
            x.i_read.payload.tag.eq(tag),
            w.i_read.payload.operands.eq(job.operands),
            w.i_read.payload.words.eq(job.words),
            w.i_read.payload.keep.eq(job.keep_w),
            x.i_read.valid.eq(run.r_rdy & ~told_x),
            w.i_read.valid.eq(run.r_rdy & ~told_w),
            done_x.eq(told_x | x.i_read.ready),
            done_w.eq(told_w | w.i_read.ready),
            run.r_en.eq(done_x & done_w),
        ]
        with m.If(run.r_rdy):
            m.d.sync += [told_x.eq(done_x & ~done_w), told_w.eq(done_w & ~done_x)]

    def _results(self, m, array, tag):
        """Results on their way out: tags, rows that are none dropped, outputs that are none +0."""
        c = self.config
        job = tag.payload_out
        row = Signal(range(max(2, c.array.rows)))
        word = Signal(range(max(2, c.words)))
        behind = Signal(range(c.max_operands + 1), reset_less=True)  # outputs of the row from the next word on
        left = Signal(range(c.max_operands + 1))
        take = Signal()
        present = Signal()
        word_end = Signal()
        row_end = Signal()
        o = self.o.payload
        m.d.comb += [
            left.eq(Mux(word == 0, job.count, behind)),
            present.eq(row < job.rows),
            word_end.eq(word + 1 == job.words),
            row_end.eq(row == c.array.rows - 1),
            self.o.valid.eq(array.o.valid & present),
            array.o.ready.eq(self.o.ready | ~present),
            take.eq(array.o.valid & array.o.ready),
            tag.r_en.eq(take & word_end & row_end),
            o.row.eq(row),
            o.word.eq(word),
            o.last.eq(word_end & (row + 1 == job.rows)),
            *(Value.cast(o[name]).eq(Value.cast(job[name])) for name in c.tag_layout),
        ]
        for k in range(c.array.outputs):
            m.d.comb += o["values"][k].eq(array.o.payload[k].as_value() & (left > k).replicate(FP32.width))
        with m.If(take):
            m.d.sync += [word.eq(Mux(word_end, 0, word + 1)), behind.eq(left - c.array.outputs)]
            with m.If(word_end):
                m.d.sync += row.eq(Mux(row_end, 0, row + 1))
