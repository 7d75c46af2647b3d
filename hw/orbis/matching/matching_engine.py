# SPDX-License-Identifier: Apache-2.0
"""The matching engine (ORBIS 3.2, 3.3): from an SDPA output in memory to index pairs in memory, no software in the loop.

::

    i_job --+--------------------------------------------------------------+
            v                                                              v
    o_fetch ... i_tokens --> quantization engine --> weights ---------> DATM engine --> o_write, o_stats
                                     |                                    ^    |
                                     +--> codes --> memory of codes ------+----+ token, word

The DATM engine takes the job at once and says whether its sizes are right before a token is read. The weights go to it as
they come, but the last one waits for the quantization engine's status: while it is missing the DATM engine reads nothing,
so it finds all codes in memory; and where tokens were wrong, the one that is missing is what ends the job, as an error that
the DATM engine knows how to end.

Rejected:

* Codes to the memory outside and back: 4 bits a value to write and in each pass to read, three or more passes an iteration,
  beside the 32 bits a value that the two passes of the tokens are.
* Sizes checked here again: three comparators and a subtraction more, and two places that have to agree.
* A memory of weights between the two: d words more, to start the DATM engine later by what it takes to clear its flags.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.orbis.matching.datm import Datm
from zoetrope.hw.orbis.matching.datm_config import DatmConfig, Statistic, Status
from zoetrope.hw.orbis.matching.quantization_engine import QuantizationEngine, QuantizationEngineConfig
from zoetrope.hw.stream import connect


class Table(enum.Enum, shape=1):
    """Which table in memory a word is written to."""

    PAIRS = 0  #: src, slot, distance
    DST = 1  #: token


@dataclass(frozen=True)
class MatchingEngineConfig:
    datm: DatmConfig = field(default=DatmConfig(), metadata={"doc": "of the DATM engine; channel_lanes a power of two"})
    outstanding: int = field(default=16, metadata={"doc": "words of tokens asked of memory and not yet come, at most"})

    def __post_init__(self):
        checks.power_of_two(self.datm, "channel_lanes")
        checks.at_least(self, 2, "outstanding")

    @property
    def quantization(self):
        """Of the quantization engine."""
        d = self.datm
        return QuantizationEngineConfig(
            lanes=d.channel_lanes,
            max_tokens=d.max_tokens,
            max_channels=d.max_channels,
            weight_bits=d.weight_bits,
        )

    @property
    def memory(self):
        """Of the codes: max_tokens * words of 4 * channel_lanes bits, words = ceil(max_channels / channel_lanes)."""
        return SramConfig(depth=self.datm.max_tokens * self.datm.words, width=4 * self.datm.channel_lanes)

    @property
    def job_layout(self):
        """That of the DATM engine; weights always come."""
        return data.StructLayout({name: f.shape for name, f in self.datm.job_layout if name != "weights"})

    @property
    def fetch_layout(self):
        return data.StructLayout({"address": bits_for(max(1, self.datm.max_tokens * self.datm.words - 1))})

    @property
    def data_bits(self):
        """Of a word of a table: a pair without its mark of the last."""
        return self.datm.pair_layout.size - 1

    @property
    def write_layout(self):
        return data.StructLayout({"table": Table, "address": self.datm.token_bits, "data": self.data_bits})


class MatchingEngine(wiring.Component):
    """Matching of one SDPA output after the other, tokens and results in memory.

    Parameters
    ----------
    config : MatchingEngineConfig

    Members
    -------
    i_job : In(stream of ``tokens`` M, ``channels`` d, ``slots`` K, ``pairs`` k, ``eps``, ``cap``, ``seed``, ``given``),
        taken when idle. ``given``: the dst come at ``i_dst``, else they are chosen by ``seed``
    i_dst : In(stream of ``token``, ``last``), K tokens of a job
    o_fetch : Out(stream of ``address``), 0 to M * ceil(d / channel_lanes) - 1, twice: words of a token-major matrix
    i_tokens : In(stream of channel_lanes x FP16), the words asked for, in order, at any latency; what the last word of a
        token has beyond the channels is ignored
    o_write : Out(stream of ``table``, ``address``, ``data``): k pairs by ascending (distance, src), ``data`` from its least
        bit on ``src``, ``slot``, ``distance``; then the K dst by slot, ``data`` a token. In each table addresses are 0, 1,
        2, .., so below k and K
    o_stats : Out(stream of ``value``, ``kind``: ``Statistic``, ``last``): those of the DATM engine; the status is the last
        and comes when all words of the job have been taken
    idle : Out(1), no job

    Errors: those of ``Status``. Wrong sizes end a job before a token is read; NOT_FINITE (a NaN or an infinity) and CHANGED
    (the second pass is beyond the largest of the first) behind the second pass, and where a given list is wrong too they
    are what is said. Nothing is written then, the status is the only word of ``o_stats``, a given list is taken up to
    ``last``, and the next job is right.

    Cycles without stalls (``sim.model.matching``): ``job_cycles``, exact, of which 2 M words + 2 d + 19 before the matching,
    ``words`` = ceil(d / channel_lanes), with a memory that answers in a cycle, and the stages' by ``load_cycles`` and its
    like. ``error_cycles``, exact; at most ``list_cycles`` where a given list is wrong. A memory that answers in up to
    ``outstanding`` - 1 cycles costs its latency once.
    Area: 171 kGE in the default preset, of which 0.9 kGE are in neither engine.
    Memory: codes, max_tokens * ceil(max_channels / channel_lanes) words of 4 * channel_lanes bits; those of the engines.
    Golden: ``golden.orbis.matching.matching_engine.matching_engine``, ``golden.orbis.matching.matching_engine.tables``.
    """

    def __init__(self, *, config: MatchingEngineConfig):
        self.config = c = config
        super().__init__(
            {
                "i_job": In(stream.Signature(c.job_layout)),
                "i_dst": In(stream.Signature(c.datm.token_layout)),
                "o_fetch": Out(stream.Signature(c.fetch_layout)),
                "i_tokens": In(stream.Signature(c.quantization.word)),
                "o_write": Out(stream.Signature(c.write_layout)),
                "o_stats": Out(stream.Signature(c.datm.statistic_layout)),
                "idle": Out(1),
            }
        )
        self._datm = Datm(config=c.datm)
        self._quantization = QuantizationEngine(config=c.quantization)
        self._memory = Sram(config=c.memory)

    def elaborate(self, platform):
        m = Module()
        m.submodules.datm = emit_once(self._datm)
        m.submodules.quantization = emit_once(self._quantization)
        m.submodules.memory = emit_once(self._memory)
        self._tokens = Signal(self.config.datm.count_bits, name="tokens", reset_less=True)
        self._channels = Signal(self.config.job_layout["channels"].shape, name="channels", reset_less=True)
        self._last_word = Signal(self.config.datm.word_bits, name="last_word", reset_less=True)
        self._wrong = Signal(name="wrong")
        self._status = Signal(4, name="status", reset_less=True)
        self._begin = Signal(name="begin")
        self._control(m)
        self._fetch(m)
        self._keep(m)
        self._serve(m)
        self._write(m)
        return m

    def _control(self, m):
        c, datm, quantization = self.config, self._datm, self._quantization
        job = self.i_job.payload
        weight = Signal(c.datm.weight_bits, reset_less=True)
        held = Signal()
        o_channels, o_status = quantization.o_channels, quantization.o_status
        m.d.comb += [
            *(datm.i_job.payload[name].eq(job[name]) for name, _ in c.job_layout),
            datm.i_job.payload.weights.eq(1),
            datm.i_weights.payload.weight.eq(weight),
            quantization.i_command.payload.tokens.eq(self._tokens),
            quantization.i_command.payload.channels.eq(self._channels),
        ]
        connect(m, self.i_dst, datm.i_dst)

        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += [datm.i_job.valid.eq(self.i_job.valid), self.i_job.ready.eq(datm.i_job.ready)]
                m.d.sync += [
                    self._tokens.eq(job.tokens),
                    self._channels.eq(job.channels),
                    self._last_word.eq((job.channels - 1) >> exact_log2(c.datm.channel_lanes)),
                    self._wrong.eq(0),
                    held.eq(0),
                ]
                with m.If(self.i_job.valid & datm.i_job.ready):
                    m.next = "SIZES"

            with m.State("SIZES"):
                m.next = "CHECK"

            with m.State("CHECK"):
                m.d.comb += [quantization.i_command.valid.eq(~datm.failed), self._begin.eq(~datm.failed)]
                m.next = "QUANTIZE"
                with m.If(datm.failed):
                    m.next = "END"

            # A weight goes on when the next one comes.
            with m.State("QUANTIZE"):
                m.d.comb += [
                    o_channels.ready.eq(~held | datm.i_weights.ready),
                    datm.i_weights.valid.eq(held & o_channels.valid),
                    o_status.ready.eq(1),
                ]
                with m.If(o_channels.valid & o_channels.ready):
                    m.d.sync += [weight.eq(o_channels.payload.weight), held.eq(1)]
                with m.If(o_status.valid):
                    flags = o_status.payload
                    m.d.sync += [
                        self._wrong.eq(flags.not_finite | flags.beyond),
                        self._status.eq(Mux(flags.not_finite, Status.NOT_FINITE.value, Status.CHANGED.value)),
                    ]
                    m.next = "LAST"

            with m.State("LAST"):
                m.d.comb += [datm.i_weights.valid.eq(1), datm.i_weights.payload.last.eq(~self._wrong)]
                with m.If(datm.i_weights.ready):
                    m.next = "MATCH"
                    with m.If(self._wrong):
                        m.next = "END"

            # A weight too many: of a job that is wrong already it is the only one that has the mark of the last.
            with m.State("END"):
                m.d.comb += [datm.i_weights.valid.eq(1), datm.i_weights.payload.last.eq(1)]
                with m.If(datm.i_weights.ready):
                    m.next = "MATCH"

            with m.State("MATCH"):
                with m.If(self.o_stats.valid & self.o_stats.ready & self.o_stats.payload.last):
                    m.next = "IDLE"

    def _fetch(self, m):
        """Addresses of both passes, as far ahead as allowed; no word is taken that was not asked for."""
        c = self.config
        i = self._quantization.i
        fetching = Signal()
        second = Signal()
        token = Signal(c.datm.count_bits, reset_less=True)
        word = Signal(c.datm.word_bits, reset_less=True)
        address = Signal(c.fetch_layout["address"].shape, reset_less=True)
        awaited = Signal(range(c.outstanding + 1))
        asks = Signal()
        comes = Signal()
        # The data that comes in this cycle does not make room in it: ready of the one stream would hang on the other.
        m.d.comb += [
            self.o_fetch.valid.eq(fetching & (awaited != c.outstanding)),
            self.o_fetch.payload.address.eq(address),
            asks.eq(self.o_fetch.valid & self.o_fetch.ready),
            i.payload.eq(self.i_tokens.payload),
            i.valid.eq(self.i_tokens.valid & awaited.any()),
            self.i_tokens.ready.eq(i.ready & awaited.any()),
            comes.eq(i.valid & i.ready),
        ]
        with m.If(asks & ~comes):
            m.d.sync += awaited.eq(awaited + 1)
        with m.Elif(comes & ~asks):
            m.d.sync += awaited.eq(awaited - 1)
        with m.If(self._begin):
            m.d.sync += [fetching.eq(1), second.eq(0), token.eq(0), word.eq(0), address.eq(0)]
        with m.If(asks):
            m.d.sync += [address.eq(address + 1), word.eq(word + 1)]
            with m.If(word == self._last_word):
                m.d.sync += [word.eq(0), token.eq(token + 1)]
                with m.If(token == self._tokens - 1):
                    m.d.sync += [token.eq(0), address.eq(0), second.eq(1), fetching.eq(~second)]

    def _keep(self, m):
        """Codes to their memory, each token where its first word would be if all had the most."""
        c, memory, o = self.config, self._memory, self._quantization.o
        start = Signal(memory.config.address_bits, name="keep_start", reset_less=True)
        word = Signal(c.datm.word_bits, name="keep_word", reset_less=True)
        m.d.comb += [
            o.ready.eq(1),
            memory.w_en.eq(o.valid),
            memory.w_addr.eq(start + word),
            memory.w_data.eq(o.payload),
        ]
        with m.If(self._begin):
            m.d.sync += [start.eq(0), word.eq(0)]
        with m.If(o.valid):
            m.d.sync += word.eq(word + 1)
            with m.If(word == self._last_word):
                m.d.sync += [word.eq(0), start.eq(start + c.datm.words)]

    def _serve(self, m):
        """The DATM engine's words: asked for in one cycle, there in the next, held until taken."""
        c, memory, datm = self.config, self._memory, self._datm
        valid = Signal(name="serve_valid")
        wanted = datm.o_read.payload
        m.d.comb += [
            datm.o_read.ready.eq(~valid | datm.i_data.ready),
            memory.r_en[0].eq(datm.o_read.valid & datm.o_read.ready),
            memory.r_addr[0].eq(wanted.token * c.datm.words + wanted.word),
            datm.i_data.valid.eq(valid),
            datm.i_data.payload.eq(memory.r_data[0]),
        ]
        with m.If(datm.o_read.ready):
            m.d.sync += valid.eq(datm.o_read.valid)

    def _write(self, m):
        """Results: the dst come behind the last pair, so that one counter serves both tables."""
        c, datm = self.config, self._datm
        address = Signal(c.datm.token_bits, name="write_address")
        pair, dst, o = datm.o_pairs, datm.o_dst, self.o_write
        last = Signal(name="write_last")
        m.d.comb += [
            o.valid.eq(pair.valid | dst.valid),
            o.payload.address.eq(address),
            o.payload.table.eq(Mux(pair.valid, Table.PAIRS, Table.DST)),
            o.payload.data.eq(Mux(pair.valid, pair.payload.as_value()[: c.data_bits], dst.payload.token)),
            last.eq(Mux(pair.valid, pair.payload.last, dst.payload.last)),
            pair.ready.eq(o.ready),
            dst.ready.eq(o.ready & ~pair.valid),
        ]
        with m.If(o.valid & o.ready):
            m.d.sync += address.eq(Mux(last, 0, address + 1))
        m.d.comb += [
            self.o_stats.payload.eq(datm.o_stats.payload),
            self.o_stats.valid.eq(datm.o_stats.valid),
            datm.o_stats.ready.eq(self.o_stats.ready),
        ]
        with m.If(self._wrong & (datm.o_stats.payload.kind == Statistic.STATUS)):
            m.d.comb += self.o_stats.payload.value.eq(self._status)


#: Config of each preset; the first is the default.
PRESETS = {
    "default": MatchingEngineConfig(),
    "odd": MatchingEngineConfig(
        datm=DatmConfig(
            max_tokens=37,
            max_slots=21,
            max_channels=5,
            dst_lanes=3,
            channel_lanes=2,
            tile_groups=2,
            weight_bits=5,
            form="word",
            max_iterations=9,
            sort_lanes=1,
            flag_bits=4,
        ),
        outstanding=3,
    ),
}
