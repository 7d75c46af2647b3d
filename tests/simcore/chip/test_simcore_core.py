# SPDX-License-Identifier: Apache-2.0
"""SIMCORE's core: benches; its parts' configs follow from its own."""

import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.simcore_config import SimcoreConfig


@pytest.mark.parametrize("preset", find("simcore_core").small_presets)
def test_rtl(preset):
    assert vectors("simcore_core", preset) > 60


@pytest.mark.parametrize("preset", find("simcore").presets)
def test_a_machine_is_a_core_and_a_bus(preset):
    machine = find("simcore").config(preset)
    core = machine.core
    assert SimcoreConfig.of(core, burst=machine.burst, outstanding=machine.outstanding) == machine
    assert machine.axi.command_layout == core.axi.command_layout and machine.axi.data_layout == core.axi.data_layout
    assert machine.writer.place_layout == core.fetcher.place_layout


@pytest.mark.parametrize("preset", find("simcore").presets)
def test_parts_agree_on_what_they_tell_each_other(preset):
    c = find("simcore").config(preset).core
    assert c.schedule.block_layout == c.fetcher.block_layout
    assert c.schedule.buffer == c.prediction.buffer
    assert c.schedule.consumer_layout("values") == c.values.task_layout
    assert c.schedule.tile_layout == c.scores.tile_layout
    for array in ("fp16", "lut"):
        feeder = c.feeder(array)
        assert c.schedule.consumer_layout(f"scores_{array}") == feeder.scores_layout
        assert c.schedule.consumer_layout(f"products_{array}") == feeder.products_layout
        assert (feeder.q_address, feeder.v_address) == (c.fetcher.address_layout, c.values.address_layout)
        assert (feeder.e_address, feeder.slice_layout) == (c.scores.e_address, c.scores.slice_layout)
    assert set(c.prologue.sizes_layout.members) <= set(c.geometry.o_layout.members)
