# SPDX-License-Identifier: Apache-2.0
"""The slice generator: every entry of the product table, for both readings and widths from 1 to a whole slice."""

import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.slice_generator import SliceGeneratorConfig


@pytest.mark.parametrize("preset", find("slice_generator").presets)
def test_rtl(preset):
    config = find("slice_generator").config(preset)
    assert vectors("slice_generator", preset) > 1024 * config.beats


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="copy_width must be a power of two from 1 to 64, not 48"):
        SliceGeneratorConfig(copy_width=48)
