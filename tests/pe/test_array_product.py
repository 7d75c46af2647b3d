# SPDX-License-Identifier: Apache-2.0
"""Sums over whole matrices against the PEs' goldens, code by code."""

import numpy as np
import pytest

from zoetrope.golden.formats import FP16, is_finite
from zoetrope.golden.pe.array_product import fp_fp, fp_int
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.pe.lut_pe import lut_pe

RNG = np.random.default_rng(0xA88A)


def finite(*shape):
    """Any finite code, so most of them far from 1: subnormals, zeros of both signs and the largest are among them."""
    codes = RNG.integers(0, 1 << 16, shape).astype(np.uint16)
    codes = np.where(is_finite(codes, FP16), codes, codes & 0x83FF)
    codes.flat[: min(6, codes.size)] = [0, 0x8000, 1, 0x8001, 0x7BFF, 0xFBFF][: codes.size]
    return codes


@pytest.mark.parametrize(
    "rows, k, columns", [(1, 1, 1), (2, 1, 5), (17, 33, 9), (3, 128, 4), (1, 1350, 2), (150, 2, 1000)]
)
def test_sums_are_those_of_the_pes(rows, k, columns):
    x, w, codes = finite(rows, k), finite(k, columns), RNG.integers(0, 256, (k, columns)).astype(np.uint8)
    np.testing.assert_array_equal(fp_fp(x, w), fp16_pe(x, w))
    np.testing.assert_array_equal(fp_int(x, codes), lut_pe(x, codes))


def test_every_product_of_the_lut_multiplier():
    """One term a sum: all finite FP16 times all INT8 codes; a zero loses its sign in a sum from +0."""
    x = np.arange(1 << 16, dtype=np.uint16)
    x = x[is_finite(x, FP16)]
    w = np.arange(256, dtype=np.uint8)
    sums = fp_int(x[:, None], w[None])
    for start in range(0, len(x), 8192):
        part = slice(start, start + 8192)
        np.testing.assert_array_equal(sums[part], lut_pe(x[part, None], w[None]))


@pytest.mark.parametrize("wrong", [0x7C00, 0xFC00, 0x7E00])
def test_what_is_not_finite_is_refused(wrong):
    x, w = finite(2, 3), finite(3, 2)
    bad = x.copy()
    bad[1, 1] = wrong
    for call in (lambda: fp_fp(bad, w), lambda: fp_int(bad, w.astype(np.uint8)), lambda: fp_fp(w, bad)):
        with pytest.raises(ValueError, match="NaN or an infinity"):
            call()


@pytest.mark.parametrize("x, w", [((2, 3), (2, 3)), ((2, 0), (0, 3)), ((3,), (3, 2))])
def test_shapes_that_do_not_fit(x, w):
    with pytest.raises(ValueError, match="must be"):
        fp_fp(np.zeros(x, np.uint16), np.zeros(w, np.uint16))
