# SPDX-License-Identifier: Apache-2.0
"""``zoetrope generate``: each method against what it stands for, what is written, and what is refused, on a small model."""

import json
from concurrent.futures import Future

import numpy as np
import pytest
import video_parts
from PIL import Image

from zoetrope.golden import reference, video_dit
from zoetrope.golden.orbis.matching import datm
from zoetrope.golden.orbis.matching.reduction import kept_tokens
from zoetrope.golden.simcore.chip.simcore import simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.errors import UserError
from zoetrope.sim.video import generate, methods, rtl
from zoetrope.sim.video.loop import Request, fidelity, make, plan_of
from zoetrope.sim.video.method import Plan

GRID = (2, 3, 4)
PLAN = Plan(GRID, steps=5, layers=2, heads=2, d=64)


class Here:
    """An executor that computes where it is asked."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except ValueError as error:
            future.set_exception(error)
        return future


@pytest.fixture
def model():
    return video_dit.VideoDiT(video_parts.weights())


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Options of a video of 24 tokens by a small model."""
    monkeypatch.setattr(generate, "GRID", GRID)
    path = video_parts.save(tmp_path / "weights.npz", video_parts.weights())
    return [
        "--weights",
        str(path),
        "--frames",
        "2",
        "--steps",
        "5",
        "--label",
        "day",
        "--jobs",
        "1",
        "-o",
        str(tmp_path / "out"),
    ]


def qkv(seed=0, tokens=24):
    """Heads whose tokens are alike in pairs."""
    rng = np.random.default_rng((0x6E4, seed))
    made = rng.standard_normal((3, 2, tokens, 64)).astype(np.float32)
    made[:, :, 1::2] = made[:, :, ::2] + 0.01 * made[:, :, 1::2]
    return made


def begun(method):
    method.begin(PLAN, Here())
    return method


def test_dense():
    q, k, v = qkv()
    out, work = begun(methods.Dense()).attend(0, 0, q, k, v)
    assert np.abs(out[1] - reference.attention(*(x[1].astype(np.float64) for x in (q, k, v)))).max() < 1e-5
    assert [each.products for each in work] == [2 * 24 * 24 * 64] * 2 and not work[0].skipped.any()


def test_simcore_is_its_golden():
    method = begun(methods.Simcore("small", p=0.5, tau=1.0))
    q, k, v = qkv()
    out, work = method.attend(0, 0, q, k, v)
    for head in range(2):
        found = simcore(*(x[head].astype(np.float16) for x in (q, k, v)), Geometry(*GRID), method.settings)
        assert np.array_equal(out[head], found.a.astype(np.float32))
        assert np.array_equal(work[head].skipped, found.kind != 0) and work[head].skipped.any()
        assert work[head].products == found.statistics.fp16 + found.statistics.lut < PLAN.dense
        assert work[head].mixed == found.statistics.lut > 0


def test_simcore_with_nothing_left_out_is_near_dense():
    q, k, v = qkv()
    out, work = begun(methods.Simcore("small", p=1.0, tau=0.0)).attend(0, 0, q, k, v)
    rounded = [x.astype(np.float16).astype(np.float64) for x in (q, k, v)]
    for head in range(2):
        ideal = reference.attention(*(x[head] for x in rounded))
        assert np.abs(out[head] - ideal).max() < 4e-3 * np.abs(ideal).max()
        assert work[head].products == PLAN.dense and work[head].mixed == 0


def test_values_beyond_fp16_are_refused():
    q, k, v = qkv()
    with pytest.raises(UserError, match=r"simcore: step 3, layer 1: v: .* infinite"):
        begun(methods.Simcore("small")).attend(3, 1, q, k, v * 1e6)


def test_orbis_leaves_out_what_its_full_step_found_alike():
    method = begun(methods.Orbis(ratio=0.5, every=4))
    first, later = qkv(0), qkv(1)
    full, work = method.attend(0, 0, *first)
    assert np.array_equal(full, video_dit.dense(0, *first)) and work[0].products == PLAN.dense
    out, work = method.attend(1, 0, *later)
    for head in range(2):
        dst, src, slot = method._pairs[0, head]
        assert len(src) == datm.reduced(24, 0.5) == 12
        kept = kept_tokens(24, dst, src)
        ideal = reference.attention(*(x[head][kept].astype(np.float64) for x in later))
        assert np.abs(out[head][kept] - ideal).max() < 1e-5
        assert np.array_equal(out[head][src], out[head][dst[slot]])
        assert work[head].products == 2 * 12 * 12 * 64 and np.array_equal(
            np.flatnonzero(work[head].skipped), np.sort(src)
        )


def test_orbis_of_queries_alone_keeps_all_keys():
    method = begun(methods.Orbis(ratio=0.5, every=4, reduced="q"))
    method.attend(0, 0, *qkv(0))
    out, work = method.attend(2, 0, *qkv(1))
    dst, src, _ = method._pairs[0, 0]
    kept = kept_tokens(24, dst, src)
    ideal = reference.attention(*(x[0].astype(np.float64) for x in qkv(1)))
    assert np.abs(out[0][kept] - ideal[kept]).max() < 1e-5 and work[0].products == 2 * 12 * 24 * 64


@pytest.mark.parametrize("settings", [{"ratio": 0.0}, {"every": 1}])
def test_orbis_that_reduces_nothing_is_dense(model, settings):
    request = Request(seed=1, steps=5, label=0, grid=GRID, shift=1.0)
    dense, orbis = (make(model, method, request, 1) for method in (methods.Dense(), methods.Orbis(**settings)))
    assert np.allclose(dense.video, orbis.video, atol=1e-5) and orbis.left(plan_of(model, request)) == 1


def test_a_second_video_begins_anew():
    method = methods.Orbis()
    begun(method).attend(0, 0, *qkv())
    assert method._pairs and not begun(method)._pairs


def test_guidance_takes_two_passes(model):
    request = Request(seed=1, steps=2, label=0, grid=GRID, shift=1.0, guidance=2.0)
    made = make(model, methods.Dense(), request, 1)
    assert {head for _, _, head in made.work} == {0, 1, 2, 3}
    z = video_dit.noise(1, 24, 8)
    for level, lower in ((1.0, 0.5), (0.5, 0.0)):
        own, none = model.clean(z, level, [0, 2], GRID)
        z = z + np.float32((lower - level) / level) * (z - (none + 2 * (own - none)))
    assert np.allclose(made.latent, z, atol=1e-5)


def test_fidelity():
    video = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)
    assert fidelity(video, video) == (np.inf, 1.0)
    psnr, ssim = fidelity(np.clip(video + 0.1, 0, 2), video)
    assert psnr == pytest.approx(20, abs=0.01) and ssim < 1


def test_what_is_written(small, tmp_path, capsys):
    assert generate.main([*small, "--methods", "simcore", "orbis", "--tau", "8"]) is None
    out = tmp_path / "out"
    results = json.loads((out / "results.json").read_text())
    assert [row["method"] for row in results["methods"]] == ["dense", "simcore", "orbis"]
    dense, simcored, orbis = results["methods"]
    assert dense["psnr"] is None and dense["ssim"] == 1 and dense["left"] == 1
    assert 0 < simcored["left"] < 1 and simcored["skipped"] > 0 and 0 < orbis["left"] < 1
    assert len(orbis["by_layer"]) == 2 and orbis["by_layer"][0][0] == 1 > orbis["by_layer"][0][1]
    page = (out / "index.html").read_text()
    for name in ("dense", "simcore", "orbis"):
        assert f"{name}/video.webp" in page
        with Image.open(out / name / "video.webp") as picture:
            assert picture.n_frames == 2
        with Image.open(out / name / "frame_01.png") as picture:
            assert picture.size == (4 * 8 * 3, 3 * 8 * 3)
    with Image.open(out / "frames.png") as picture:
        assert picture.size == (2 * 4 * 8 * 3, 3 * 3 * 8 * 3)
    told = capsys.readouterr()
    assert "orbis: step 5/5" in told.err and "index.html" in told.out


def test_the_same_seed_is_the_same_video(small, tmp_path):
    frames = []
    for seed in ("3", "3", "4"):
        generate.main([*small, "--methods", "dense", "--seed", seed])
        frames.append((tmp_path / "out" / "dense" / "frame_01.png").read_bytes())
    assert frames[0] == frames[1] != frames[2]


def refused(options, capsys):
    """The one line with which a command ends that its user can mend."""
    with pytest.raises(SystemExit) as ended:
        generate.main(options)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--label", "dai"], "there is no class 'dai'; did you mean day?"),
        (["--methods", "simcor"], "there is no method 'simcor'; did you mean simcore?"),
        (["--preset", "smal"], "small"),
        (["--p", "1.5"], "p_p must be between 0 and 1, not 1.5"),
        (["--ratio", "0.95"], "ratio must be 0 to 0.875"),
        (["--shift", "0"], "--shift must be above 0, not 0"),
        (["--rtl", "1,2"], "--rtl takes a step, a layer and a head as in 10,2,0, not '1,2'"),
        (["--rtl", "5,0,0"], "--rtl 5,0,0: there is no step 5, the last one is 4"),
        (["--rtl", "0,0,2"], "there is no head 2, the last one is 1"),
        (["--rtl", "0,0,0", "--methods", "orbis"], "--methods simcore"),
    ],
)
def test_bad_input_is_one_line(small, options, told, capsys):
    error = refused([*small, *options], capsys)
    assert told in error


def test_damaged_weights_are_one_line(small, tmp_path, capsys):
    (tmp_path / "weights.npz").write_bytes(b"PK")
    assert "weights.npz is no .npz of weights" in refused(small, capsys)


def test_a_head_that_differs_in_rtl_is_told(monkeypatch):
    q, k, v = (x[0].astype(np.float16) for x in qkv())
    method = methods.Simcore("small")
    kept = rtl.Kept([(0, 0, 0)])
    kept[0, 0, 0] = [q, k, v, v]
    monkeypatch.setattr(rtl.Native, "build", lambda *_: None)

    class Machine:
        def run(self, *_):
            return type("Run", (), {"a": np.flip(v), "counters": {"cycles": 7}})

    monkeypatch.setattr(rtl, "on_native", lambda *_: Machine())
    with pytest.raises(UserError, match=r"step 0, layer 0, head 0: \d+ of 1536 elements"):
        rtl.run(kept, method, GRID, lambda line: None)
