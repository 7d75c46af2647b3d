# SPDX-License-Identifier: Apache-2.0
"""The one boundary behind which every memory larger than a register file sits.

An FPGA flow infers block or distributed RAM from it, an ASIC flow replaces the module by a macro of the same name and
ports, a simulator keeps an array. Bank bits of ping-pong buffers are address bits: one memory, not two and a multiplexer.
"""

from dataclasses import dataclass, field

from amaranth import Module
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class SramConfig:
    depth: int = field(metadata={"doc": "words"})
    width: int = field(metadata={"doc": "bits a word"})
    granularity: int = field(default=0, metadata={"doc": "bits a write-enable bit covers; 0 for whole words"})
    read_ports: int = field(default=1, metadata={"doc": "read ports, beside the one write port"})

    def __post_init__(self):
        checks.at_least(self, 1, "depth", "width", "read_ports")
        if self.granularity and self.width % self.granularity:
            raise ValueError(f"granularity {self.granularity} does not divide width {self.width}")

    @property
    def lanes(self):
        return self.width // self.granularity if self.granularity else 1

    @property
    def address_bits(self):
        return max(1, ceil_log2(self.depth))


class Sram(FullyPipelined):
    """``depth`` words of ``width`` bits, one write port, ``read_ports`` synchronous read ports.

    A read that meets a write of the same word in one cycle has no defined result: nothing here relies on one, so that any
    macro will do. Contents are undefined until written.

    Members
    -------
    w_en : In(lanes), one write-enable bit per ``granularity`` bits
    w_addr, w_data : In
    r_en, r_addr : In, one each per read port
    r_data : Out per read port, one cycle after ``r_en``, held until the next ``r_en``

    Latency: 1 cycle. Initiation interval: 1.
    """

    latency = 1

    def __init__(self, *, config):
        self.config = config
        ports = config.read_ports
        super().__init__(
            {
                "w_en": In(config.lanes),
                "w_addr": In(config.address_bits),
                "w_data": In(config.width),
                "r_en": In(1).array(ports),
                "r_addr": In(config.address_bits).array(ports),
                "r_data": Out(config.width).array(ports),
            }
        )

    @property
    def module_name(self):
        c = self.config
        lanes = f"_w{c.granularity}" if c.granularity else ""
        return f"sram_{c.depth}x{c.width}{lanes}_{c.read_ports}r"

    def elaborate(self, platform):
        m = Module()
        c = self.config
        depth = max(2, c.depth)  # a memory of one word would have an address of no bits
        m.submodules.array = array = memory.Memory(shape=c.width, depth=depth, init=[])
        write = array.write_port(granularity=c.granularity or None)
        m.d.comb += [write.en.eq(self.w_en), write.addr.eq(self.w_addr), write.data.eq(self.w_data)]
        for k in range(c.read_ports):
            read = array.read_port()
            m.d.comb += [read.en.eq(self.r_en[k]), read.addr.eq(self.r_addr[k]), self.r_data[k].eq(read.data)]
        return m
