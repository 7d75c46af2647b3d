# SPDX-License-Identifier: Apache-2.0
"""Exact sums over k in fixed point: integers, whose order does not matter; converted to FP32 once, at the end.

::

    products --> significand << shift --> negate --+--> running sum (two's complement) --> to FP32, where they leave
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP32, leading_zeros
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.pe.accumulator import accumulator_members
from zoetrope.hw.pe.product import Scaled
from zoetrope.hw.stream import FullyPipelined, Operator, Pipeline, StreamOperator, delayed

#: Which cut points are registered, by number of stages. The first is outside the loop of the running sum.
CUTS = ((), ("align",), ("align", "result"))


@dataclass(frozen=True)
class FixedAccumulatorConfig:
    product: Scaled = field(metadata={"doc": "form of a product"})
    lanes: int = field(default=8, metadata={"doc": "products a cycle"})
    words: int = field(default=16, metadata={"doc": "D, words of outputs kept"})
    add_stages: int = field(default=1, metadata={"doc": "register stages, 0 to 2"})
    max_operands: int = field(default=65536, metadata={"doc": "largest K of a sum"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes", "words", "max_operands")
        checks.between(self, 0, len(CUTS) - 1, "add_stages", why="sums are in fixed point")

    @property
    def value_bits(self):
        """Sign, a product's magnitude, growth: 1 + 47 + 16 for an FP16 x INT8 product and 65,536 operands."""
        return 1 + self.product.magnitude_bits + ceil_log2(self.max_operands)

    @property
    def sum_layout(self):
        """A sum: two's complement, and whether it has plus or minus infinity, or both or an invalid product (NaN)."""
        return data.StructLayout({"value": signed(self.value_bits), "positive": 1, "negative": 1})

    @property
    def turnaround(self):
        """A, slots from reading a sum to the first in which it can be read again: memory, result register, write."""
        return 2 + ("result" in CUTS[self.add_stages])


class FixedAccumulator(FullyPipelined):
    """``sum[d] = (0 if first else sum[d]) + product``, exactly, for ``lanes`` outputs at once.

    A product is an integer and a shift, not normalised: a shifter and an integer adder replace the aligner, the
    normaliser and the rounder of an FP32 adder. A sum of up to ``max_operands`` products cannot overflow.

    Members
    -------
    As ``hw.pe.accumulator.Accumulator``, of which this is the exact alternative; ``sums`` are of ``sum_layout``.

    Latency: 1 + ``add_stages`` advances from ``valid``. Initiation interval: 1, as long as a word comes back to the same
    slot no earlier than ``turnaround`` advances later.
    Golden: ``golden.pe.fixed_sum.fixed_sum``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(accumulator_members(config))

    @property
    def latency(self):
        return 1 + self.config.add_stages

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sum_bits = c.sum_layout.size
        sram = Sram(config=SramConfig(depth=max(2, c.words), width=sum_bits * c.lanes))
        m.submodules.sram = emit_once(sram)
        cuts = CUTS[c.add_stages]
        aligned, done = int("align" in cuts), 1 + c.add_stages
        slots = delayed(m, self.en, self.slot, done, "slot", reset_less=True)
        lasts = delayed(m, self.en, self.last, done, "last", reset_less=True)
        valids = delayed(m, self.en, self.valid, done, "valid")
        firsts = delayed(m, self.en, self.first, 1 + aligned, "first", reset_less=True)
        overlongs = delayed(m, self.en, self.overlong, 1 + aligned, "overlong", reset_less=True)

        # The running sums are read in time for the aligned products, so that a register there costs no turnaround.
        m.d.comb += [sram.r_en[0].eq(self.en), sram.r_addr[0].eq(slots[aligned])]
        sums = []
        for k in range(c.lanes):
            pipe = Pipeline(m, self.en, cuts)
            product = self.products[k]
            magnitude = _shifted(m, product, c.product, f"magnitude_{k}")
            s = pipe.cut(
                "align",
                **{
                    f"magnitude_{k}": magnitude,
                    f"sign_{k}": product.sign,
                    f"positive_{k}": product.positive,
                    f"negative_{k}": product.negative,
                },
            )
            magnitude, sign, positive, negative = vars(s).values()
            running = Signal(c.sum_layout, name=f"running_{k}")
            total = Signal(c.sum_layout, name=f"total_{k}")
            addend = Signal(c.value_bits, name=f"addend_{k}")
            m.d.comb += [
                running.eq(sram.r_data[0].word_select(k, sum_bits) & ~firsts[-1].replicate(sum_bits)),
                addend.eq(Cat(magnitude ^ sign.replicate(len(magnitude)), sign.replicate(c.value_bits))),
                total.value.eq(running.value + addend + sign),
                total.positive.eq(running.positive | positive | overlongs[-1]),
                total.negative.eq(running.negative | negative | overlongs[-1]),
            ]
            (result,) = vars(pipe.cut("result", **{f"sum_{k}": total.as_value()})).values()
            sums.append(result)
        m.d.comb += [
            sram.w_en.eq(self.en & valids[-1] & ~lasts[-1]),
            sram.w_addr.eq(slots[-1]),
            sram.w_data.eq(Cat(*sums)),
            self.sums.eq(Cat(*sums)),
            self.done.eq(valids[-1] & lasts[-1]),
        ]
        return m


def _shifted(m, product, fmt, name):
    """``significand << shift`` without the bits below the unit, one named level per bit of the shift, small steps first."""
    value = product.significand
    reach = 0
    for k in range(fmt.shift_bits):
        reach = min(reach + (1 << k), fmt.shift_max)
        level = Signal(fmt.significand_bits + reach, name=f"{name}_{k}")
        m.d.comb += level.eq(Mux(product.shift[k], value << (1 << k), value))
        value = level
    return value[fmt.drop :]


@dataclass(frozen=True)
class FixedToFloatConfig:
    sums: FixedAccumulatorConfig = field(metadata={"doc": "the accumulator whose sums are converted"})
    outputs: int = field(default=8, metadata={"doc": "sums a cycle"})
    least: int = field(default=-24, metadata={"doc": "exponent of the sums' unit, or of its least scale"})
    scale_bits: int = field(default=0, metadata={"doc": "bits of the scale that comes with a word of sums; 0 for none"})

    @property
    def i_layout(self):
        members = {"sums": data.ArrayLayout(self.sums.sum_layout, self.outputs)}
        return data.StructLayout({**members, "scale": self.scale_bits} if self.scale_bits else members)

    @property
    def o_layout(self):
        return data.ArrayLayout(FP32.layout, self.outputs)

    #: Register stages.
    stages = 3


class FixedToFloat(Operator):
    """``o[j] = i.sums[j] * 2**(least + i.scale)`` as FP32, rounded once to nearest even; an exact zero is +0.

    ::

        sum -> magnitude -> normalise -> round, pack -> FP32
                        s1           s2             s3

    One stands behind each output of an array, not in each PE: its rows share it. Sums are never subnormal in FP32 and
    never overflow it: they have units of ``2**-40`` or more and 64 bits or fewer.

    Members
    -------
    en : In(1), the pipeline moves
    i : In(``i_layout``)
    o : Out(outputs x FP32)

    Latency: 3 advances. Initiation interval: 1.
    Golden: ``golden.pe.fixed_sum.to_fp32``.
    """

    def elaborate(self, platform):
        m = Module()
        c = self.config
        scale = 0
        if c.scale_bits:
            scale = delayed(m, self.en, self.i.scale, 1, "scale", reset_less=True)[-1]
        for k in range(c.outputs):
            m.d.comb += self.o[k].as_value().eq(self._convert(m, self.i.sums[k], scale, k))
        return m

    def _convert(self, m, total, scale, k):
        c = self.config
        pipe = Pipeline(m, self.en, ("magnitude", "normalise", "result"))
        bits = c.sums.value_bits
        width = max(bits, FP32.fraction_bits + 3)  # room for a guard bit and a sticky bit

        def cut(point, **signals):
            names = vars(pipe.cut(point, **{f"{name}_{k}": signal for name, signal in signals.items()}))
            return {name.removesuffix(f"_{k}"): signal for name, signal in names.items()}

        sign = Signal(name=f"sign_{k}")
        magnitude = Signal(bits, name=f"magnitude_{k}")
        m.d.comb += [
            sign.eq(total.value[-1]),
            magnitude.eq((total.value.as_unsigned() ^ sign.replicate(bits)) + sign),
        ]
        s = cut("magnitude", sign=sign, magnitude=magnitude, positive=total.positive, negative=total.negative)

        zeros = leading_zeros(m, s["magnitude"], f"zeros_{k}")
        normalised = Signal(width, name=f"normalised_{k}")
        exponent = Signal(8, name=f"exponent_{k}")
        m.d.comb += [
            normalised.eq((s["magnitude"] << zeros)[:bits] << (width - bits)),
            exponent.eq(FP32.bias + c.least + bits - 1 + scale - zeros),
        ]
        kept = width - FP32.fraction_bits - 1  # bits below the fraction
        s = cut(
            "normalise",
            fraction=normalised[kept:-1],
            exponent=exponent,
            zero=~normalised[-1],
            up=normalised[kept - 1] & (normalised[: kept - 1].any() | normalised[kept]),
            sign=s["sign"],
            positive=s["positive"],
            negative=s["negative"],
        )

        rounded = Signal(31, name=f"rounded_{k}")
        packed = Signal(32, name=f"packed_{k}")
        m.d.comb += rounded.eq(Cat(s["fraction"], s["exponent"]) + s["up"])
        with m.If(s["positive"] & s["negative"]):
            m.d.comb += packed.eq(FP32.nan)
        with m.Elif(s["positive"] | s["negative"]):
            m.d.comb += packed.eq(Cat(Const(FP32.inf, 31), s["negative"]))
        with m.Elif(s["zero"]):
            m.d.comb += packed.eq(0)
        with m.Else():
            m.d.comb += packed.eq(Cat(rounded, s["sign"]))
        return cut("result", packed=packed)["packed"]


class FixedToFloatStream(StreamOperator):
    """``FixedToFloat`` between streams."""

    operator = FixedToFloat
