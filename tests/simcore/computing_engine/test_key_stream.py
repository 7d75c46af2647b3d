# SPDX-License-Identifier: Apache-2.0
"""The key stream: benches, a key tile that waits, its neighbours' streams, wrong configs."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.computing_engine.key_stream import KeyStream, KeyStreamConfig
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnit, QuantizationUnitConfig
from zoetrope.sim.packing import integer
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.tokens import finite, of_memory


@pytest.mark.parametrize("preset", find("key_stream").presets)
def test_rtl(preset):
    assert vectors("key_stream", preset) > 100


def test_a_key_tile_is_taken_while_nobody_takes_it():
    config = find("key_stream").config("wide")
    native = Native.build(KeyStream(config=config), "key_stream")
    keys = finite(np.random.default_rng(3), config.max_tokens, config.max_channels)
    native.set("head", integer(config.head_layout, channels=config.max_channels, words=config.max_words))
    native.streams({"i_data": of_memory(keys, config.lanes)}, {})
    got, *_ = native.streams({}, {"o": config.queue.depth})
    found = np.ascontiguousarray(got["o"]).view("<u2").reshape(config.max_tokens, -1)
    np.testing.assert_array_equal(found[:, : config.max_channels], keys)


def test_its_streams_join_its_neighbours():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    unit = KeyStream(config=KeyStreamConfig(codes=True))
    quantize = QuantizationUnit(config=QuantizationUnitConfig())
    assert unit.o_encode.payload.shape() == quantize.i.payload.shape()
    assert unit.i_codes.payload.shape() == quantize.o.payload.shape()


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be a power of two, not 0"),
        ({"load_lanes": 24}, "load_lanes must be a power of two of at least 8, not 24"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"codes": 2}, "codes must be one of False, True, not 2"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        KeyStreamConfig(**config)
