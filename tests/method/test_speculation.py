# SPDX-License-Identifier: Apache-2.0
"""Speculation as a library and its quality, against float64 attention written here from the definitions."""

import io
import itertools

import numpy as np
import pytest
from rich.console import Console

from zoetrope.command import sim as main
from zoetrope.golden.formats import int8_decode
from zoetrope.golden.method.quality import quality
from zoetrope.golden.method.speculation import speculate
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_a, importance_of_p
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.sim.input import clips
from zoetrope.sim.studies import speculation


def head(seed, m, d, rows, text=0, queries=None):
    """q, k, v ``float16`` whose frames differ, so that some tiles hold more than others."""
    rng = np.random.default_rng(seed)
    frames = -(-m // rows)
    offsets = np.repeat(rng.standard_normal((frames, d)), rows, axis=0)[:m]
    q, k, v = (rng.standard_normal((m, d)) + 1.5 * offsets * (n < 2) for n in range(3))
    q, k, v = (np.concatenate([rng.standard_normal((text, d)), x]).astype(np.float16) for x in (q, k, v))
    return q if queries is None else q[:queries], k, v


# The same from the definitions, with loops.


def greedy(scores, p):
    """Which of one row's scores are taken."""
    chosen, total = set(), 0.0
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if total > p * sum(scores):
            break
        chosen.add(index)
        total += scores[index]
    return [index in chosen for index in range(len(scores))]


def tiles_of(tokens, rows, text):
    edges = [0] * (text > 0) + list(range(text, tokens, rows)) + [tokens]
    return [(a, b) for a, b in itertools.pairwise(edges)]


def weights(scores):
    e = [np.exp(s - max(scores)) for s in scores]
    return np.array([x / sum(e) for x in e])


def expected_map(q, k, rows, p, text):
    ours, theirs = tiles_of(len(q), rows, text), tiles_of(len(k), rows, text)
    result = np.ones((len(ours), len(theirs)), bool)
    for i, (a, b) in enumerate(ours):
        if text and i == 0:
            continue
        mean = q[a:b].astype(float).mean(axis=0)
        means = [k[c:e].astype(float).mean(axis=0) for c, e in theirs[text > 0 :]]
        result[i, text > 0 :] = greedy(weights([mean @ other / np.sqrt(q.shape[1]) for other in means]), p)
    return result


def int8(x):
    """(codes as numbers, scales): ties are exact in float64, and nothing else is as near to one."""
    wide = x.astype(float)
    amax = np.abs(wide).max(axis=0)
    return np.rint(wide * 127 / amax), (amax.astype(np.float32) / np.float32(127)).astype(float)


def expected_quality(q, k, v, rows, p, text, important):
    m, d = k.shape
    k_codes, k_scales = int8(k)
    v_codes, v_scales = int8(v)
    folded = (q.astype(float) * k_scales).astype(np.float16).astype(float)
    wide, v_wide = q.astype(float), v.astype(float)
    ours, theirs = tiles_of(len(q), rows, text), tiles_of(m, rows, text)
    errors, power, held, most, int_p, int_a = np.zeros(3), 0.0, 0.0, 0.0, 0, 0
    for i, (a, b) in enumerate(ours):
        dense_p, mixed_p = np.zeros((b - a, m)), np.zeros((b - a, m))
        for t in range(a, b):
            exact = [wide[t] @ k[j].astype(float) / np.sqrt(d) for j in range(m)]
            mixed = list(exact)
            for j, (c, e) in enumerate(theirs):
                if not important[i, j]:
                    mixed[c:e] = [folded[t] @ k_codes[n] / np.sqrt(d) for n in range(c, e)]
                    int_p += e - c
            dense_p[t - a], mixed_p[t - a] = weights(exact), weights(mixed)
        mass = [dense_p[:, c:e].sum() for c, e in theirs]
        held += sum(x for x, taken in zip(mass, important[i]) if taken)
        most += sum(sorted(mass, reverse=True)[: important[i].sum()])
        dense = dense_p @ v_wide
        power += (dense**2).sum()
        ways = [mixed_p @ v_wide]
        for rows_of_p in (dense_p, mixed_p):
            whole = rows_of_p @ v_wide
            columns = greedy(np.abs(whole.sum(axis=0)), p)
            ways.append(np.where(columns, whole, rows_of_p @ v_codes * v_scales))
        int_a += (b - a) * (d - sum(columns))
        errors += [((way - dense) ** 2).sum() for way in ways]
    return {
        "tiles": 1 - important.mean(),
        "p_products": int_p / (len(q) * m),
        "a_products": int_a / (len(q) * d),
        "mass": held / len(q),
        "most_mass": most / len(q),
        "p_error": np.sqrt(errors[0] / power),
        "a_error": np.sqrt(errors[1] / power),
        "error": np.sqrt(errors[2] / power),
    }


SHAPES = {
    "whole frames": (36, 8, 9, 0, None),
    "a ragged frame": (31, 5, 7, 0, None),
    "text": (24, 8, 6, 5, None),
    "fewer queries": (30, 4, 6, 3, 17),
    "one token": (1, 1, 1, 0, None),
    "frames of one": (6, 3, 1, 0, None),
}


@pytest.mark.parametrize("p", [0.0, 0.3, 0.65, 1.0])
@pytest.mark.parametrize("name", SHAPES)
def test_quality_is_that_of_the_definitions(name, p):
    m, d, rows, text, queries = SHAPES[name]
    q, k, v = head(len(name), m, d, rows, text, queries)
    important = importance_of_p(q[text:], k[text:], rows, p, text=bool(text)).map
    if p not in (0.0, 1.0):  # where the first one is taken at any rate, and all
        np.testing.assert_array_equal(important, expected_map(q, k, rows, p, text))
    (found,) = quality(q, k, v, rows, (p,), text=text)
    assert found.p == p
    want = expected_quality(q, k, v, rows, p, text, important)
    for figure, value in want.items():
        assert getattr(found, figure) == pytest.approx(value, rel=1e-9, abs=1e-12), figure
    assert found.products == pytest.approx((want["p_products"] + want["a_products"]) / 2)
    if p == 1.0:
        assert (found.tiles, found.products, found.error) == (0, 0, 0) and found.mass == pytest.approx(1)


def test_nothing_important_is_all_int8():
    q, k, v = head(1, 40, 8, 10)
    none, least, all_ = quality(q, k, v, 10, (None, 0.0, 1.0))
    assert (none.tiles, none.p_products, none.a_products, none.mass) == (1, 1, 1, 0)
    assert none.error > least.error > all_.error == 0
    assert none.p_error > 0 and none.a_error > 0


def test_some_frames_of_rows_stand_for_all():
    q, k, v = head(2, 60, 8, 6)
    (every,), (some,) = (quality(q, k, v, 6, queries=queries) for queries in (None, 4))
    assert some.tiles == every.tiles and some.p_products == every.p_products
    assert some.error == pytest.approx(every.error, rel=0.5) and some.error != every.error
    assert quality(q, k, v, 6, queries=100) == [every]


def test_speculate_is_what_the_units_write():
    q, k, v = head(3, 33, 6, 8, text=4)
    found = speculate(q, k, v, 8, text=4)
    np.testing.assert_array_equal(found.p.map, importance_of_p(q[4:], k[4:], 8, text=True).map)
    for x, codes, scales in ((k, found.k_codes, found.k_scales), (v, found.v_codes, found.v_scales)):
        want_codes, want_scales = quantize(x)
        np.testing.assert_array_equal(codes, want_codes)
        np.testing.assert_array_equal(scales, want_scales)
        numbers, _ = int8(x)
        np.testing.assert_array_equal(int8_decode(codes), numbers)
    wanted = (q.astype(float) * found.k_scales.astype(float)).astype(np.float16)
    np.testing.assert_array_equal(found.q_folded.view(np.uint16), wanted.view(np.uint16))
    assert not found.not_finite
    q[5, 0] = np.nan
    assert speculate(q, k, v, 8).not_finite and speculate(q, k, v, 8).p.error


def test_the_maps_of_a_are_the_hardwares():
    """On the clip, one frame of rows: columns chosen from float64 rows of P, and from FP16 ones to the bit."""
    tensors = clips.load(frames=17)
    q, k, v = (x.reshape(-1, x.shape[-1]) for _, x in tensors.items())
    rows = tensors.q.shape[1]
    scores = q[:rows].astype(float) @ k.T.astype(float) / 8
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = (e / e.sum(axis=1, keepdims=True)).astype(np.float16)
    (found,) = quality(q, k, v, rows, (0.65,), queries=1)
    important = importance_of_a(p, v).map
    # The rows of P of the first slice are dense but for K's quantization: as many columns, or one more or less.
    assert abs(found.a_products - (1 - important.mean())) < 1.5 / v.shape[1]


def test_arguments_that_cannot_be():
    q, k, v = head(4, 12, 4, 4)
    for bad, message in [
        ((q[:, :3], k, v), "of one shape"),
        ((q, k[1:], v), "of one shape"),
        ((q.astype(float), k, v), "q must be float16"),
        ((q, k, v[:, 0]), "v must be float16"),
    ]:
        with pytest.raises(ValueError, match=message):
            speculate(*bad, 4)
    for keywords, message in [
        ({"rows": 0}, "at least 1, not 0"),
        ({"rows": 4, "p": 1.5}, "p must be between 0 and 1, not 1.5"),
        ({"rows": 4, "p": -0.1}, "p must be between 0 and 1, not -0.1"),
        ({"rows": 4, "text": 12}, "text must be at least 0 and leave a token"),
    ]:
        with pytest.raises(ValueError, match=message):
            speculate(q, k, v, **keywords)
    q[0, 0] = np.inf
    with pytest.raises(ValueError, match="must be finite"):
        quality(q, k, v, 4)


def test_values_at_the_edges_do_not_stop_it():
    q, k, v = head(5, 12, 4, 4)
    (found,) = quality(q, k, np.zeros_like(v), 4)
    assert found.error == 0
    huge = quality(np.full_like(q, 60000), np.full_like(k, 60000), v, 4)[0]
    assert np.isnan(huge.error)  # Q times K's scale is no FP16


@pytest.fixture(scope="module")
def tensors():
    return clips.load(frames=33)


def test_the_table_under_the_benches(tensors):
    page = io.StringIO()
    Console(file=page, width=110).print(speculation.summary(tensors))
    text = page.getvalue()
    (found,) = speculation.measured(tensors, (0.65,), queries=1)
    for part in (f"{found.p_products:.1%}", ">65%", "paper, 0.65", "none", "of 9 frames of rows"):
        assert part in text


@pytest.mark.parametrize("block", [None, "scale_unit"])
def test_it_stands_under_all_benches_and_not_under_one(monkeypatch, capsys, tmp_path, tensors, block):
    path = tmp_path / "qkv.npz"
    clips.save(path, tensors)
    monkeypatch.setattr(main.catalogue, "BLOCKS", {"scale_unit": main.catalogue.BLOCKS["scale_unit"]})
    monkeypatch.setattr(main, "run_all", lambda *arguments: [])
    monkeypatch.setattr(main, "write_results", lambda *arguments: None)
    monkeypatch.setattr(main, "_begun", lambda *arguments: (None, []))
    arguments = ["--tensors", str(path), *(["--block", block] if block else [])]
    monkeypatch.chdir(tmp_path)
    assert main.main(arguments) == 0
    assert ("paper, 0.65" in capsys.readouterr().out) == (block is None)


def test_the_command(capsys, tmp_path, tensors):
    path = tmp_path / "qkv.npz"
    clips.save(path, tensors)
    speculation.main(["--tensors", str(path), "--queries", "2"])
    text = capsys.readouterr().out
    for part in ("3.92%", "0.0058%", "1.57%", ">65%", "0.65", "none"):
        assert part in text
    for arguments, message in [
        (["--p", "1.2"], "--p must be between 0 and 1, not 1.2"),
        (["--queries", "0"], "--queries must be a whole number of at least 1, not 0"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            speculation.main(arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
