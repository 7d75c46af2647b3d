"""All products of an FP16 and an INT8 code through a PE, and what they must be: for the exhaustive tests of the PEs."""

import functools

import numpy as np

from golden.formats import FP16, FP17, FP32, canonical_nan, int8_decode, to_float64
from golden.lut_multiplier import lut_multiplier
from sim.native import Native

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
    """The same from ``golden.lut_multiplier`` (``odd16``, ``byte128``), or by a float32 multiplication (``exact``)."""
    x, w = np.arange(1 << 16, dtype=np.uint16)[:, None], np.arange(256, dtype=np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        if reading == "exact":  # 18 bits fit a float32
            products = to_float64(x, FP16).astype(np.float32) * int8_decode(w).astype(np.float32)
        else:
            products = to_float64(lut_multiplier(x, w, reading), FP17)
        return canonical_nan((products + 0.0).astype(np.float32).view(np.uint32), FP32)  # +0 + -0 is +0
