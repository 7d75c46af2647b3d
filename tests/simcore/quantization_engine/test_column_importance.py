# SPDX-License-Identifier: Apache-2.0
"""Importance of A's columns: benches, what does not fit refused by name. Its golden is tested with the prediction unit's."""

import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.quantization_engine.column_importance import ColumnImportanceConfig
from zoetrope.sim.model.quantization_engine import tile_cycles


@pytest.mark.parametrize("preset", find("column_importance").presets)
def test_rtl(preset):
    assert vectors("column_importance", preset) > 50


def test_a_tile_is_its_rows_and_its_products():
    assert tile_cycles(16, 1350, 64, lanes=4, v_lanes=4, add_stages=3) == 15 * 338 + 9 + 3 + 1349 * 16


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"v_lanes": 6}, "v_lanes must be a power of two, not 6"),
        ({"max_columns": 0}, "max_columns must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"max_rows": 0}, "max_rows must be at least 1, not 0"),
        ({"p_bits": 0}, "p_bits must be 1 to 16, not 0"),
        ({"add_stages": 7}, "stages must be 0 to 6, not 7"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ColumnImportanceConfig(**config)
