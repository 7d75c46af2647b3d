# SPDX-License-Identifier: Apache-2.0
"""What the tests of the PEs share: all products of an FP16 and an INT8 code, and tiles of many lengths and classes."""

import functools

import numpy as np

from zoetrope.golden.formats import FP16, FP17, FP32, canonical_nan, int8_decode, to_float64
from zoetrope.golden.pe.lut_multiplier import lut_multiplier
from zoetrope.sim.run.native import Native

#: Words and lanes of a PE under test: 256 weights in 32 words of 8.
WORDS = 32


def all_products(component, name):
    """2^24 sums of one product, as binary32 codes (65536, 256), and the cycles they took."""
    x = np.arange(1 << 16, dtype=np.uint16)
    w = np.tile(np.arange(256, dtype=np.uint8).reshape(WORDS, 8), (len(x), 1))
    native = Native.build(component, name)
    native.reset()
    rows, _, cycles = native.streams(
        {"i_x": (x.astype(np.uint32) | 1 << 16), "i_w": w}, {"o": len(w)}, max_cycles=3_000_000
    )
    return rows["o"].reshape(-1, 4).view(np.uint32).reshape(1 << 16, 256), cycles


@functools.cache
def expected_products(reading):
    """The same from ``golden.pe.lut_multiplier`` (``odd16``, ``byte128``), or by a float32 multiplication (``exact``)."""
    x, w = np.arange(1 << 16, dtype=np.uint16)[:, None], np.arange(256, dtype=np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        if reading == "exact":  # 18 bits fit a float32
            products = to_float64(x, FP16).astype(np.float32) * int8_decode(w).astype(np.float32)
        else:
            products = to_float64(lut_multiplier(x, w, reading), FP17)
        return canonical_nan((products + 0.0).astype(np.float32).view(np.uint32), FP32)  # +0 + -0 is +0


def check_mixed_tiles(component, name, golden, lengths):
    """Tiles of these numbers of operands, one after the other, infinities and NaN among them, through a single PE."""
    rng = np.random.default_rng(5)
    c = component.config
    x = [rng.integers(0, 1 << 16, length, dtype=np.uint16) for length in lengths]  # one code in 32 is special
    w = [rng.integers(0, 256, (length, c.words * c.lanes), dtype=np.uint8) for length in lengths]
    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    native = Native.build(component, name)
    rows, _, _ = native.streams(
        {"i_x": np.concatenate(x).astype(np.uint32) | last << 16, "i_w": np.concatenate(w).reshape(-1, c.lanes)},
        {"o": len(lengths) * c.words},
    )
    got = rows["o"].reshape(-1, 4).view(np.uint32).reshape(len(lengths), -1)
    np.testing.assert_array_equal(got, np.stack([golden(*tile) for tile in zip(x, w)]))
    assert native.get("overflow") == (max(lengths) > c.max_operands)
