# SPDX-License-Identifier: Apache-2.0
"""Patterns of stalls for the native driver."""

import numpy as np


def spells(rng):
    """A pattern of stalls: spells of 1 to 40 cycles, and of 1 to 20 without."""
    lengths = rng.integers(1, np.tile([41, 21], 40))
    return np.repeat(np.tile([True, False], 40), lengths)
