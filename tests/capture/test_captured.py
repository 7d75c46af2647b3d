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


CHANGES = {
    "version": None,
    "another version": {"version": 3},
    "a version that is text": {"version": "2"},
    "no o": {"o": None},
    "no place, no grid": {"place": None, "grid": None},
    "no kind": {"kind": None},
    "float32": {"q": np.zeros((16, 17, 8), np.float32)},
    "one head": {"k": np.zeros((17, 8), np.float16)},
    "no tokens": {"q": np.zeros((16, 0, 8), np.float16)},
    "another shape": {"v": np.zeros((16, 17, 4), np.float16)},
    "NaN": {"o": np.full((16, 17, 8), np.nan, np.float16)},
    "infinite": {"q": np.full((16, 17, 8), np.inf, np.float16)},
    "grid of 2": {"grid": np.array([2, 6])},
    "grid of floats": {"grid": np.array([2.0, 3.0, 2.0])},
    "grid that does not fit": {"grid": np.array([2, 3, 3])},
    "grid of nothing": {"grid": np.array([-2, -3, 2])},
    "negative text": {"text": -1},
    "text that does not fit": {"text": 4},
    "text that is text": {"text": "five"},
    "no such side": {"text_side": "left"},
    "text without side": {"text_side": "none"},
    "side without text": {"text": 0, "grid": np.array([1, 1, 17])},
    "places of 3": {"place": np.array(PLACES)[:, :3]},
    "places of floats": {"place": np.array(PLACES) * 1.0},
    "one place too few": {"place": np.array(PLACES)[1:]},
    "a place twice": {"place": np.array(PLACES)[[0, *range(15)]]},
    "a negative place": {"place": np.array(PLACES) - 1},
    "a layer without name": {"layers": np.array(["a", "b"])},
    "no layers": {"layers": np.array([], dtype="U3")},
    "layers that are numbers": {"layers": np.arange(3)},
    "no such dtype": {"dtype": "float8"},
    "no such kind": {"kind": "windowed"},
    "a spatial entry of two frames": {"kind": "spatial"},
    "a temporal entry of a frame": {"kind": "temporal"},
    "scale 0": {"scale": 0.0},
    "scale NaN": {"scale": np.nan},
    "scale that is whole": {"scale": 1},
    "model that is a list": {"model": np.array(["a", "b"])},
    "pickled": {"model": np.array([None, {}], dtype=object)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_fit_together_is_one_line(tmp_path, name):
    path = saved(tmp_path / "a.npz", **(CHANGES[name] or {"version": None}))
    text = refusal(path)
    assert len(text) < len(str(path)) + 300 and any(word in text for word in ("need", "must", "read", "are ", "names"))


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
