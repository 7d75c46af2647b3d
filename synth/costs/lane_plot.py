# SPDX-License-Identifier: Apache-2.0
"""A plot of the mixed lanes: area of a lane with its table against its error, every lane by its number, names beside it."""

import dataclasses

from zoetrope.synth.papers import simpicker


def whole(row):
    """GE of a lane with its table."""
    return row["area"]["lane"] + row["area"]["table_ge"]


@dataclasses.dataclass(frozen=True)
class Point:
    """A lane in a plot: ``name`` is its label; ``mixed`` unless FP16; ``bound`` where its GE is a lower bound."""

    name: str
    x: float
    y: float
    mixed: bool
    bound: bool

    def beats(self, other, up):
        better = self.y >= other.y if up else self.y <= other.y
        return (self.x, self.y) != (other.x, other.y) and self.x <= other.x and better


#: Points of a label: size of its letters, width of one, distance to its point.
_LETTER, _ADVANCE, _AWAY = 8, 4.7, 9
_SIDES = {-1: "right", 0: "center", 1: "left"}
_HEIGHTS = {-1: "top", 0: "center", 1: "bottom"}


def label(axes, points, colour="black"):
    """Names beside their points, each on the first side where it covers no other name or point."""
    axes.figure.draw_without_rendering()
    scale = 72 / axes.figure.dpi
    places = [axes.transData.transform((point.x, point.y)) * scale for point in points]
    frame = axes.get_window_extent()
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for point, (x, y) in zip(points, places):
        boxes = {}
        for side, height in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            width, at = len(point.name) * _ADVANCE, (x + side * _AWAY, y + height * _AWAY)
            left, low = at[0] + (side - 1) * width / 2, at[1] + (height - 1) * _LETTER / 2
            boxes[side, height] = (left, low, left + width, low + _LETTER)
        inside = [side for side, box in boxes.items() if box[0] >= frame.x0 * scale and box[2] <= frame.x1 * scale]
        chosen = min(inside, key=lambda side: sum(_overlap(boxes[side], box) for box in taken))
        taken.append(boxes[chosen])
        axes.annotate(
            point.name,
            (point.x, point.y),
            xytext=(chosen[0] * _AWAY, chosen[1] * _AWAY),
            textcoords="offset points",
            fontsize=_LETTER,
            color=colour,
            ha=_SIDES[chosen[0]],
            va=_HEIGHTS[chosen[1]],
        )


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def write(rows, path):
    """Area against error of ``rows`` (``lanes.measure``) as an SVG or PNG, by the name of ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "zoetrope", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(9.5, 4.8), layout="constrained")
        points = [
            Point(
                str(k),
                whole(row),
                max(row["error"], 1e-9),
                k > 1,
                bool(row["area"]["at_least"] and row["area"]["table_ge"]),
            )
            for k, row in enumerate(rows, 1)
        ]
        theirs = simpicker.TABLE_II["lut_pes"].ge
        axes.axvline(theirs, linestyle=":", color="tab:red")
        axes.annotate(
            "the paper's LUT lane",
            (theirs, 0.5),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            color="tab:red",
            rotation=90,
        )
        axes.set(yscale="log", xlabel="GE of a lane with its table", ylabel="rms error of a dot product on the clip")
        axes.margins(0.08)
        for point in points:
            colour = "tab:blue" if point.mixed else "tab:orange"
            axes.plot(point.x, point.y, ">" if point.bound else "o", color=colour, markersize=6)
        label(axes, points)
        names = "\n".join(f"{k:>2}  {row['name']}" for k, row in enumerate(rows, 1))
        figure.text(
            1.0, 0.55, f"{names}\n\nA triangle: its table has only\na lower bound.", va="center", linespacing=1.5
        )
        axes.spines[["top", "right"]].set_visible(False)
        date = {"metadata": {"Date": None}} if str(path).endswith(".svg") else {}
        figure.savefig(path, bbox_inches="tight", facecolor="white", **date)
        pyplot.close(figure)
