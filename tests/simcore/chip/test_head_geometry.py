# SPDX-License-Identifier: Apache-2.0
"""The geometry of a head: the golden against counting tokens one by one, benches, wrong configs."""

import pytest
from benches import vectors

from zoetrope.golden.simcore.chip.head_geometry import head_geometry
from zoetrope.golden.simcore.geometry import Geometry, key_tiles
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.head_geometry import HeadGeometryConfig
from zoetrope.sim.model.simcore import geometry_cycles


@pytest.mark.parametrize("keys", [1, 5, 6, 100])
@pytest.mark.parametrize("geometry", [Geometry(1, 1, 1), Geometry(3, 2, 3, 7), Geometry(2, 4, 4, 13, False)])
def test_sizes_are_those_of_tokens_counted_one_by_one(geometry, keys):
    for channels in (1, 4, 5, 9):
        found = head_geometry(geometry, channels, 4, keys)
        words = len(range(0, channels, 4))
        frames = [place for place in geometry.tiles if place != geometry.tiles[geometry.text_tile or 0]]
        frame = frames[0] if geometry.text else geometry.tiles[0]
        assert found.words == words and found.tile_words == keys * words
        assert found.frame_tokens == frame.stop - frame.start and found.frame_words == found.frame_tokens * words
        assert found.video_tokens == len(range(geometry.tokens)[geometry.video])
        assert found.video_words == found.video_tokens * words and found.text_words == geometry.text * words
        assert found.matrix_words == geometry.tokens * words
        cut = key_tiles(geometry, keys)
        assert found.text_tiles == sum(key.tile == geometry.text_tile for key in cut)
        assert found.frame_tiles * geometry.frames == len(cut) - found.text_tiles


def test_it_takes_about_40_cycles():
    """30 frames of 9 x 11 tokens in one key tile each, and 12 of text; 64 channels in words of 4."""
    taken = geometry_cycles(Geometry(30, 9, 11, 12), 64, lanes=4, keys=128)
    assert taken == 1 + (1 + 4) + (1 + 5) + 4 * (1 + 5)
    # Key tiles of a token each: 12 of the text, then 99 of the frame.
    assert geometry_cycles(Geometry(30, 9, 11, 12), 64, lanes=4, keys=1) == 14 + 99 + 2


@pytest.mark.parametrize("preset", find("head_geometry").presets)
def test_rtl(preset):
    assert vectors("head_geometry", preset) > 50


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        *(({name: 0}, f"{name} must be at least 1, not 0") for name in ("keys", "max_channels", "max_frames")),
        *(({name: 0}, f"{name} must be at least 1, not 0") for name in ("max_height", "max_width", "max_text")),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        HeadGeometryConfig(**config)
