# SPDX-License-Identifier: Apache-2.0
"""The flow of a head at its limits: extreme values, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from heads import codes, head, plain

from zoetrope.golden.simcore.chip.simcore import FP16_ONLY, Settings, simcore
from zoetrope.golden.simcore.geometry import Geometry

ALL = Settings(rows=4, tau=1.5)


@pytest.mark.parametrize("size", [65504.0, 2.0**-24, 0.0])
def test_extreme_values_stay_finite(size):
    geometry = Geometry(2, 2, 2)
    rng = np.random.default_rng(10)
    q, k, v = (rng.choice([-1.0, 1.0], (8, 4)).astype(np.float16) for _ in range(3))
    wide = np.float16(size)
    for tensors in ((q * wide, k, v), (q, k * wide, v), (q, k, v * wide * np.float16(0.99))):
        for settings in (FP16_ONLY, replace(ALL, p_p=0.0, p_a=0.0)):
            found = simcore(*tensors, geometry, settings).a
            assert np.isfinite(found).all() and np.abs(found).max() <= np.abs(tensors[2]).max() * 1.01
            np.testing.assert_array_equal(codes(found), plain(*tensors, geometry, settings))


def test_scores_of_columns_beyond_fp16_make_all_important():
    geometry = Geometry(1, 3, 3)
    q = np.zeros((9, 4), np.float16)
    v = np.full((9, 4), 20000, np.float16)
    v[:, 0] = 1
    found = simcore(q, q, v, geometry, replace(ALL, sparsify=False))
    np.testing.assert_array_equal(found.map_a[:, 0].sum(axis=1), [4, 4, 2])  # 1/4 also for the last slice, of one row
    np.testing.assert_array_equal(found.a, v)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_by_name(which, wrong):
    geometry = Geometry(2, 1, 3)
    tensors = head(geometry, 4)
    tensors[which][4, 2] = wrong
    with pytest.raises(ValueError, match=rf"^{'qkv'[which]}: 1 values are NaN or infinite, first at \(4, 2\)"):
        simcore(*tensors, geometry)


def test_q_that_the_scales_of_k_bring_beyond_fp16_is_refused():
    geometry = Geometry(2, 1, 2)
    q, k, v = (np.ones((4, 2), np.float16) for _ in range(3))
    q[3, 1], k[0, 1] = 60000, 600
    with pytest.raises(ValueError, match=r"q times K's scale is beyond FP16, first at \(3, 1\)"):
        simcore(q, k, v, geometry, ALL)
    assert np.isfinite(simcore(q, k, v, geometry, replace(ALL, speculate_p=False)).a).all()


@pytest.mark.parametrize("first", [True, False])
def test_q_beyond_fp16_is_no_matter_in_rows_that_are_skipped(first):
    """Token 2 of frame 0 repeats its group's first one where tau is infinite. Text repeats nothing."""
    geometry = Geometry(2, 1, 3, text=2, text_first=first)
    q, k, v = (np.ones((8, 2), np.float16) for _ in range(3))
    token, text = (4, 1) if first else (2, 7)
    q[token, 1], k[5, 1] = 60000, 600
    everything = replace(ALL, tau=np.inf, p_p=0.0)
    found = simcore(q, k, v, geometry, everything)
    assert found.kind[token] == 2 and np.isfinite(found.a).all()
    np.testing.assert_array_equal(codes(found.a), plain(q, k, v, geometry, everything))
    with pytest.raises(ValueError, match=rf"beyond FP16, first at \({token}, 1\)"):
        simcore(q, k, v, geometry, replace(everything, sparsify=False))
    q[text, 1] = 60000
    with pytest.raises(ValueError, match=rf"beyond FP16, first at \({text}, 1\)"):
        simcore(q, k, v, geometry, everything)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"q": np.zeros((5, 4), np.float16)}, "q has 5 tokens, the geometry 6"),
        ({"k": np.zeros((6, 3), np.float16)}, "same channels, not 4, 3 and 4"),
        ({"v": np.zeros((6, 4), np.float32)}, "v: FP16 values must be float16"),
        ({"v": np.zeros((6, 0), np.float16)}, "v: an array of 2 dimensions"),
        ({"q": np.zeros((2, 3, 4), np.float16)}, "q: an array of 2 dimensions"),
    ],
)
def test_tensors_that_do_not_fit(change, message):
    tensors = dict(zip("qkv", np.zeros((3, 6, 4), np.float16))) | change
    with pytest.raises(ValueError, match=message):
        simcore(**tensors, geometry=Geometry(2, 1, 3))


@pytest.mark.parametrize("name, wrong", [("frames", 0), ("height", 0), ("width", -1), ("width", 1.5), ("text", -1)])
def test_bad_geometry(name, wrong):
    sizes = {"frames": 1, "height": 1, "width": 1} | {name: wrong}
    with pytest.raises(ValueError, match=name):
        Geometry(**sizes)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("p_p", 1.1),
        ("p_a", -0.1),
        ("p_a", float("nan")),
        ("tau", -1),
        ("tau", float("nan")),
        ("window", 0),
        ("group", 0),
        ("rows", 0),
        ("keys", 0),
        ("keys", 2.5),
        ("keys", True),
        ("lanes", 3),
        ("running", 0),
        ("distance_lanes", 6),
        ("p_bits", 0),
    ],
)
def test_bad_settings(name, wrong):
    with pytest.raises(ValueError, match=name):
        Settings(**{name: wrong})
