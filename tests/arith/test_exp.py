# SPDX-License-Identifier: Apache-2.0
"""The exponential: its published bounds against float64, its monotony, and the RTL against the golden."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.arith import exp as golden
from zoetrope.golden.arith.exp import exp
from zoetrope.golden.formats import FP16, FP32, fields, fp32, is_finite, is_nan, order_key, to_float64
from zoetrope.hw import formats as hw
from zoetrope.hw.arith import exp as hardware
from zoetrope.hw.arith.exp import ExpConfig, ExpStream
from zoetrope.sim.packing import pack
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.codes import corners, random_codes
from zoetrope.sim.stimulus.operators import SideBySide, check, golden_format

CONFIGS = [
    ExpConfig(stages=8),
    ExpConfig(target=hw.FP32, stages=10),
    ExpConfig(source=hw.FP16, stages=9),
    ExpConfig(source=hw.FP16, stages=0),
    ExpConfig(source=hw.FP16, target=hw.FP32, stages=11),
    ExpConfig(target=hw.FP32, stages=0),
]

#: What the docstring publishes: in ulp of the result, and relative for normal FP32 results.
ULP_FP16 = 0.6
RELATIVE_FP32 = 2.0**-20.5


def ulps(codes, source, target):
    """Distance of each finite result from float64's, in ulp of the target; and the relative one where it is normal."""
    got = exp(codes, source, target)
    with np.errstate(over="ignore", invalid="ignore"):
        ideal = np.exp(to_float64(codes, source))
    value = to_float64(got, target)
    finite = is_finite(got, target) & is_finite(codes, source)
    value, ideal, exponent = value[finite], ideal[finite], fields(got, target)[1][finite]
    unit = np.ldexp(1.0, np.maximum(exponent, 1) - target.bias - target.fraction_bits)
    normal = exponent > 0
    return np.abs(value - ideal) / unit, np.abs(value[normal] / ideal[normal] - 1)


def monotone(codes, source, target):
    order = np.argsort(order_key(codes, source), kind="stable")
    return (np.diff(exp(codes, source, target)[order].astype(np.int64)) >= 0).all()


def sweep(first, last, step):
    """FP32 codes from ``first`` to ``last``, every ``step``-th; of one sign they are in the order of magnitudes."""
    low, high = (int(code) for code in fp32(np.array([first, last])))
    return np.arange(low, high, step, dtype=np.uint32)


#: 11 million FP32 operands: dense from 2**-20 to beyond underflow and overflow, and densest where scores lie.
DENSE = [sweep(-(2.0**-20), -104.0, 60), sweep(2.0**-20, 89.5, 100), sweep(-1.0, -18.0, 8), sweep(-7.0, -7.5, 1)]


def test_tables_are_equal_though_built_apart():
    """The golden's by float64 with a margin, the hardware's by 60 decimal digits."""
    for fmt in (FP16, FP32):
        method = hardware.METHODS[getattr(hw, fmt.name)]
        np.testing.assert_array_equal(golden.coefficients(fmt), method.table())
        assert method.multiplier == round(np.log2(np.e) * 2.0**method.log2e)


@pytest.mark.parametrize("target", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_powers_of_two_are_monotone_and_within_their_octave(target):
    """Every position: no step down from one segment to the next, and 2**f stays below 2."""
    method = golden.METHODS[target]
    power = golden.power_of_two(np.arange(1 << method.position), target)
    assert (np.diff(power) >= 0).all()
    assert power[0] == 1 << method.result and power[-1] < 2 << method.result


@pytest.mark.parametrize("target", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_every_fp16_operand_is_within_the_bound_and_monotone(target):
    codes = np.arange(1 << 16, dtype=np.uint16)
    absolute, relative = ulps(codes, FP16, target)
    assert absolute.max() < ULP_FP16 if target == FP16 else relative.max() < RELATIVE_FP32
    assert monotone(codes, FP16, target)


def test_fp32_operands_are_within_the_bound_and_monotone():
    codes = np.concatenate([part[::8] for part in DENSE])
    absolute, _ = ulps(codes, FP32, FP16)
    assert absolute.max() < ULP_FP16
    absolute, relative = ulps(codes, FP32, FP32)
    assert relative.max() < RELATIVE_FP32
    assert absolute.max() < 8
    for target in (FP16, FP32):
        assert monotone(codes, FP32, target)


@pytest.mark.parametrize("source", [FP16, FP32], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("target", [FP16, FP32], ids=lambda fmt: fmt.name)
def test_zeros_infinities_nan_and_the_range(source, target):
    minus = 1 << (source.width - 1)
    one = target.bias << target.fraction_bits
    codes = np.array(
        [0, minus, 1, source.inf, minus | source.inf, source.inf + 1, source.inf - 1, minus | source.inf - 1]
    )
    assert exp(codes, source, target).tolist() == [one, one, one, target.inf, 0, target.nan, target.inf, 0]


def test_overflow_and_underflow_of_fp16():
    """Just below 65520 and at 2**-25 the last finite and the first zero result, through all subnormals between."""
    codes = fp32(np.log([65500.0, 65540.0, 2.0**-24.01, 2.0**-24.9, 2.0**-25.1]))
    assert exp(codes).tolist() == [0x7BFF, FP16.inf, 1, 1, 0]
    subnormal = exp(fp32(np.linspace(np.log(2.0**-25), np.log(2.0**-14), 100_000)))
    assert set(range(1, 0x400)) <= set(subnormal.tolist())


@pytest.fixture(scope="module")
def native():
    return Native.build(SideBySide(*(ExpStream(config=config) for config in CONFIGS)), "exps")


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.campaign
def test_every_fp16_operand_through_the_rtl(native, k):
    codes = np.arange(1 << 16, dtype=np.uint16)
    check(native, k, pack(codes, widths=[16]), exp(codes, FP16, golden_format(CONFIGS[k].target)))


@pytest.mark.campaign
def test_ten_million_fp32_operands_through_the_rtl(native):
    """The dense ranges to FP16: the RTL equals the golden, and so the golden's bounds and order are the RTL's."""
    count = 0
    for codes in DENSE:
        for start in range(0, len(codes), 1 << 20):
            part = codes[start : start + (1 << 20)]
            expected = exp(part)
            check(native, 0, part, expected)
            step = np.diff(expected.astype(np.int64))
            assert (step <= 0).all() or (step >= 0).all()
            count += len(part)
    assert count > 10_000_000


@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.campaign
def test_random_fp32_operands_through_the_rtl(native, k):
    rng = np.random.default_rng(k)
    scores = fp32(rng.uniform(-105, 90, 1 << (20 if k == 1 else 18)))
    codes = np.concatenate([list(corners(FP32).values()), random_codes(rng, FP32, 1 << 18), scores]).astype(np.uint32)
    expected = exp(codes, FP32, golden_format(CONFIGS[k].target))
    assert is_nan(codes, FP32).any()
    check(native, k, codes, expected)


@pytest.mark.parametrize("preset", ["default", "fp32"])
def test_rtl(preset):
    assert vectors("exp", preset) > 10_000


@pytest.mark.parametrize(
    "config, message",
    [
        ({"stages": 10}, "stages must be 0 to 9, not 10"),
        ({"target": hw.FP32, "stages": 12}, "stages must be 0 to 11, not 12"),
        ({"source": hw.FP17}, "source must be FP16 or FP32, not FP17"),
        ({"target": hw.FP29}, "target must be FP16 or FP32, not FP29"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ExpConfig(**config)
