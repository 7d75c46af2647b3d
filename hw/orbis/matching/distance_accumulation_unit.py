# SPDX-License-Identifier: Apache-2.0
"""Distance accumulation unit (ORBIS 3.3): weighted squared distances of 4-bit tokens, exact integers.

``o[s][t] = sum over c of w[c] * (src[s][c] - dst[t][c])^2``, ``channel_lanes`` channels a cycle, folded until ``last``::

    weights --> squares' products, one table a channel --+
                                                         v
    src, dst --> |a - b| of each (src, dst, channel) --> pick --> add tree --> accumulate --> o

A *lane* is one (src, dst, channel). |a - b| has the values 0 to 14, so w * k^2 has 15; of them only the multiples of w by 9,
25, 49, 81, 121 and 169 need an adder each, the rest are shifts. Six adders a channel serve all (src, dst) pairs, and a lane
is a subtraction, a selection and an addition. Three forms of a lane, one result:

* ``table``: the selection above.
* ``multiplier``: the lane squares and multiplies by w itself; nothing is shared.
* ``word``: one weight for all channels of a word (that of its first), applied to the word's sum: a lane is left with
  subtraction, square and addition. For channels that share a scale by groups; not for channel-wise scales.

GE of a lane with 8-bit weights, 48 dst x 16 channels, own and part of what is shared (``zoetrope matching-budget``):
445 + 78 as ``table``, 659 + 61 as ``multiplier``, 140 + 111 as ``word``; with 4-bit weights 348 + 59 and 367 + 54. Half
of a ``table`` lane is the selection, a third the addition of 16 bits and more: only fewer bits make it smaller, and
``word`` has them.

Rejected:

* a^2 + b^2 - 2ab, exact in integers too: 8 multiples of w * a, shared by the dst, selected by b, 314 GE where ``table`` took
  402; but the sums of w * b^2 of all dst would be made and kept beside them.
* Bit planes of w one after the other: a lane as small as ``word``'s that takes as many cycles as w has bits.
* Multiples of sums over two channels, picked by bit planes of b: 339 GE in place of 314, for fewer words in the table.
"""

from dataclasses import dataclass, field

from amaranth import Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.stream import FullyPipelined, Pipeline, delayed

FORMS = ("table", "multiplier", "word")
CODE = signed(4)
LARGEST = 14
"""Of |a - b|."""

#: Odd k of which w * k^2 is made by an adder; of every k the product is one of these, or w, shifted.
_ODD = (1, 3, 5, 7, 9, 11, 13)


@dataclass(frozen=True)
class DistanceAccumulationUnitConfig:
    src_lanes: int = field(default=1, metadata={"doc": "src tokens at once"})
    dst_lanes: int = field(default=8, metadata={"doc": "dst tokens at once"})
    channel_lanes: int = field(default=16, metadata={"doc": "channels a cycle, of every token"})
    max_channels: int = field(default=64, metadata={"doc": "channels of a token at most; decides the width of a sum"})
    weight_bits: int = field(default=8, metadata={"doc": "of a channel's weight, unsigned"})
    form: str = field(default="table", metadata={"doc": "of a lane: table, multiplier or word"})

    def __post_init__(self):
        checks.at_least(self, 1, "src_lanes", "dst_lanes", "channel_lanes", "max_channels")
        checks.between(self, 1, 16, "weight_bits")
        checks.one_of(self, FORMS, "form")

    @property
    def lanes(self):
        return self.src_lanes * self.dst_lanes * self.channel_lanes

    @property
    def words(self):
        """Words of the longest token."""
        return -(-self.max_channels // self.channel_lanes)

    @property
    def product_bits(self):
        return (((1 << self.weight_bits) - 1) * LARGEST**2).bit_length()

    @property
    def distance_bits(self):
        """Of the largest distance: all weights at their largest, all codes at opposite ends."""
        return (((1 << self.weight_bits) - 1) * LARGEST**2 * self.max_channels).bit_length()

    @property
    def token_layout(self):
        """A word of a token."""
        return data.ArrayLayout(CODE, self.channel_lanes)

    @property
    def weights_layout(self):
        return data.ArrayLayout(self.weight_bits, self.channel_lanes)

    @property
    def i_layout(self):
        return data.StructLayout(
            {
                "src": data.ArrayLayout(self.token_layout, self.src_lanes),
                "dst": data.ArrayLayout(self.token_layout, self.dst_lanes),
                "weights": self.weights_layout,
                "last": 1,
            }
        )

    @property
    def o_layout(self):
        """``[s][t]``: of src s and dst t."""
        return data.ArrayLayout(data.ArrayLayout(self.distance_bits, self.dst_lanes), self.src_lanes)

    @property
    def shared_layout(self):
        """What a channel's table hands to its lanes: w * k^2 of the odd k; w alone where lanes multiply."""
        if self.form == "table":
            w = (1 << self.weight_bits) - 1
            return data.StructLayout({f"k{k}": (w * k * k).bit_length() for k in _ODD})
        return data.StructLayout({"k1": self.weight_bits})

    @property
    def sum_bits(self):
        """Of the sum over the channels of a word, before it is accumulated."""
        largest = LARGEST**2 * (1 if self.form == "word" else (1 << self.weight_bits) - 1)
        return (largest * self.channel_lanes).bit_length()


class WeightTable(wiring.Component):
    """The products of one channel's weight that its lanes pick from, in registers: six adders, or none. ``en``: advance."""

    def __init__(self, *, config):
        self.config = config
        super().__init__({"en": In(1), "weight": In(config.weight_bits), "o": Out(config.shared_layout)})

    def elaborate(self, platform):
        m = Module()
        w = self.weight
        products = {name: Signal(shape.shape, name=name) for name, shape in self.config.shared_layout}
        m.d.comb += products["k1"].eq(w)
        if self.config.form == "table":
            k3, k5, k7, k9, k11, k13 = (products[f"k{k}"] for k in _ODD[1:])
            m.d.comb += [
                k3.eq((w << 3) + w),
                k5.eq((w << 4) + k3),
                k9.eq((k3 << 3) + k3),
                k7.eq(k9 - (w << 5)),
                k11.eq((k3 << 3) + k7),
                k13.eq((k3 << 4) + k5),
            ]
        for name, product in products.items():
            held = Signal(product.shape(), name=f"s1_{name}", reset_less=True)
            with m.If(self.en):
                m.d.sync += held.eq(product)
            m.d.comb += self.o[name].eq(held)
        return m


class DistanceLanes(wiring.Component):
    """The lanes of one src and one dst: sum over the channels of a word. Combinational."""

    def __init__(self, *, config):
        self.config = config
        lanes = config.channel_lanes
        super().__init__(
            {
                "src": In(config.token_layout),
                "dst": In(config.token_layout),
                "shared": In(data.ArrayLayout(config.shared_layout, lanes)),
                "o": Out(config.sum_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        terms = [self._lane(m, k) for k in range(self.config.channel_lanes)]
        level = 0
        while len(terms) > 1:
            sums = []
            for k, (a, b) in enumerate(zip(terms[0::2], terms[1::2])):
                node = Signal(max(len(a), len(b)) + 1, name=f"sum_{level}_{k}")
                m.d.comb += node.eq(a + b)
                sums.append(node)
            terms = sums + terms[len(terms) & ~1 :]
            level += 1
        m.d.comb += self.o.eq(terms[0])
        return m

    def _lane(self, m, k):
        c = self.config
        difference = Signal(signed(5), name=f"difference_{k}")
        magnitude = Signal(4, name=f"magnitude_{k}")
        m.d.comb += [
            difference.eq(self.src[k] - self.dst[k]),
            magnitude.eq(Mux(difference < 0, -difference, difference)),
        ]
        if c.form == "table":
            return self._picked(m, k, magnitude)
        square = Signal(range(LARGEST**2 + 1), name=f"square_{k}")
        with m.Switch(magnitude):
            for value in range(1, LARGEST + 1):
                with m.Case(value):
                    m.d.comb += square.eq(value * value)
            # There is no difference of 15: what it would give is of no matter.
        if c.form == "word":
            return square
        product = Signal(c.product_bits, name=f"product_{k}")
        m.d.comb += product.eq(square * self.shared[k].k1)
        return product

    def _picked(self, m, k, magnitude):
        """w * magnitude^2: the product of the odd part, selected by AND and OR, then two places up for each factor 2.

        Shifted after the selection it is of 7 words; of 14, shifted before, it costs 36 GE a lane more at 8 bits.
        """
        c, shared = self.config, self.shared[k]
        value = Const(0)
        for odd in _ODD:
            chosen = Signal(name=f"is_{k}_{odd}")
            m.d.comb += chosen.eq(_any_of(magnitude, [odd << n for n in range(4) if odd << n <= LARGEST]))
            value = value | (shared[f"k{odd}"] & chosen.replicate(len(shared[f"k{odd}"])))
        twos = Signal(range(4), name=f"twos_{k}")
        for n in reversed(range(4)):
            with m.If(magnitude[n]):
                m.d.comb += twos.eq(n)
        picked = Signal(c.product_bits, name=f"picked_{k}")
        product = Signal(c.product_bits, name=f"product_{k}")
        m.d.comb += [picked.eq(value), product.eq(picked << (twos << 1))]
        return product


def _any_of(value, constants):
    found = value == constants[0]
    for constant in constants[1:]:
        found = found | (value == constant)
    return found


class DistanceAccumulator(wiring.Component):
    """The unit without its streams: a datapath that always moves, for whoever takes what comes.

    Members
    -------
    en : In(1), advance
    valid : In(1), there is a word
    i : In(``src``, ``dst``, ``weights``, ``last``)
    o_valid : Out(1), distances are there, for one cycle
    o : Out(distances)

    Latency: 3 cycles of ``en`` from the last word. Initiation interval: 1 word.
    """

    latency = 3

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "valid": In(1),
                "i": In(config.i_layout),
                "o_valid": Out(1),
                "o": Out(config.o_layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        pipe = Pipeline(m, self.en, ("operands", "sums"))
        valid = delayed(m, self.en, self.valid, 3, "valid")
        last = delayed(m, self.en, self.i.last, 3, "last", reset_less=True)

        # Stage 1: the operands, and the tables of the weights.
        shared = Signal(data.ArrayLayout(c.shared_layout, c.channel_lanes))
        for k in range(c.channel_lanes if c.form != "word" else 1):
            table = WeightTable(config=c)
            m.submodules[f"table_{k}"] = emit_once(table)
            m.d.comb += [table.en.eq(self.en), table.weight.eq(self.i.weights[k]), shared[k].eq(table.o)]
        s1 = pipe.cut("operands", src=self.i.src, dst=self.i.dst)

        # Stage 2: sums of a word.
        sums = {}
        for s in range(c.src_lanes):
            for t in range(c.dst_lanes):
                lanes = DistanceLanes(config=c)
                m.submodules[f"lanes_{s}_{t}"] = emit_once(lanes)
                m.d.comb += [lanes.src.eq(s1.src[s]), lanes.dst.eq(s1.dst[t]), lanes.shared.eq(shared)]
                sums[f"sum_{s}_{t}"] = lanes.o
        s2 = pipe.cut("sums", weight=shared[0].k1, **sums)

        # Stage 3: sums of a token; the first word of one begins anew.
        first = Signal(init=1)
        with m.If(self.en & valid[2]):
            m.d.sync += first.eq(last[2])
        m.d.comb += self.o_valid.eq(valid[3] & last[3])
        for s in range(c.src_lanes):
            for t in range(c.dst_lanes):
                held = Signal(c.distance_bits, name=f"s3_distance_{s}_{t}", reset_less=True)
                term = getattr(s2, f"sum_{s}_{t}")
                if c.form == "word":
                    weighted = Signal(c.distance_bits, name=f"weighted_{s}_{t}")
                    m.d.comb += weighted.eq(term * s2.weight)
                    term = weighted
                with m.If(self.en & valid[2]):
                    m.d.sync += held.eq(Mux(first, 0, held) + term)
                m.d.comb += self.o[s][t].eq(held)
        return m


class DistanceAccumulationUnit(FullyPipelined):
    """Weighted squared distances of ``src_lanes`` x ``dst_lanes`` pairs of tokens, ``channel_lanes`` channels a cycle.

    A token is a sequence of words of ``channel_lanes`` codes, -7 to 7 in two's complement, ended by ``last``; unused
    channels of its last word need weight 0. Code -8 is none: a distance to it has no meaning. Tokens of more than
    ``max_channels`` channels may overflow a sum, which then wraps; others cannot.

    Parameters
    ----------
    config : DistanceAccumulationUnitConfig

    Members
    -------
    i : In(stream of ``src``: src_lanes x channel_lanes codes, ``dst``: dst_lanes x channel_lanes codes, ``weights``:
        channel_lanes unsigned, ``last``)
    o : Out(stream of [src_lanes][dst_lanes] distances, ``distance_bits`` bits, one for each ``last``)

    Latency: 3 cycles from the last word. Initiation interval: 1 cycle a word. Backpressure: yes; ``i.ready`` depends on
    ``o.ready`` within a cycle.
    Golden: ``golden.orbis.matching.datm.distances``.
    """

    latency = DistanceAccumulator.latency

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(stream.Signature(config.i_layout)), "o": Out(stream.Signature(config.o_layout))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accumulator = accumulator = DistanceAccumulator(config=self.config)
        advance = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            accumulator.en.eq(advance),
            accumulator.valid.eq(self.i.valid),
            accumulator.i.eq(self.i.payload),
            self.i.ready.eq(advance),
            self.o.valid.eq(accumulator.o_valid),
            self.o.payload.eq(accumulator.o),
        ]
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": DistanceAccumulationUnitConfig(),
    "multiplier": DistanceAccumulationUnitConfig(form="multiplier"),
    "word": DistanceAccumulationUnitConfig(form="word"),
    "small": DistanceAccumulationUnitConfig(src_lanes=2, dst_lanes=3, channel_lanes=5, max_channels=13, weight_bits=3),
}
