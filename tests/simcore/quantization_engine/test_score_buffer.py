# SPDX-License-Identifier: Apache-2.0
"""The score buffer: golden by hand, benches, what does not fit refused by name."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.simcore.quantization_engine.score_buffer import check, read
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.quantization_engine.score_buffer import ScoreBufferConfig


def test_what_is_not_known_is_important():
    map = np.array([[1, 0, 0], [0, 0, 0]], bool)
    written = np.array([True, False])
    lines, bits = read(map, written, [0, 0, 1, 2, 0], [1, 0, 2, 0, 3])
    assert lines.astype(int).tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 0, 0]]
    assert bits.astype(int).tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("preset", find("score_buffer").presets)
def test_rtl(preset):
    assert vectors("score_buffer", preset) > 30


@pytest.mark.parametrize("rows, columns", [(33, 32), (32, 33), (0, 1), (1, 0)])
def test_more_tiles_than_it_holds_are_refused_by_name(rows, columns):
    message = f"the score buffer holds 32 x 32 tiles, not {rows} x {columns}"
    with pytest.raises(ValueError, match=message):
        ScoreBufferConfig().check(rows, columns)
    with pytest.raises(ValueError, match=message):
        check(rows, columns, 32, 32)
    ScoreBufferConfig().check(32, 1)


@pytest.mark.parametrize("name", ["rows", "columns"])
def test_impossible_configs_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        ScoreBufferConfig(**{name: 0})
