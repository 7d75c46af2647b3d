# SPDX-License-Identifier: Apache-2.0
"""The transposing operand buffer: its golden by hand, benches, sizes that no power of two divides, large matrices."""

import numpy as np
import pytest

from zoetrope.golden.memory.transpose_buffer import load_words, transpose_buffer
from zoetrope.hw.catalogue import find
from zoetrope.hw.memory.transpose_buffer import TransposeBufferConfig
from zoetrope.sim.run.harness import simulate


def test_words_by_hand():
    matrix = np.arange(6).reshape(3, 2)  # K = 3, two outputs
    assert load_words(matrix, 2).tolist() == [[0, 2], [4, 0], [1, 3], [5, 0]]
    assert load_words(matrix, 2, straight=True).tolist() == [[0, 1], [2, 3], [4, 5]]
    found = transpose_buffer(matrix, 3)
    assert found.values.tolist() == [[[0, 1, 0]], [[2, 3, 0]], [[4, 5, 0]]]
    assert found.kept.tolist() == [[True, True, False]]


def test_mask_packs_columns_in_order():
    matrix = np.arange(12).reshape(2, 6)
    found = transpose_buffer(matrix, 2, np.array([1, 0, 0, 1, 1, 0], bool))
    assert found.values.tolist() == [[[0, 3], [4, 0]], [[6, 9], [10, 0]]]
    assert transpose_buffer(matrix, 2, np.zeros(6, bool)).values.shape == (2, 0, 2)


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match="matrix must be"):
        load_words(np.zeros((0, 3)), 2)


@pytest.mark.parametrize("preset", find("transpose_buffer").presets)
def test_rtl(preset):
    report = simulate("transpose_buffer", preset)
    assert report.vectors > 1000
    assert (report.latency, report.interval) == (4, 1)


@pytest.mark.parametrize(
    "config",
    [
        TransposeBufferConfig(
            columns=3, lanes=8, max_operands=10, max_outputs=17, max_rows=21, max_channels=13
        ),  # four words side by side in twelve banks
    ],
    ids=["wide"],
)
def test_rtl_of_other_shapes(config):
    assert config.banks == 12
    simulate("transpose_buffer", config=config)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"columns": 0}, "columns must be at least 1, not 0"),
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"max_operands": 0}, "max_operands must be at least 1, not 0"),
        ({"max_outputs": 0}, "max_outputs must be at least 1, not 0"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"tag_bits": 0}, "tag_bits must be at least 1, not 0"),
        ({"max_rows": 3}, "max_rows and max_channels must both be 0 or both at least 1, not 3 and 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        TransposeBufferConfig(**config)
