"""The outer-product PE: one FP16 operand meets D words of INT8 operands, ``lanes`` products a cycle, FP32 sums over k.

::

    i_x --> operand bank ---------------+
                                        v
    i_w --------------------> lanes x multiplier --> lanes x FP32 accumulator (D words) --> o

What the PEs of Zoetrope share is here: ports, slots, stalls and sums. They differ in their operand bank: how an FP16
operand is held and how a word of weights becomes products.
"""

from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.emit import emit_once
from hw.formats import FP16, FP17, FP32, INT8
from hw.simcore.accumulator import Accumulator, AccumulatorConfig
from hw.stream import delayed

#: An operand of i_x: x[k], and whether k is the last of its sum.
X = data.StructLayout({"value": FP16.layout, "last": 1})


@dataclass(frozen=True)
class OuterProductConfig:
    lanes: int = field(default=8, metadata={"doc": "multipliers that share one FP16 operand"})
    words: int = field(default=16, metadata={"doc": "D, words of INT8 operands that one FP16 operand meets"})
    add_stages: int = field(default=3, metadata={"doc": "register stages of the FP32 adders, 0 to 5"})
    product_stages: int = field(default=1, metadata={"doc": "register stages of the multipliers, 1 or 2"})

    def __post_init__(self):
        if self.product_stages not in (1, 2):
            raise ValueError(f"product_stages must be 1 or 2, not {self.product_stages!r}")
        _ = self.accumulator

    @property
    def accumulator(self):
        return AccumulatorConfig(product=FP17, lanes=self.lanes, words=self.words, add_stages=self.add_stages)

    @property
    def copy_cycles(self):
        """C, the least time between two operands that their preparation takes; 0 where there is none."""
        return 0

    @property
    def operand_interval(self):
        """Cycles from an operand to the next while nothing outside stalls: ``max(D, A, C)``.

        A is the accumulator's turnaround, C the copy of a slice. Where it exceeds D the difference is lost in stalls.
        """
        return max(self.words, self.accumulator.turnaround, self.copy_cycles)


class OperandBank(wiring.Component):
    """What a subclass of ``OuterProductPE`` supplies: holds operands and multiplies words of weights by the current one.

    Members
    -------
    i_x : In(stream of X)
    loaded : Out(1), the current operand is ready to be multiplied
    last : Out(1), the current operand ends its sum
    pending : Out(1), an operand was taken and is not loaded yet
    release : In(1), the last word of the current operand is taken in this cycle
    en : In(1), the pipeline moves
    w : In(lanes x INT8), taken when ``en``
    products : Out(lanes x FP17), ``product_stages`` advances after ``w``
    """

    def __init__(self, *, config, ports=None):
        self.config = config
        super().__init__(
            {
                "i_x": In(stream.Signature(X)),
                "loaded": Out(1),
                "last": Out(1),
                "pending": Out(1),
                "release": In(1),
                "en": In(1),
                "w": In(data.ArrayLayout(INT8, config.lanes)),
                "products": Out(data.ArrayLayout(FP17.layout, config.lanes)),
                **(ports or {}),
            }
        )


class OuterProductPE(wiring.Component):
    """``o[d * lanes + l] = sum over k of x[k] * w[k][d * lanes + l]``, in FP32, in the order of k, from +0.

    Members
    -------
    i_x : In(stream of X), FP16 ``value`` x[k] and ``last`` (k is the last of its sum)
    i_w : In(stream of lanes x INT8), for each operand D words: word d holds w[k][d * lanes : (d + 1) * lanes]
    o : Out(stream of lanes x FP32), D words for each operand that is ``last``
    stalls : Out(32), cycles since reset in which a word waited and the output was free, an operand had been taken, and
        the PE could not multiply it yet

    Latency: ``product_stages + add_stages`` cycles from a word of the last operand to its sums.
    Initiation interval: 1 cycle a word, ``max(D, A, C)`` an operand (``OuterProductConfig.operand_interval``).
    Backpressure: yes; ``i_w.ready`` depends on ``o.ready`` within a cycle.

    Stalls of K operands, one after the other and nothing outside stalling: ``startup + (K - 1) * (max(D, A, C) - D)``.
    """

    def __init__(self, *, config, ports=None):
        self.config = config
        super().__init__(
            {
                "i_x": In(stream.Signature(X)),
                "i_w": In(stream.Signature(data.ArrayLayout(INT8, config.lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(FP32.layout, config.lanes))),
                "stalls": Out(32),
                **(ports or {}),
            }
        )

    @property
    def latency(self):
        return self.config.product_stages + self.config.add_stages

    @property
    def initiation_interval(self):
        return 1

    @property
    def startup_stalls(self):
        """Stalls of the first operand, which has nothing to hide behind."""
        raise NotImplementedError

    def expected_stalls(self, operands):
        """The formula above, for ``operands`` operands (K)."""
        c = self.config
        return self.startup_stalls + (operands - 1) * (c.operand_interval - c.words)

    def bank(self, m):
        """Build the operand bank and return it."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        c = self.config
        bank = self.bank(m)
        accumulator = Accumulator(config=c.accumulator)
        m.submodules.accumulator = emit_once(accumulator)

        # A slot a cycle: D words of the current operand, then empty slots until their sums can be read again.
        slots = max(c.words, c.accumulator.turnaround)
        slot = Signal(range(max(2, slots)))
        advance, empty, issue, release, first = Signal(), Signal(), Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            advance.eq(~accumulator.done | self.o.ready),
            empty.eq(slot >= c.words),
            issue.eq(advance & ~empty & bank.loaded & self.i_w.valid),
            release.eq(issue & (slot == c.words - 1)),
            self.i_w.ready.eq(advance & ~empty & bank.loaded),
        ]
        with m.If(issue | (advance & empty)):
            m.d.sync += slot.eq(Mux(slot == slots - 1, 0, slot + 1))
        with m.If(release):
            m.d.sync += first.eq(bank.last)

        m.d.comb += [
            bank.i_x.payload.eq(self.i_x.payload),
            bank.i_x.valid.eq(self.i_x.valid),
            self.i_x.ready.eq(bank.i_x.ready),
            bank.release.eq(release),
            bank.en.eq(advance),
            bank.w.eq(self.i_w.payload),
        ]

        # The accumulator is told of a word one advance before its products arrive.
        ahead = c.product_stages - 1
        control = ((issue, "valid"), (slot, "slot"), (first, "first"), (bank.last, "last"))
        for signal, name in control:
            port = getattr(accumulator, name)
            line = delayed(m, advance, signal, ahead, f"ahead_{name}", reset_less=name != "valid")
            m.d.comb += port.eq(line[-1])
        m.d.comb += [
            accumulator.en.eq(advance),
            accumulator.products.eq(bank.products),
            self.o.payload.eq(accumulator.sums),
            self.o.valid.eq(accumulator.done),
        ]

        waits = self.i_w.valid & advance & ~issue & (bank.loaded | bank.pending)
        with m.If(waits):
            m.d.sync += self.stalls.eq(self.stalls + 1)
        return m
