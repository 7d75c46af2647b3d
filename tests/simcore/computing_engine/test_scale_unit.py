# SPDX-License-Identifier: Apache-2.0
"""The scale unit: the golden against exact rationals, benches, every FP16 value by many scales through the RTL."""

from fractions import Fraction

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden import formats
from zoetrope.golden.formats import FP32, fp32
from zoetrope.golden.simcore.computing_engine.scale_unit import apply_value_scales, fold_key_scales, scale_unit
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize, scales_of
from zoetrope.hw.catalogue import find
from zoetrope.hw.formats import FP17 as HW_FP17
from zoetrope.hw.simcore.computing_engine.scale_unit import ScaleUnit, ScaleUnitConfig
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnit, QuantizationUnitConfig
from zoetrope.sim.benches.simcore.computing_engine.tb_scale_unit import expected, sent
from zoetrope.sim.input.clips import from_clip
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import random_codes

CONFIG = ScaleUnitConfig(max_channels=16)
TINY, LARGEST, NORMAL = 2.0**-24, 65504.0, 2.0**-14


def exact(value) -> Fraction:
    return Fraction(float(value))


def nearest(value: Fraction, fmt: formats.Float) -> Fraction:
    """``value`` >= 0 rounded to ``fmt``, ties to even, subnormals kept; no overflow."""
    if value == 0:
        return value
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > value
    ulp = Fraction(2) ** (max(exponent, 1 - fmt.bias) - fmt.fraction_bits)
    return round(value / ulp) * ulp


def bits(x):
    return np.asarray(x).view(np.uint32 if np.asarray(x).dtype == np.float32 else np.uint16).tolist()


def half(rng, shape, low=-24, high=15):
    """Finite FP16 over the whole range of exponents, both signs."""
    return (rng.uniform(-1, 1, shape) * 2.0 ** rng.uniform(low, high, shape)).astype(np.float16)


@pytest.mark.parametrize("amax", [TINY, 2.0**-10, 0.3, 4.6, 127.0, LARGEST])
def test_fold_rounds_the_exact_product_once(amax):
    rng = np.random.default_rng([5, int(amax * 2**24)])
    scales = scales_of(np.full(33, amax, np.float16))
    q = half(rng, (40, 33), -20, 6)
    got = fold_key_scales(q, scales)
    assert got.dtype == np.float16 and got.shape == q.shape
    for t, c in np.ndindex(q.shape):
        want = nearest(abs(exact(q[t, c])) * exact(scales[c]), formats.FP16)
        assert exact(abs(got[t, c])) == want
        assert np.signbit(got[t, c]) == np.signbit(q[t, c])


def test_fold_does_not_round_through_fp32():
    """Products one unit of 35 bits beside an FP16 tie: FP32 would round them onto it."""
    found = 0
    for m in range(1025, 2048, 2):
        for beside in (1, -1):
            scale = ((1 << 23) + beside) * pow(m, -1, 1 << 24) % (1 << 24)
            if scale < 1 << 23 or (m * scale).bit_length() != 35:
                continue
            got = fold_key_scales(np.array([[m]], np.float16), np.array([scale * 2.0**-24], np.float32))
            assert exact(got[0, 0]) == nearest(Fraction(m * scale, 1 << 24), formats.FP16)
            found += 1
    assert found > 200


def test_fold_overflow_underflow_nan_and_dead_channel():
    big = np.array([np.float32(LARGEST) / np.float32(127)], np.float32)
    assert bits(fold_key_scales(np.array([[200.0], [-200.0], [np.inf], [-np.nan]], np.float16), big)) == [
        [0x7C00],
        [0xFC00],
        [0x7C00],
        [0x7E00],
    ]
    small = scales_of(np.array([TINY], np.float16))
    assert bits(fold_key_scales(np.array([[1.0], [-1.0]], np.float16), small)) == [[0], [0x8000]]
    q = half(np.random.default_rng(6), (5, 1))
    assert bits(fold_key_scales(q, scales_of(np.array([0], np.float16)))) == bits(q)


def test_fold_costs_far_less_than_quantization_on_real_tokens():
    """The figures that fold_key_scales quotes, and why it carries no exponent."""
    tensors = from_clip()
    q, k = (x.reshape(-1, 64) for x in (tensors.q, tensors.k))
    for shrink, share in ((1, 1.2e-4), (256, 1.4e-4)):
        small = (k.astype(np.float64) / shrink).astype(np.float16)
        codes, scales = quantize(small)
        m, wide = formats.int8_decode(codes).astype(np.float64), q.astype(np.float64)
        true, ideal = wide @ small.T.astype(np.float64), (wide * scales) @ m.T
        folded = fold_key_scales(q, scales)
        got = folded.astype(np.float64) @ m.T
        quantized, fold = (float(np.sqrt(np.mean(e * e) / np.mean(true * true))) for e in (ideal - true, got - ideal))
        print(
            f"K / {shrink}: {np.mean(np.abs(folded) < NORMAL):.2%} subnormal, rms {fold:.2e}, quantized {quantized:.2e}"
        )
        assert fold < share and quantized < 3.6e-3


def test_sums_are_rounded_once():
    rng = np.random.default_rng(12)
    sums = (rng.standard_normal((50, 7)) * 2.0 ** rng.uniform(-140, 120, (50, 7))).astype(np.float32)
    scales = scales_of(half(rng, 7).astype(np.float16))
    got = apply_value_scales(sums, np.abs(scales))
    for t, c in np.ndindex(sums.shape):
        want = nearest(abs(exact(sums[t, c])) * abs(exact(scales[c])), FP32)
        assert exact(abs(got[t, c])) == want and np.signbit(got[t, c]) == np.signbit(sums[t, c])


def test_wrong_arguments():
    q, scales = np.ones((2, 2), np.float16), np.ones(2, np.float32)
    with pytest.raises(ValueError, match="scales must be float32"):
        fold_key_scales(q, np.ones(2))
    with pytest.raises(ValueError, match=r"of shape \(2,\)"):
        fold_key_scales(q, np.ones(1, np.float32))
    with pytest.raises(ValueError, match="not float64"):
        fold_key_scales(q.astype(np.float64), scales)
    with pytest.raises(ValueError, match="sums must be float32"):
        apply_value_scales(q, scales)
    with pytest.raises(ValueError, match=r"scales must be float32 of shape \(2,\)"):
        apply_value_scales(q.astype(np.float32), np.ones(3, np.float32))
    with pytest.raises(ValueError, match="values must be FP16 codes"):
        scale_unit(q, fp32(scales))
    with pytest.raises(ValueError, match="scales must be FP32 codes"):
        scale_unit(q.view(np.uint16), scales)
    with pytest.raises(ValueError, match="fmt must be FP16 or FP32, not FP17"):
        scale_unit(q.view(np.uint16), fp32(scales), formats.FP17)


def test_scales_come_as_the_quantization_unit_sends_them():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    source = QuantizationUnit(config=QuantizationUnitConfig()).o_scale
    assert source.payload.shape() == ScaleUnit(config=CONFIG).i_scale.payload.shape()


@pytest.mark.parametrize("preset", find("scale_unit").presets)
def test_rtl(preset):
    assert vectors("scale_unit", preset) > 1000


def test_every_value_by_many_scales_through_the_rtl():
    """Heads of every binary16 code: scales of maxima, which is what comes, and any FP32 code."""
    rng = np.random.default_rng(13)
    native = Native.build(ScaleUnit(config=CONFIG), "scale_unit")
    maxima = np.concatenate([[0, 1, 2, 0x3FF, 0x400, 0x7BFF], rng.integers(0, 0x7C00, 34)]).astype(np.uint16)
    scales = np.concatenate([scales_of(maxima.view(np.float16)).view(np.uint32), random_codes(rng, FP32, 24)])
    every = np.repeat(np.arange(1 << 16, dtype=np.uint16)[:, None], CONFIG.lanes, axis=1)
    rows = sent(every, CONFIG)
    for head in scales.astype(np.uint32).reshape(-1, CONFIG.lanes):
        last = np.arange(CONFIG.lanes) == CONFIG.lanes - 1
        sources = {"i_scale": pack(head, last, widths=[32, 1]), "i": rows}
        got, *_ = native.streams(sources, {"o": len(rows)}, max_cycles=2 * len(rows))
        np.testing.assert_array_equal(got["o"], expected(every, head, CONFIG))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"values": HW_FP17}, "values must be FP16 or FP32, not FP17"),
        ({"stages": 7}, "stages must be 0 to 6, not 7"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ScaleUnitConfig(**config)
