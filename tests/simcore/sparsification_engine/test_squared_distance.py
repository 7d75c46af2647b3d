# SPDX-License-Identifier: Apache-2.0
"""The parts of a distance: every square, and sums of every kind, equal to those of FP32."""

import numpy as np
import pytest

from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.formats import FP16, FP32, to_float64
from zoetrope.hw.simcore.sparsification_engine.squared_distance import Square, SquareConfig, Sum, SumConfig
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native


def fp32_of(codes):
    """FP30 codes as FP32 ones, by value."""
    codes = np.asarray(codes, np.int64)
    exponent, fraction = codes >> 23, codes & 0x7FFFFF
    value = np.where(exponent == 0, fraction, (1 << 23) + fraction) * 2.0 ** (np.maximum(exponent, 1) - 49)
    value = np.where(exponent == 127, np.where(fraction == 0, np.inf, np.nan), value)
    return value.astype(np.float32).view(np.uint32) | np.where(np.isnan(value), np.uint32(FP32.nan), np.uint32(0))


def played(component, name, latency, **inputs):
    native = Native.build(component, name)
    native.set("en", 1)
    inputs = {port: np.concatenate([x, np.repeat(x[:1], latency + 1, axis=0)]) for port, x in inputs.items()}
    shown = native.play(inputs, ["o"])["o"]
    return shown.view("<u4").ravel()[latency:]


def test_every_square():
    stages = 2
    codes = np.arange(1 << 16, dtype=np.uint16)
    got = played(Square(config=SquareConfig(stages=stages)), "square", stages, i=codes)
    np.testing.assert_array_equal(fp32_of(got[: len(codes)]), float_multiply(codes, codes, FP16, FP32))


def test_sums():
    """Random codes, close exponents, subnormal and special ones, and sums that are ties."""
    stages, rng = 4, np.random.default_rng(2)
    count = 200_000
    a = rng.integers(0, 90 << 23, count)
    b = np.clip(a + (rng.integers(-30, 31, count) << 23), 0, 90 << 23) ^ rng.integers(0, 1 << 23, count)
    b = np.where(rng.random(count) < 0.3, b & ~((1 << rng.integers(1, 23, count)) - 1), b)
    a = np.where(rng.random(count) < 0.2, rng.integers(0, 3 << 23, count), a)
    special = np.array([0, 1, 1 << 23, 127 << 23, 127 << 23 | 1 << 22, 90 << 23])
    a, b = (np.where(rng.random(count) < 0.1, rng.choice(special, count), x).astype(np.uint32) for x in (a, b))
    got = played(Sum(config=SumConfig(stages=stages)), "sum", stages, i=pack(a, b, widths=[30, 30]))
    np.testing.assert_array_equal(fp32_of(got[:count]), float_add(fp32_of(a), fp32_of(b)))


def test_every_value_is_one_of_fp32():
    rng = np.random.default_rng(1)
    codes = np.concatenate([np.arange(1 << 12), rng.integers(0, 100 << 23, 10_000)])
    values = to_float64(fp32_of(codes), FP32)
    np.testing.assert_array_equal(np.argsort(values[:4096], kind="stable"), np.arange(4096))
    assert np.all(
        values
        == np.where(codes >> 23, (1 << 23) + (codes & 0x7FFFFF), codes) * 2.0 ** (np.maximum(codes >> 23, 1) - 49)
    )


@pytest.mark.parametrize(
    "config, stages, message",
    [(SquareConfig, 3, "stages must be 0 to 2, not 3"), (SumConfig, -1, "stages must be 0 to 4, not -1")],
)
def test_impossible_configs_are_refused_by_name(config, stages, message):
    with pytest.raises(ValueError, match=message):
        config(stages=stages)
