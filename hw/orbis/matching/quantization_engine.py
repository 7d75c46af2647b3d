# SPDX-License-Identifier: Apache-2.0
"""Quantization engine (ORBIS 3.2, 3.3): FP16 tokens to 4-bit codes, channel-wise and symmetric, with scales and weights.

::

    tokens, first pass  --> |x| --> max <--> amax memory, a word of lanes a word of channels
    channels            amax memory --> greatest amax; then amax^2 --> weight, amax / 7 --> scale --> o_channels
    tokens, second pass --> |x| against odd multiples of amax / 14 --> o

No code is known before the last token has been seen, so the tokens come twice: twice the traffic, and no memory of them.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.orbis.matching.channel_figures import ChannelFigures
from zoetrope.hw.orbis.matching.quantize_lane import MAGNITUDE_BITS, QuantizeLane, QuantizeLaneConfig
from zoetrope.hw.stream import FullyPipelined, delayed

#: The greatest finite magnitude.
_LARGEST = FP16.inf - 1


@dataclass(frozen=True)
class QuantizationEngineConfig:
    lanes: int = field(default=8, metadata={"doc": "channels a word, a word a cycle; a power of two"})
    max_tokens: int = field(default=131071, metadata={"doc": "tokens of a matrix at most"})
    max_channels: int = field(default=64, metadata={"doc": "channels of a token at most"})
    weight_bits: int = field(default=8, metadata={"doc": "of a channel's weight, 1 to 16"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_tokens", "max_channels")
        checks.between(self, 1, 16, "weight_bits")

    @property
    def words(self):
        """Words of the longest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def command(self):
        """One bit more each than the greatest needs, so that what is too great can be said."""
        widths = self.max_tokens.bit_length() + 1, self.max_channels.bit_length() + 1
        return data.StructLayout({"tokens": widths[0], "channels": widths[1]})

    @property
    def word(self):
        return data.ArrayLayout(FP16.layout, self.lanes)

    @property
    def codes(self):
        return data.ArrayLayout(signed(4), self.lanes)

    @property
    def channel(self):
        return data.StructLayout({"amax": FP16.layout, "scale": FP32.layout, "weight": self.weight_bits})

    @property
    def status(self):
        flags = ("empty", "too_many_tokens", "too_many_channels", "not_finite", "beyond")
        return data.StructLayout(dict.fromkeys(flags, 1))

    @property
    def memory(self):
        return SramConfig(depth=self.words, width=MAGNITUDE_BITS * self.lanes)


class QuantizationEngine(FullyPipelined):
    """Codes, scales and weights of a matrix of tokens.

    ``code = round_half_even(x * 7 / amax)`` by the exact quotient, ``scale = amax / 7`` in FP32 rounded once, ``weight`` the
    square of amax in ``weight_bits`` bits relative to the power of two above the greatest one; each channel for itself. A
    dead channel (amax 0) has code, scale and weight 0.

    A command names ``tokens`` and ``channels``. The tokens then come twice, each as ceil(channels / lanes) words; what the
    last word has beyond the channels is ignored. Between the passes each channel's amax, scale and weight leave at
    ``o_channels`` in order, in the second pass a word of codes leaves for each word of tokens, 0 beyond the channels; then a
    status.

    ==================  =========================================================================================
    status              meaning
    ==================  =========================================================================================
    empty               no tokens or no channels: nothing is taken, nothing sent
    too_many_tokens     more than ``max_tokens``: nothing is taken, nothing sent
    too_many_channels   more than ``max_channels``: nothing is taken, nothing sent
    not_finite          a NaN or an infinity came; it is taken for 65504 of its sign
    beyond              a value of the second pass exceeds its channel's amax: other tokens; it is taken for amax
    ==================  =========================================================================================

    Division by 7 is exact because r / 7 is r, r, r, .. in octal: the quotient of the significand and then its remainder's
    three bits, repeated. A weight is a square, a shift and a rounding.

    Parameters
    ----------
    config : QuantizationEngineConfig

    Members
    -------
    i_command : In(stream of ``tokens``, ``channels``)
    i : In(stream of lanes x FP16), channel 0 of a token in lane 0 of its first word
    o : Out(stream of lanes x signed 4-bit codes)
    o_channels : Out(stream of ``amax``: FP16, ``scale``: FP32, ``weight``), one a channel
    o_status : Out(stream of the flags above), one a command

    Latency: 3 cycles, from a word of the second pass to its codes. Initiation interval: 1 cycle a word. Backpressure: yes.
    Cycles, from command to status, without stalls (``sim.model.matching.quantization_cycles``): 2 x tokens x words
    + 2 x channels + 15; 1 for a command that is refused.
    Memory: 15 bits a channel. Area: 24 kGE at 8 lanes and 64 channels: 8.1 the lanes' quotients, 9.5 the amax memory, below
    a kilobit in flip-flops, 2.1 scales and weights, 4.6 the rest.
    Golden: ``golden.orbis.matching.quantization_engine.engine``.

    Rejected:

    * A memory of all tokens, so that they come once: 16 bits a value, against 4 that are kept.
    * The greatest amax by a tree over the lanes in the first pass: lanes - 1 comparators to save a cycle a channel.
    """

    latency = 3

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(config.command)),
                "i": In(stream.Signature(config.word)),
                "o": Out(stream.Signature(config.codes)),
                "o_channels": Out(stream.Signature(config.channel)),
                "o_status": Out(stream.Signature(config.status)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        memory = Sram(config=c.memory)
        m.submodules.memory = emit_once(memory)
        m.submodules.figures = figures = ChannelFigures(config=c)
        run = _Run(c)
        m.d.comb += [
            run.last_word.eq(run.word == run.words - 1),
            run.last_token.eq(run.token == run.tokens - 1),
            run.single.eq(run.words == 1),
            self.o_status.payload.eq(run.status),
        ]
        word_in = self._words(m, run)

        # Stage 1: the word beside its channels' amax.
        s1 = _Word(c)
        with m.If(run.advance):
            m.d.sync += [
                s1.valid.eq(run.moved),
                s1.word.eq(word_in),
                s1.address.eq(run.word),
                s1.first.eq(run.token == 0),
            ]
        before = [memory.r_data[0].word_select(k, MAGNITUDE_BITS) for k in range(c.lanes)]
        self._maxima(m, run, memory, s1, before)
        valid = self._codes(m, run, s1, before)
        sweep = self._sweep(m, run, memory, figures)
        with m.FSM():
            self._take_command(m, run, figures, sweep)
            self._passes(m, run, s1, valid)
            self._sweeps(m, run, sweep)
            with m.State("STATUS"):
                m.d.comb += self.o_status.valid.eq(1)
                with m.If(self.o_status.ready):
                    m.next = "IDLE"
        return m

    def _words(self, m, run):
        """A word as it comes, without what does not count and what is not finite."""
        c = self.config
        used = Signal(range(c.lanes + 1))
        word_in = Signal(c.word)
        strange = Signal(c.lanes)
        m.d.comb += [
            self.i.ready.eq(run.taking & run.advance),
            run.moved.eq(self.i.valid & self.i.ready),
            used.eq(Mux(run.last_word, run.channels - (run.word << ceil_log2(c.lanes)), c.lanes)),
        ]
        for k in range(c.lanes):
            x = self.i.payload[k]
            counts = Signal(name=f"counts_{k}")
            infinite = Signal(name=f"infinite_{k}")
            m.d.comb += [
                counts.eq(used > k),
                infinite.eq(x.exponent == FP16.exponent_max),
                strange[k].eq(counts & infinite),
                word_in[k].eq(Mux(counts, Mux(infinite, Cat(Const(_LARGEST, MAGNITUDE_BITS), x.sign), x), 0)),
            ]
        with m.If(run.moved & strange.any()):
            m.d.sync += run.status.not_finite.eq(1)
        return word_in

    def _maxima(self, m, run, memory, s1, before):
        """First pass: the greater goes back. A token of one word meets what the one before wrote in the same cycle."""
        c = self.config
        amax = Signal(data.ArrayLayout(MAGNITUDE_BITS, c.lanes))
        written = Signal(data.ArrayLayout(MAGNITUDE_BITS, c.lanes), reset_less=True)
        with m.If(s1.valid):
            m.d.sync += written.eq(amax)
        for k in range(c.lanes):
            old = Signal(MAGNITUDE_BITS, name=f"old_{k}")
            new = Signal(MAGNITUDE_BITS, name=f"new_{k}")
            m.d.comb += [
                old.eq(Mux(s1.first, 0, Mux(run.single, written[k], before[k]))),
                new.eq(s1.word[k].as_value()[:MAGNITUDE_BITS]),
                amax[k].eq(Mux(new > old, new, old)),
            ]
        m.d.comb += [
            memory.w_en.eq(s1.valid & run.first_pass),
            memory.w_addr.eq(s1.address),
            memory.w_data.eq(amax),
        ]

    def _codes(self, m, run, s1, before):
        """Second pass: stages 2 and 3 are the lanes'. Returns whether a word is in stages 1, 2 and 3."""
        c = self.config
        valid = delayed(m, run.advance, s1.valid & ~run.first_pass, 2, "pass_valid")
        beyond = Signal(c.lanes)
        m.d.comb += [run.advance.eq(~valid[2] | self.o.ready), self.o.valid.eq(valid[2])]
        for k in range(c.lanes):
            lane = QuantizeLane(config=QuantizeLaneConfig())
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [
                lane.en.eq(run.advance),
                lane.x.eq(s1.word[k]),
                lane.amax.eq(before[k]),
                beyond[k].eq(lane.beyond),
                self.o.payload[k].eq(lane.code),
            ]
        with m.If(valid[1] & beyond.any()):
            m.d.sync += run.status.beyond.eq(1)
        return valid

    def _sweep(self, m, run, memory, figures):
        """Between the passes: every channel to the figures, once for the greatest amax and once for what leaves."""
        c = self.config
        s = _Sweep(c)
        sweep_valid = delayed(m, s.channel_advance, s.sweep, 3, "sweep_valid")
        place = Signal(range(max(2, c.lanes)), reset_less=True)
        picked = Signal(MAGNITUDE_BITS)
        s2_amax = Signal(MAGNITUDE_BITS, reset_less=True)
        channel_valid = Signal()
        m.d.comb += [
            s.channel_advance.eq(~channel_valid | self.o_channels.ready),
            self.o_channels.valid.eq(channel_valid),
            self.o_channels.payload.eq(figures.o),
            figures.en.eq(s.channel_advance),
            figures.amax.eq(s2_amax),
            figures.seen.eq(sweep_valid[3] & ~s.leaving),
            picked.eq(memory.r_data[0].word_select(place, MAGNITUDE_BITS)),
        ]
        with m.If(s.channel_advance):
            m.d.sync += [
                place.eq(s.channel & (c.lanes - 1)),
                s2_amax.eq(picked),
                channel_valid.eq(sweep_valid[3] & s.leaving),
            ]
        m.d.comb += [
            memory.r_en[0].eq(run.moved | (s.sweep & s.channel_advance)),
            memory.r_addr[0].eq(Mux(s.sweep, s.channel >> ceil_log2(c.lanes), run.word)),
        ]
        s.busy = Cat(sweep_valid[1:]).any() | channel_valid
        return s

    def _take_command(self, m, run, figures, s):
        c = self.config
        with m.State("IDLE"):
            command = self.i_command.payload
            bad = Signal(c.status)
            m.d.comb += [
                self.i_command.ready.eq(1),
                figures.clear.eq(1),
                bad.empty.eq(~command.tokens.any() | ~command.channels.any()),
                bad.too_many_tokens.eq(command.tokens > c.max_tokens),
                bad.too_many_channels.eq(command.channels > c.max_channels),
            ]
            m.d.sync += [
                run.tokens.eq(command.tokens),
                run.channels.eq(command.channels),
                run.words.eq((command.channels + (c.lanes - 1)) >> ceil_log2(c.lanes)),
                run.status.eq(bad),
                run.first_pass.eq(1),
                s.leaving.eq(0),
                s.channel.eq(0),
            ]
            with m.If(self.i_command.valid):
                m.next = "TAKE"
                with m.If(bad.as_value().any()):
                    m.next = "STATUS"

    def _passes(self, m, run, s1, valid):
        """All words of all tokens, in either pass."""
        with m.State("TAKE"):
            m.d.comb += run.taking.eq(1)
            with m.If(run.moved):
                m.d.sync += run.word.eq(Mux(run.last_word, 0, run.word + 1))
                with m.If(run.last_word):
                    m.d.sync += run.token.eq(Mux(run.last_token, 0, run.token + 1))
                    with m.If(run.last_token):
                        m.next = "TURN"

        # The last word is being written; in the second pass words are still on their way out.
        with m.State("TURN"):
            with m.If(run.first_pass):
                m.d.sync += run.first_pass.eq(0)
                m.next = "SWEEP"
            with m.Elif(~(s1.valid | valid[1] | valid[2])):
                m.next = "STATUS"

    def _sweeps(self, m, run, s):
        """All channels, twice."""
        with m.State("SWEEP"):
            m.d.comb += s.sweep.eq(1)
            with m.If(s.channel_advance):
                m.d.sync += s.channel.eq(s.channel + 1)
                with m.If(s.channel == run.channels - 1):
                    m.d.sync += s.channel.eq(0)
                    m.next = "SWEPT"

        with m.State("SWEPT"):
            with m.If(~s.busy):
                m.d.sync += s.leaving.eq(1)
                m.next = "SWEEP"
                with m.If(s.leaving):
                    m.next = "TAKE"


class _Run:
    """The command in work, the place in it, and what became of it."""

    def __init__(self, config):
        c = config
        self.tokens = Signal(c.command["tokens"].shape)
        self.channels = Signal(c.command["channels"].shape)
        self.words = Signal(range(c.words + 1))
        self.single = Signal()  # a token is one word
        self.token = Signal(c.command["tokens"].shape)
        self.word = Signal(range(max(2, c.words)))
        self.last_word = Signal()
        self.last_token = Signal()
        self.first_pass = Signal()
        self.status = Signal(c.status)
        self.taking = Signal()  # words of tokens are taken
        self.advance = Signal()
        self.moved = Signal()  # one is taken in this cycle


class _Word:
    """A word of a token in stage 1."""

    def __init__(self, config):
        self.valid = Signal(name="s1_valid")
        self.word = Signal(config.word, name="s1_word", reset_less=True)
        self.address = Signal(range(max(2, config.words)), name="s1_address", reset_less=True)
        self.first = Signal(name="s1_first", reset_less=True)


class _Sweep:
    """Where the sweep over the channels is. ``busy``, an expression: a channel is on its way."""

    def __init__(self, config):
        self.sweep = Signal()
        self.leaving = Signal()  # it is the second
        self.channel = Signal(config.command["channels"].shape)
        self.channel_advance = Signal()


#: Config of each preset; the first is the default.
PRESETS = {
    "default": QuantizationEngineConfig(),
    "single": QuantizationEngineConfig(lanes=1, max_channels=5, weight_bits=16),
    "wide": QuantizationEngineConfig(lanes=16, max_tokens=300, max_channels=40, weight_bits=3),
}
