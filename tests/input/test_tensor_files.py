# SPDX-License-Identifier: Apache-2.0
"""An ``.npz`` is somebody else's: whatever is in it, it is taken as what it is, or refused in one line with a way out."""

import io
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from zoetrope.sim.input.clips import load, main
from zoetrope.sim.input.own import Choice, from_file
from zoetrope.sim.input.tensor_files import InputError, Tensors, fits, guess, options, parse_grid, save, variables


def arrays(shape=(2, 6, 8), dtype=np.float16, **changes):
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(dtype) for name in "qkv"} | changes


def written(path, **content):
    np.savez(path, **content)
    return path


@pytest.fixture
def refused(tmp_path):
    """The one line with which a file is refused; ``path`` is where it is to be."""

    def of(choice=None, path=tmp_path / "t.npz", **content):
        if content:
            written(path, **content)
        with pytest.raises(InputError) as caught:
            from_file(path, choice)
        text = str(caught.value)
        assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < len(str(path)) + 330
        return text.removeprefix(f"{path}: ")

    return of


# --- codes in place of numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", "qkv")
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, ">u2"])
def test_integers_of_16_bits_are_refused_and_the_ways_out_work(tmp_path, refused, name, dtype):
    numbers = arrays()
    codes = numbers[name].view(np.uint16).astype(dtype)
    text = refused(**numbers | {name: codes})
    assert text == (
        f"{name} is {np.dtype(dtype)}, which may be the bits of FP16, of bfloat16, or numbers: --codes float16 or "
        f"--codes bfloat16 says which bits; of numbers save {name}.astype(numpy.float32)"
    )
    got = from_file(tmp_path / "t.npz", Choice(codes="float16"))
    for each, array in got.items():
        assert np.array_equal(array, numbers[each])
    assert got.source.endswith(f"; {name} taken for the bits of float16") and got.given["codes"] == "float16"
    wide = numbers[name].astype(np.float32)
    bits = (wide.view(np.uint32) >> 16).astype(np.uint16)
    rounded = (bits.astype(np.uint32) << 16).view(np.float32)
    written(tmp_path / "t.npz", **numbers | {name: bits.astype(dtype)})
    got = dict(from_file(tmp_path / "t.npz", Choice(codes="bfloat16")).items())
    assert np.array_equal(got[name], rounded.astype(np.float16))


def test_codes_are_of_integers_of_16_bits(refused):
    assert refused(Choice(codes="bfloat16"), **arrays()) == (
        "--codes bfloat16 is of integers of 16 bits, and q is float16, k is float16, v is float16"
    )


def test_two_bytes_without_a_name_are_bfloat16(tmp_path):
    """As ``numpy.savez`` writes arrays of ml_dtypes."""
    values = np.array([1.0, -0.5, 3.140625, 2.0**-20] * 24, np.float32).reshape(2, 6, 8)
    raw = (values.view(np.uint32) >> 16).astype("<u2").view("V2")
    got = from_file(written(tmp_path / "t.npz", **arrays(k=raw)))
    assert np.array_equal(got.k, values.astype(np.float16))
    assert got.source.endswith("; k taken for the bits of bfloat16")
    half = values.astype("<f2").view("V2")
    assert np.array_equal(
        from_file(written(tmp_path / "t.npz", **arrays(k=half)), Choice(codes="float16")).k, values.astype(np.float16)
    )


def test_a_byte_without_a_name(refused):
    text = refused(**arrays(k=np.zeros((2, 6, 8), "V1")))
    assert text.startswith("k has elements of 1 unnamed byte") and "writes an FP8 format; save k.astype(" in text


def test_arrays_of_records(refused):
    assert "q is [('a', '<f4'), ('b', '<f4')]; integers or floats" in refused(
        **arrays(q=np.zeros((2, 6, 8), "f4, f4").astype([("a", "f4"), ("b", "f4")]))
    )


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, way",
    [
        ((6, 8), "is (tokens, d); --grid HxW, the height and width of a frame in tokens, tells"),
        (
            (1, 4, 12, 8),
            "is (frames, height, width, d), (batch, heads, tokens, d) or (batch, tokens, heads, d); --grid HxW, the height",
        ),
        ((8,), "(frames, tokens, d), each at least 1, is needed, or (tokens, d), (heads,"),
        ((2, 0, 8), "(frames, tokens, d), each at least 1, is needed"),
        ((1, 1, 2, 6, 8), "(frames, tokens, d), each at least 1, is needed"),
    ],
)
def test_shapes_have_a_way_out(refused, shape, way):
    text = refused(**arrays(shape))
    assert text.startswith(f"q has shape {shape}") and way in text


# --- the grid ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokens, height, width", [(1, 1, 1), (2, 1, 2), (7, 1, 7), (48, 6, 8), (99, 9, 11), (1350, 30, 45), (3600, 60, 60)]
)
def test_the_most_square_grid_is_guessed_and_said(tmp_path, tokens, height, width):
    assert guess((3, tokens, 5)) == (3, height, width) and fits((3, height, width), (3, tokens, 5))
    got = from_file(written(tmp_path / "t.npz", **arrays((3, tokens, 2))))
    assert got.guessed and got.grid == (3, height, width)
    assert got.source.startswith(f"t.npz: 3 frames of {height} x {width} tokens")
    assert ("guessed, as the file has no grid; GRID=HxW or --grid HxW says otherwise" in got.source) == (tokens > 1)


def test_a_grid_is_given(tmp_path):
    path = written(tmp_path / "t.npz", **arrays())
    got = load(tensors=path, grid=(1, 6))
    assert got.grid == (2, 1, 6) and not got.guessed and got.source == "t.npz: 2 frames of 1 x 6 tokens"
    assert got.given == {"tensors": str(path), "grid": "1x6"}
    own = written(tmp_path / "own.npz", **arrays(grid=np.array([2, 3, 2])))
    assert load(tensors=own).grid == (2, 3, 2) and load(tensors=own, grid=(6, 1)).grid == (2, 6, 1)
    with pytest.raises(InputError, match="no axis of tokens has frames of 2 x 4 tokens; --grid, --text and the shape"):
        load(tensors=path, grid=(2, 4))
    with pytest.raises(InputError, match="a clip has its own"):
        load(grid=(2, 4))


@pytest.mark.parametrize(
    "text, grid", [("9x11", (9, 11)), ("9 11", (9, 11)), ("9,11", (9, 11)), (" 1*2 ", (1, 2)), ("3x9x11", (3, 9, 11))]
)
def test_how_a_grid_is_written(text, grid):
    assert parse_grid(text) == grid


@pytest.mark.parametrize("text", ["", "9", "0x3", "9x", "9x11x2x1", "-1x2", "axb", "9x٣", "9" * 99 + "x1"])
def test_how_no_grid_is_written(text):
    with pytest.raises(InputError, match="a grid is HEIGHTxWIDTH in tokens, such as 9x11, not"):
        parse_grid(text)


@pytest.mark.parametrize(
    "grid",
    [np.zeros((0,), int), np.zeros(1000, int), np.array("2x3"), np.array([b"x" * 900]), np.array([2 + 0j, 2, 3])],
)
def test_grids_of_any_kind_are_refused_in_a_short_line(refused, grid):
    assert "integers (2, height, width) with height * width = 6 are needed" in refused(**arrays(grid=grid))


def test_a_guess_is_not_saved(tmp_path):
    got = from_file(written(tmp_path / "t.npz", **arrays()))
    save(tmp_path / "again.npz", got)
    assert set(np.load(tmp_path / "again.npz").files) == {"q", "k", "v"}


def test_how_to_give_it_again():
    given = {"clip": "my film's.mp4", "grid": "2x3"}
    assert options(given) == """ --clip 'my film'"'"'s.mp4' --grid 2x3"""
    assert variables({"tensors": "a b.npz"}) == " TENSORS='a b.npz'" and options({}) == variables({}) == ""


# --- values --------------------------------------------------------------------------------------------------------


def test_values_that_become_zero_are_counted(tmp_path):
    tiny = np.full((2, 6, 8), 1e-9)
    tiny[0, 0, :5] = 0, 2.0**-25, -(2.0**-25), np.nextafter(2.0**-25, 1), 1
    got = from_file(written(tmp_path / "t.npz", **arrays(k=tiny)))
    assert got.source.endswith("; 93 of 96 values of k are too small for FP16 and became 0")
    assert not np.signbit(got.k[0, 0, 3]) and got.k[0, 0, 3] == 2.0**-24


# --- files of other kinds ------------------------------------------------------------------------------------------


def test_files_of_other_kinds_are_named(tmp_path, refused):
    (tmp_path / "q.csv").write_text("1,2\n")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    for name, part in [
        ("q.csv", "a .csv file is not read; save q, k and v with numpy.savez('qkv.npz', q=q, k=k, v=v)"),
        ("film.mp4", "not a file of tensors; a video is given by --clip or CLIP="),
    ]:
        assert part in refused(path=tmp_path / name), name


def test_many_and_odd_names_make_a_short_line(refused):
    text = refused(**{f"layer{k}.attention.query.weight.of.a.long.name": np.ones(1) for k in range(99)})
    assert text.endswith(" and 94 more") and "..." in text


def test_names_that_do_not_print(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("a\nb.npy", b"")
    assert refused().endswith(r"found 'a\nb'")


# --- damage --------------------------------------------------------------------------------------------------------


def header(text, version=b"\1\0"):
    """An ``.npy`` with this header, no data behind it."""
    text = text.encode().ljust(64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def described(shape="(2, 6, 8)", descr="'<f2'", order="False"):
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")


@pytest.mark.parametrize(
    "content",
    [
        described("(26388279066624, 2, 2)"),  # 192 TiB
        described("(2, 6, 9223372036854775807)"),
        described("(-1, 6, 8)"),
        described("(2, 6, 8.0)"),
        described("2"),
        described(order="'no'"),
        described(descr="'<f3'"),
        described(descr="'|O'"),
        described(descr="[('a', '<f2')] * 9"),
        described(descr="'<U99999999'"),
        header("{'descr': '<f2'"),
        header("\\"),
        header("(" * 60),
        header("[" * 9000 + "]" * 9000),
        header("-" * 9000 + "1"),
        header("{'a': " * 3000 + "}" * 3000),
        header("\0"),
        header("'''"),
        header("{1: 2}"),
        b"\x93NUMPY\3\0" + b"\xff\xff\xff\x7f",
        b"\x93NUMPY\1\0",
        b"",
    ],
)
def test_headers_that_lie(tmp_path, refused, content):
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        for name in "qkv":
            archive.writestr(f"{name}.npy", content)
    assert refused()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_data_that_is_damaged(tmp_path, refused, method):
    out = io.BytesIO()
    np.save(out, np.random.default_rng(1).normal(size=(2, 6, 8)))
    with zipfile.ZipFile(tmp_path / "t.npz", "w", method) as archive:
        for name in "qkv":
            archive.writestr(f"{name}.npy", out.getvalue())
    from_file(tmp_path / "t.npz")
    content = bytearray((tmp_path / "t.npz").read_bytes())
    content[60:160] = bytes(range(100))
    (tmp_path / "t.npz").write_bytes(content)
    assert refused().startswith("a damaged .npz file (")


def test_encrypted_and_unknown_methods(tmp_path, refused):
    whole = written(tmp_path / "t.npz", **arrays()).read_bytes()
    central = whole.index(b"PK\1\2")
    for at, value in ((central + 8, 1), (central + 10, 77)):  # the flag of a password; the method of packing
        content = bytearray(whole)
        content[at] = value
        (tmp_path / "t.npz").write_bytes(content)
        assert refused().startswith("a damaged .npz file (")


def test_any_exception_of_the_reader_is_one_line(tmp_path, refused, monkeypatch):
    written(tmp_path / "t.npz", **arrays())
    for error in (
        RecursionError("too\ndeep"),
        SystemError("x" * 900),
        AttributeError("none"),
        OSError("io"),
    ):

        def failing(*_, raised=error, **__):
            raise raised

        monkeypatch.setattr(np, "load", failing)
        assert refused().startswith("a damaged .npz file (")


def test_a_file_that_may_not_be_read(tmp_path, refused, monkeypatch):
    written(tmp_path / "t.npz", **arrays())

    def failing(*_, **__):
        raise PermissionError(13, "Permission denied", "t.npz")

    monkeypatch.setattr("builtins.open", failing)
    assert refused() == "Permission denied"


def test_the_command_takes_a_grid_and_names_of_any_kind(tmp_path, capsys):
    path = written(tmp_path / "[bold]a[red].npz", **arrays())
    main(["--tensors", str(path), "--grid", "1x6"])
    assert "[bold]a[red].npz: 2 frames of 1 x 6 tokens" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["--tensors", str(path), "--grid", "six"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: a grid is HEIGHTxWIDTH in tokens, such as 9x11, not six\n"


def test_help_tells_the_format():
    run = [sys.executable, "-m", "zoetrope.command", "clips", "--help"]
    text = " ".join(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())
    for part in ("q, k, v of shape (frames, tokens, d)", "grid = (frames, height, width)", "--grid HxW", "--clip CLIP"):
        assert part in text


def test_tensors_of_a_guess_can_be_given_a_grid():
    made = Tensors(**arrays(), grid=None, source="made")
    assert made.guessed and made.grid == (2, 2, 3) and made.given == {}


def test_a_file_that_memory_does_not_hold(tmp_path, refused, monkeypatch):
    """Too large and damaged are two things."""
    written(tmp_path / "t.npz", **arrays())

    def failing(*_, **__):
        raise MemoryError("Unable to allocate 2 TiB")

    monkeypatch.setattr(np, "load", failing)
    assert refused() == "too large for this machine's memory (Unable to allocate 2 TiB)"
