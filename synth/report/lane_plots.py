# SPDX-License-Identifier: Apache-2.0
"""Plots of the mixed lanes for the report (``synth.report.page``): SVG in the colours of a page that is light or dark."""

import io
import re

from markupsafe import Markup, escape

from zoetrope.synth.costs.lane_plot import Point, label, whole

#: The five mixed lanes and the lane that they are to replace, by their names in ``synth.costs.lanes``; the rest are
#: variants.
FIVE = ("buffered LUT (the paper's)", "generated LUT", "split LUT", "11 x 7 multiplier", "aligned integer")
FP16_LANE = "FP16 multiplier"

#: Colours that a plot is drawn in, and the page's own for which they stand; the page knows whether it is light or dark.
_INK, _POINT, _MARK, _PALE = "#010203", "#010204", "#010205", "#010206"
_COLOURS = {_INK: "var(--ink)", _POINT: "var(--accent)", _MARK: "var(--mark)", _PALE: "var(--muted)"}


def lane_costs(rows):
    """GE of the LUT lane, of the multiplier lane, of the FP16 lane and of the least mixed one, as dicts."""
    by_name = {row["name"]: row for row in rows}
    found = []
    least = min((name for name in by_name if name != FP16_LANE), key=lambda name: whole(by_name[name]))
    for name in dict.fromkeys((FIVE[0], FIVE[3], FP16_LANE, least)):
        area = by_name[name]["area"]
        found.append(
            {
                "name": name,
                "bound": "≥ " if area["at_least"] and area["table_ge"] else "",
                "multiplier": area["multiplier"],
                "table": area["table_ge"],
                "sums": area["sums"],
                "whole": whole(by_name[name]),
            }
        )
    return found


def pareto(rows, key, title, up=False, log=False):
    """GE of a lane with its table against ``key``, as an SVG element; None where a lane of the five has no number.

    ``up``: more of it is better; ``log``: on a logarithmic axis. Mixed lanes that no other one beats in both have a ring.
    The five and the FP16 lane have their names, the others the number of their row.
    """
    points = [
        Point(
            name=row["name"] if row["name"] in (*FIVE, FP16_LANE) else str(k),
            x=whole(row),
            y=row[key],
            mixed=row["name"] != FP16_LANE,
            bound=bool(row["area"]["at_least"] and row["area"]["table_ge"]),
        )
        for k, row in enumerate(rows, 1)
        if row.get(key) is not None
    ]
    if not {*FIVE} <= {point.name for point in points}:
        return None
    mixed = [point for point in points if point.mixed]

    def draw(axes):
        axes.margins(0.1)
        for point in points:
            colour = _POINT if point.mixed else _MARK
            filled = {"markerfacecolor": "none"} if point.name.isdigit() else {}
            axes.plot(point.x, point.y, ">" if point.bound else "o", color=colour, markersize=6, **filled)
            if point.mixed and not any(other.beats(point, up) for other in mixed):
                axes.plot(point.x, point.y, "o", color=colour, markersize=12, markerfacecolor="none")
        axes.set(xlabel="GE of a lane with its table", ylabel=title, yscale="log" if log else "linear")
        label(axes, points, _INK)

    return _svg(draw, key.replace("_", "-"), f"{title} of each lane against its gate equivalents")


def plots(rows):
    """(plot or None, the command that measures it, what it shows) of each plot of the lanes."""
    return [
        (pareto(rows, "fmax_mhz", "Fmax on ECP5, MHz", up=True), "make lanes", "Fmax of the routed datapath"),
        (pareto(rows, "pj", "pJ a product"), "make lanes LIBERTY=cells.lib", "energy of a product"),
        (pareto(rows, "error", "rms error", log=True), "make lanes", "rms error of a dot product on the clip"),
    ]


def _svg(draw, prefix, title):
    """What ``draw(axes)`` draws, as an SVG element in the page's colours, its ids begun by ``prefix``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {
        "svg.hashsalt": "zoetrope",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _PALE,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
    }
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        pyplot.close(figure)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # A style in an SVG would be one of the whole page; the page has that of lines.
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn, flags=re.S)
    drawn = re.sub(r' xmlns(:\w+)?="[^"]*"', "", drawn)
    drawn = drawn.replace("xlink:href=", "href=")
    drawn = re.sub(r'id="', f'id="{prefix}-', drawn)
    drawn = re.sub(r"""(href="|url\()#""", rf"\1#{prefix}-", drawn)
    for colour, ours in _COLOURS.items():
        drawn = drawn.replace(colour, ours)
    drawn = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", drawn)
    head, _, rest = drawn.partition(">")
    return Markup(f'{head} role="img"><title>{escape(title)}</title>{rest}')
