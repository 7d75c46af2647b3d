# SPDX-License-Identifier: Apache-2.0
"""Version 2 of the file: what is written comes back, and what does not fit together is refused in one line."""

import io
import os
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from zoetrope.sim.input import captured
from zoetrope.sim.input.captured import Captured, CaptureError, read, write

PLACES = [(step, layer, head, sample) for step in (1, 3) for layer in (0, 2) for head in (0, 1) for sample in (0, 1)]


def content(**changes):
    """The arrays of a good file, by name, some of them changed; None leaves one out."""
    rng = np.random.default_rng(3)
    q, k, v, o = rng.standard_normal((4, len(PLACES), 5 + 2 * 3 * 2, 8)).astype(np.float16)
    good = {
        "version": np.int64(2),
        **{"q": q, "k": k, "v": v, "o": o, "place": np.array(PLACES)},
        "layers": np.array(["a.0", "a.1", "b.0"]),
        "grid": np.array([2, 3, 2]),
        **{"text": 5, "text_side": "last", "model": "Some", "dtype": "float32", "scale": 8**-0.5, "kind": "full"},
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def saved(path, **changes):
    np.savez(path, **content(**changes))
    return path


def test_what_is_written_comes_back(tmp_path):
    path = saved(tmp_path / "a.npz")
    first = read(path)
    write(tmp_path / "b", first)
    second = read(tmp_path / "b")
    for field in fields(Captured):
        x, y = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(x, y) and type(x) is type(y), field.name
    assert second.grid == (2, 3, 2) and second.text == 5 and second.text_side == "last" and second.model == "Some"
    assert second.layers == ("a.0", "a.1", "b.0") and second.kept_layers == [0, 2] and second.steps == [1, 3]
    assert second.heads == second.samples == [0, 1] and second.dtype == "float32" and second.kind == "full"
    assert not second.q.flags.writeable


def test_every_entry_is_found_by_its_place(tmp_path):
    c = read(saved(tmp_path / "a.npz"))
    for number, (step, layer, head, sample) in enumerate(PLACES):
        assert c.index(step, layer, head, sample) == number
        q, k, v, o = c.entry(step=step, layer=layer, head=head, sample=sample)
        assert all(np.array_equal(x, y[number]) for x, y in zip((q, k, v, o), (c.q, c.k, c.v, c.o)))
    assert c.index() == 0 and c.index(layer=2) == 4 and c.index(step=3, sample=1) == 9


@pytest.mark.parametrize(
    "asked, told",
    [
        ({"step": 2}, "there is no step 2 in the file; it has step 1, 3"),
        ({"layer": 1}, "there is no layer 1 in the file; it has layer 0, 2"),
        ({"head": -1}, "there is no head -1 in the file; it has head 0, 1"),
        ({"step": 1, "sample": 7}, "there is no sample 7 in the file; it has sample 0, 1"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(tmp_path, asked, told):
    with pytest.raises(CaptureError) as caught:
        read(saved(tmp_path / "a.npz")).entry(**asked)
    assert str(caught.value) == told


def test_places_that_are_there_but_not_together(tmp_path):
    c = read(saved(tmp_path / "a.npz", place=np.array([*PLACES[:-1], (9, 0, 0, 0)])))
    with pytest.raises(CaptureError, match=r"^there is no layer 2 with step 9; there is layer 0$"):
        c.entry(step=9, layer=2)


WRONG = [
    ({"version": None}, "no array named version, so this is no file of `zoetrope capture`"),
    ({"version": 3}, "version is 3; this Zoetrope reads version 2"),
    ({"version": "2"}, "version is <U1 of shape (); one integer is needed"),
    ({"o": None}, "no array named o, which version 2 needs; found dtype, grid, k, kind, "),
    ({"place": None, "grid": None}, "no array named place, grid, which version 2 needs"),
    (
        {"q": np.zeros((16, 17, 8), np.float32)},
        "q is float32 of shape (16, 17, 8); float16 of shape (entries, tokens, ",
    ),
    (
        {"k": np.zeros((17, 8), np.float16)},
        "k is float16 of shape (17, 8); float16 of shape (entries, tokens, d), each",
    ),
    (
        {"q": np.zeros((16, 0, 8), np.float16)},
        "q is float16 of shape (16, 0, 8); float16 of shape (entries, tokens, d)",
    ),
    (
        {"v": np.zeros((16, 17, 4), np.float16)},
        "v has shape (16, 17, 4) and q (16, 17, 8); q, k, v and o must have one",
    ),
    ({"o": np.full((16, 17, 8), np.nan, np.float16)}, "o has 2176 of 2176 values that are NaN or infinite"),
    ({"q": np.full((16, 17, 8), np.inf, np.float16)}, "q has 2176 of 2176 values that are NaN or infinite"),
    ({"grid": np.array([2, 6])}, "grid is int64 of shape (2,); integers (frames, height, width) are needed"),
    ({"grid": np.array([2.0, 3.0, 2.0])}, "grid is float64 of shape (3,); integers (frames, height, width) are needed"),
    ({"grid": np.array([2, 3, 3])}, "grid 2 x 3 x 3 and 5 text tokens are 23 tokens; q, k, v and o have 17"),
    ({"grid": np.array([-2, -3, 2])}, "grid is [-2, -3, 2]; (frames, height, width), each at least 1, is needed"),
    ({"text": -1}, "text is -1; the number of text tokens, 0 or more, is needed"),
    ({"text": 4}, "grid 2 x 3 x 2 and 4 text tokens are 16 tokens; q, k, v and o have 17"),
    ({"text": "five"}, "text is <U4 of shape (); one integer is needed"),
    ({"text_side": "left"}, "text_side is left; one of first, last, none is needed"),
    ({"text_side": "none"}, "text is 5 and text_side is none; without text the side is none"),
    ({"text": 0, "grid": np.array([1, 1, 17])}, "text is 0 and text_side is last; without text the side is none"),
    (
        {"place": np.array(PLACES)[:, :3]},
        "place is int64 of shape (16, 3); integers of shape (16, 4) are needed: step,",
    ),
    ({"place": np.array(PLACES) * 1.0}, "place is float64 of shape (16, 4); integers of shape (16, 4) are needed"),
    ({"place": np.array(PLACES)[1:]}, "place is int64 of shape (15, 4); integers of shape (16, 4) are needed"),
    ({"place": np.array(PLACES)[[0, *range(15)]]}, "place has one entry twice"),
    ({"place": np.array(PLACES) - 1}, "place has numbers that are no index"),
    ({"layers": np.array(["a", "b"])}, "place names layer 2, and layers has 2 names"),
    ({"layers": np.array([], dtype="U3")}, "layers is <U3 of shape (0,); a list of names is needed"),
    ({"layers": np.arange(3)}, "layers is int64 of shape (3,); a list of names is needed"),
    ({"dtype": "float8"}, "dtype is float8; one of float16, bfloat16, float32, float64 is needed"),
    ({"kind": "windowed\n"}, "kind is 'windowed\\n'; one of full, spatial, temporal is needed"),
    ({"kind": "spatial"}, "grid is 2 x 3 x 2 and kind is spatial, whose grid is (1, height, width)"),
    ({"kind": "temporal"}, "grid is 2 x 3 x 2 and kind is temporal, whose grid is (frames, 1, 1)"),
    ({"scale": 0.0}, "scale is 0.0; a finite number above 0 is needed"),
    ({"scale": np.nan}, "scale is nan; a finite number above 0 is needed"),
    ({"scale": 1}, "scale is int64 of shape (); one float is needed"),
    ({"model": np.array(["a", "b"])}, "model is <U1 of shape (2,); one text is needed"),
    ({"model": np.array([None, {}], dtype=object)}, "pickled objects are refused"),
]


@pytest.mark.parametrize("changes, told", WRONG, ids=[f"{'-'.join(c)}-{n}" for n, (c, _) in enumerate(WRONG)])
def test_what_does_not_fit_together_is_one_line(tmp_path, changes, told):
    text = refusal(saved(tmp_path / "a.npz", **changes))
    assert text.removeprefix(f"{tmp_path / 'a.npz'}: ").startswith(told)
    assert len(text) < len(str(tmp_path)) + 300


def refusal(path):
    with pytest.raises(CaptureError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path):
    whole = saved(tmp_path / "a.npz").read_bytes()
    part = tmp_path / "part.npz"
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        part.write_bytes(whole[:length])
        refusal(part)


def test_a_changed_byte_of_the_tensors_is_found(tmp_path):
    whole = bytearray(saved(tmp_path / "a.npz").read_bytes())
    where = whole.find(content()["k"].tobytes()[:32])
    whole[where + 3] ^= 0x10
    (tmp_path / "a.npz").write_bytes(whole)
    assert "a damaged .npz file" in refusal(tmp_path / "a.npz")


def test_other_files(tmp_path):
    assert refusal(tmp_path / "none.npz").endswith("no such file")
    assert "a folder" in refusal(tmp_path)
    (tmp_path / "noise").write_bytes(os.urandom(1000))
    assert "not a whole .npz file" in refusal(tmp_path / "noise")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "no array named version" in refusal(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("version.npy", b"\x93NUMPY\x01\x00")
    assert "damaged" in refusal(tmp_path / "b.zip")
    np.savez(tmp_path / "old.npz", q=np.zeros((2, 6, 8)), k=np.zeros((2, 6, 8)), v=np.zeros((2, 6, 8)))
    assert "--tensors" in refusal(tmp_path / "old.npz")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(CaptureError, match="cannot be written"):
        write(tmp_path / "no" / "a.npz", read(saved(tmp_path / "a.npz")))


def test_arrays_that_were_read_already():
    buffer = io.BytesIO()
    np.savez(buffer, **content())
    buffer.seek(0)
    with np.load(buffer) as archive:
        assert captured.parse(dict(archive)).text == 5
