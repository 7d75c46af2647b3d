# SPDX-License-Identifier: Apache-2.0
"""The AXI4 reader: benches, thousands of commands through the RTL under stalls of every stream."""

import numpy as np
import pytest
from benches import vectors
from stalls import spells

from zoetrope.hw.axi.axi_reader import AxiConfig, AxiReader
from zoetrope.hw.catalogue import find
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.axi import ARENA, Read, random_commands


@pytest.mark.parametrize("preset", find("axi_reader").presets)
def test_rtl(preset):
    assert vectors("axi_reader", preset) > 500


def test_many_commands_through_the_rtl():
    c = AxiConfig(data_bits=32, granularity=1, burst=8, outstanding=3)
    rng = np.random.default_rng(3)
    base = (1 << c.address_bits) - ARENA
    native = Native.build(AxiReader(config=c), "axi_reader")
    for stalled in range(5):
        traffic = Read(c, rng, random_commands(rng, c, base, 1500), base, failing=0.02)
        native.reset()
        sinks, sources = ("o_ar", "o_data", "o_status"), ("i_command", "i_r")
        slow = [(), sinks, sources, sinks + sources, ("o_status",)][stalled]
        got, *_ = native.streams(
            {name: getattr(traffic, name) for name in sources},
            {name: len(getattr(traffic, name)) for name in sinks},
            stalls={name: spells(rng) for name in sinks if name in slow},
            gaps={name: spells(rng) for name in sources if name in slow},
        )
        for name in sinks:
            expected = getattr(traffic, name)
            np.testing.assert_array_equal(got[name].reshape(len(expected), -1), expected.reshape(len(expected), -1))
