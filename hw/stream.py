# SPDX-License-Identifier: Apache-2.0
"""Streams and fixed-latency datapaths: pipeline cuts under a shared advance, and a stream around such a datapath."""

from types import SimpleNamespace

from amaranth import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.emit import emit_once


def connect(m, source, sink):
    """Join stream ``source`` to stream ``sink``; ``TypeError`` when their payload layouts differ.

    ``amaranth.lib.wiring.connect`` compares widths only: an FP16 stream would silently join any other 16-bit stream.
    """
    if source.payload.shape() != sink.payload.shape():
        raise TypeError(f"cannot join a stream of {source.payload.shape()!r} to one of {sink.payload.shape()!r}")
    m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]


class Pipeline:
    """Registers at chosen points of a datapath, all of which move together when ``en`` is high.

    ``cut("align", a=x, b=y)`` returns a namespace of the same signals, behind a register stage if ``"align"`` is among
    ``cuts`` and as they are otherwise, so that one description serves every number of stages. Registers are named
    ``s1_a``, ``s1_b``, ``s2_...`` by stage and have no reset: the valid bit that travels beside them has one.
    """

    def __init__(self, m, en, cuts):
        self._m, self._en, self._cuts = m, en, cuts
        self.stage = 0

    def registers(self, point):
        """Whether ``cut(point, ...)`` puts a register there."""
        return point in self._cuts

    def cut(self, point, **signals):
        if point not in self._cuts:
            return SimpleNamespace(**signals)
        self.stage += 1
        registers = {}
        for name, signal in signals.items():
            shape = signal.shape() if hasattr(signal, "shape") else Value.cast(signal).shape()
            registers[name] = Signal(shape, name=f"s{self.stage}_{name}", reset_less=True)
            with self._m.If(self._en):
                self._m.d.sync += registers[name].eq(signal)
        return SimpleNamespace(**registers)


def delayed(m, en, signal, cycles, name, reset_less=False):
    """``signal`` now and after 1, 2, ... ``cycles`` advances, as a list. Valid bits need the reset, payloads do not."""
    line = [signal]
    for k in range(1, cycles + 1):
        register = Signal(signal.shape(), name=f"{name}_{k}", reset_less=reset_less)
        with m.If(en):
            m.d.sync += register.eq(line[-1])
        line.append(register)
    return line


def register(m, shape, payload, valid, ready, name):
    """A register of ``shape`` behind a stream's ``payload``, ``valid`` and ``ready`` (driven here).

    It is refilled in the cycle in which it is emptied.

    Returns a namespace of its ``payload``, ``valid`` and ``ready``, the last to be driven by what takes from it.
    """
    held = SimpleNamespace(
        payload=Signal(shape, name=f"{name}_payload", reset_less=True),
        valid=Signal(name=f"{name}_valid"),
        ready=Signal(name=f"{name}_ready"),
    )
    m.d.comb += ready.eq(~held.valid | held.ready)
    with m.If(ready):
        m.d.sync += held.valid.eq(valid)
        with m.If(valid):
            m.d.sync += held.payload.eq(payload)
    return held


class FullyPipelined(wiring.Component):
    """A component that takes a transfer every cycle while nothing holds it up: its initiation interval is 1.

    A subclass says what else there is to say: ``latency``, in cycles, and how often its streams move where that differs.
    """

    initiation_interval = 1


class Operator(FullyPipelined):
    """A datapath of fixed latency that moves when ``en`` is high: ``o`` is what ``i`` was ``latency`` advances before.

    Its config has the layouts of both, ``i_layout`` and ``o_layout``, and ``stages``, the latency.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__({"en": In(1), "i": In(config.i_layout), "o": Out(config.o_layout)})

    @property
    def latency(self):
        return self.config.stages


def operator(m, name, kind, config, en=1):
    """The operator ``kind`` of ``config`` as submodule ``name`` of ``m``, which moves when ``en`` is high."""
    component = kind(config=config)
    m.submodules[name] = emit_once(component)
    m.d.comb += component.en.eq(en)
    return component


def check_stages(stages, deepest):
    """``ValueError`` unless an operator has that number of register stages."""
    if stages not in range(deepest + 1):
        raise ValueError(f"stages must be 0 to {deepest}, not {stages!r}")


def check_parts(config, *names):
    """Make the configs of a unit's operators, properties of ``config``; a ``ValueError`` says whose stages are refused."""
    for name in names:
        try:
            getattr(config, name)
        except ValueError as error:
            raise ValueError(f"{name}_{error}") from None


class StreamOperator(FullyPipelined):
    """A stream around an ``Operator``: one result a cycle, in order, held while the sink stalls.

    A subclass names the class of the operator.

    Members
    -------
    i : In(stream), operands, as the operator takes them
    o : Out(stream), results, in the order of the operands

    Latency: the operator's. Initiation interval: 1. Backpressure: yes; ``i.ready`` depends on ``o.ready`` within a cycle.
    A skid buffer would cut that path at the price of a second copy of the payload registers.
    """

    operator = None

    def __init__(self, *, config):
        self.config = config
        self._operator = self.operator(config=config)
        super().__init__(
            {
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    @property
    def latency(self):
        return self._operator.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.operator = operator = self._operator
        advance = Signal()
        valid = delayed(m, advance, self.i.valid, self.latency, "valid")[-1]
        m.d.comb += [
            advance.eq(~valid | self.o.ready),
            operator.en.eq(advance),
            operator.i.eq(self.i.payload),
            self.o.payload.eq(operator.o),
            self.o.valid.eq(valid),
            # Without a register the operand leaves in the cycle in which it came, or waits.
            self.i.ready.eq(advance if self.latency else self.o.ready),
        ]
        return m
