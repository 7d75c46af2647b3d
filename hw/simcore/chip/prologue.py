# SPDX-License-Identifier: Apache-2.0
"""Prologue of a head (SIMPICKER V-A): all that must be known of Q, K and V before the first tile of S.

::

                 +--> o_measure_k: maxima of K's channels
    i_k --> words+
                 +--> video tokens --+
                                     +--> prediction unit --> map of P
              +----- once K is in ---+        | ^
    i_q --> words                    o_scores v | i_probabilities
              +--> sparsification unit --> index table
    i_previous --> words --^
    i_v --> words --> o_measure_v: maxima of V's channels

Four readers of memory work side by side, and the map, the table and the maxima are made from one reading of K, one of V and
two of Q: the sparsification unit meets a frame and the one before it.

Rejected:

* Q read a third time for the prediction unit, behind K, so that sparsification need not wait for K: one word a cycle is all
  that a memory port has, and T tokens of W words then take about 5 T W cycles in place of 4 T W. It would be faster with a
  sparsification unit that takes more than 4 cycles a word, as 4 candidates do from a window of 5 on: by T W at most.
* V beside K: K alone has the port, so that what waits for it begins sooner. V comes while Q does, which is slower anyway.
* Products of the sizes (tokens of a frame, words of a matrix) of its own: ``HeadGeometry`` makes them once for all parts.
* A queue between the two who take Q: the one that is slower on average sets the pace, and either of them has its own.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import exceeds
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.chip.matrix_words import MatrixWords, fork
from zoetrope.hw.simcore.quantization_engine.prediction_unit import PredictionUnit, PredictionUnitConfig
from zoetrope.hw.simcore.sparsification_engine.sparsification_unit import SparsificationUnit, SparsificationUnitConfig
from zoetrope.hw.softmax.sfu import SfuConfig
from zoetrope.hw.stream import connect


@dataclass(frozen=True)
class PrologueConfig:
    lanes: int = field(default=4, metadata={"doc": "B, FP16 elements of a word of memory; a power of two"})
    max_channels: int = field(default=128, metadata={"doc": "most channels of a head, d"})
    max_tokens: int = field(default=10_000, metadata={"doc": "most tokens of a head, text included"})
    prediction: PredictionUnitConfig = field(
        default=PredictionUnitConfig(), metadata={"doc": "config of the prediction unit; its SFU is outside"}
    )
    sparsification: SparsificationUnitConfig = field(
        default=SparsificationUnitConfig(), metadata={"doc": "config of the sparsification unit"}
    )
    address_bits: int = field(default=32, metadata={"doc": "of an address, in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_channels", "max_tokens", "address_bits")
        for name in ("prediction", "sparsification"):
            if (lanes := getattr(self, name).lanes) != self.lanes:
                raise ValueError(f"{name}.lanes must be lanes, {self.lanes}, not {lanes}")
        if self.prediction.sfu_inside:
            raise ValueError("prediction.sfu_inside must be False: the SFU is outside of the prologue")
        if self.prediction.max_channels < self.max_channels:
            raise ValueError(
                f"prediction.max_channels must be at least max_channels, {self.max_channels}, "
                f"not {self.prediction.max_channels}"
            )
        if self.sparsification.max_words < self.max_words:
            raise ValueError(
                f"sparsification.max_words must be at least {self.max_words}, for max_channels {self.max_channels}, "
                f"not {self.sparsification.max_words}"
            )
        longest = self.max_matrix_words * self.lanes
        size = f"for {self.max_tokens} tokens of {self.max_channels} channels"
        checks.at_least(self, longest.bit_length(), "length_bits", why=size)

    @property
    def max_words(self):
        """Words of the longest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def word_bytes(self):
        return self.lanes * FP16.width // 8

    @property
    def max_matrix_words(self):
        return self.max_tokens * self.max_words

    @property
    def tail_bits(self):
        """Of the number of elements that count in a token's last word, 0 for all of them."""
        return exact_log2(self.lanes)

    @property
    def job_layout(self):
        s = self.sparsification
        return data.StructLayout(
            {
                "frames": range(self.prediction.max_tiles + 1),
                "height": range(s.max_height + 2),
                "width": range(s.max_width + 2),
                "text": range(self.max_tokens + 1),
                "text_first": 1,
                "channels": range(self.max_channels + 1),
                "window": range(s.max_window + 2),
                "group": range(s.max_width + 2),
                "threshold": FP32.layout,
                "factor": FP32.layout,
                "scale": FP32.layout,
                "p": self.prediction.p_bits + 1,
                "sparsify": 1,
                "predict": 1,
                "quantize_v": 1,
                "q": self.address_bits,
                "k": self.address_bits,
                "v": self.address_bits,
            }
        )

    @property
    def sizes_layout(self):
        """What follows from the sizes of a job, as ``HeadGeometry`` has it; a size may be one above the largest."""
        s = self.sparsification
        frame = (s.max_height + 1) * (s.max_width + 1)
        video = frame * self.prediction.max_tiles
        words = self.max_words + 1
        most = {"words": words, "frame_tokens": frame, "video_tokens": video, "frame_words": frame * words}
        most |= {"text_words": self.max_tokens * words, "video_words": video * words}
        most |= {"matrix_words": (video + self.max_tokens) * words}
        return data.StructLayout({name: range(value + 1) for name, value in most.items()})

    @property
    def command_layout(self):
        """Of the AXI reader: ``address`` of the first byte, ``length`` in elements."""
        return layouts.command_layout(self.address_bits, self.length_bits)

    @property
    def data_layout(self):
        """Of the AXI reader: a word, the first element lowest."""
        return layouts.word_layout(self.lanes)

    @property
    def measure_layout(self):
        """Of the quantization units' input."""
        return layouts.encode_layout(self.lanes)

    @property
    def done_layout(self):
        return data.StructLayout({"map_error": 1, "table_error": 1, "refused": 1})

    @property
    def counts_layout(self):
        """Words of a matrix: of a token, before the video tokens, of these, and of all; elements of a token's last word."""
        words = range(self.max_matrix_words + 1)
        return data.StructLayout(
            {
                "token": range(self.max_words + 1),
                "before": words,
                "video": words,
                "total": words,
                "tail": max(1, self.tail_bits),
            }
        )

    @property
    def word_layout(self):
        """A word of a matrix and its place: ``last`` of a token; of a ``video`` token; ``video_token`` in the first word of
        the last of these, ``video_end`` in its last; ``end`` of the matrix."""
        flags = {name: 1 for name in ("last", "video", "video_token", "video_end", "end")}
        return data.StructLayout({"values": data.ArrayLayout(FP16.layout, self.lanes), **flags})


class Prologue(wiring.Component):
    """Maxima of K's and V's channels, the map of P and the index table of a head, as far as its job asks for them.

    A head has ``frames`` F of ``height`` x ``width`` video tokens and ``text`` tokens C, before them with ``text_first`` and
    behind them without, T in all, of d = ``channels`` in W = ceil(d / B) words of B = ``lanes`` elements; token t of a
    matrix is at ``q``, ``k`` or ``v`` + 2 B W t bytes. ``factor`` is 1 / (height * width), ``scale`` 1 / sqrt(d),
    ``threshold`` tau squared, all FP32; ``p`` is in units of 2**-p_bits; ``window`` and ``group`` are those of the
    sparsification unit. What is read, a command a matrix:

    ============  ==============================================  =================================================
    by            what                                            where asked for
    ============  ==============================================  =================================================
    k             K, T tokens                                     ``predict``: to ``o_measure_k``; video tokens to the
                                                                  prediction unit
    v             V, T tokens, when K has come                    ``quantize_v``: to ``o_measure_v``
    q             Q, video tokens                                 ``predict`` or ``sparsify``: to either unit
    previous      the same without the last frame                 ``sparsify``, with more than one frame
    ============  ==============================================  =================================================

    Elements behind d in a token's last word may be anything. With ``predict`` and ``sparsify`` both units take Q in step,
    and not before K's video tokens have come. The map is of video tiles only, row and column f for frame f.

    ``o_done`` ends a job: all words were handed over, the map is in the score buffer and the table in the index buffer;
    at once if nothing is asked for. ``map_error`` and ``table_error`` are the units'. ``refused``: there is no video token
    or no channel, or more than ``max_channels`` or ``max_tokens``, or with ``predict`` a frame of more tokens than its unit
    takes; nothing is read, and each unit that was asked has an error.

    With 4 lanes it is 133 kGE: the two units' 122, and 11 for words, sizes and commands. Not published apart from its units.

    Parameters
    ----------
    config : PrologueConfig

    Members
    -------
    i_job : In(stream of ``job_layout``), one a head; the next is taken when ``o_done`` has been
    sizes : In, what follows from the sizes of the job; stable while it is under way
    o_command_q, o_command_previous, o_command_k, o_command_v : Out(streams of ``address``, ``length``), see ``AxiReader``
    i_q, i_previous, i_k, i_v : In(streams of ``data``, ``last``), what was read; ``last`` is not looked at
    o_measure_k, o_measure_v : Out(streams of the quantization unit's ``i_layout``), ``encode`` = 0
    o_scores : Out(stream of the SFU's ``i_layout``)
    i_probabilities : In(stream of the SFU's ``o_layout``)
    i_read, o : In, Out, the map: see ``ScoreBuffer``; a tile that is not in it, as before the first job, is important
    r_en, r_addr, r_ready, r_data : the read port of the index buffer, entry t for video token t
    o_done : Out(stream of ``map_error``, ``table_error``, ``refused``)
    not_finite_q, not_finite_k, not_finite_v : Out(1), since reset a NaN or an infinity was among the elements of Q, K or V
        that were read and count

    Cycles, by the functions of ``sim.model.simcore``: 2 from a job to its commands. With words that come as
    fast as they are taken V alone takes ``measure_cycles``, K ``key_cycles`` and then Q ``query_cycles``: for 8 frames of
    9 x 11 tokens, 12 of text and d = 64 in words of 4, 2 + 13,245 + 25,622. From one memory port of a word a cycle it takes
    a cycle for each word at least, nearly 4 T W: there 50,561 for 49,488 words, through four ``AxiReader`` with bursts of 16
    and a memory of 30 cycles.
    There is no ``latency`` or ``initiation_interval``: they depend on the job. Backpressure: yes.
    Errors: NaN and infinities as above, and as either unit says. After ``table_error`` the sparsification unit waits for a
    reset; all that was to be read is read and dropped. A reader that refuses a command, because its address is misaligned or
    its end beyond memory, delivers nothing: then the job does not end.
    Golden: ``golden.simcore.chip.prologue.prologue``.
    """

    def __init__(self, *, config):
        self.config = config
        prediction, sparsification = config.prediction, config.sparsification
        matrices = ("q", "previous", "k", "v")
        index_bits = sparsification.index.index_bits
        super().__init__(
            {
                "i_job": In(stream.Signature(config.job_layout)),
                "sizes": In(config.sizes_layout),
                **{f"o_command_{name}": Out(stream.Signature(config.command_layout)) for name in matrices},
                **{f"i_{name}": In(stream.Signature(config.data_layout)) for name in matrices},
                "o_measure_k": Out(stream.Signature(config.measure_layout)),
                "o_measure_v": Out(stream.Signature(config.measure_layout)),
                "o_scores": Out(stream.Signature(prediction.sfu.i_layout)),
                "i_probabilities": In(stream.Signature(prediction.sfu.o_layout)),
                "i_read": In(stream.Signature(prediction.buffer.read_layout)),
                "o": Out(stream.Signature(prediction.buffer.o_layout)),
                "r_en": In(1),
                "r_addr": In(index_bits),
                "r_ready": Out(1),
                "r_data": Out(index_bits),
                "o_done": Out(stream.Signature(config.done_layout)),
                "not_finite_q": Out(1),
                "not_finite_k": Out(1),
                "not_finite_v": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        u = SimpleNamespace(
            prediction=PredictionUnit(config=c.prediction),
            sparsification=SparsificationUnit(config=c.sparsification),
            q=MatrixWords(config=c),
            previous=MatrixWords(config=c),
            k=MatrixWords(config=c),
            v=MatrixWords(config=c),
        )
        for name, unit in vars(u).items():
            m.submodules[name] = emit_once(unit)
        job = Signal(c.job_layout, reset_less=True)
        start = Signal()
        sent = self._send(m, u, job, start)
        self._distribute(m, u, job, start)
        ended = self._ended(m, u, job, start, sent)
        self._control(m, u, job, start, ended)
        self._pass(m, u)
        return m

    def _send(self, m, u, job, start):
        """Commands to the readers and jobs to the units, each as soon as it is taken. Returns whether all were."""
        c = self.config
        sizes, words = self.sizes, self.sizes.words
        total = Signal(range(c.max_matrix_words + 1), name="matrix_words")
        previous = Signal.like(total, name="previous_words")
        lead = Signal.like(total, name="lead_words")  # those of the text before the video tokens
        video = Signal(c.address_bits, name="video_address")
        wants_q = Signal()
        m.d.comb += [
            total.eq(sizes.matrix_words),
            previous.eq(sizes.video_words - sizes.frame_words),
            lead.eq(Mux(job.text_first, sizes.text_words, 0)),
            video.eq(job.q + (lead << exact_log2(c.word_bytes))),
            wants_q.eq(job.sparsify | job.predict),
        ]
        plans = {
            "q": (wants_q, video, self.sizes.video_words, 0, 1),
            "previous": (job.sparsify & previous.any(), video, previous, 0, 1),
            "k": (job.predict, job.k, total, lead, 1),
            "v": (job.quantize_v, job.v, total, lead, ~u.k.busy),
        }
        waiting = []
        for name, (wanted, address, count, before, allowed) in plans.items():
            reader = getattr(u, name)
            command = getattr(self, f"o_command_{name}")
            m.d.comb += [
                command.payload.address.eq(address),
                command.payload.length.eq(count << c.tail_bits),
                reader.start.eq(start),
                reader.counts.token.eq(words),
                reader.counts.before.eq(before),
                reader.counts.video.eq(self.sizes.video_words),
                reader.counts.total.eq(Mux(wanted, count, 0)),
                reader.counts.tail.eq(job.channels[: c.tail_bits]),
            ]
            waiting.append(_once(m, command, start, wanted, allowed, f"command_{name}"))

        clip, head = u.sparsification.i_config, u.prediction.i_job
        m.d.comb += [
            *(
                clip.payload[name].eq(job[name])
                for name in ("threshold", "frames", "height", "width", "window", "group")
            ),
            clip.payload.words.eq(words),
            head.payload.rows.eq(self.sizes.frame_tokens),
            *(head.payload[name].eq(job[name]) for name in ("channels", "factor", "scale", "p")),
            # No frame is ragged, and what the map says of text is not asked here.
            head.payload.last_factor_k.eq(job.factor),
            head.payload.last_factor_q.eq(job.factor),
            head.payload.text.eq(0),
        ]
        waiting.append(_once(m, clip, start, job.sparsify, 1, "clip"))
        waiting.append(_once(m, head, start, job.predict, 1, "head"))
        return ~Cat(*waiting).any()

    def _distribute(self, m, u, job, start):
        """The words to all who want them. The prediction unit has one input, for K's video tokens and then for Q."""
        c = self.config
        measures = {"k": self.o_measure_k, "v": self.o_measure_v}
        for name, measure in measures.items():
            word = getattr(u, name).o.payload
            m.d.comb += [
                *(measure.payload.x[lane].eq(word.values[lane]) for lane in range(c.lanes)),
                measure.payload.count.eq(getattr(u, name).counts.tail if c.tail_bits else 0),
                measure.payload.last.eq(word.last),
                measure.payload.end.eq(word.end),
                measure.payload.encode.eq(0),
            ]
        m.d.comb += [self.o_measure_v.valid.eq(u.v.o.valid), u.v.o.ready.eq(self.o_measure_v.ready)]

        unit = u.prediction.i
        queries = Signal(name="prediction_has_keys")
        key_valid = Signal()
        key_ready = Signal()
        query_valid = Signal()
        query_ready = Signal()
        key, query = u.k.o.payload, u.q.o.payload
        m.d.comb += [
            key_ready.eq(~queries & unit.ready),
            query_ready.eq(queries & unit.ready),
            unit.valid.eq(Mux(queries, query_valid, key_valid)),
            unit.payload.values.eq(Mux(queries, query.values, key.values)),
            unit.payload.last.eq(Mux(queries, query.video_token, key.video_token)),
        ]
        with m.If(start):
            m.d.sync += queries.eq(0)
        with m.Elif(key_valid & key_ready & key.video_end):
            m.d.sync += queries.eq(1)
        measured = (1, self.o_measure_k.valid, self.o_measure_k.ready)
        fork(m, u.k.o, [measured, (key.video, key_valid, key_ready)], "k")

        clip = u.sparsification
        m.d.comb += [
            *(clip.i.payload.channels[lane].eq(query.values[lane]) for lane in range(c.lanes)),
            clip.i.payload.last.eq(query.end),
            *(clip.i_previous.payload[lane].eq(u.previous.o.payload.values[lane]) for lane in range(c.lanes)),
            clip.i_previous.valid.eq(u.previous.o.valid),
            u.previous.o.ready.eq(clip.i_previous.ready),
        ]
        compared = (job.sparsify, clip.i.valid, clip.i.ready)
        fork(m, u.q.o, [compared, (job.predict, query_valid, query_ready)], "q")

    def _ended(self, m, u, job, start, sent):
        """Whether all is done, and the units' errors: (ended, map_error, table_error)."""
        clip, found = u.sparsification, u.prediction.o_map
        ended = Signal(name="all_ended")
        map_ended = Signal()
        map_error = Signal()
        table_error = Signal()
        entries = Signal(range(self.config.max_tokens + 1), name="entries_left")
        busy = Signal(name="reading")
        m.d.comb += [
            clip.o.ready.eq(1),
            found.ready.eq(1),
            table_error.eq(clip.error_threshold | clip.error_geometry | clip.error_tokens),
            busy.eq(u.q.busy | u.previous.busy | u.k.busy | u.v.busy),
            ended.eq(sent & ~busy & (map_ended | ~job.predict) & (~entries.any() | table_error)),
        ]
        with m.If(start):
            m.d.sync += [map_ended.eq(0), map_error.eq(0), entries.eq(Mux(job.sparsify, self.sizes.video_tokens, 0))]
        with m.Else():
            with m.If(found.valid):
                m.d.sync += [map_ended.eq(1), map_error.eq(found.payload.error)]
            with m.If(clip.o.valid):
                m.d.sync += entries.eq(entries - 1)
        return ended, map_error, table_error

    def _control(self, m, u, job, start, ends):
        """One job after the other."""
        c = self.config
        ended, map_error, table_error = ends
        new, done = self.i_job.payload, self.o_done.payload
        asked = Signal(name="anything_asked")
        checking = Signal(name="checking")
        wrong = Signal(name="sizes_refused")
        tokens = Signal(len(self.sizes.video_tokens) + 1, name="head_tokens")
        m.d.comb += [
            asked.eq(new.sparsify | new.predict | new.quantize_v),
            tokens.eq(self.sizes.video_tokens + job.text),
            wrong.eq(
                ~self.sizes.video_tokens.any()
                | ~job.channels.any()
                | exceeds(job.channels, c.max_channels)
                | exceeds(tokens, c.max_tokens)
                | (job.predict & exceeds(self.sizes.frame_tokens, c.prediction.max_rows))
            ),
            start.eq(checking & ~wrong),
        ]
        with m.FSM():
            with m.State("WAIT"):
                m.d.comb += self.i_job.ready.eq(1)
                with m.If(self.i_job.valid):
                    m.d.sync += [job.eq(new), done.eq(0)]
                    m.next = "DONE"
                    with m.If(asked):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += checking.eq(1)
                m.next = "RUN"
                with m.If(wrong):
                    m.d.sync += [done.refused.eq(1), done.map_error.eq(job.predict), done.table_error.eq(job.sparsify)]
                    m.next = "DONE"
            with m.State("RUN"):
                with m.If(ended):
                    m.d.sync += [done.map_error.eq(map_error), done.table_error.eq(job.sparsify & table_error)]
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.next = "WAIT"

    def _pass(self, m, u):
        """What is a unit's own."""
        connect(m, u.prediction.o_scores, self.o_scores)
        connect(m, self.i_probabilities, u.prediction.i_probabilities)
        connect(m, self.i_read, u.prediction.i_read)
        connect(m, u.prediction.o, self.o)
        for name in ("q", "previous", "k", "v"):
            connect(m, getattr(self, f"i_{name}"), getattr(u, name).i)
        m.d.comb += [
            u.sparsification.r_en.eq(self.r_en),
            u.sparsification.r_addr.eq(self.r_addr),
            self.r_ready.eq(u.sparsification.r_ready),
            self.r_data.eq(u.sparsification.r_data),
            self.not_finite_q.eq(u.q.not_finite),
            self.not_finite_k.eq(u.k.not_finite),
            self.not_finite_v.eq(u.v.not_finite),
        ]


def _once(m, sink, start, wanted, allowed, name):
    """A payload into ``sink`` after ``start``, if ``wanted``, once it is ``allowed``. Returns whether it is still to go."""
    waiting = Signal(name=f"{name}_waiting")
    m.d.comb += sink.valid.eq(waiting & allowed)
    with m.If(start):
        m.d.sync += waiting.eq(wanted)
    with m.Elif(sink.valid & sink.ready):
        m.d.sync += waiting.eq(0)
    return waiting


#: Config of each preset; the first is the default.
PRESETS = {
    "default": PrologueConfig(),
    "narrow": PrologueConfig(
        lanes=2,
        max_channels=9,
        max_tokens=300,
        prediction=PredictionUnitConfig(
            lanes=2, max_channels=9, max_rows=24, max_tiles=7, sfu=SfuConfig(lanes=2, max_row=7)
        ),
        sparsification=SparsificationUnitConfig(
            candidates=2,
            banks=4,
            lanes=2,
            max_words=8,
            max_height=6,
            max_width=7,
            max_window=5,
            slots=64,
            tokens=200,
        ),
        length_bits=12,
    ),
}
