# SPDX-License-Identifier: Apache-2.0
"""Scale unit (SIMPICKER III-B): the channel scales of K and V applied, ``lanes`` channels a cycle.

``o[t, c] = i[t, c] * scale[c]``, the exact product rounded once, one multiplication a channel and token::

    i_scale --> scales of two heads
                       |
    i ----------------> x --> o

* FP16 values fold K's scales into Q, once per head: Q K^T contracts over channels, so K's scale is no factor of the sum,
  and with q' = q * scale the sums of q' times K's codes are those wanted.
* FP32 values apply V's scales to the sums of P times V's codes, of which they are a factor.

The paper does not say where either happens. Eight lanes are 31.2 kGE for FP16 values: a multiplier of 11 x 24 bits in 3
stages is 3,690, as one of FP32 is 7,090 without a register. Rejected:

* The multiplication of its element-wise units, FP16 by FP16: a scale rounded to 11 bits is off by up to 2^-12 in every
  product of its channel, and below 2^-14, amax 0.0078, by much more.
* A fold in the quantization unit: it reads K while this reads Q.
* FP16 values through FP32 multipliers: rounded twice, and 24 x 24 bits for 11 x 24.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32, Float
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined, delayed, operator


@dataclass(frozen=True)
class ScaleUnitConfig:
    lanes: int = field(default=8, metadata={"doc": "channels a cycle"})
    max_channels: int = field(default=128, metadata={"doc": "channels of the widest token, d"})
    values: Float = field(default=FP16, metadata={"doc": "format of values and results: FP16 (Q) or FP32 (sums)"})
    stages: int = field(default=3, metadata={"doc": "register stages of the multipliers"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes", "max_channels")
        if self.values not in (FP16, FP32):
            raise ValueError(f"values must be FP16 or FP32, not {self.values.name}")
        _ = self.multiply

    @property
    def multiply(self):
        factor = FP32 if self.values == FP16 else None
        return FloatMultiplyConfig(operand=self.values, product=self.values, factor=factor, stages=self.stages)

    @property
    def words(self):
        """Words of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def second(self):
        """Address of the first word of the second head's scales: the bank is the highest bit."""
        return 1 << ceil_log2(self.words)

    @property
    def layout(self):
        return data.ArrayLayout(self.values.layout, self.lanes)


class ScaleUnit(FullyPipelined):
    """Values times the scales of their channels; the scales of the next head come while those of this one are in use.

    ``i_scale`` takes one scale a cycle in the order of channels, the last one marked: their number is d, and a token is
    ceil(d / lanes) words of ``i``. The scales serve all tokens up to the one whose last word has ``end``; then those of the
    next head do. ``i`` waits until the scales of its head are complete, ``i_scale`` while two heads' are.

    IEEE 754 with subnormals and one NaN: NaN and infinities of a value stay what they are, a product beyond the largest
    number is an infinity. ``not_finite`` says that such a result left.

    Parameters
    ----------
    config : ScaleUnitConfig

    Members
    -------
    i_scale : In(stream of ``scale``: FP32, ``last``: of a head)
    i : In(stream of ``values``: lanes x FP16 or FP32, ``end``: of a head; it counts with the last word of a token)
    o : Out(stream of ``values``, ``last``: of a token, ``end``: of a head); results beyond d are +0
    not_finite : Out(1), a result was NaN or infinite; until ``clear``
    too_long : Out(1), more scales than ``words`` words hold came, and were dropped; until ``clear``
    clear : In(1), takes both flags down

    Latency: 1 + ``stages`` cycles. Initiation interval: 1, from head to head too. Backpressure: yes.
    Errors: as above; never a hang.
    Memory: two heads of ``words`` of lanes x 32 bits.
    Golden: ``golden.simcore.computing_engine.scale_unit.scale_unit``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_scale": In(stream.Signature(data.StructLayout({"scale": FP32.layout, "last": 1}))),
                "i": In(stream.Signature(data.StructLayout({"values": config.layout, "end": 1}))),
                "o": Out(stream.Signature(data.StructLayout({"values": config.layout, "last": 1, "end": 1}))),
                "not_finite": Out(1),
                "too_long": Out(1),
                "clear": In(1),
            }
        )

    @property
    def latency(self):
        return 1 + self.config.stages

    def elaborate(self, platform):
        m = Module()
        c = self.config
        sram = Sram(config=SramConfig(depth=c.second + c.words, width=c.lanes * 32, granularity=32))
        m.submodules.sram = emit_once(sram)
        full = Signal(2)
        # Of each head that is held: its last word, and how many scales that has.
        last_index = [Signal(range(c.words), name=f"last_index_{bank}", reset_less=True) for bank in range(2)]
        last_count = [Signal(range(c.lanes + 1), name=f"last_count_{bank}", reset_less=True) for bank in range(2)]
        self._load(m, sram, full, last_index, last_count)
        self._multiply(m, sram, full, last_index, last_count)
        return m

    def _load(self, m, sram, full, last_index, last_count):
        c = self.config
        bank = Signal(name="load_bank")
        index = Signal(range(c.words + 1), name="load_index")
        lane = Signal(range(c.lanes), name="load_lane")
        beyond = Signal(name="load_beyond")
        taken = Signal(name="load_taken")
        last = self.i_scale.payload.last
        m.d.comb += [
            beyond.eq(index == c.words),
            self.i_scale.ready.eq(~full.bit_select(bank, 1)),
            taken.eq(self.i_scale.valid & self.i_scale.ready),
            sram.w_en.eq((taken & ~beyond) << lane),
            sram.w_addr.eq(index + Mux(bank, c.second, 0)),
            sram.w_data.eq(self.i_scale.payload.scale.as_value().replicate(c.lanes)),
        ]
        with m.If(taken):
            with m.If(last):
                m.d.sync += [bank.eq(~bank), index.eq(0), lane.eq(0)]
            with m.Elif(lane == c.lanes - 1):
                m.d.sync += [index.eq(Mux(beyond, index, index + 1)), lane.eq(0)]
            with m.Else():
                m.d.sync += lane.eq(lane + 1)
        for k in range(2):
            with m.If(taken & last & (bank == k)):
                m.d.sync += [
                    full[k].eq(1),
                    last_index[k].eq(Mux(beyond, c.words - 1, index)),
                    last_count[k].eq(Mux(beyond, c.lanes, lane + 1)),
                ]
        sticky(m, self.too_long, taken & beyond, self.clear)

    def _multiply(self, m, sram, full, last_index, last_count):
        c = self.config
        i, o = self.i.payload, self.o.payload
        advance = Signal()
        taken = Signal(name="s0_taken")
        bank = Signal(name="s0_bank")
        index = Signal(range(c.words), name="s0_index")
        last = Signal(name="s0_last")
        end = Signal(name="s0_end")
        count = Signal(range(c.lanes + 1), name="s0_count")
        m.d.comb += [
            self.i.ready.eq(advance & full.bit_select(bank, 1)),
            taken.eq(self.i.valid & self.i.ready),
            last.eq(index == Mux(bank, last_index[1], last_index[0])),
            end.eq(last & i.end),
            count.eq(Mux(last, Mux(bank, last_count[1], last_count[0]), c.lanes)),
            sram.r_en[0].eq(advance),
            sram.r_addr[0].eq(index + Mux(bank, c.second, 0)),
        ]
        with m.If(taken):
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), bank.eq(bank ^ end)]
        for k in range(2):
            with m.If(taken & end & (bank == k)):
                m.d.sync += full[k].eq(0)

        valid = delayed(m, advance, taken, self.latency, "valid")[-1]
        m.d.comb += [self.o.valid.eq(valid), advance.eq(~valid | self.o.ready)]
        beside = {"last": last, "end": end, "count": count}
        late = {
            name: delayed(m, advance, signal, self.latency, f"late_{name}", reset_less=True)[-1]
            for name, signal in beside.items()
        }
        m.d.comb += [o.last.eq(late["last"]), o.end.eq(late["end"])]
        special = []
        for k in range(c.lanes):
            multiply = operator(m, f"multiply_{k}", FloatMultiply, c.multiply, advance)
            value = i.values[k].as_value()
            m.d.comb += [
                multiply.i.a.eq(delayed(m, advance, value, 1, f"s1_value_{k}", reset_less=True)[-1]),
                multiply.i.b.eq(sram.r_data[0].word_select(k, 32)),
                o.values[k].eq(multiply.o.as_value() & (late["count"] > k).replicate(c.values.width)),
            ]
            special.append(o.values[k].exponent == c.values.exponent_max)
        sticky(m, self.not_finite, valid & self.o.ready & Cat(*special).any(), self.clear)


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ScaleUnitConfig(),
    "sums": ScaleUnitConfig(lanes=3, max_channels=7, values=FP32, stages=0),
}
