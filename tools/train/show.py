# SPDX-License-Identifier: Apache-2.0
"""Draw what ``docs/video-model.md`` shows: ``python tools/train/show.py build/train/loss.csv``, after training.

The loss goes to ``tools/train/loss.csv``, as means of 20 steps, and to ``docs/figures/video-loss.svg``; frames of the four
classes, made with the shipped weights and dense attention, to ``docs/figures/video-frames.png``.
"""

import csv
import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from zoetrope.golden import video_dit
from zoetrope.sim.video import page
from zoetrope.sim.video.generate import GRID, STEPS
from zoetrope.sim.video.loop import Request, make
from zoetrope.sim.video.methods import Dense

ROOT = Path(__file__).resolve().parents[2]
MEAN_OF = 20


def losses(path):
    """(steps, 4): step, frames, loss, squared error of the clean latent; means of ``MEAN_OF`` steps."""
    with open(path, newline="") as file:
        rows = np.array([[float(number) for number in row] for row in csv.reader(file)])
    return rows[: len(rows) // MEAN_OF * MEAN_OF].reshape(-1, MEAN_OF, 4).mean(axis=1)


def draw(rows, path):
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "zoetrope", "svg.fonttype": "none", "font.size": 11})
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3))
    for column, name in ((2, "loss, of the velocity"), (3, "squared error of the clean latent")):
        axes.plot(rows[:, 0], rows[:, column], label=name)
    longer = rows[rows[:, 1] > rows[0, 1], 0].min()
    axes.axvline(longer - MEAN_OF / 2, color="0.7", linestyle=":")
    axes.text(longer, axes.get_ylim()[1], " 8 frames", va="top", color="0.4")
    axes.set(xlabel="step", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def frames(path):
    model = video_dit.load()
    videos = []
    for label in range(len(model.classes)):
        request = Request(seed=0, steps=STEPS, label=label, grid=GRID, shift=1.0)
        videos.append(make(model, Dense(), request, 1).video)
    page.strip(videos, path)
    with Image.open(path) as picture:
        picture.resize((picture.width // 2, picture.height // 2)).save(path, optimize=True)


def main():
    if len(sys.argv) == 2:
        rows = losses(sys.argv[1])
        with open(ROOT / "tools" / "train" / "loss.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("step", "frames", "loss", "error"))
            writer.writerows([f"{number:.4f}".rstrip("0").rstrip(".") for number in row] for row in rows)
        draw(rows, ROOT / "docs" / "figures" / "video-loss.svg")
    frames(ROOT / "docs" / "figures" / "video-frames.png")


if __name__ == "__main__":
    main()
