# SPDX-License-Identifier: Apache-2.0
"""The computing engine: golden against float64, cycles by hand, benches with seeded and clip tensors, impossible configs."""

from dataclasses import replace

import numpy as np
import pytest

from zoetrope.golden.formats import FP16, FP32, fp16, int8_encode, to_float64
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.simcore.computing_engine.computing_engine import A, Job, S, computing_engine
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngineConfig
from zoetrope.sim.input import clips
from zoetrope.sim.model.computing_engine import Array, cost, engine_cycles, preparation
from zoetrope.sim.run.harness import simulate

TINY = find("computing_engine").config("tiny")


def test_golden_against_float64():
    rng = np.random.default_rng(1)
    q, k, v, p = (fp16(rng.standard_normal(shape)) for shape in ((3, 16), (7, 16), (7, 5), (3, 7)))
    codes = rng.integers(-127, 128, (7, 16))
    mask = np.array([1, 0, 1, 1, 0], bool)
    exact = {name: to_float64(x, FP16) for name, x in {"q": q, "k": k, "v": v, "p": p}.items()}
    scores, columns, nothing = computing_engine(
        [Job(S, q, k), Job(A, p, v, mask), Job(A, p, v, ~mask & False)], fp16_pe
    )
    np.testing.assert_allclose(to_float64(scores, FP32), exact["q"] @ exact["k"].T, atol=1e-5)
    np.testing.assert_allclose(to_float64(columns, FP32), (exact["p"] @ exact["v"])[:, mask], atol=1e-5)
    assert nothing.shape == (3, 0)
    (quantized,) = computing_engine([Job(S, q, int8_encode(codes))], lut_pe)
    np.testing.assert_allclose(to_float64(quantized, FP32), exact["q"] @ codes.T, atol=0.6)


def test_preparation_counts_distinct_fractions():
    x = fp16(np.array([[1.0, 1.5, 3.0], [2.0, 1.25, -1.5], [-4.0, 0.0, 2.0**-20 * 1.5]]))
    assert preparation(Job(S, x, x), Array(3, 1, 1, turnaround=3, beats=2)) == [2, 6, 2]
    assert preparation(Job(S, x, x), Array(3, 1, 1, turnaround=3)) == [0, 0, 0]


def test_cycles_by_hand():
    """Two tiles of S: the second loads behind the first, computes when it has come, and its results follow."""
    array = Array(rows=2, outputs=2, lanes=4, turnaround=3)
    x, k = np.zeros((2, 8), np.uint16), np.zeros((6, 8), np.uint16)
    first = cost(Job(S, x, k), array)
    assert (first.load_x, first.load_w, first.busy, first.compute, first.results) == (4, 12, 24, 24, 6)
    assert engine_cycles([Job(S, x, k)], array) == 12 + 24 + 6
    assert engine_cycles([Job(S, x, k)] * 2, array) == 12 + 2 * 24 + 6
    # Kept keys are not loaded again, and columns that are not there take no cycle.
    assert engine_cycles([Job(S, x, k, keep_w=True), Job(S, x, k)], array) == 12 + 2 * 24 + 6
    assert cost(Job(A, x[:, :6], k, np.zeros(8, bool)), array).busy == 0
    # One word an operand: the adder's turnaround.
    assert cost(Job(S, x, k[:2]), array).compute == 8 * 3


@pytest.fixture(scope="module")
def tensors():
    return dict(clips.load().items())


@pytest.mark.campaign
def test_tiny(tensors):
    assert simulate("computing_engine", "tiny", tensors=tensors).vectors > 900


@pytest.mark.campaign
def test_default_keeps_both_arrays_busy(tensors):
    """95 % of cycles and more, of tiles of S and of A, in a window in which both have jobs."""
    report = simulate("computing_engine", "default", tensors=tensors)
    shares = [row.utilisation for row in report.rows if row.test.startswith("balanced")]
    assert len(shares) == 2 and min(shares) >= 0.95


@pytest.mark.parametrize(
    "config",
    [
        replace(
            TINY,
            fp16=FP16PEConfig(rows=3, columns=2, lanes=1, words=6, add_stages=0, product_stages=3, ragged=True),
            lut=LutPEConfig(
                rows=1,
                columns=3,
                lanes=1,
                words=4,
                copy_width=32,
                slices="generator",
                accumulator="fixed",
                ragged=True,
            ),
            max_channels=11,
            load_lanes=1,
            queue=3,
            slice_bits=1,
            tile_bits=1,
        )
    ],
    ids=["other"],
)
@pytest.mark.campaign
def test_other_shapes(config):
    """Arrays of other shapes: one row, words of 3, exact sums, a load of one element a cycle."""
    simulate("computing_engine", config=config)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"queue": 1}, "queue must be at least 2, not 1"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"load_lanes": 0}, "load_lanes must be at least 1, not 0"),
        ({"slice_bits": 0}, "slice_bits must be at least 1, not 0"),
        ({"tile_bits": 0}, "tile_bits must be at least 1, not 0"),
        ({"max_tokens": 101}, "fp16: words must be at least 26 for 101 outputs, not 25"),
        ({"fp16": FP16PEConfig(rows=4, ragged=False)}, "fp16: the array must be ragged, and have more than one PE"),
        ({"lut": LutPEConfig(ragged=True)}, "lut: the array must be ragged, and have more than one PE"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ComputingEngineConfig(**config)
