# SPDX-License-Identifier: Apache-2.0
"""Rows in words, element by element."""

import numpy as np
import pytest

from zoetrope.golden.memory.words import words


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_words_element_by_element(d, dtype):
    rows = np.random.default_rng(d).integers(256, size=(5, d)).astype(dtype)
    found = words(rows, 8)
    assert found.shape == (5, -(-d // 8), 8) and found.dtype == dtype
    for r in range(5):
        for k in range(found.shape[1] * 8):
            assert found[r, k // 8, k % 8] == (rows[r, k] if k < d else 0)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="rows must be unsigned codes"):
        words(np.zeros((2, 2)), 4)
    with pytest.raises(ValueError, match="lanes must be at least 1, not 0"):
        words(np.zeros((2, 2), np.uint16), 0)
