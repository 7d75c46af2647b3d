# SPDX-License-Identifier: Apache-2.0
"""The score path: the golden's steps, benches, wrong configs."""

from dataclasses import replace

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.formats import fp32
from zoetrope.golden.simcore.chip.score_path import score_path
from zoetrope.golden.simcore.chip.simcore import Settings, important_columns
from zoetrope.golden.softmax.sfu import tile
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.score_path import ScorePathConfig

CONFIG = ScorePathConfig()


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_it_is_steps_5_and_6_of_the_flow(rows):
    rng = np.random.default_rng(rows)
    scores, v = fp32(4 * rng.standard_normal((rows, 13))), rng.standard_normal((13, 9)).astype(np.float16)
    scale = fp32(np.array([1 / 3]))[0]
    found = score_path(scores, scale, v.view(np.uint16), 0.4, t=8)
    e, maximum, total = tile(scores, scale)
    for got, want in zip(found, (e, maximum, total)):
        np.testing.assert_array_equal(got, want)
    flow = important_columns(e, np.array([rows]), v.view(np.uint16), Settings(rows=8, p_a=0.4))
    np.testing.assert_array_equal(found.mask, flow[0])
    assert score_path(scores, scale, v.view(np.uint16), None, t=8).mask.all()


@pytest.mark.parametrize("preset", find("score_path").presets)
def test_rtl(preset):
    assert vectors("score_path", preset) > 300


@pytest.mark.parametrize(
    "config, message",
    [
        ({"slices": 3}, "slices must be a power of two of at least 2, not 3"),
        ({"tiles": 1}, "tiles must be a power of two of at least 2, not 1"),
        ({"v_lanes": 32}, "v_lanes must be a power of two from 1 to 16, not 32: a word of V is read in parts"),
        ({"sfu": replace(CONFIG.sfu, tiles=False)}, "sfu must have tiles, and lanes that divide load_lanes"),
        ({"sfu": replace(CONFIG.sfu, max_row=100)}, "max_row of sfu must be at least 128, a key tile, not 100"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ScorePathConfig(**config)
