# SPDX-License-Identifier: Apache-2.0
"""The picture of a head: the importance map of P, and the tokens of each frame, kept or skipped."""

import math
from pathlib import Path

import numpy as np

from zoetrope.golden.simcore.chip.simcore import Result
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import KEPT, SPATIAL, TEMPORAL


def plot(result: Result, g: Geometry, path: Path):
    """The importance map of P and the tokens of each frame, kept or skipped, as an SVG or PNG by the name of ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zoetrope"
    from matplotlib import pyplot
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    shades = {"FP16 x INT8": "#d9e6f2", "FP16 x FP16": "#1f4e79"}
    left.imshow(result.map_p, cmap=ListedColormap(list(shades.values())), vmin=0, vmax=1, interpolation="nearest")
    text = ", or text" if g.text else ""
    left.set(xlabel=f"frame of K{text}", ylabel=f"query tile (frame of Q{text})")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    left.set_title(f"importance map of P: {result.map_p.mean():.0%} of the tiles important")
    colours = {KEPT: "#1f4e79", TEMPORAL: "#f2c48d", SPATIAL: "#c0504d"}
    picture = mosaic(result.kind[g.video], g)
    right.imshow(
        np.ma.masked_less(picture, 0),
        cmap=ListedColormap(list(colours.values())),
        vmin=0,
        vmax=2,
        interpolation="nearest",
    )
    right.set_axis_off()
    right.set_title(f"tokens of Q, frame by frame: {result.statistics.skipped:.0%} skipped")
    names = ("computed", "repeats one of the frame before", "repeats its group's first")
    place = {"loc": "upper center", "ncols": 3, "frameon": False, "fontsize": "small"}
    for axes, marks, below in ((left, shades, -0.12), (right, dict(zip(names, colours.values())), 0)):
        patches = [Patch(color=colour, label=name) for name, colour in marks.items()]
        axes.legend(handles=patches, bbox_to_anchor=(0.5, below), **place)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    pyplot.close(figure)


def mosaic(kind: np.ndarray, g: Geometry) -> np.ndarray:
    """The kinds of all tokens as one picture, frames in reading order, a line of -1 between them."""
    across = min(g.frames, max(1, round(math.sqrt(g.frames * g.height / g.width))))
    down = -(-g.frames // across)
    picture = np.full((down * (g.height + 1) - 1, across * (g.width + 1) - 1), -1)
    for f, frame in enumerate(kind.reshape(g.frames, g.height, g.width)):
        y, x = f // across * (g.height + 1), f % across * (g.width + 1)
        picture[y : y + g.height, x : x + g.width] = frame
    return picture
