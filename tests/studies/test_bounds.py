# SPDX-License-Identifier: Apache-2.0
"""Every published error bound, tried where numbers are small, middling and large, and on the exact cases that break one.

A bound that was only ever held against standard normal data may forget a subnormal unit, a product that is rounded, or
additions that all round the same way. The bounds of ``exp`` are held over all operands in ``test_exp.py``.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from zoetrope.golden import reference
from zoetrope.golden.formats import FP16, FP32, fp16, fp32, int8_encode, to_float64
from zoetrope.golden.pe.aligned_pe import aligned_pe, error_bound
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.simcore.chip.simcore import FP16_ONLY, Settings, simcore
from zoetrope.golden.simcore.geometry import Geometry, key_tiles
from zoetrope.golden.simcore.quantization_engine.quantization_unit import channel_amax, dequantize, quantize
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_distance
from zoetrope.golden.softmax import sfu, tile_merge_unit
from zoetrope.sim.studies.softmax_accuracy import errors

#: Below the least normal FP16 number, about 1, and just below the largest.
SCALES = (1e-5, 1.0, 6e4)

#: To which random numbers are cut: A stays finite.
FP16_LARGEST = 65000.0

GEOMETRIES = [Geometry(1, 1, 1), Geometry(2, 2, 3, text=2), Geometry(2, 5, 7)]


def numbers(rng, shape, scale):
    """Random ``float16`` of a scale, none infinite."""
    return np.clip(rng.standard_normal(shape) * scale, -FP16_LARGEST, FP16_LARGEST).astype(np.float16)


def check_dense(q, k, v, geometry, keys):
    """The error of dense attention over its bound, at most."""
    tiles = key_tiles(geometry, keys)
    longest = max(place.stop - place.start for place, _ in tiles)
    a, bound = reference.attention_bound(q, k, v, len(tiles), longest)
    found = simcore(q, k, v, geometry, replace(FP16_ONLY, keys=keys)).a.astype(np.float64)
    assert np.isfinite(found).all()
    assert (np.abs(found - a) <= bound).all()
    return np.abs(found - a) / bound


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("d", [1, 2, 16])
def test_dense_attention_of_all_scales(geometry, d):
    rng = np.random.default_rng(d)
    closest = 0.0
    for scales in itertools.product(SCALES, repeat=3):
        tensors = [numbers(rng, (geometry.tokens, d), scale) for scale in scales]
        for keys in (None, 4):
            closest = max(closest, check_dense(*tensors, geometry, keys).max())
    assert closest > 0.2 or geometry.tokens == 1  # and it is no empty promise


@pytest.mark.parametrize("v", [[2.0**-24, 0], [2.0**-24, -(2.0**-24)], [3 * 2.0**-24, 0], [2.0**-14, 2.0**-24]])
def test_half_of_the_least_number_is_in_the_bound(v):
    """Two equal keys: A is the mean of their values, which FP16 has not; 2^-25 off in place of 2.9e-11 and no more."""
    zero, v = np.zeros((2, 1), np.float16), np.array(v, np.float16)[:, None]
    check_dense(zero, zero, v, Geometry(1, 1, 2), None)


def test_scores_that_their_own_rounding_decides():
    """Three channels of which the sum depends on its order: the other key is chosen, and its value is another."""
    q = np.full((2, 3), 60000, np.float16)
    k = np.array([[60000, 0.002, -60000], [0.001, 0, 0]], np.float16)
    v = np.array([[0, 0, 0], [1, 1, 1]], np.float16)
    assert (check_dense(q, k, v, Geometry(1, 1, 2), None) > 0.4).all()  # A is 1, in exact numbers 0


def test_a_is_finite_below_the_stated_share_of_the_largest_number():
    """All values alike, and weights of which most round up: A comes as near to infinity as it can."""
    for tokens, d in ((60, 1), (400, 1)):
        geometry = Geometry(1, 1, tokens)
        share = 2.0**-10 + (3 * tokens + 8) * 2.0**-24
        largest = np.nextafter(np.float16(65504 * (1 - share)), np.float16(0))
        q, v = np.ones((tokens, d), np.float16), np.full((tokens, d), largest)
        for offset in (-9, -7.3, -4.1, -2, -0.7, 0):
            k = np.full((tokens, d), offset, np.float16)
            k[0] = 0
            for settings in (FP16_ONLY, Settings(sparsify=False, speculate_p=False, p_a=0.0, rows=tokens)):
                found = simcore(q, k, v, geometry, settings).a
                assert np.isfinite(found).all() and (found > 0.99 * largest).all()


@pytest.mark.parametrize("spread, size", [*itertools.product(SCALES, repeat=2)])
@pytest.mark.parametrize("scale", [0.125, -1 / 3])
def test_merged_tiles_of_all_scales(spread, size, scale):
    rng = np.random.default_rng(3)
    rows, tiles, tokens, channels = 4, 5, 40, 3
    scores, factor = fp32(spread * rng.standard_normal((rows, tiles * tokens))), fp32(np.array([scale]))
    v = numbers(rng, (tiles * tokens, channels), size).view(np.uint16)
    e, maxima, sums = sfu.tile(scores.reshape(rows, tiles, tokens).transpose(1, 0, 2).reshape(-1, tokens), factor)
    values = fp16_pe(e.reshape(tiles, rows, tokens), v.reshape(tiles, 1, tokens, channels))
    got = tile_merge_unit.tile_merge_unit(maxima.reshape(tiles, rows), sums.reshape(tiles, rows), values)
    a, magnitudes = reference.tile_merge_unit(scores, v, factor)
    off = 3 * 2.0**-24 * np.abs(to_float64(scores, FP32) * scale).max(axis=1)
    bound = reference.merged_bound(a, magnitudes, to_float64(v, FP16), off, tiles, tokens)
    assert (np.abs(to_float64(got, FP16) - a) <= bound).all()


@pytest.mark.parametrize("n", [1, 2, 26, 1350, 17550])
def test_softmax_of_rows_whose_additions_round_the_same_way(n):
    """One maximum and n - 1 equal scores below it: in 17,550 elements 1 / s is 263 ulp off, not 8."""
    largest = 0.0
    for below in (0, 1e-5, 0.01, 0.5, 1, 3, 7.3, 8.7, 17.2):
        scores = np.full((1, n), -float(below))
        scores[0, 0] = 0
        found = errors(fp32(scores))
        check_softmax(found, reference.sfu_bounds(n))
        largest = max(largest, found["reciprocal"])
    assert (largest > 100) == (n == 17550)


@pytest.mark.parametrize("spread", [*SCALES, 60.0])
@pytest.mark.parametrize("scale", [None, 0.125, 1 / np.sqrt(128), -1 / 3, 3e-5])
def test_softmax_of_all_scales(spread, scale):
    rng = np.random.default_rng(5)
    for n, lanes, running in ((1, 4, 3), (26, 4, 3), (1350, 4, 3), (1350, 1, 1)):
        scores = fp32(spread * rng.standard_normal((10, n)))
        factor = None if scale is None else fp32(np.array([scale]))
        largest = 0.0 if scale is None else np.abs(to_float64(scores, FP32) * scale).max()
        found = errors(scores, factor, lanes=lanes, running=running)
        check_softmax(found, reference.sfu_bounds(n, lanes, running, largest))


def check_softmax(found, bounds):
    of_e, of_p, of_s = bounds
    assert found["e max"] <= of_e and found["max"] <= of_p and found["reciprocal"] <= of_s


@pytest.mark.parametrize("scale", [*SCALES, 2.0**-24])
@pytest.mark.parametrize("bits", [12, 16, 41])
def test_aligned_operands_of_all_scales(scale, bits):
    rng = np.random.default_rng(bits)
    x = numbers(rng, (50, 33), scale)
    x[:10] = np.where(rng.random((10, 33)) < 0.5, np.float16(2.0**-24), x[:10])
    w = int8_encode(rng.integers(-127, 128, (50, 33, 4)))
    codes = x.view(np.uint16)
    error = np.abs(to_float64(aligned_pe(codes, w, bits), FP32) - reference.outer_product(codes, w))
    assert (error <= error_bound(codes, w, bits)).all()


@pytest.mark.parametrize("scale", [*SCALES, 2.0**-24, 0.0])
def test_quantized_values_of_all_scales(scale):
    x = numbers(np.random.default_rng(6), (500, 20), scale)
    codes, scales = quantize(x)
    error = np.abs(dequantize(codes, scales).astype(np.float64) - x)
    amax = channel_amax(x).astype(np.float64)
    assert (error <= amax * (1 / 254 + 2.0**-23)).all()
    assert scale in (0.0, 2.0**-24) or (error > amax / 256).any()


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e4, 2.0**-24])
@pytest.mark.parametrize("d", [1, 64])
def test_squared_distances_of_all_scales(scale, d):
    rng = np.random.default_rng(d)
    x, y = (fp16(numbers(rng, (300, d), scale)) for _ in range(2))
    ideal = reference.squared_distance(x, y)
    assert (np.abs(to_float64(squared_distance(x, y), FP32) - ideal) <= 2.0**-10 * 1.01 * ideal).all()
