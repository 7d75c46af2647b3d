# SPDX-License-Identifier: Apache-2.0
"""The quantization unit: the golden against exact rationals, benches, every amax and every magnitude through the RTL."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.golden import formats
from zoetrope.golden.arith.channel_amax import channel_amax
from zoetrope.golden.simcore.quantization_engine.quantization_unit import (
    channel_scales,
    dequantize,
    encode,
    quantization_unit,
    quantize,
    scales_of,
)
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnit, QuantizationUnitConfig
from zoetrope.sim.benches.simcore.quantization_engine.tb_quantization_unit import columns, expected, words
from zoetrope.sim.input import clips
from zoetrope.sim.model.quantization_engine import quantization_cycles
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native

CONFIG = QuantizationUnitConfig(max_channels=64)
TINY, LARGEST, NORMAL = 2.0**-24, 65504.0, 2.0**-14


def exact(value) -> Fraction:
    return Fraction(float(value))


def reference_code(x, amax) -> int:
    """round() of a Fraction is to nearest, ties to even."""
    if amax == 0:
        return 0
    magnitude = min(127, round(abs(exact(x)) * 127 / exact(amax)))
    return magnitude | (0x80 if x < 0 and magnitude else 0)


def reference(x):
    amax = [max(abs(exact(value)) for value in column) for column in x.T]
    return np.array([[reference_code(x[t, c], amax[c]) for c in range(x.shape[1])] for t in range(len(x))], np.uint8)


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


CORNERS = {
    "zeros": [[0.0], [-0.0]],
    "one value": [[-3.5]],
    "smallest subnormal": [[TINY], [-TINY], [0]],
    "two subnormals": [[TINY], [2 * TINY], [-2 * TINY]],
    "subnormal amax": [[127 * TINY], [63 * TINY], [-TINY], [64 * TINY]],
    "subnormal beside largest": [[LARGEST], [TINY], [-NORMAL]],
    "largest": [[LARGEST], [-LARGEST], [LARGEST / 2]],
    "amax 127: ties to even": [[127], [0.5], [1.5], [2.5], [-0.5], [-1.5], [-2.5], [126.5]],
    "amax 254: every odd half": [[254], *[[2 * i + 1] for i in range(127)], *[[-2 * i - 1] for i in range(127)]],
    "negative amax": [[-8], [4], [1 / 32]],
    "just above and below a tie": [[127], [np.nextafter(np.float16(2.5), np.float16(3))], [2.498]],
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name):
    x = np.array(CORNERS[name], np.float16)
    codes, scales = quantize(x)
    assert codes.dtype == np.uint8 and scales.dtype == np.float32
    assert codes.tolist() == reference(x).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (2, 1), (3, 2), (99, 63), (200, 64), (7, 128), (5, 0)])
def test_quantize_equals_the_rational_reference(shape):
    rng = np.random.default_rng([7, *shape])
    for low, high in ((-24, 15), (-24, -14), (-3, 3)):
        x = half(rng, shape, low, high)
        assert quantize(x)[0].tolist() == reference(x).tolist()


def test_every_magnitude_against_awkward_amax():
    """All 2^15 finite magnitudes up to amax, both signs, for amax at the ends of binades, odd and prime."""
    magnitudes = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    for amax in (TINY, 3 * TINY, 1021 * TINY, NORMAL, 1.0, 1 + 2**-10, 2 - 2**-10, 127.0, 254.0, 1.9873046875, LARGEST):
        amax = np.float16(amax)
        x = magnitudes[magnitudes <= amax]
        x = np.concatenate([x, -x])[:, None]
        codes, scales = quantize(x)
        assert exact(scales[0]) == nearest(exact(amax) / 127, formats.FP32)
        assert codes[:, 0].tolist() == [reference_code(v, amax) for v in x[:, 0]]


def test_the_divider_of_the_docstring():
    """127 m / (a 2^k), 18 bits by 11, and 0 from k = 9 on: what a unit would build equals the golden."""
    rng = np.random.default_rng(11)
    x, amax = np.abs(half(rng, 4000)), np.abs(half(rng, 4000))
    x, amax = np.minimum(x, amax), np.maximum(x, amax)
    keep = x > 0
    x, amax = x[keep], amax[keep]
    (xe, xf), (ae, af) = (formats.normalised(v.view(np.uint16), formats.FP16) for v in (x, amax))
    golden = encode(x[None], amax)[0]
    for e, f, g, h, code in zip(xe.tolist(), xf.tolist(), ae.tolist(), af.tolist(), golden.tolist()):
        k = g - e
        assert k >= 0 and 127 * (1024 + f) < 1 << 18
        assert code == (round(Fraction(127 * (1024 + f), (1024 + h) << k)) if k < 9 else 0)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_any_finite_matrix(tokens, channels, data):
    code = st.integers(0, 0xFFFF).filter(lambda c: c & 0x7C00 != 0x7C00)
    flat = data.draw(st.lists(code, min_size=tokens * channels, max_size=tokens * channels))
    codes16 = np.array(flat, np.uint16).reshape(tokens, channels)
    x = codes16.view(np.float16)
    codes, scales = quantize(x)
    assert codes.tolist() == reference(x).tolist()
    assert 0x80 not in codes
    assert quantize(codes16)[0].tolist() == codes.tolist()
    assert all((codes & 0x7F).max(axis=0)[c] == 127 for c in range(channels) if np.any(x[:, c]))
    # Within half a step of the ideal grid, plus what the scale's own rounding adds at code 127.
    for t, c in np.ndindex(x.shape):
        step = exact(channel_amax(x)[c]) / 127
        rounding = 127 * abs(exact(scales[c]) - step) if step else 0
        got = int(formats.int8_decode(codes)[t, c]) * exact(scales[c])
        assert abs(got - exact(x[t, c])) <= step / 2 + rounding


def test_dead_channel_beside_a_live_one():
    codes, scales = quantize(np.array([[0, 2, -0.0], [-0.0, -1, 0]], np.float16))
    assert scales.tolist() == [1, float(np.float32(2) / np.float32(127)), 1]
    assert codes.tolist() == [[0, 127, 0], [0, 0x80 | 64, 0]]


def test_negative_zero_and_values_that_round_to_zero_give_code_zero():
    codes, _ = quantize(np.array([[127], [-0.0], [-0.5], [-0.25], [-TINY]], np.float16))
    assert codes[:, 0].tolist() == [127, 0, 0, 0, 0]


def test_scales():
    x = np.array([[1, -LARGEST, TINY, 0, 127], [-0.5, 3, 0, 0, -1]], np.float16)
    amax = channel_amax(x)
    assert amax.dtype == np.float16 and amax.tolist() == [1, LARGEST, TINY, 0, 127]
    scales = channel_scales(x)
    assert bits(scales) == bits(scales_of(amax)) == bits(quantize(x)[1])
    want = [nearest(exact(a) / 127, formats.FP32) if a else Fraction(1) for a in amax]
    assert [exact(s) for s in scales] == want
    assert (scales >= np.finfo(np.float32).tiny).all()


def test_channels_do_not_touch_each_other():
    rng = np.random.default_rng(3)
    x = half(rng, (40, 9))
    codes, scales = quantize(x)
    for c in range(9):
        alone, scale = quantize(x[:, c : c + 1])
        assert alone[:, 0].tolist() == codes[:, c].tolist() and bits(scale) == bits(scales[c : c + 1])


def test_strided_input_is_read_as_it_stands():
    x = half(np.random.default_rng(4), (12, 10))
    assert quantize(x[::2, ::3])[0].tolist() == quantize(x[::2, ::3].copy())[0].tolist()
    assert quantize(x.T)[0].tolist() == reference(x.T).tolist()


def test_encode_saturates_beyond_a_foreign_amax():
    codes = encode(np.array([[2.0], [-2.0], [1.0], [0.5]], np.float16), np.array([1], np.float16))
    assert codes[:, 0].tolist() == [127, 0xFF, 127, 64]
    assert encode(np.array([[2.0]], np.float16), np.array([0], np.float16)).tolist() == [[0]]
    assert encode(np.array([[2.0]], np.float16), np.array([-0.0], np.float16)).tolist() == [[0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    x = np.ones((3, 2), np.float16)
    x[2, 1] = bad
    for function in (channel_amax, channel_scales, quantize):
        with pytest.raises(ValueError, match=r"1 values are NaN or infinite, first at \(2, 1\)"):
            function(x)
    with pytest.raises(ValueError, match="amax must be finite"):
        encode(np.ones((1, 1), np.float16), np.array([bad], np.float16))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 2)), "not float64"),
        (np.ones((2, 2), np.int16), "not int16"),
        (np.ones(2, np.float16), r"not shape \(2,\)"),
        (np.ones((1, 2, 2), np.float16), r"not shape \(1, 2, 2\)"),
        (np.ones((0, 2), np.float16), "at least one token"),
    ],
)
def test_wrong_matrices(x, message):
    with pytest.raises(ValueError, match=message):
        quantize(x)


def test_wrong_amax():
    x = np.ones((2, 2), np.float16)
    with pytest.raises(ValueError, match="amax must be float16"):
        encode(x, np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"of shape \(2,\)"):
        encode(x, np.ones(3, np.float16))
    with pytest.raises(ValueError, match="not negative"):
        encode(x, np.array([1, -1], np.float16))


def test_dequantize_rounds_one_product():
    codes = np.arange(256, dtype=np.uint8)[:, None]
    scales = np.array([np.float32(1.7) / np.float32(127)], np.float32)
    values = dequantize(codes, scales)
    assert values.dtype == np.float32
    for code, value in zip(codes[:, 0].tolist(), values[:, 0]):
        want = nearest((code & 0x7F) * exact(scales[0]), formats.FP32)
        assert exact(value) == (-want if code & 0x80 else want)
    assert bits(values[0x80]) == [0]  # -0 is +0


def test_what_is_no_number_takes_no_part():
    inf, nan = np.inf, np.nan
    x = np.array([[inf, 2, nan, nan, 1], [1, -inf, -3, inf, 0], [-2, nan, 1, -inf, -1]], np.float16)
    codes, scales, wrong = quantization_unit(x)
    assert wrong
    assert codes.tolist() == [[127, 127, 0, 0, 127], [64, 0xFF, 0xFF, 0, 0], [0xFF, 0, 42, 0, 0xFF]]
    assert bits(scales) == bits(scales_of(np.array([2, 2, 3, 0, 1], np.float16)))
    finite = half(np.random.default_rng(8), (20, 5))
    assert quantization_unit(finite)[0].tolist() == quantize(finite)[0].tolist()
    assert not quantization_unit(finite)[2]
    # By maxima of other tokens: beyond them, 127.
    others = quantization_unit(np.array([[5], [-inf], [nan], [1]], np.float16), np.array([2], np.float16))[0]
    assert others.tolist() == [[127], [0xFF], [0], [64]]


@pytest.mark.parametrize("preset", find("quantization_unit").presets)
def test_rtl(preset):
    tensors = dict(clips.load(frames=9).items()) if preset == "default" else None
    assert simulate("quantization_unit", preset, tensors=tensors).vectors > 1000


def test_the_bench_has_every_kind_of_channel():
    found = columns()
    subnormal = [name for name, codes in found.items() if 0 < (codes & 0x7FFF).max() < 0x400]
    assert len(subnormal) >= 3 and len(found) > 10
    assert sum(((codes & 0x7C00) == 0x7C00).any() for codes in found.values()) >= 4


@pytest.fixture(scope="module")
def native():
    return Native.build(QuantizationUnit(config=CONFIG), "quantization_unit")


def run(native, sent, codes, scales):
    """The rows of ``o`` and the words of ``o_scale`` for rows of ``i``."""
    counts = {"o": codes, "o_scale": scales}
    got, *_ = native.streams({"i": sent}, counts, max_cycles=4 * len(sent) + 4 * scales + 1000)
    return got["o"], got["o_scale"][:, :4].copy().view(np.uint32).ravel()


def test_every_amax_has_its_scale(native):
    """All 31,744 finite magnitudes as amax: each scale is the golden's, which the rationals above have checked."""
    amax = np.arange(0x7C00, dtype=np.uint16).reshape(-1, 64)
    sent = np.concatenate([words(row[None], CONFIG, encode=False, end=True) for row in amax])
    _, scales = run(native, sent, 0, amax.size)
    want = scales_of(amax.ravel().view(np.float16))
    np.testing.assert_array_equal(scales, want.view(np.uint32))
    assert [exact(x) for x in want[1::997]] == [
        nearest(exact(x) / 127, formats.FP32) for x in amax.ravel().view(np.float16)[1::997]
    ]


def test_every_value_by_many_maxima(native):
    """Every binary16 code, NaN and what is beyond amax too, by 96 maxima: ends of binades, subnormal, odd, at random."""
    rng = np.random.default_rng(9)
    some = [0, 1, 2, 3, 126, 127, 128, 1022, 1023, 0x400, 0x401, 0x7FF, 0x800, 0x3BFF, 0x3C00, 0x57F0, 0x5BF0, 0x7BFF]
    maxima = np.concatenate([some, rng.integers(0, 0x400, 18), rng.integers(0x400, 0x7C00, 60)]).astype(np.uint16)
    every = np.repeat(np.arange(1 << 16, dtype=np.uint16)[:, None], CONFIG.lanes, axis=1)
    encoded = words(every, CONFIG, encode=True)
    for amax in maxima.reshape(-1, CONFIG.lanes):
        sent = np.concatenate([words(amax[None], CONFIG, encode=False, end=True), encoded])
        codes, _ = run(native, sent, len(every), CONFIG.lanes)
        want, *_ = quantization_unit(every, amax.view(np.float16))
        np.testing.assert_array_equal(codes, expected(want, CONFIG))


def test_many_tokens_of_an_awkward_width(native):
    """1,350 tokens of 61 channels, twice, and then of 3: cycles as stated, the second pass straight behind the first."""
    rng = np.random.default_rng(10)
    for d in (61, 3):
        x = half(rng, (1350, d)).view(np.uint16)
        sent = np.concatenate([words(x, CONFIG, encode=encode, end=True) for encode in (False, True)])
        per_token = -(-d // CONFIG.lanes)
        counts = {"o": len(x) * per_token, "o_scale": d}
        got, cycles, _ = native.streams({"i": sent}, counts)
        codes, scales = quantize(x)
        np.testing.assert_array_equal(got["o"], expected(codes, CONFIG, end=True))
        np.testing.assert_array_equal(got["o_scale"][:, :4].copy().view(np.float32).ravel(), scales)
        assert cycles["i"][-1] - cycles["i"][0] + 1 == quantization_cycles(1350, per_token, d)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"digits": 0}, "digits must be 1 to 8, not 0"),
        ({"digits": 9}, "digits must be 1 to 8, not 9"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        QuantizationUnitConfig(**config)
