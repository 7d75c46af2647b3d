# SPDX-License-Identifier: Apache-2.0
"""AXI4 master of both directions under the standard pin names: a reader and a writer that know nothing of each other."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from zoetrope.hw.axi.axi_bursts import (
    PRESETS,  # noqa: F401  one config, one set of presets
    AxiConfig,
)
from zoetrope.hw.axi.axi_reader import AxiReader
from zoetrope.hw.axi.axi_writer import AxiWriter
from zoetrope.hw.axi.channels import connect_read, connect_write, master_pins
from zoetrope.hw.emit import emit_once

__all__ = ["AxiConfig", "AxiMaster"]

_READER = ("i_command", "o_data", "o_status")
_WRITER = ("i_command", "i_data", "o_status")


class AxiMaster(wiring.Component):
    """``AxiReader`` and ``AxiWriter`` on one bus, with the constants of ``hw.axi.channels`` on the pins that nothing drives.

    Reads and writes are not ordered with each other: what a command wrote is there for one that is given after its status.

    Parameters
    ----------
    config : AxiConfig

    Members
    -------
    i_read_command, o_read_data, o_read_status : the reader's streams
    i_write_command, i_write_data, o_write_status : the writer's
    m_axi_awaddr and so on : the pins of AXI4, ID one bit wide

    Latency, initiation interval and errors: those of the two.
    Golden: ``golden.axi.axi_reader.read``, ``golden.axi.axi_writer.write``.
    """

    def __init__(self, *, config):
        self.config = config
        self._reader = AxiReader(config=config)
        self._writer = AxiWriter(config=config)
        members = {}
        for part, names, infix in ((self._reader, _READER, "read"), (self._writer, _WRITER, "write")):
            for name in names:
                members[_outer(name, infix)] = part.signature.members[name]
        super().__init__(members | master_pins("m_axi", config.address_bits, config.data_bits))

    @property
    def initiation_interval(self):
        """Cycles a word, of the reader and for a memory that answers at once."""
        return self._reader.initiation_interval

    def elaborate(self, platform):
        m = Module()
        reader, writer = self._reader, self._writer
        m.submodules.reader = emit_once(reader)
        m.submodules.writer = emit_once(writer)
        for part, names, infix in ((reader, _READER, "read"), (writer, _WRITER, "write")):
            for name in names:
                connect(m, flipped(getattr(self, _outer(name, infix))), getattr(part, name))
        connect_read(m, self, "m_axi", reader.o_ar, reader.i_r)
        connect_write(m, self, "m_axi", writer.o_aw, writer.o_w, writer.i_b)
        return m


def _outer(name, infix):
    direction, _, rest = name.partition("_")
    return f"{direction}_{infix}_{rest}"
