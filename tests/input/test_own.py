# SPDX-License-Identifier: Apache-2.0
"""Heads as models have them: every format, shape and disguise is read for what it is, or refused with the way out."""

import json
import pickle
import struct
import sys

import numpy as np
import pytest

from zoetrope.sim.input import captured
from zoetrope.sim.input.clips import load, save
from zoetrope.sim.input.own import Choice, from_file
from zoetrope.sim.input.tensor_files import InputError

#: Frames, height, width, text, heads, channels: no two axes can be taken for each other.
F, H, W, TEXT, HEADS, D = 3, 2, 4, 5, 7, 6
VIDEO = F * H * W
SEQUENCE = Choice(grid=(H, W), text=TEXT, text_side="first")


def made(shape, dtype=np.float16):
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(dtype) for name in "qkv"}


def upper(x):
    """The codes of bfloat16 that float32 is cut to."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def wide(codes):
    return (codes.astype(np.uint32) << 16).view(np.float32)


def safetensors(path, metadata=None, **tensors):
    """As the library writes it; a tuple is (type, array of its codes)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, tensor in tensors.items():
        names = {"f": "F", "i": "I", "u": "U"}
        kind, array = tensor if isinstance(tensor, tuple) else ("", tensor)
        kind = kind or f"{names[array.dtype.kind]}{8 * array.itemsize}"
        raw = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def refused(path, choice=None):
    with pytest.raises(InputError) as caught:
        from_file(path, choice)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < len(str(path)) + 330
    return text.removeprefix(f"{path}: ")


# --- shapes --------------------------------------------------------------------------------------------------------

LAYOUTS = [
    ((VIDEO + TEXT, D), (), SEQUENCE, ""),
    ((HEADS, VIDEO + TEXT, D), (4,), SEQUENCE, ", head 4 of 7"),
    ((VIDEO + TEXT, HEADS, D), (slice(None), 4), SEQUENCE, ", head 4 of 7"),
    ((2, HEADS, VIDEO + TEXT, D), (1, 4), SEQUENCE, ", sample 1 of 2, head 4 of 7"),
    ((2, VIDEO + TEXT, HEADS, D), (1, slice(None), 4), SEQUENCE, ", sample 1 of 2, head 4 of 7"),
    ((1, HEADS, VIDEO, D), (0, 4), Choice(grid=(H, W)), ", head 4 of 7"),
    ((HEADS, VIDEO, D), (4,), Choice(grid=(F, H, W)), ", head 4 of 7"),
]


def chosen(choice, shape, said):
    return Choice(
        **{k: v for k, v in vars(choice).items() if v is not None}
        | ({"head": 4} if "head" in said else {})
        | ({"sample": 1} if "sample" in said else {})
    )


@pytest.mark.parametrize("shape, index, choice, said", LAYOUTS)
def test_heads_and_batches_with_text(tmp_path, shape, index, choice, said):
    arrays = made(shape)
    got = from_file(npz(tmp_path / "t.npz", **arrays), chosen(choice, shape, said))
    text = choice.text or 0
    assert got.grid == (F, H, W) and got.text_tokens == text and not got.guessed
    for (name, video), whole in zip(got.items(), got.matrices()):
        assert np.array_equal(whole, arrays[name][index])
        assert np.array_equal(video.reshape(VIDEO, D), arrays[name][index][text:])
    behind = ", 5 text tokens before them" if text else ""
    assert got.source == f"t.npz{said}: 3 frames of 2 x 4 tokens{behind}"


def test_the_first_head_is_taken_and_said(tmp_path):
    arrays = made((2, HEADS, VIDEO, D))
    got = from_file(npz(tmp_path / "t.npz", **arrays), Choice(grid=(H, W)))
    assert np.array_equal(got.matrices()[0], arrays["q"][0, 0]) and ", sample 0 of 2, head 0 of 7" in got.source


def test_frames_height_width(tmp_path):
    arrays = made((F, H, W, D))
    got = from_file(npz(tmp_path / "t.npz", **arrays, grid=[F, H, W]))
    assert np.array_equal(got.q, arrays["q"].reshape(F, H * W, D)) and got.source == "t.npz: 3 frames of 2 x 4 tokens"


def test_text_behind(tmp_path):
    arrays = made((VIDEO + TEXT, D))
    path = npz(tmp_path / "t.npz", **arrays, grid=[F, H, W], text=TEXT, text_side="last")
    got = from_file(path)
    assert np.array_equal(got.text[2], arrays["v"][VIDEO:]) and not got.text_first
    assert np.array_equal(got.matrices()[1], arrays["k"])
    first = got.matrices(frames=2, text_first=True)[0]
    assert np.array_equal(first, np.concatenate([arrays["q"][VIDEO:], arrays["q"][: 2 * H * W]]))
    assert refused(path, Choice(text_side="first")) == "has its text last, it says, and --text-side is first"
    assert refused(path, Choice(text=3)) == "text is 5, and --text is 3"


def test_text_beside_frames_is_saved_and_read(tmp_path):
    got = from_file(npz(tmp_path / "t.npz", **made((VIDEO + TEXT, D))), SEQUENCE)
    save(tmp_path / "again.npz", got)
    again = from_file(tmp_path / "again.npz")
    for one, other in zip(got.matrices(), again.matrices()):
        assert np.array_equal(one, other)
    assert again.grid == (F, H, W) and again.text_first and "5 text tokens before them" in again.source
    content = dict(np.load(tmp_path / "again.npz"))
    content.pop("k_text")
    assert "q_text and v_text; q_text, k_text and v_text belong" in refused(npz(tmp_path / "t.npz", **content))
    content["k_text"] = content["q_text"][:, :3]
    assert "all three must be (text tokens, 6)" in refused(npz(tmp_path / "t.npz", **content))


@pytest.mark.parametrize(
    "shape, choice, part",
    [
        ((HEADS, VIDEO, D), Choice(head=1), "--grid HxW, the height and width of a frame in tokens, tells"),
        ((HEADS, VIDEO, D), Choice(head=7, grid=(H, W)), "there is no head 7: heads are 0 to 6"),
        ((2, HEADS, VIDEO, D), Choice(sample=2, grid=(H, W)), "there is no sample 2: samples are 0 to 1"),
        ((HEADS, VIDEO, D), Choice(sample=1, grid=(H, W)), "(heads, tokens, d): there is no sample to choose"),
        ((VIDEO, D), Choice(head=1, grid=(H, W)), "(tokens, d): there is no head to choose"),
        ((HEADS, VIDEO, D), Choice(grid=(5, 5)), "no axis of tokens has frames of 5 x 5 tokens; --grid, --text and"),
        ((HEADS, VIDEO, D), Choice(grid=(9, H, W)), "no axis of tokens has 9 frames of 2 x 4 tokens"),
        ((HEADS, VIDEO, D), Choice(grid=(H, W), text=3), "has frames of 2 x 4 tokens and 3 of text; --grid"),
        ((1, 16, 24, D), Choice(grid=(2, 4)), "two axes fit frames of 2 x 4 tokens; --grid FxHxW, with the number of"),
        ((VIDEO + TEXT, D), Choice(grid=(H, W), text=TEXT), "where its text stands is not known; --text-side first"),
        ((F, H * W, D), Choice(grid=(H, W), text_side="last"), "--text-side is of text tokens; --text N says how many"),
        (
            (VIDEO + TEXT, D),
            Choice(text=TEXT, text_side="last"),
            "only a grid tells text from the video's tokens: --grid",
        ),
        ((F, H * W, D), Choice(step=1), "has no steps and layers; --step is of a file of `zoetrope capture`"),
        ((F, H * W, D), Choice(crop=(1, 1)), "a part of frames needs their height and width: --grid HxW beside --crop"),
        ((F, H * W, D), Choice(crop=(3, 1), grid=(H, W)), "a crop of 3 x 1 tokens; frames have 2 x 4"),
    ],
)
def test_choices_that_do_not_fit(tmp_path, shape, choice, part):
    assert part in refused(npz(tmp_path / "t.npz", **made(shape)), choice)


def test_the_number_of_frames_tells_two_axes_apart(tmp_path):
    arrays = made((1, 16, 24, D))
    path = npz(tmp_path / "t.npz", **arrays)
    got = from_file(path, Choice(grid=(3, 2, 4), head=15))
    assert np.array_equal(got.matrices()[0], arrays["q"][0, 15])
    got = from_file(path, Choice(grid=(2, 2, 4), head=23))
    assert np.array_equal(got.matrices()[0], arrays["q"][0, :, 23])


def test_crops_and_first_frames(tmp_path):
    arrays = made((4, 5 * 7, D))
    path = npz(tmp_path / "t.npz", **arrays, grid=[4, 5, 7])
    got = from_file(path, Choice(frames=3, crop=(2, 3)))
    assert np.array_equal(got.k.reshape(3, 2, 3, D), arrays["k"].reshape(4, 5, 7, D)[:3, 1:3, 2:5])
    assert got.source == "t.npz: the first 3 of 4 frames of 5 x 7 tokens, of which the middle 2 x 3"
    assert got.given == {"tensors": str(path), "frames": "3", "crop": "2x3"}
    again = load(tensors=path, frames=3, crop=(2, 3))
    assert np.array_equal(got.q, again.q) and again.grid == (3, 2, 3)


# --- .npy ----------------------------------------------------------------------------------------------------------


def test_npy_of_three_that_are_stacked(tmp_path):
    arrays = made((F, H * W, D))
    np.save(tmp_path / "qkv.npy", np.stack(list(arrays.values())))
    got = from_file(tmp_path / "qkv.npy", Choice(grid=(H, W)))
    assert all(np.array_equal(array, arrays[name]) for name, array in got.items())
    told = "; its first axis was taken for frames, --head N takes it for heads"
    assert got.source == f"qkv.npy: 3 frames of 2 x 4 tokens{told}"
    assert told not in from_file(tmp_path / "qkv.npy", Choice(grid=(F, H, W))).source
    text = refused(tmp_path / "qkv.npy")
    assert text.startswith(
        "q has shape (3, 8, 6), which is (frames, tokens, d), (heads, tokens, d) or (tokens, heads, d);"
    )
    np.save(tmp_path / "qkv.npy", arrays["q"][:2])
    assert refused(tmp_path / "qkv.npy").startswith("a single array of shape (2, 8, 6); q, k and v are needed, stacked")


@pytest.mark.parametrize("name", ["{}.npy", "layer3_{}.npy"])
def test_npy_three_files(tmp_path, name):
    arrays = made((HEADS, VIDEO, D), np.float32)
    for which, array in arrays.items():
        np.save(tmp_path / name.format(which), array)
    got = from_file(tmp_path / name.format("q"), Choice(grid=(H, W), head=2))
    assert all(
        np.array_equal(array, arrays[which][2].astype(np.float16)) for which, array in zip("qkv", got.matrices())
    )
    assert got.source.startswith(", ".join(name.format(which) for which in "qkv") + ", head 2 of 7: ")
    (tmp_path / name.format("v")).write_bytes(b"no array")
    with pytest.raises(InputError, match=f"{name.format('v')}: not a whole .npy file, or one of another kind"):
        from_file(tmp_path / name.format("q"))
    np.save(tmp_path / name.format("v"), np.array([None]))
    with pytest.raises(InputError, match=f"{name.format('v')}: pickled objects are refused"):
        from_file(tmp_path / name.format("q"))
    (tmp_path / name.format("v")).unlink()
    text = refused(tmp_path / name.format("q"), Choice(grid=(H, W)))
    assert text.startswith(f"is q alone, and there is no {name.format('v')} beside it; of one file save numpy.stack")


# --- .safetensors --------------------------------------------------------------------------------------------------


def test_safetensors_of_every_type(tmp_path):
    for dtype in ("<f2", "<f4", "<f8", "i1", "u1", "<i4", "<u4", "<i8", "<u8"):
        arrays = {name: np.abs(10 * x).astype(dtype) for name, x in made((VIDEO, D), np.float64).items()}
        path = safetensors(tmp_path / "t.safetensors", {"format": "pt"}, **arrays, other=("F8_E4M3", np.ones(3, "u1")))
        got = from_file(path, Choice(grid=(H, W)))
        for matrix, array in zip(got.matrices(), arrays.values()):
            assert np.array_equal(matrix, array.astype(np.float16))


def test_safetensors_of_bfloat16_and_what_names_there_may_be(tmp_path):
    codes = {name: upper(x) for name, x in made((HEADS, VIDEO, D), np.float32).items()}
    names = dict(zip(("query", "key", "value"), codes.values()))
    path = safetensors(tmp_path / "t.safetensors", **{name: ("BF16", x) for name, x in names.items()})
    got = from_file(path, Choice(grid=(H, W), head=3))
    for matrix, array in zip(got.matrices(), codes.values()):
        assert np.array_equal(matrix, wide(array)[3].astype(np.float16))
    assert "taken for" not in got.source
    path.rename(tmp_path / "of_any_name")
    assert from_file(tmp_path / "of_any_name", Choice(grid=(H, W))).grid == (F, H, W)
    both = {name: ("BF16", x) for name, x in (names | codes).items()}
    assert "has q, k, v and query, key, value; one of them" in refused(safetensors(path, **both), Choice(grid=(H, W)))


def test_safetensors_of_codes_and_of_types_that_are_no_numbers(tmp_path):
    codes = {name: upper(x) for name, x in made((VIDEO, D), np.float32).items()}
    path = safetensors(tmp_path / "t.safetensors", **codes)
    assert "--codes float16 or --codes bfloat16 says which bits" in refused(path, Choice(grid=(H, W)))
    got = from_file(path, Choice(grid=(H, W), codes="bfloat16"))
    assert np.array_equal(got.matrices()[2], wide(codes["v"]).astype(np.float16))
    assert got.source.endswith("; q, k, v taken for the bits of bfloat16")
    eight = {name: ("F8_E4M3", np.ones((VIDEO, D), "u1")) for name in "qkv"}
    text = refused(safetensors(path, **eight), Choice(grid=(H, W)))
    assert text == "q is F8_E4M3, which is a number only with its scale; save it as bfloat16 or float32"
    assert "q is BOOL" in refused(safetensors(path, **{name: ("BOOL", np.ones((VIDEO, D), "u1")) for name in "qkv"}))


def test_bfloat16_beyond_fp16_names_the_place(tmp_path):
    arrays = made((2, HEADS, VIDEO, D), np.float32)
    arrays["k"][1, 3, 20, 4] = -70000.0
    path = safetensors(tmp_path / "t.safetensors", **{name: ("BF16", upper(x)) for name, x in arrays.items()})
    text = refused(path, Choice(grid=(H, W), sample=1, head=3))
    assert text == ("k has 1 of 144 values beyond FP16's 65504 (largest 69632), the first at k[1, 3, 20, 4]; scale it")
    assert from_file(path, Choice(grid=(H, W), sample=1, head=2)).text is None
    arrays["v"][0, 0, 7, 1] = np.nan
    path = safetensors(path, **arrays)
    assert "v has 1 of 144 values that are NaN or infinite, the first at v[0, 0, 7, 1]" in refused(
        path, Choice(grid=(H, W))
    )


def described(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 50) + b"{}",
        described(b"{"),
        described(b'{"a": \xff}'),
        described(b"{" * 5000),
        described({"q": 3}),
        described({"q": GOOD | {"shape": [-2]}}, bytes(4)),
        described({"q": GOOD | {"shape": [2.0]}}, bytes(4)),
        described({"q": GOOD | {"shape": [3]}}, bytes(4)),
        described({"q": GOOD | {"dtype": 3}}, bytes(4)),
        described({"q": GOOD | {"data_offsets": [0]}}, bytes(4)),
        described({"q": GOOD | {"data_offsets": [4, 0]}}, bytes(4)),
        described({"q": GOOD | {"data_offsets": [0, 1 << 62]}}, bytes(4)),
        described({"q": GOOD}, bytes(3)),
        described({"q": GOOD}, bytes(5)),
        described({"q": GOOD, "k": GOOD}, bytes(4)),
        described({"q": GOOD, "k": GOOD | {"data_offsets": [5, 9]}}, bytes(9)),
    ],
)
def test_safetensors_that_are_damaged(tmp_path, content):
    (tmp_path / "t.safetensors").write_bytes(content)
    text = refused(tmp_path / "t.safetensors")
    assert text.startswith(("a damaged .safetensors file (", "not a whole .safetensors file"))


@pytest.mark.parametrize("kind", ["npy", "safetensors", "npz"])
def test_every_cut_is_refused(tmp_path, kind):
    """And a flipped byte is harmless or an error of one line."""
    path = tmp_path / f"t.{kind}"
    arrays = made((1, 2, 2))
    if kind == "npy":
        np.save(path, np.stack(list(arrays.values())))
    else:
        {"npz": npz, "safetensors": safetensors}[kind](path, **arrays)
    whole = path.read_bytes()
    choice = Choice(grid=(1, 2))
    assert from_file(path, choice).grid == (1, 1, 2)
    for end in range(0, len(whole), 1 if kind != "npz" else 29):
        path.write_bytes(whole[:end])
        refused(path, choice)
    for at in range(0, len(whole), 1 if kind != "npz" else 29):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            from_file(path, choice)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


# --- .pt -----------------------------------------------------------------------------------------------------------


def test_pt_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name, content in (("t.pt", b""), ("t.bin", b"x"), ("any", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P")):
        (tmp_path / name).write_bytes(content)
        text = refused(tmp_path / name)
        assert text.startswith(
            "a file of PyTorch, which is not installed here: pip install torch, or where the file was"
        )
        assert "numpy.savez('qkv.npz', q=q.float().cpu().numpy(), k=..., v=...)" in text


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_pt_of_every_type(tmp_path, torch):
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int32, torch.uint8):
        arrays = {n: torch.tensor(x).mul(10).abs().to(dtype) for n, x in made((2, HEADS, VIDEO, D), np.float32).items()}
        for legacy in (False, True):
            torch.save(arrays | {"grid": (F, H, W)}, tmp_path / "t.pt", _use_new_zipfile_serialization=not legacy)
            got = from_file(tmp_path / "t.pt", Choice(head=2, sample=1))
            for matrix, array in zip(got.matrices(), arrays.values()):
                assert np.array_equal(matrix, array[1, 2].double().numpy().astype(np.float16))


def test_pt_of_other_containers(tmp_path, torch):
    arrays = {name: torch.tensor(x) for name, x in made((VIDEO, D)).items()}
    choice = Choice(grid=(H, W))
    for content in (
        tuple(arrays.values()),
        torch.stack(list(arrays.values())),
        torch.nn.ParameterDict(arrays).state_dict(),
    ):
        torch.save(content, tmp_path / "t.pt")
        got = from_file(tmp_path / "t.pt", choice)
        assert all(np.array_equal(x, arrays[name]) for name, x in zip("qkv", got.matrices()))
    transposed = {name: x.t().contiguous().t().requires_grad_(True) for name, x in arrays.items()}
    torch.save(transposed, tmp_path / "t.pt")
    assert np.array_equal(from_file(tmp_path / "t.pt", choice).matrices()[0], arrays["q"])


def test_pt_that_is_refused(tmp_path, torch):
    ones = torch.ones(VIDEO, D)
    path = tmp_path / "t.pt"
    for content, part in [
        ({"q": ones, "k": ones}, "no array named v; q, k and v are needed, found k, q"),
        ({"q": ones, "k": ones, "v": "text"}, "v is <U4; integers or floats"),
        ({name: ones.to(torch.int16) for name in "qkv"}, "q is int16, which may be the bits"),
        (
            {name: ones.to(torch.float8_e4m3fn) for name in "qkv"},
            "q is torch.float8_e4m3fn, which is a number only with",
        ),
        ({name: ones.to_sparse() for name in "qkv"}, "q is a sparse or empty tensor of torch.float32"),
        ([ones, ones], "holds a list; a dictionary of q, k and v, or the three in this order, is needed"),
        (ones, "a single array of shape (24, 6); q, k and v are needed, stacked"),
        (torch.nn.Linear(1, 1), "holds more than tensors, and what is pickled in it could run any code"),
    ]:
        torch.save(content, path)
        assert part in refused(path, Choice(grid=(H, W))), part
    path.write_text("hello")
    assert refused(path).startswith("a damaged file of PyTorch, or none (")
    torch.save({name: ones for name in "qkv"}, path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        refused(path, Choice(grid=(H, W)))


def test_pt_runs_no_code(tmp_path, torch):
    class Bad:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    (tmp_path / "t.pt").write_bytes(pickle.dumps({"q": Bad()}))
    refused(tmp_path / "t.pt")
    torch.save({"q": Bad()}, tmp_path / "t.pt")
    assert "could run any code" in refused(tmp_path / "t.pt")
    assert not (tmp_path / "ran").exists()


def test_files_of_the_libraries(tmp_path):
    """What ml_dtypes and the safetensors package write themselves."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    package = pytest.importorskip("safetensors.numpy")
    arrays = {name: x.astype(ml_dtypes.bfloat16) for name, x in made((VIDEO, D), np.float32).items()}
    choice = Choice(grid=(H, W))
    np.save(tmp_path / "qkv.npy", np.stack(list(arrays.values())))
    package.save_file({name: x.astype(np.float32) for name, x in arrays.items()}, tmp_path / "t.safetensors")
    for path in (npz(tmp_path / "t.npz", **arrays), tmp_path / "qkv.npy", tmp_path / "t.safetensors"):
        for matrix, array in zip(from_file(path, choice).matrices(), arrays.values()):
            assert np.array_equal(matrix, array.astype(np.float32).astype(np.float16))


# --- files of zoetrope capture -------------------------------------------------------------------------------------


def capture(path, **changes):
    places = [(step, layer, head, 0) for step in (0, 9) for layer in (1, 3) for head in (0, 2)]
    rng = np.random.default_rng(3)
    content = {n: rng.normal(size=(len(places), VIDEO + TEXT, D)).astype(np.float16) for n in "qkvo"} | {
        "place": np.array(places),
        "layers": ("a", "b", "c", "d"),
        "grid": (F, H, W),
        "text": TEXT,
        "text_side": "last",
        "model": "CogVideoXTransformer3DModel",
        "dtype": "bfloat16",
        "scale": D**-0.5,
    }
    captured.write(path, found := captured.Captured(**content | changes))
    return found


def test_captured_heads_are_chosen(tmp_path):
    path = tmp_path / "c.npz"
    file = capture(path)
    got = from_file(path)
    assert np.array_equal(got.matrices()[0], file.q[0]) and got.grid == (F, H, W) and not got.text_first
    assert got.source == (
        "c.npz, step 0, layer 1, head 0, sample 0 (the first of 8 heads; --step, --layer, --head, --sample choose), "
        "CogVideoXTransformer3DModel in bfloat16: 3 frames of 2 x 4 tokens, 5 text tokens behind them"
    )
    got = from_file(path, Choice(step=9, head=2))
    assert (
        np.array_equal(got.matrices()[2], file.v[5]) and "head 2, sample 0 (the first of 2 that fit, of 8" in got.source
    )
    got = from_file(path, Choice(step=9, layer=3, head=2, sample=0, frames=2, crop=(1, 2)))
    assert "(the one of 1 that fit, of 8 heads)" in got.source and got.q.shape == (2, 2, D) and got.text_tokens == TEXT
    assert np.array_equal(got.q[1], file.q[7][H * W :][1:3])


@pytest.mark.parametrize(
    "choice, part",
    [
        (Choice(step=5), "there is no step 5 in the file; it has step 0, 9"),
        (Choice(codes="bfloat16"), "a file of `zoetrope capture` has numbers; --codes is of integers"),
        (Choice(text=4), "says text 5 itself, and --text is 4"),
        (Choice(text_side="first"), "says text-side last itself, and --text-side is first"),
        (Choice(grid=(4, 2)), "says a grid of 3x2x4 itself, and --grid is 4x2"),
    ],
)
def test_captured_heads_that_are_not_there(tmp_path, choice, part):
    capture(tmp_path / "c.npz")
    assert part in refused(tmp_path / "c.npz", choice)


def test_captured_files_that_machines_would_misread(tmp_path):
    capture(tmp_path / "c.npz", scale=0.125)
    assert "its scores are scaled by 0.125; machines scale by 1 / sqrt(d)" in refused(tmp_path / "c.npz")
    content = dict(np.load(tmp_path / "c.npz")) | {"version": np.int64(3)}
    assert refused(npz(tmp_path / "c.npz", **content)) == "version is 3; this Zoetrope reads version 2"
