# SPDX-License-Identifier: Apache-2.0
"""Video files as people have them: what a file says about itself is heeded, and what it says wrongly does no harm."""

import fractions
import os
import struct
import zlib

import av
import numpy as np
import pytest

from zoetrope.sim.input.clips import InputError, Video, from_clip

#: Milliseconds of a film whose frames come when something changes.
VARIABLE = (0, 33, 500, 1000, 3000)


def pictures(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def video(path, rgb, codec="ffv1", times=None, pix_fmt="yuv420p", tags=None, **options):
    """A film of 25 frames a second, or with its frames at ``times`` in milliseconds."""
    with av.open(os.path.abspath(path), "w", **options) as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *rgb.shape[1:3], pix_fmt
        if times is not None:
            stream.codec_context.time_base = fractions.Fraction(1, 1000)
        for i, picture in enumerate(rgb):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            if times is not None:
                frame.pts, frame.time_base = times[i], fractions.Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded(path):
    """(video, frames) as arrays of their own."""
    found = Video(path)
    return found, [tuple(plane.copy() for plane in planes) for planes in found.frames()]


# --- tags and names ------------------------------------------------------------------------------------------------


def test_tags_that_are_not_utf_8(tmp_path):
    path = video(tmp_path / "tag.avi", pictures(2, 16, 32), tags={"title": "cafX"})
    content = path.read_bytes()
    assert content.count(b"cafX") == 1
    path.write_bytes(content.replace(b"cafX", b"caf\xe9"))
    assert from_clip(path).grid == (1, 1, 2)


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "http:x.mp4", "a%03d.mp4", "-i.mp4", "pipe:.mp4", "a b'$(x).mp4", "é.mp4"]
)
def test_names_are_files(tmp_path, monkeypatch, name):
    """Given relative to the folder, as a user writes them; a colon makes no address of them."""
    monkeypatch.chdir(tmp_path)
    video(tmp_path / "x.mp4", pictures(2, 16, 16), "mpeg4").rename(tmp_path / name)
    found = from_clip(name)
    assert found.grid == (1, 1, 1) and found.source.startswith(f"{name}: 2 frames") and found.given == {"clip": name}


def test_a_name_that_is_not_utf_8(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4")
    os.rename(video(tmp_path / "x.mp4", pictures(2, 16, 16), "mpeg4"), name)
    assert from_clip(os.fsdecode(name)).grid == (1, 1, 1)


@pytest.mark.parametrize("name", ["a\0b.mp4", "a" * 5000, "file.mkv/under.mp4"])
def test_names_that_no_system_takes(tmp_path, name):
    video(tmp_path / "file.mkv", pictures(1, 16, 16))
    with pytest.raises(InputError) as caught:
        from_clip(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file; a video file is needed"):
        from_clip(tmp_path / "pipe")


def test_a_list_of_other_files_is_not_followed(tmp_path):
    """A play list names a file, or an address; neither is asked for."""
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.sdp").write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    )
    for name in ("list.m3u8", "list.sdp"):
        with pytest.raises(InputError, match="not a video with a frame that decodes"):
            from_clip(tmp_path / name)


def test_tensors_given_as_a_clip(tmp_path):
    np.savez(tmp_path / "qkv.npz", q=np.zeros(3))
    with pytest.raises(InputError, match=r"not a video .*; tensors are given by --tensors"):
        from_clip(tmp_path / "qkv.npz")


# --- turned pictures -----------------------------------------------------------------------------------------------

#: Rows of the matrix (a b / c d) of a picture's header, by what a viewer does with the picture.
TURNS = {
    "as it is": ((1, 0, 0, 1), lambda x: x),
    "90 degrees clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "180 degrees": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "90 degrees anticlockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "mirrored and turned": ((0, 1, 1, 0), lambda x: x.T),
}


def turned(path, matrix):
    """Write a matrix into the track header of an MP4 of version 0."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize("name", TURNS)
def test_a_film_is_turned_as_its_header_says(tmp_path, name):
    matrix, shown = TURNS[name]
    path = video(tmp_path / "film.mp4", pictures(5, 32, 48), "mpeg4")
    _, plain = decoded(path)
    turned(path, matrix)
    found, frames = decoded(path)
    assert len(frames) == 5 and found.damage is None and not found.notes
    for frame, other in zip(frames, plain):
        for got, plane in zip(frame, other, strict=True):
            np.testing.assert_array_equal(got, shown(plane))
    upright = (
        (32, 48) if name in ("90 degrees clockwise", "90 degrees anticlockwise", "mirrored and turned") else (48, 32)
    )
    assert found.size == upright
    assert from_clip(path).grid == (2, upright[1] // 16, upright[0] // 16)


# --- covers --------------------------------------------------------------------------------------------------------


def png(height, width):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_cover_is_no_film(tmp_path):
    """Of an MP3: a tag with a picture, then silent frames of 417 bytes."""
    picture = b"\0image/png\0\3\0" + png(32, 32)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    (tmp_path / "song.mp3").write_bytes(b"ID3\3\0\0" + size + frame + (b"\xff\xfb\x90\x00" + bytes(413)) * 40)
    with pytest.raises(InputError, match="no video stream in it, only a cover picture"):
        from_clip(tmp_path / "song.mp3")


# --- time ----------------------------------------------------------------------------------------------------------

CODECS = {"mkv": "ffv1", "webm": "libvpx", "avi": "ffv1", "flv": "flv", "mp4": "mpeg4", "mov": "mpeg4", "gif": "gif"}


@pytest.mark.parametrize("times", [None, VARIABLE, (0, 2000, 2040, 2080, 2120), (0, 40, 80, 120, 9000)])
@pytest.mark.parametrize("kind", CODECS)
def test_frames_at_any_time_are_whole(tmp_path, kind, times):
    pix_fmt = "rgb8" if kind == "gif" else "yuv420p"
    found, frames = decoded(video(tmp_path / f"film.{kind}", pictures(5, 32, 48), CODECS[kind], times, pix_fmt))
    assert len(frames) == 5 and found.damage is None


@pytest.mark.parametrize("kind, codec", [("mpegts", "mpeg2video"), ("h264", "libx264"), ("yuv4mpegpipe", "rawvideo")])
def test_streams_without_a_header_are_whole(tmp_path, kind, codec):
    codec = "wrapped_avframe" if kind == "yuv4mpegpipe" else codec
    found, frames = decoded(video(tmp_path / "film", pictures(7, 32, 48), codec, format=kind))
    assert len(frames) == 7 and found.damage is None


@pytest.mark.parametrize("kind", ["mkv", "avi", "flv"])
def test_a_cut_is_noticed(tmp_path, kind):
    """What was cut off was longer than the time between two frames."""
    path = video(tmp_path / f"film.{kind}", pictures(20, 32, 48), CODECS[kind])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    found, frames = decoded(path)
    assert 1 < len(frames) < 20 and found.damage


def test_a_film_that_is_shorter_than_its_sound_is_whole(tmp_path):
    with av.open(str(tmp_path / "film.avi"), "w") as container:
        film, sound = container.add_stream("ffv1", rate=25), container.add_stream("pcm_s16le", rate=8000)
        film.height, film.width, film.pix_fmt = 32, 48, "yuv420p"
        for picture in pictures(5, 32, 48):
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")))
        for _ in range(10):
            part = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            part.sample_rate = 8000
            container.mux(sound.encode(part))
        container.mux(film.encode())
        container.mux(sound.encode())
    found, frames = decoded(tmp_path / "film.avi")
    assert len(frames) == 5 and found.damage is None


# --- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first, then", [((32, 48), (64, 64)), ((64, 64), (32, 48)), ((32, 48), (48, 32))])
def test_frames_that_change_their_size_are_told(tmp_path, first, then):
    parts = []
    for k, size in enumerate((first, then)):
        path = video(tmp_path / f"{k}.mjpeg", pictures(5, *size), "mjpeg", pix_fmt="yuvj420p", format="mjpeg")
        parts.append(path.read_bytes())
    (tmp_path / "film.mjpeg").write_bytes(b"".join(parts))
    found = from_clip(tmp_path / "film.mjpeg")
    assert found.grid == (1 + 9 // 4, first[0] // 16, first[1] // 16)
    told = f"10 frames of {first[1]} x {first[0]}, head 0 (frame 5 and others are scaled from {then[1]} x {then[0]})"
    assert found.source == f"film.mjpeg: {told}"


def test_an_error_of_any_kind_in_the_middle_ends_the_film(tmp_path, monkeypatch):
    path = video(tmp_path / "film.mkv", pictures(5, 16, 16))
    whole = Video._planes

    def failing(self, frame):
        if self.count == 2:
            raise MemoryError("no room\nfor it")
        return whole(self, frame)

    monkeypatch.setattr(Video, "_planes", failing)
    found, frames = decoded(path)
    assert len(frames) == 2 and found.damage == "MemoryError: no room for it"
