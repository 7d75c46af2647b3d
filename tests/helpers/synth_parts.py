# SPDX-License-Identifier: Apache-2.0
"""Small components with known hardware, for the tests of generation and synthesis."""

from dataclasses import dataclass, field

from amaranth import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.catalogue import Block
from zoetrope.hw.emit import emit_once

PAIR = data.StructLayout({"a": 11, "w": data.StructLayout({"magnitude": 7, "sign": 1})})


@dataclass(frozen=True)
class WidthConfig:
    width: int = field(default=8, metadata={"doc": "bits of the register"})


class Register(wiring.Component):
    """``o`` is ``i`` one cycle ago.

    Members
    -------
    i, o : value before
        and after the edge
    """

    latency = 1
    initiation_interval = 1

    def __init__(self, *, config):
        self.config = config
        super().__init__({"i": In(config.width), "o": Out(config.width)})

    def elaborate(self, platform):
        m = Module()
        value = Signal(self.config.width, reset_less=True)
        m.d.sync += value.eq(self.i)
        m.d.comb += self.o.eq(value)
        return m


@dataclass(frozen=True)
class ProductConfig:
    lanes: int = field(default=2, metadata={"doc": "multipliers"})


class Product(wiring.Component):
    """A registered 11 x 7 product."""

    def __init__(self, *, config):
        self.config = config
        super().__init__({"a": In(11), "w": In(7), "o": Out(18)})

    def elaborate(self, platform):
        m = Module()
        product = Signal(18, reset_less=True)
        m.d.sync += product.eq(self.a * self.w)
        m.d.comb += self.o.eq(product)
        return m


class ProductRow(wiring.Component):
    """``lanes`` products side by side, between streams: one module, ``lanes`` instances."""

    latency = 1
    initiation_interval = 1

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(PAIR, config.lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(18, config.lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        valid = Signal()
        m.d.sync += valid.eq(self.i.valid)
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(valid)]
        for k in range(self.config.lanes):
            product = Product(config=ProductConfig())
            m.submodules[f"lane_{k}"] = emit_once(product)
            m.d.comb += [
                product.a.eq(self.i.payload[k].a),
                product.w.eq(self.i.payload[k].w.magnitude),
                self.o.payload[k].eq(product.o),
            ]
        return m


@dataclass(frozen=True)
class TableConfig:
    depth: int = field(default=64, metadata={"doc": "words"})
    width: int = field(default=16, metadata={"doc": "bits a word"})


class Table(wiring.Component):
    """A memory of one write and one registered read port, a mask before its write data and a parity behind its read data."""

    def __init__(self, *, config):
        self.config = config
        address = range(config.depth)
        ports = {"w_en": In(1), "w_addr": In(address), "w_data": In(config.width), "r_addr": In(address)}
        super().__init__(ports | {"mask": In(config.width), "parity": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = memory.Memory(shape=self.config.width, depth=self.config.depth, init=[])
        write, read = array.write_port(), array.read_port()
        m.d.comb += [write.en.eq(self.w_en), write.addr.eq(self.w_addr), write.data.eq(self.w_data ^ self.mask)]
        m.d.comb += [read.addr.eq(self.r_addr), self.parity.eq(read.data.xor())]
        return m


REGISTER = Block("register", Register, configs={"default": WidthConfig(), "wide": WidthConfig(width=16)})
PRODUCT_ROW = Block("product_row", ProductRow, configs={"default": ProductConfig(), "four": ProductConfig(lanes=4)})
TABLE = Block("store", Table, configs={"default": TableConfig(), "small": TableConfig(depth=8, width=4)})

BLOCKS = {block.name: block for block in (REGISTER, PRODUCT_ROW, TABLE)}
