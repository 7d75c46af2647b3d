# SPDX-License-Identifier: Apache-2.0
"""The value buffer: benches, its neighbours' streams, wrong configs."""

import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.computing_engine.value_buffer import ValueBuffer, ValueBufferConfig
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnit, QuantizationUnitConfig


@pytest.mark.parametrize("preset", find("value_buffer").presets)
def test_rtl(preset):
    assert vectors("value_buffer", preset) > 100


def test_its_streams_join_its_neighbours():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    unit, quantize = ValueBuffer(config=ValueBufferConfig()), QuantizationUnit(config=QuantizationUnitConfig())
    assert unit.o_encode.payload.shape() == quantize.i.payload.shape()
    assert unit.i_codes.payload.shape() == quantize.o.payload.shape()


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"load_lanes": 4}, "load_lanes must be a power of two of at least 8, not 4: a word of operands is made of"),
        ({"tiles": 1}, "tiles must be a power of two of at least 2, not 1"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"matrix_words": 0}, "matrix_words must be at least 1, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ValueBufferConfig(**config)
