# SPDX-License-Identifier: Apache-2.0
"""The LUT buffer: the table that it generates after reset, and how it is read."""

import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.lut_buffer import LutBufferConfig


@pytest.mark.parametrize("preset", find("lut_buffer").presets)
def test_rtl(preset):
    config = find("lut_buffer").config(preset)
    assert vectors("lut_buffer", preset) > 1024 * config.beats


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="copy_width must be a power of two from 1 to 64, not 48"):
        LutBufferConfig(copy_width=48)
