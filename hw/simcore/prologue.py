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
  that a memory port has, and T tokens of W words then take 5 T W cycles in place of 4 T W. It would be faster with a
  sparsification unit that takes more than 4 cycles a word, as 4 candidates do from a window of 5 on: by T W at most.
* V beside K: K alone has the port, so that what waits for it begins sooner. V comes while Q does, which is slower anyway.
* Products of the sizes (tokens of a frame, words of a matrix) by a multiplier: they are made once a head, by one adder in
  some 40 cycles.
* A queue between the two who take Q: the one that is slower on average sets the pace, and either of them has its own.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from hw.emit import emit_once
from hw.formats import FP16, FP32
from hw.simcore.prediction_unit import PredictionUnit, PredictionUnitConfig
from hw.simcore.quantization_unit import QuantizationUnitConfig
from hw.simcore.sparsification_unit import SparsificationUnit, SparsificationUnitConfig
from hw.stream import register


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
        if self.lanes < 1 or self.lanes & (self.lanes - 1):
            raise ValueError(f"lanes must be a power of two, not {self.lanes!r}")
        for name in ("max_channels", "max_tokens", "address_bits", "length_bits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
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
        if (longest := self.max_matrix_words * self.lanes) >> self.length_bits:
            raise ValueError(
                f"length_bits must be at least {longest.bit_length()}, for {self.max_tokens} tokens of "
                f"{self.max_channels} channels, not {self.length_bits}"
            )

    @property
    def max_words(self):
        """Words of the longest token."""
        return -(-self.max_channels // self.lanes)

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
    def command_layout(self):
        """Of the AXI reader: ``address`` of the first byte, ``length`` in elements."""
        return data.StructLayout({"address": self.address_bits, "length": self.length_bits})

    @property
    def data_layout(self):
        """Of the AXI reader: a word, the first element lowest."""
        return data.StructLayout({"data": self.lanes * FP16.width, "last": 1})

    @property
    def measure_layout(self):
        """Of the quantization units' input."""
        return QuantizationUnitConfig(lanes=self.lanes, max_channels=self.max_channels).i_layout

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


class MatrixWords(wiring.Component):
    """The words of a matrix as a reader delivers them, one register later: elements behind d are +0, and places are known.

    Members
    -------
    i : In(stream of the reader's ``data_layout``); its ``last`` is not looked at
    o : Out(stream of ``word_layout``)
    counts : In, at ``start``; a ``total`` of 0 is no matrix
    start : In(1), a matrix begins; the one before has left
    busy : Out(1), words are still to leave
    not_finite : Out(1), since reset a word with a NaN or an infinity has left

    Latency: 1 cycle. Initiation interval: 1. Backpressure: yes.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.data_layout)),
                "o": Out(stream.Signature(config.word_layout)),
                "counts": In(config.counts_layout),
                "start": In(1),
                "busy": Out(1),
                "not_finite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        held = register(m, c.data_layout, self.i.payload, self.i.valid, self.i.ready, "word")
        words = range(c.max_matrix_words + 1)
        before = Signal(words, name="words_before")  # the video tokens
        video = Signal(words, name="words_of_video")  # left
        left = Signal(words, name="words_left")
        in_token = Signal(range(c.max_words + 1), name="words_in_token")  # left
        take = Signal()
        wrong = Signal(c.lanes)
        o = self.o.payload
        m.d.comb += [
            self.busy.eq(left.any()),
            self.o.valid.eq(held.valid & self.busy),
            held.ready.eq(self.o.ready & self.busy),
            take.eq(self.o.valid & self.o.ready),
            o.last.eq(in_token == 1),
            o.video.eq(~before.any() & video.any()),
            o.video_token.eq(o.video & (video == self.counts.token)),
            o.video_end.eq(o.video & (video == 1)),
            o.end.eq(left == 1),
        ]
        for k in range(c.lanes):
            code = held.payload.data.word_select(k, FP16.width)
            counts = Signal(name=f"counts_{k}")
            tail = self.counts.tail
            value = Signal(FP16.layout, name=f"value_{k}")
            m.d.comb += [
                counts.eq(~o.last | ~tail.any() | (tail > k)),
                value.eq(code & counts.replicate(FP16.width)),
                o.values[k].eq(value),
                wrong[k].eq(value.exponent == FP16.exponent_max),
            ]
        with m.If(take):
            m.d.sync += [left.eq(left - 1), in_token.eq(Mux(o.last, self.counts.token, in_token - 1))]
            with m.If(before.any()):
                m.d.sync += before.eq(before - 1)
            with m.Elif(o.video):
                m.d.sync += video.eq(video - 1)
            with m.If(wrong.any()):
                m.d.sync += self.not_finite.eq(1)
        with m.If(self.start):
            m.d.sync += [
                before.eq(self.counts.before),
                video.eq(self.counts.video),
                left.eq(self.counts.total),
                in_token.eq(self.counts.token),
            ]
        return m


def fork(m, source, branches, name):
    """Hand each payload of ``source`` to every one of ``branches`` that wants it: (wanted, valid, ready) signals.

    None waits for another with the payload at hand, and none gets the next one before all have had this.
    """
    had = []
    for k, (wanted, valid, ready) in enumerate(branches):
        done = Signal(name=f"{name}_{k}_done")
        m.d.comb += valid.eq(source.valid & wanted & ~done)
        had.append(done | ~wanted | ready)
        with m.If(source.valid & source.ready):
            m.d.sync += done.eq(0)
        with m.Elif(valid & ready):
            m.d.sync += done.eq(1)
    m.d.comb += source.ready.eq(Cat(*had).all())


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

    Elements behind d in a token's last word may be anything. With ``predict`` and ``sparsify`` both units take Q in step, and
    not before K's video tokens have come. The map is of video tiles only, row and column f for frame f.

    ``o_done`` ends a job: all words were handed over, the map is in the score buffer and the table in the index buffer;
    at once if nothing is asked for. ``map_error`` and ``table_error`` are the units'. ``refused``: there is no video token
    or no channel, or more than ``max_channels`` or ``max_tokens``; nothing is read, and each unit that was asked has an error.

    Parameters
    ----------
    config : PrologueConfig

    Members
    -------
    i_job : In(stream of ``job_layout``), one a head; the next is taken when ``o_done`` has been
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

    Cycles: ``setup_cycles`` from a job to its commands. With words that come as fast as they are taken, V alone takes
    T W + 3 from its command to ``o_done``; ``predict`` T W for K, then what the prediction unit takes for Q; ``sparsify``
    what the sparsification unit takes, see there, and with ``predict`` T W more: both take Q at the pace of the slower one.
    From one memory port of a word a cycle a head with all three takes at least 4 T W cycles.
    There is no ``latency`` or ``initiation_interval``: they depend on the job. Backpressure: yes.
    Errors: NaN and infinities as above, and as either unit says. After ``table_error`` the sparsification unit waits for a
    reset; all that was to be read is read and dropped. A reader that refuses a command, because its address is misaligned or
    its end beyond memory, delivers nothing: then the job does not end.
    Golden: ``golden.prologue.prologue``.
    """

    def __init__(self, *, config):
        self.config = config
        prediction, sparsification = config.prediction, config.sparsification
        matrices = ("q", "previous", "k", "v")
        index_bits = sparsification.index.index_bits
        super().__init__(
            {
                "i_job": In(stream.Signature(config.job_layout)),
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

    def setup_cycles(self, width, frames, channels):
        """Cycles from a job's transfer to its first commands'."""
        words = -(-channels // self.config.lanes)
        return 2 + sum(2 + factor.bit_length() for factor in (width, frames, words, words, words))

    def elaborate(self, platform):
        m = Module()
        c = self.config
        u = SimpleNamespace(
            prediction=PredictionUnit(config=c.prediction), sparsification=SparsificationUnit(config=c.sparsification)
        )
        u.q, u.previous, u.k, u.v = (MatrixWords(config=c) for _ in range(4))
        for name, unit in vars(u).items():
            m.submodules[name] = emit_once(unit)
        job = Signal(c.job_layout, reset_less=True)
        start = Signal()
        sizes = self._control(m, u, job, start)
        self._read(m, u, job, start, sizes)
        self._distribute(m, u, job, start)
        self._pass(m, u)
        return m
