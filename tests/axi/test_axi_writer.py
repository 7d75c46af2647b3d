# SPDX-License-Identifier: Apache-2.0
"""The AXI4 writer: benches, thousands of commands through the RTL under stalls of every stream, the memory after them."""

import numpy as np
import pytest
from benches import vectors
from stalls import spells

from zoetrope.hw.axi.axi_writer import AxiConfig, AxiWriter
from zoetrope.hw.catalogue import find
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.axi import ARENA, Write, apply, random_commands, split_w, w_rows


@pytest.mark.parametrize("preset", find("axi_writer").presets)
def test_rtl(preset):
    assert vectors("axi_writer", preset) > 500


def test_many_commands_through_the_rtl():
    """No byte outside of the commands' ranges, all inside exactly once, whatever stalls and whatever the packets are."""
    c = AxiConfig(data_bits=32, granularity=1, burst=8, outstanding=3)
    rng = np.random.default_rng(5)
    base = (1 << c.address_bits) - ARENA
    native = Native.build(AxiWriter(config=c), "axi_writer")
    for stalled in range(5):
        misframed = 0.2 if stalled % 2 else 0.0
        traffic = Write(c, rng, random_commands(rng, c, base, 1000), base, failing=0.05, misframed=misframed)
        native.reset()
        sinks, sources = ("o_aw", "o_w", "o_status"), ("i_command", "i_data", "i_b")
        slow = [(), sinks, sources, sinks + sources, ("o_aw",)][stalled]
        got, *_ = native.streams(
            {name: getattr(traffic, name) for name in sources},
            {name: len(getattr(traffic, name)) for name in sinks},
            stalls={name: spells(rng) for name in sinks if name in slow},
            gaps={name: spells(rng) for name in sources if name in slow},
        )
        np.testing.assert_array_equal(got["o_aw"], traffic.o_aw)
        np.testing.assert_array_equal(w_rows(*split_w(c, got["o_w"])), traffic.o_w)
        np.testing.assert_array_equal(got["o_status"].ravel(), traffic.o_status)
        np.testing.assert_array_equal(apply(c, traffic.memory, base, traffic.bursts, got["o_w"]), traffic.after)
