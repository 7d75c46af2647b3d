# SPDX-License-Identifier: Apache-2.0
"""The AXI4 master on its pins, against cocotbext-axi's memory; its constants."""

import re

import pytest

from zoetrope.hw.catalogue import find
from zoetrope.hw.emit import rtlil
from zoetrope.hw.verilog.sidecar import rtlil_ports
from zoetrope.sim.run.harness import simulate


def test_rtl():
    assert simulate("axi_master").vectors > 500


@pytest.mark.parametrize("preset, size", [("default", 4), ("wide", 6)])
def test_pins_and_constants(preset, size):
    config = find("axi_master").config(preset)
    text = rtlil(find("axi_master").build(preset), "axi_master")
    ports = {name: (direction, width) for name, direction, width in rtlil_ports(text, "axi_master")}
    assert ports["m_axi_wstrb"] == ("output", config.data_bits // 8)
    assert ports["m_axi_araddr"] == ("output", config.address_bits)
    body = re.search(r"^module \\axi_master\n(.*?)^end$", text, re.M | re.S)[1]
    for channel in ("ar", "aw"):
        for name, value, width in (("size", size, 3), ("burst", 1, 2), ("cache", 3, 4), ("prot", 0, 3), ("id", 0, 1)):
            assert ports[f"m_axi_{channel}{name}"] == ("output", width)
            assert re.search(rf"connect \\m_axi_{channel}{name} {width}'{value:0{width}b}$", body, re.M), (
                channel,
                name,
            )
