# SPDX-License-Identifier: Apache-2.0
"""Proofs of control by induction, with nothing but the Yosys that is installed: its SAT solver and ``tempinduct``.

A property is an ``Assert`` of ``amaranth.hdl`` over the ports of a component, whose inputs are free in every cycle. It is
proved for all time: in the first cycles after power-on, and, given that it held for ``depth`` cycles from any state,
reachable or not, in the next. Reset is free as well.
"""

import tempfile
from operator import attrgetter
from pathlib import Path

from amaranth import Elaboratable, Module, Signal, Value
from amaranth.back import rtlil
from amaranth.hdl import Assert
from amaranth.lib import wiring

from zoetrope.hw import emit
from zoetrope.hw.errors import ToolError

_SCRIPT = """
read_rtlil design.il
hierarchy -top top
proc
flatten
opt -full
memory_map
async2sync
chformal -lower
dffunmap
opt_clean
sat -verify -tempinduct -prove-asserts -set-assumes -seq 1 -maxsteps {depth}
"""


class _Bench(Elaboratable):
    """``component`` with free inputs, and the properties that ``claim(m, component)`` adds."""

    def __init__(self, component, claim):
        self.component, self.claim = component, claim
        members = component.signature.flatten(component)
        self.inputs = {path: Value.cast(value) for path, member, value in members if member.flow == wiring.In}
        self.free = [Signal(v.shape(), name="free_" + "__".join(map(str, p))) for p, v in self.inputs.items()]

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = self.component
        m.d.comb += [value.eq(free) for value, free in zip(self.inputs.values(), self.free)]
        self.claim(m, self.component)
        return m


def stable(*streams):
    """The claim that output streams, of the component or of its parts, keep ``valid`` and payload until the transfer."""

    def claim(m, component):
        for name in streams:
            port, name = attrgetter(name)(component), name.replace(".", "_")
            payload = Value.cast(port.payload)
            stalled = Signal(name=f"{name}_stalled")
            before = Signal(payload.shape(), name=f"{name}_before", reset_less=True)
            m.d.sync += [stalled.eq(port.valid & ~port.ready), before.eq(payload)]
            with m.If(stalled):
                m.d.comb += [Assert(port.valid), Assert(payload == before)]

    return claim


def holds(component, claim, depth=1):
    """Whether what ``claim`` asserts of ``component`` can be proved with ``depth`` cycles of induction."""
    bench = _Bench(component, claim)
    text = rtlil.convert(bench, ports=bench.free, name="top", emit_src=False)
    assert "$check" in text, "the claim asserts nothing"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "design.il").write_text(text)
        try:
            emit.yosys(_SCRIPT.format(depth=depth), folder)
        except ToolError as error:
            if "proof did fail" in str(error):
                return False
            raise
    return True
