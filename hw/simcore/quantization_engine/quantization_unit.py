# SPDX-License-Identifier: Apache-2.0
"""Quantization unit (SIMPICKER III-B, IV-C): K or V to channel-wise symmetric INT8, streaming, ``lanes`` channels a cycle.

``code = sign(x) * round_half_even(|x| * 127 / amax)``, amax the largest magnitude of the channel. Tokens come twice::

                        +---------- amax of every channel <---------+            measure
                        |                                           |
    i --> |x| --------->+--> max(amax, |x|) ------------------------+
                        |          |
                        |          +--> align |x| --> 8 quotient digits --> round --> o     encode
                        |
                        +--> one channel a cycle --> / 127 --> o_scale                      between

Both passes share the comparison: in the second one max(amax, |x|) is amax, and where |x| exceeds an amax taken from other
data it makes the quotient 127, which is the saturation that is wanted.

*Division.* |x| = m * 2^f and amax = a * 2^g, subnormals as they stand. The quotient 127 m / (a 2^k), k = g - f >= 0, is at
most 127, so 7 digits and a half are all there is: 254 m >> k is divided by a in 8 steps that compare and subtract, what is
shifted out or left over decides ties. Nothing is normalised: where amax is subnormal, so is x, and k is 0.

*Scale.* amax / 127, FP32: with a = 127 q + r the binary digits of r / 127 are those of r over and over, so the whole
division is one 7-bit sum, and since r < 127 its rounding carries no further than 7 bits. 290 GE, normalisation included,
once a unit.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore.layouts import codes_layout, encode_layout
from zoetrope.hw.simcore.quantization_engine.quantization_lane import (
    DIGITS,
    MAGNITUDE,
    QuantizationLane,
    QuantizationLaneConfig,
)
from zoetrope.hw.simcore.quantization_engine.scale_divider import ScaleDivider, ScaleDividerConfig
from zoetrope.hw.stream import FullyPipelined, delayed, operator, register


@dataclass(frozen=True)
class QuantizationUnitConfig:
    lanes: int = field(default=8, metadata={"doc": "channels a cycle"})
    max_channels: int = field(default=128, metadata={"doc": "channels of the widest token, d"})
    digits: int = field(default=2, metadata={"doc": "digits of a quotient found between two registers, 1 to 8"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes", "max_channels")
        checks.between(self, 1, DIGITS, "digits")

    @property
    def words(self):
        """Words of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def lane(self):
        return QuantizationLaneConfig(digits=self.digits)

    @property
    def i_layout(self):
        """A word of a token; ``count`` of its lanes count in the token's ``last`` word."""
        return encode_layout(self.lanes)

    @property
    def o_layout(self):
        return codes_layout(self.lanes)

    @property
    def o_scale_layout(self):
        return data.StructLayout({"scale": FP32.layout, "last": 1})


class QuantizationUnit(FullyPipelined):
    """INT8 codes and FP32 scales of the channels of a matrix whose tokens are streamed twice.

    A token is a sequence of words of ``lanes`` channels, ended by ``last``; the last word has ``count`` channels (0, or more
    than ``lanes``, counts as ``lanes``). ``encode`` of a token's first word says what becomes of it:

    * 0, measure: the largest magnitude of each channel, from this matrix's first token to the one with ``end``. No code
      comes out. After ``end`` the scales of all channels of that token leave by ``o_scale``, one a cycle in order of
      channels, the last one marked; until they have, no word is taken. The next token to be measured begins the next matrix.
    * 1, encode: the codes of the token, by the maxima measured. As often as wanted, of any tokens; ``end`` is passed on.

    ==========================  ==========================================================================
    channel or value            scale and codes
    ==========================  ==========================================================================
    dead: no value but zeros    1; 0
    subnormal                   as any other, exact
    NaN, infinity               takes no part in amax; code 0, +-127; ``not_finite``
    beyond amax (other tokens)  code +-127
    missing in a short token    as though it were +0
    never measured              code 0
    more than ``words`` words   the words beyond take no part, codes 0 and no scale; ``too_long``
    ==========================  ==========================================================================

    Published: 0.03 mm2 at 32 nm, 20 kGE, 1.89 mW, and that it "quantizes K and V into the 8-bit one's complement
    representation, where the last 7 bits represent magnitude", which is sign and magnitude (SIMPICKER IV-C, Table II); not
    its lanes, nor how it divides. Eight lanes are 22.8 kGE here, 2,530 a lane and 2,520 beside them.

    Parameters
    ----------
    config : QuantizationUnitConfig

    Members
    -------
    i : In(stream of ``x``: lanes x FP16, ``count``, ``last``: of a token, ``end``: of a matrix, with ``last``, ``encode``)
    o : Out(stream of ``codes``: lanes x INT8, ``count``, ``last``, ``end``); codes beyond ``count`` are 0
    o_scale : Out(stream of ``scale``: FP32, ``last``)
    not_finite : Out(1), a NaN or an infinity came; until ``clear``
    too_long : Out(1), a token had more than ``words`` words; until ``clear``
    clear : In(1), takes both flags down

    Latency: ``latency`` cycles from a word to its codes; ``scale_latency`` from the ``end`` of measuring to the first scale.
    Initiation interval: 1 cycle a word, without a gap between tokens. Cycles from the first word to the last, of T tokens of
    W words and d channels: 2 T W + d + 2 cycles, with T W of each pass. Backpressure: yes; a scale that is
    not taken holds up the second pass.
    Errors: as above; never a hang.
    Memory: ``words`` of lanes x 15 bits.
    Golden: ``golden.simcore.quantization_engine.quantization_unit.quantization_unit``.

    Rejected:

    * Scales a word at a time: ``lanes`` dividers by 127 in place of one, to save d cycles of 2 T W; or a second read port.
    * Maxima of the next matrix in a second bank while this one is encoded: both come through ``i``, one word a cycle.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "o_scale": Out(stream.Signature(config.o_scale_layout)),
                "not_finite": Out(1),
                "too_long": Out(1),
                "clear": In(1),
            }
        )

    @property
    def latency(self):
        return 1 + QuantizationLane(config=self.config.lane).latency

    @property
    def scale_latency(self):
        return 4

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=c.words, width=c.lanes * MAGNITUDE.size))
        m.submodules.sram = emit_once(sram)
        advance = Signal()
        scaling = Signal()
        word = self._word(m, advance, scaling)
        behind = self._lanes(m, sram, advance, word)
        self._scales(m, sram, advance, scaling, word, behind)
        return m

    def _word(self, m, advance, scaling):
        """The word that is taken, its place in the token and what is known of its channels."""
        c = self.config
        i = self.i.payload
        taken = Signal(name="s0_taken")
        index = Signal(range(c.words + 1), name="s0_index")
        first = Signal(name="s0_first")
        beyond = Signal(name="s0_beyond")
        encode = Signal(name="s0_encode")
        encoding = Signal(name="s0_encoding")
        measuring = Signal(name="s0_measuring")
        known = Signal(range(c.words + 1), name="s0_known")
        absent = Signal(name="s0_absent")
        count = Signal(i.count.shape(), name="s0_count")
        end = Signal(name="s0_end")
        m.d.comb += [
            self.i.ready.eq(advance & ~scaling),
            taken.eq(self.i.valid & self.i.ready),
            first.eq(index == 0),
            beyond.eq(index == c.words),
            encode.eq(Mux(first, i.encode, encoding)),
            absent.eq((index >= known) | ~(encode | measuring)),
            end.eq(i.last & i.end),
            count.eq(Mux(i.last & i.count.any() & (i.count < c.lanes), i.count, c.lanes)),
        ]
        with m.If(taken):
            m.d.sync += [encoding.eq(encode), index.eq(Mux(i.last, 0, Mux(beyond, index, index + 1)))]
            with m.If(~encode):
                m.d.sync += measuring.eq(~end)
                with m.If(absent & ~beyond):
                    m.d.sync += known.eq(index + 1)
        return _Word(taken, index, first, beyond, encode, absent, count, i.last, end)

    def _lanes(self, m, sram, advance, word):
        """Maxima back to memory and codes out. Returns whether the word behind the one that is taken is still on its way."""
        c = self.config
        i = self.i.payload
        # Stage 1: the word, while its maxima are read.
        beside = {"index": word.index, "first": word.first, "beyond": word.beyond, "encode": word.encode}
        beside |= {"absent": word.absent, "count": word.count, "last": word.last, "end": word.end}
        late = {name: delayed(m, advance, x, 1, f"s1_{name}", reset_less=True)[-1] for name, x in beside.items()}
        valid = delayed(m, advance, word.taken, 1, "s1_valid")[-1]
        again = Signal(name="s0_again")
        m.d.comb += again.eq(word.first & late["first"] & valid & ~late["encode"])
        again = delayed(m, advance, again, 1, "s1_again", reset_less=True)[-1]

        maxima, wrong = [], []
        for k in range(c.lanes):
            x, counts, bad = self._value(m, i.x[k], word, k)
            lane = operator(m, f"lane_{k}", QuantizationLane, c.lane, advance)
            m.d.comb += [
                lane.x.as_value().eq(delayed(m, advance, x, 1, f"s1_x_{k}", reset_less=True)[-1]),
                lane.sign.eq(delayed(m, advance, counts & i.x[k].sign, 1, f"s1_sign_{k}", reset_less=True)[-1]),
                lane.stored.as_value().eq(sram.r_data[0].word_select(k, MAGNITUDE.size)),
                lane.again.eq(again),
                lane.absent.eq(late["absent"]),
                self.o.payload.codes[k].eq(lane.o),
            ]
            maxima.append(lane.amax.as_value())
            wrong.append(bad)
        m.d.comb += [
            sram.w_en.eq(valid & ~late["encode"] & ~late["beyond"] & advance),
            sram.w_addr.eq(late["index"]),
            sram.w_data.eq(Cat(*maxima)),
        ]

        # Behind: what goes with the codes, as many stages as they take.
        rest = self.latency - 1
        out = delayed(m, advance, valid & late["encode"], rest, "o_valid")[-1]
        m.d.comb += [self.o.valid.eq(out), advance.eq(~out | self.o.ready)]
        for name in ("count", "last", "end"):
            signal = delayed(m, advance, late[name], rest, f"o_{name}", reset_less=True)[-1]
            m.d.comb += getattr(self.o.payload, name).eq(signal)

        for flag, cause in ((self.not_finite, Cat(*wrong).any()), (self.too_long, word.beyond)):
            sticky(m, flag, word.taken & cause, self.clear)
        return valid

    def _value(self, m, code, word, k):
        """(magnitude as it takes part, whether the lane counts, whether it is no number) of lane ``k``."""
        counts = Signal(name=f"s0_counts_{k}")
        special = Signal(name=f"s0_special_{k}")
        part = Signal(name=f"s0_part_{k}")
        bad = Signal(name=f"s0_bad_{k}")
        magnitude = Signal(MAGNITUDE.size, name=f"s0_x_{k}")
        m.d.comb += [
            counts.eq((word.count > k) & ~word.beyond),
            special.eq(code.exponent == FP16.exponent_max),
            # An infinity is encoded as the number that its code would be, 2^16: beyond every amax.
            part.eq(counts & ~(special & (code.fraction.any() | ~word.encode))),
            bad.eq(counts & special),
            magnitude.eq(Cat(code.fraction, code.exponent) & part.replicate(MAGNITUDE.size)),
        ]
        return magnitude, counts, bad

    def _scales(self, m, sram, advance, scaling, word, behind):
        """After a matrix is measured: its maxima, channel by channel, to ``o_scale``."""
        c = self.config
        index = Signal(range(c.words), name="scale_index")
        lane = Signal(range(c.lanes), name="scale_lane")
        loaded = Signal(name="scale_loaded")
        last_index = Signal(range(c.words), name="scale_last_index", reset_less=True)
        last_count = Signal(word.count.shape(), name="scale_last_count", reset_less=True)
        last_word = Signal(name="scale_last_word")
        last_lane = Signal(name="scale_last_lane")
        read = Signal(name="scale_read")
        step = Signal(name="scale_step")
        amax = Signal(MAGNITUDE.size, name="scale_amax")
        layout = data.StructLayout({"amax": MAGNITUDE, "last": 1})
        ready = Signal(name="scale_ready")
        held = register(m, layout, Cat(amax, last_word & last_lane), loaded, ready, "scale")
        start = Signal(name="scale_start")
        m.d.comb += [
            start.eq(word.taken & ~word.encode & word.end),
            last_word.eq(index == last_index),
            last_lane.eq(lane == Mux(last_word, last_count, c.lanes) - 1),
            step.eq(loaded & ready),
            read.eq(Mux(loaded, step & last_lane & ~last_word, scaling & ~behind)),
            amax.eq(sram.r_data[0].word_select(lane, MAGNITUDE.size)),
            sram.r_en[0].eq(Mux(scaling, read, advance)),
            sram.r_addr[0].eq(Mux(scaling, index + loaded, word.index)),
        ]
        # The last word of the matrix is written a cycle after ``start``; while it waits, it needs what was read for it.
        with m.If(start):
            m.d.sync += scaling.eq(1)
            m.d.sync += [last_index.eq(Mux(word.beyond, c.words - 1, word.index)), last_count.eq(word.count)]
            with m.If(word.beyond):
                m.d.sync += last_count.eq(c.lanes)
        with m.If(read):
            m.d.sync += [loaded.eq(1), index.eq(index + loaded)]
        with m.If(step):
            m.d.sync += lane.eq(Mux(last_lane, 0, lane + 1))
            with m.If(last_lane & last_word):
                m.d.sync += [scaling.eq(0), loaded.eq(0), index.eq(0)]

        divider = ScaleDivider(config=ScaleDividerConfig())
        m.submodules.divider = emit_once(divider)
        m.d.comb += [
            divider.i.eq(held.payload.amax),
            self.o_scale.payload.scale.eq(divider.o),
            self.o_scale.payload.last.eq(held.payload.last),
            self.o_scale.valid.eq(held.valid),
            held.ready.eq(self.o_scale.ready),
        ]


@dataclass(frozen=True)
class _Word:
    """The word at the input: signals."""

    taken: Signal
    index: Signal
    first: Signal
    beyond: Signal
    encode: Signal
    absent: Signal
    count: Signal
    last: Signal
    end: Signal


#: Config of each preset; the first is the default.
PRESETS = {
    "default": QuantizationUnitConfig(),
    "deep": QuantizationUnitConfig(lanes=3, max_channels=7, digits=1),
    "single": QuantizationUnitConfig(lanes=1, max_channels=5, digits=8),
}
