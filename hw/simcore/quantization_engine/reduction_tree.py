# SPDX-License-Identifier: Apache-2.0
"""Reduction tree (SIMPICKER III-B, IV-C): column sums of every N consecutive rows of a streamed FP16 matrix.

``o[f, c] = sum of i[f N + n, c] over n < N``, exact, rounded once to FP32; or times a factor, rounded to FP16::

    i --> significand << exponent --> +, exact --+--> to FP32 --> * factor --> to FP16 --> o     (rows that end a sum)
          s1                          ^      s2  |    s3-s5       if scaled
                                      +- memory -+
                                     a sum a channel

Every finite FP16 is an integer multiple of 2**-24, 41 bits with its sign, so a sum of up to ``max_rows`` of them is exact
in 41 + log2(max_rows) bits, whatever the order: the map of importance does not depend on how rows arrive. It is a tree in
time, one level of it: rows follow each other through one adder a lane, since a row of d channels fills the lanes.

Rejected:

* Sums in FP16: a frame of 1,350 tokens overflows from a mean of 48.5 on.
* FP32 adders: 2.8 kGE a lane with the widening, for 1.7 kGE of shifter, adder and registers here (and 2.1 kGE of conversion
  behind the sum, which lanes can share: ``outputs``); 22 bits less of memory a channel; sums that depend on the order, and
  an adder's depth to be hidden where a row is only a few words.
* An adder tree over several rows at a time: rows of one word only, and those wait for a memory elsewhere.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.float_convert import FloatConvert, FloatConvertConfig
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.pe.fixed_accumulator import FixedToFloat, FixedToFloatConfig
from zoetrope.hw.stream import FullyPipelined, check_parts, delayed, operator, register

#: Bits of the magnitude of a finite FP16 in units of 2**-24.
MAGNITUDE_BITS = 40


def magnitude_of(m, code, name):
    """The magnitude of an FP16 code (exponent, fraction) in units of 2**-24: one named level per bit of the shift."""
    value = Cat(code.fraction, code.exponent.any())
    shift = Signal(5, name=f"{name}_shift")
    m.d.comb += shift.eq(code.exponent - code.exponent.any())
    reach = 0
    for k in range(5):
        reach = min(reach + (1 << k), FP16.exponent_max - 2)
        level = Signal(FP16.fraction_bits + 1 + reach, name=f"{name}_{k}")
        m.d.comb += level.eq(Mux(shift[k], value << (1 << k), value))
        value = level
    return value


@dataclass(frozen=True)
class ExactSumConfig:
    value_bits: int = field(metadata={"doc": "of a sum in two's complement"})

    @property
    def sum_layout(self):
        """A sum, and whether it has plus or minus infinity; both mean NaN."""
        return data.StructLayout({"value": signed(self.value_bits), "positive": 1, "negative": 1})


@dataclass(frozen=True)
class ReductionTreeConfig:
    lanes: int = field(default=8, metadata={"doc": "channels a word; a power of two"})
    max_channels: int = field(default=128, metadata={"doc": "most channels of a row, d; any number"})
    max_rows: int = field(default=1350, metadata={"doc": "most rows of a sum, N; any number"})
    scaled: bool = field(default=False, metadata={"doc": "sums are multiplied by a factor and rounded to FP16"})
    outputs: int | None = field(
        default=None, metadata={"doc": "sums that leave in a cycle: a power of two up to lanes, or all lanes if None"}
    )
    multiply_stages: int = field(default=3, metadata={"doc": "register stages of the multipliers, where scaled"})
    convert_stages: int = field(default=1, metadata={"doc": "of the conversions to FP16, where scaled"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_channels", "max_rows")
        if self.outputs is None:
            object.__setattr__(self, "outputs", self.lanes)
        checks.power_of_two(self, "outputs", most=self.lanes, why="no more than lanes")
        check_parts(self, "multiply", "convert")

    @property
    def multiply(self):
        return FloatMultiplyConfig(operand=FP32, product=FP32, stages=self.multiply_stages)

    @property
    def convert(self):
        return FloatConvertConfig(source=FP32, target=FP16, stages=self.convert_stages)

    @property
    def sums(self):
        return ExactSumConfig(value_bits=1 + MAGNITUDE_BITS + ceil_log2(self.max_rows))

    @property
    def to_float(self):
        return FixedToFloatConfig(sums=self.sums, outputs=self.outputs)

    @property
    def target(self):
        return FP16 if self.scaled else FP32

    @property
    def words(self):
        """Words of the longest row."""
        return -(-self.max_channels // self.lanes)

    @property
    def job_layout(self):
        """A matrix that is to come."""
        fields = {"rows": range(self.max_rows + 1), "channels": range(self.max_channels + 1)}
        factors = {"factor": FP32.layout, "last_factor": FP32.layout} if self.scaled else {}
        return data.StructLayout(fields | factors)

    @property
    def i_layout(self):
        return data.StructLayout({"values": data.ArrayLayout(FP16.layout, self.lanes), "last": 1})

    @property
    def o_layout(self):
        return data.StructLayout(
            {
                "sums": data.ArrayLayout(self.target.layout, self.outputs),
                "count": ceil_log2(self.outputs + 1),
                "last": 1,
                "final": 1,
            }
        )


class ReductionTree(FullyPipelined):
    """Sums of every ``rows`` rows of a matrix, channel by channel, a word of ``lanes`` channels a cycle.

    A matrix is announced by a job: N = ``rows`` of a sum, d = ``channels`` of a row, and where sums are ``scaled`` the
    ``factor`` of each, 1/N for a mean, and ``last_factor`` of a last sum of fewer rows. Its rows follow as ceil(d / lanes)
    words each. ``last`` in the first word of a row makes it the last row of the matrix (elsewhere it is ignored): it ends
    the last sum, of N rows or fewer. What is beyond channel d in the last word of a row is ignored.

    Out come, with the words of the last row of each sum, the sums, ``outputs`` in a word: ``count`` that count, the rest
    +0, ``last`` in the last word of a row of sums, ``final`` in all words of the last row of a matrix. Sums leave once in
    N rows, so that fewer ``outputs`` than lanes cost little time and save most of what converts and scales.

    Published: in words only (SIMPICKER IV-C); the whole prediction unit is 13 kGE there. Here 8 lanes are 31 kGE without
    scaling, and 100 kGE with it: an FP32 multiplier is 8.0 kGE. With 4 lanes and one output they are 20 kGE.

    Parameters
    ----------
    config : ReductionTreeConfig

    Members
    -------
    i_job : In(stream of ``rows``, ``channels``, FP32 ``factor`` and ``last_factor`` if ``scaled``), one a matrix
    i : In(stream of lanes x FP16 ``values``, ``last``)
    o : Out(stream of lanes x FP32 (FP16 if ``scaled``) ``sums``, ``count``, ``last``, ``final``)
    clear : In(1), resets ``error``
    error : Out(1), since reset or ``clear`` one of the errors below was met

    Latency: 5 cycles from a word of the last row of a sum to the sum, plus the stages of both operators if scaled.
    Initiation interval: 1 cycle a word, without a gap between rows or sums, nor between matrices if the next job waits; but
    where ``outputs`` are fewer than lanes a word that ends a sum takes a cycle for each word of ``o``
    (``sim.model.quantization_engine.reduction_cycles``). Backpressure: yes.
    Memory: ``words`` of lanes x (43 + log2(max_rows)) bits, a sum and two flags a channel.
    Errors: ``rows`` or ``channels`` of 0 count as 1, and beyond their maximum as the maximum. An infinity makes its sum that
    infinity; infinities of both signs, or a NaN, make it NaN. All set ``error``; other channels and sums are right.
    Golden: ``golden.simcore.quantization_engine.reduction_tree.reduction_tree``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(config.job_layout)),
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "clear": In(1),
                "error": Out(1),
            }
        )

    @property
    def latency(self):
        c = self.config
        return 2 + c.to_float.stages + (c.multiply_stages + c.convert_stages if c.scaled else 0)

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        issue = Signal()
        wrong = Signal()
        word, flags = self._sequence(m, advance, issue, wrong)
        totals, late = self._accumulate(m, advance, issue, word, flags, wrong)
        self._send(m, advance, totals, late)
        sticky(m, self.error, wrong, self.clear)
        return m

    def _sequence(self, m, advance, issue, wrong):
        """Which word of which row comes. Returns its place in the memory, and what travels beside it."""
        c = self.config
        job = register(m, c.job_layout, self.i_job.payload, self.i_job.valid, self.i_job.ready, "job")
        rows = self._clamped(m, job.payload.rows, c.max_rows, "rows")
        channels = self._clamped(m, job.payload.channels, c.max_channels, "channels")
        bad_job = (job.payload.rows != rows) | (job.payload.channels != channels)
        last_word = Signal(range(max(2, c.words)))
        last_count = Signal(ceil_log2(c.lanes + 1))
        levels = ceil_log2(c.lanes)
        m.d.comb += [
            last_word.eq((channels - 1) >> levels),
            last_count.eq(((channels - 1) & (c.lanes - 1)) + 1),
        ]
        word = Signal(last_word.shape())
        row = Signal(range(max(2, c.max_rows)))
        held_last = Signal()
        word_end = Signal()
        last_row = Signal()
        full = Signal()
        end = Signal()
        m.d.comb += [
            self.i.ready.eq(advance & job.valid),
            issue.eq(advance & job.valid & self.i.valid),
            word_end.eq(word == last_word),
            last_row.eq(Mux(word == 0, self.i.payload.last, held_last)),
            full.eq(row == rows - 1),
            end.eq(full | last_row),
            job.ready.eq(issue & word_end & last_row),
        ]
        with m.If(issue):
            m.d.sync += [word.eq(Mux(word_end, 0, word + 1)), held_last.eq(last_row)]
            with m.If(word_end):
                m.d.sync += row.eq(Mux(end, 0, row + 1))
        with m.If(issue & bad_job):
            m.d.comb += wrong.eq(1)
        flags = {
            "first": row == 0,
            "end": end,
            "count": Mux(word_end, last_count, c.lanes),
            "last": word_end,
            "final": last_row,
        }
        if c.scaled:
            flags["factor"] = Mux(full, job.payload.factor.as_value(), job.payload.last_factor.as_value())
        named = {}
        for name, value in flags.items():
            named[name] = Signal(value.shape(), name=f"s0_{name}")
            m.d.comb += named[name].eq(value)
        return word, named

    @staticmethod
    def _clamped(m, value, most, name):
        result = Signal(value.shape(), name=f"{name}_used")
        above = value > most if most + 1 < 1 << len(value) else Const(0, 1)  # not where no value is
        m.d.comb += result.eq(Mux(value == 0, 1, Mux(above, most, value)))
        return result

    def _accumulate(self, m, advance, issue, word, flags, wrong):
        """The sums with this word in them (s2), and what travels beside them, its ``valid`` true where a sum is complete."""
        c = self.config
        layout = c.sums.sum_layout
        sram = Sram(config=SramConfig(depth=max(2, c.words), width=c.lanes * layout.size))
        m.submodules.sram = emit_once(sram)

        # s1: integers, and the sums so far from the memory. A sum that is only now being written comes from s2.
        line = {
            name: delayed(m, advance, signal, 2, name, reset_less=True)
            for name, signal in {**flags, "word": word}.items()
        }
        valid = delayed(m, advance, issue, 2, "valid")
        again = Signal(name="s1_again", reset_less=True)
        with m.If(advance):
            m.d.sync += again.eq(valid[1] & (line["word"][1] == word))
        m.d.comb += [sram.r_en[0].eq(issue), sram.r_addr[0].eq(word)]

        # s2: the sums.
        totals = []
        for k in range(c.lanes):
            addend = self._integer(m, advance, k, flags["count"])
            before = Signal(layout, name=f"s1_before_{k}")
            total = Signal(layout, name=f"s1_total_{k}")
            kept = Signal(layout, name=f"s2_total_{k}", reset_less=True)
            stored = sram.r_data[0].word_select(k, layout.size)
            m.d.comb += [
                before.eq(Mux(again, kept.as_value(), stored) & ~line["first"][1].replicate(layout.size)),
                total.value.eq(before.value + addend.value + addend.carry),
                total.positive.eq(before.positive | addend.positive),
                total.negative.eq(before.negative | addend.negative),
            ]
            with m.If(advance):
                m.d.sync += kept.eq(total)
            with m.If(advance & valid[1] & (addend.positive | addend.negative)):
                m.d.comb += wrong.eq(1)
            totals.append((total, kept))
        m.d.comb += [
            sram.w_en.eq(advance & valid[1] & ~line["end"][1]),
            sram.w_addr.eq(line["word"][1]),
            sram.w_data.eq(Cat(*(total.as_value() for total, _ in totals))),
        ]
        complete = Signal(name="s2_complete")
        m.d.comb += complete.eq(valid[2] & line["end"][2])
        late = {name: line[name][2] for name in flags if name not in ("first", "end")}
        return [kept for _, kept in totals], late | {"valid": complete}

    def _integer(self, m, advance, k, count):
        """Lane k of the word as an integer in one's complement and the carry that makes it two's, and its class (s1)."""
        c = self.config
        code = self.i.payload.values[k]
        special = Signal(name=f"s0_special_{k}")
        used = Signal(name=f"s0_used_{k}")
        magnitude = magnitude_of(m, code, f"s0_magnitude_{k}")
        layout = data.StructLayout({"value": signed(c.sums.value_bits), "carry": 1, "positive": 1, "negative": 1})
        integer = Signal(layout, name=f"s1_integer_{k}", reset_less=True)
        finite = Signal(MAGNITUDE_BITS, name=f"s0_finite_{k}")
        carry = Signal(name=f"s0_carry_{k}")
        nan = code.fraction.any()
        m.d.comb += [
            special.eq(code.exponent == FP16.exponent_max),
            used.eq(count > k),
            finite.eq(magnitude & (used & ~special).replicate(MAGNITUDE_BITS)),
            carry.eq(code.sign),
        ]
        with m.If(advance):
            m.d.sync += [
                integer.value.eq(Cat(finite, Const(0, 1)).as_signed() ^ carry.replicate(c.sums.value_bits).as_signed()),
                integer.carry.eq(carry),
                integer.positive.eq(used & special & (nan | ~code.sign)),
                integer.negative.eq(used & special & (nan | code.sign)),
            ]
        return integer

    def _send(self, m, advance, totals, late):
        """The complete sums, part by part, converted."""
        c = self.config
        onward = Signal()
        last_part, part, late = self._parts(m, onward, late)
        m.d.comb += advance.eq(~late["valid"] | (onward & last_part))

        convert = operator(m, "to_float", FixedToFloat, c.to_float, onward)
        words = Cat(*(total.as_value() for total in totals))
        m.d.comb += convert.i.sums.eq(words.word_select(part, len(words) * c.outputs // c.lanes))
        results = [convert.o[k].as_value() for k in range(c.outputs)]
        if c.scaled:
            line = delayed(m, onward, late.pop("factor"), c.to_float.stages, "s2_factor", reset_less=True)
            results = [self._scaled(m, onward, k, result, line[-1]) for k, result in enumerate(results)]
        stages = self.latency - 2
        end = {
            name: delayed(m, onward, signal, stages, f"s2_{name}", reset_less=name != "valid")[-1]
            for name, signal in late.items()
        }
        o = self.o.payload
        m.d.comb += [
            onward.eq(~end["valid"] | self.o.ready),
            self.o.valid.eq(end["valid"]),
            o.count.eq(end["count"]),
            o.last.eq(end["last"]),
            o.final.eq(end["final"]),
        ]
        # A factor of NaN or infinity would turn what does not count into a NaN.
        m.d.comb += [o.sums[k].as_value().eq(Mux(end["count"] > k, result, 0)) for k, result in enumerate(results)]

    def _parts(self, m, onward, late):
        """A word of lanes sums as words of ``outputs``: whether this is its last, its number, and what travels beside it."""
        c = self.config
        parts = c.lanes // c.outputs
        if parts == 1:
            return Const(1, 1), Const(0, 0), late
        part = Signal(range(parts))
        last_part = Signal()
        rest = Signal(late["count"].shape())
        count = Signal(ceil_log2(c.outputs + 1))
        last = Signal()
        m.d.comb += [
            rest.eq(late["count"] - part * c.outputs),
            last_part.eq(rest <= c.outputs),
            count.eq(Mux(last_part, rest, c.outputs)),
            last.eq(late["last"] & last_part),
        ]
        with m.If(onward & late["valid"]):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))
        return last_part, part, late | {"count": count, "last": last}

    def _scaled(self, m, advance, k, value, factor):
        c = self.config
        multiply = operator(m, f"multiply_{k}", FloatMultiply, c.multiply, advance)
        m.d.comb += [multiply.i.a.eq(value), multiply.i.b.eq(factor)]
        convert = operator(m, f"convert_{k}", FloatConvert, c.convert, advance)
        m.d.comb += convert.i.eq(multiply.o)
        return convert.o.as_value()


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ReductionTreeConfig(),
    "scaled": ReductionTreeConfig(lanes=1, max_channels=3, max_rows=26, scaled=True),
    "serial": ReductionTreeConfig(
        lanes=4, max_channels=11, max_rows=5, scaled=True, outputs=1, multiply_stages=0, convert_stages=0
    ),
}
