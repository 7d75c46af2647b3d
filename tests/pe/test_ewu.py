# SPDX-License-Identifier: Apache-2.0
"""The element-wise unit: the golden against float64, every operand of abs, a million random vectors."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden import reference
from zoetrope.golden.formats import FP16, fp16, is_nan, to_float64
from zoetrope.golden.pe.ewu import OPERATIONS, ewu
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.ewu import Ewu, EwuConfig
from zoetrope.sim.packing import unpack
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.ewu import OPCODES, corner_vectors, packed, random_vectors

LANES = 8
VECTORS = 1 << 20


@pytest.fixture(scope="module")
def native():
    return Native.build(Ewu(config=EwuConfig(lanes=LANES)), "ewu")


def through(native, vectors):
    native.reset()
    rows = packed(*vectors)
    got = native.streams({"i": rows}, {"o": len(rows)}, max_cycles=len(rows) + 100)[0]["o"]
    return got.view(np.uint16)


def test_golden_is_the_ideal_rounded_once():
    op, a, b, scalar = (
        np.concatenate(parts) for parts in zip(corner_vectors(4), random_vectors(np.random.default_rng(1), 4, 20_000))
    )
    got = ewu(op, a, b, scalar)
    ideal = reference.ewu(op, a, b, scalar)
    # Sums and products of two binary16 are exact in float64: one rounding, the same one.
    np.testing.assert_array_equal(is_nan(got, FP16), np.isnan(ideal))
    np.testing.assert_array_equal(got, fp16(ideal))


def test_zeros_and_nan_by_hand():
    plus, minus, one, nan, inf = 0x0000, 0x8000, 0x3C00, FP16.nan, FP16.inf
    cases = [
        ("add", plus, minus, plus),
        ("add", minus, minus, minus),
        ("subtract", one, one, plus),
        ("subtract", minus, plus, minus),
        ("subtract", inf, inf, nan),
        ("multiply", minus, one, minus),
        ("multiply", inf, minus, nan),
        ("max", minus, plus, minus),
        ("max", plus, minus, plus),
        ("max", inf, 0xFE01, nan),
        ("max", 0x8001, 0xFC00, 0x8001),
        ("absolute", minus, 0, plus),
        ("absolute", 0xFC00, 0, inf),
        ("absolute", 0xFD01, 0, nan),
    ]
    for name, a, b, expected in cases:
        got = ewu(np.array([OPERATIONS.index(name)]), np.array([[a]]), np.array([[b]]), np.array([0]))
        assert got.item() == expected, f"{name} of {a:#06x} and {b:#06x}: {got.item():#06x}, not {expected:#06x}"
    for opcode in range(len(OPERATIONS), OPCODES):
        assert ewu(np.array([opcode]), np.array([[one]]), np.array([[one]]), np.array([one])).item() == nan


def test_scale_uses_one_scalar_and_ignores_b():
    _, a, b, scalar = random_vectors(np.random.default_rng(2), LANES, 100)
    op = np.full(100, OPERATIONS.index("scale"))
    expected = ewu(op - 1, a, np.repeat(scalar[:, None], LANES, axis=1), scalar)
    np.testing.assert_array_equal(ewu(op, a, b, scalar), expected)


@pytest.mark.parametrize("preset", find("ewu").presets)
def test_rtl(preset):
    assert vectors("ewu", preset) > 0


def test_rtl_of_three_lanes():
    simulate("ewu", config=EwuConfig(lanes=3, stages=1))


def test_absolute_of_every_code_through_the_rtl(native):
    a = np.arange(1 << 16, dtype=np.uint16).reshape(-1, LANES)
    zero = np.zeros(len(a), np.uint16)
    op = zero + np.uint16(OPERATIONS.index("absolute"))
    got = through(native, (op, a, a[::-1], zero)).ravel()
    values = to_float64(a.ravel(), FP16)
    np.testing.assert_array_equal(got, fp16(np.abs(values)))


@pytest.mark.campaign
def test_a_million_random_vectors_through_the_rtl(native):
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(4):
        vectors = random_vectors(rng, LANES, VECTORS // 4)
        np.testing.assert_array_equal(through(native, vectors), ewu(*vectors))
        seen |= set(vectors[0].tolist())
    assert seen == set(range(OPCODES))


def test_fields_are_where_the_layout_has_them():
    op, a, b, scalar = random_vectors(np.random.default_rng(4), 2, 1)
    found = unpack(packed(op, a, b, scalar), [3, 16, 16, 16, 16, 16])
    assert [int(x[0]) for x in found] == [int(op[0]), *a[0].tolist(), *b[0].tolist(), int(scalar[0])]


@pytest.mark.parametrize(
    "config, message",
    [({"lanes": 0}, "lanes must be at least 1, not 0"), ({"stages": 8}, "stages must be 0 to 7, not 8")],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        EwuConfig(**config)
