# SPDX-License-Identifier: Apache-2.0
"""Small components with known switching, for the tests of power; their benches are ``tb_inverted`` and ``tb_store``."""

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from synth_parts import WidthConfig

from zoetrope.hw.catalogue import Block
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig


class Inverted(wiring.Component):
    """``o`` is ``~i``, one cycle later: ``width`` inverters, ``width + 1`` flip-flops."""

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(stream.Signature(config.width)), "o": Out(stream.Signature(config.width))})

    def elaborate(self, platform):
        m = Module()
        value = Signal(self.config.width, reset_less=True)
        valid = Signal(reset_less=True)
        m.d.sync += [value.eq(~self.i.payload), valid.eq(self.i.valid)]
        m.d.comb += [self.o.payload.eq(value), self.o.valid.eq(valid), self.i.ready.eq(1)]
        return m


class Store(wiring.Component):
    """Writes ``data`` at ``address`` where ``write``, else reads, and shows what was read one cycle later."""

    def __init__(self, *, config):
        self.config = config
        request = data.StructLayout({"data": 16, "address": 7, "write": 1})
        super().__init__({"i": In(stream.Signature(request)), "o": Out(stream.Signature(16))})

    def elaborate(self, platform):
        m = Module()
        memory = Sram(config=SramConfig(depth=128, width=16))
        m.submodules.sram = emit_once(memory)
        valid = Signal(reset_less=True)
        i = self.i.payload
        m.d.sync += valid.eq(self.i.valid & ~i.write)
        m.d.comb += [
            memory.w_en.eq(self.i.valid & i.write),
            memory.w_addr.eq(i.address),
            memory.w_data.eq(i.data),
            memory.r_en[0].eq(self.i.valid & ~i.write),
            memory.r_addr[0].eq(i.address),
            self.o.payload.eq(memory.r_data[0]),
            self.o.valid.eq(valid),
            self.i.ready.eq(1),
        ]
        return m


INVERTED = Block("inverted", Inverted, configs={"default": WidthConfig(width=4)})
STORE = Block("store", Store, configs={"default": WidthConfig()})

#: Rows for ``Inverted``, each of which changes every bit.
ROWS = np.array([0, 15] * 17, np.uint8)[:33, None]
