# SPDX-License-Identifier: Apache-2.0
"""Videos side by side: frames as PNG, a moving picture, and one HTML page that needs nothing but its folder."""

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from zoetrope.sim.video.loop import Made

#: Of a pixel of the model, in the pictures.
ZOOM = 3

MILLISECONDS = 160


def pictures(made: Made, grid, folder) -> None:
    """``frame_00.png`` and on, ``video.webp`` and ``skipped.webp``, which has what was skipped in red, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [_image(frame) for frame in made.video]
    for index, frame in enumerate(frames):
        frame.save(folder / f"frame_{index:02}.png")
    _moving(frames, folder / "video.webp")
    share = made.skipped().reshape(grid)
    side = made.video.shape[1] // grid[1]
    share = np.kron(share, np.ones((1, side, side)))[..., None]
    grey = made.video.mean(axis=3, keepdims=True)
    red = np.array([0.9, 0.1, 0.1])
    _moving([_image(frame) for frame in grey * (1 - share) + red * share], folder / "skipped.webp")


def _image(frame):
    height, width, _ = frame.shape
    picture = Image.fromarray(np.rint(frame * 255).astype(np.uint8))
    return picture.resize((width * ZOOM, height * ZOOM), Image.Resampling.NEAREST)


def _moving(frames, path):
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, lossless=True)


def strip(videos, path) -> None:
    """All frames in one PNG: a row a video."""
    rows = [np.concatenate(list(video), axis=1) for video in videos]
    _image(np.concatenate(rows, axis=0)).save(path)


def write(path, found, about) -> None:
    """The page of the rows ``found``, as ``generate`` has them, in the folder of ``path``."""
    loader = FileSystemLoader(__file__.rpartition("/")[0])
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=True)
    path.write_text(environment.get_template("page.html.j2").render(rows=found, about=about))


def by_place(made: Made, plan) -> np.ndarray:
    """Products multiplied as a share of dense ones, of each step and layer, over its heads: (steps, layers)."""
    found = np.zeros((plan.steps, plan.layers))
    for (step, layer, _), work in made.work.items():
        found[step, layer] += work.products / plan.dense / plan.heads
    return found
