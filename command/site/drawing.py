# SPDX-License-Identifier: Apache-2.0
"""Boxes, frames and arrows as an SVG: what the figures of the documentation are drawn with.

A box may lead somewhere: ``to`` is the key of a block of the catalogue, or a page of ``docs`` with an anchor. ``svg`` asks
``link`` for the address, and leaves the box without one where there is no ``link``::

    d = Drawing("A register between two streams", 300, 80)
    a, b = d.box(10, 20, 100, 40, "source"), d.box(190, 20, 100, 40, "exp", to="exp")
    d.arrow(a.right(), b.left(), "a word a cycle")
    d.svg(link=lambda to: f"blocks/{to}.html")
"""

import itertools
import re
from dataclasses import dataclass
from html import escape

#: The look of a figure, in itself: it is read on a page, in a viewer and in a repository's browser. Paper is white in each.
STYLE = """
.fig-paper{fill:#fff}.fig-frame{fill:#f4f6fa;stroke:#9aa7bd;stroke-dasharray:5 4}
.fig-box{fill:#fff;stroke:#33415c;stroke-width:1.3}.fig-memory{fill:#fdf3dc;stroke:#8a6a1f;stroke-width:1.3}
.fig-number{fill:#e6f0ea;stroke:#2f6b4a;stroke-width:1.3}.fig-plan{fill:#fff;stroke:#8d97a8;stroke-dasharray:3 3}
.fig text{font-family:system-ui,Helvetica,Arial,sans-serif;font-size:13px;fill:#1b2437}
.fig .fig-head{font-weight:600}.fig .fig-small{font-size:11.5px;fill:#465069}.fig .fig-title{font-weight:600;fill:#3b4a66}
.fig .fig-title,.fig .fig-note{paint-order:stroke;stroke:#fff;stroke-width:5px;stroke-linejoin:round}
.fig .fig-title{stroke:#f4f6fa}.fig-line{fill:none;stroke:#33415c;stroke-width:1.3}
.fig a:hover rect{stroke:#0b61d8;stroke-width:2.4}
.fig a .fig-head{fill:#0b4fb3}.fig a:focus rect{stroke:#0b61d8;stroke-width:2.4}
"""

_HEAD, _LINE = 16, 15


@dataclass(frozen=True)
class Box:
    """A rectangle that is drawn; its sides have points, at a share of their length from the left or the top."""

    x: float
    y: float
    width: float
    height: float

    def left(self, share=0.5):
        return self.x, self.y + share * self.height

    def right(self, share=0.5):
        return self.x + self.width, self.y + share * self.height

    def top(self, share=0.5):
        return self.x + share * self.width, self.y

    def bottom(self, share=0.5):
        return self.x + share * self.width, self.y + self.height


def _rectangle(style, box):
    size = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
    return f'<rect class="{style}" {size} rx="4"/>'


class Drawing:
    """A figure of ``width`` by ``height`` pixels; ``title`` is what a reader hears who does not see it."""

    def __init__(self, title, width, height):
        self.title, self.width, self.height = title, width, height
        self.targets = []
        self._frames, self._lines, self._boxes, self._words = [], [], [], []

    def frame(self, x, y, width, height, text, to=None):
        """A dashed frame around boxes, with its title at the upper left."""
        title = f'<text class="fig-title" x="{x + 10:g}" y="{y + 18:g}">{escape(text)}</text>'
        box = Box(x, y, width, height)
        self._frames.append((_rectangle("fig-frame", box), None))
        self._words.append((title, to))
        self.targets += [to] if to else []
        return box

    def box(self, x, y, width, height, text, to=None, kind="box"):
        """A box; the first line of ``text`` is its name. ``kind``: box, memory, number (data), or plan (not built)."""
        box, (name, *lines) = Box(x, y, width, height), text.split("\n")
        middle, first = x + width / 2, y + height / 2 - (_LINE * len(lines)) / 2 + 4.5
        words = [f'<text class="fig-head" text-anchor="middle" x="{middle:g}" y="{first:g}">{escape(name)}</text>']
        for k, line in enumerate(lines):
            place = f'text-anchor="middle" x="{middle:g}" y="{first + _HEAD + k * _LINE:g}"'
            words.append(f'<text class="fig-small" {place}>{escape(line)}</text>')
        self._boxes.append((_rectangle(f"fig-{kind}", box) + "".join(words), to))
        self.targets += [to] if to else []
        return box

    def arrow(self, start, end, text="", bend="", side="above", at=0.5):
        """An arrow from a point to a point. ``bend``: "" for straight, "h" or "v" to begin along that axis and turn once,
        "hh" or "vv" to turn twice, at the share ``at`` of the way; ``text`` stands ``side`` ("above", "left", "right")."""
        (x1, y1), (x2, y2) = start, end
        corners = {
            "": [],
            "h": [(x2, y1)],
            "v": [(x1, y2)],
            "hh": [(x1 + at * (x2 - x1), y1), (x1 + at * (x2 - x1), y2)],
            "vv": [(x1, y1 + at * (y2 - y1)), (x2, y1 + at * (y2 - y1))],
        }[bend]
        points = [start, *corners, end]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        self._lines.append((f'<path class="fig-line" marker-end="url(#fig-tip)" d="{path}"/>', None))
        if text:
            self._along(points, text, side)

    def _along(self, points, text, side):
        """Words beside the longest straight part of an arrow."""
        pairs = itertools.pairwise(points)
        (x1, y1), (x2, y2) = max(pairs, key=lambda pair: sum(abs(a - b) for a, b in zip(*pair)))
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        anchor, dx, dy = {"above": ("middle", 0, -5), "left": ("end", -6, 4), "right": ("start", 6, 4)}[side]
        self.note(x + dx, y + dy, text, anchor)

    def note(self, x, y, text, anchor="start"):
        """Small words at a place, line below line."""
        for k, line in enumerate(text.split("\n")):
            place = f'class="fig-small fig-note" text-anchor="{anchor}" x="{x:g}" y="{y + k * _LINE:g}"'
            self._words.append((f"<text {place}>{escape(line)}</text>", None))

    def svg(self, link=None):
        """The figure. ``link``: from a ``to`` to the address that its box leads to."""
        layers = [*self._frames, *self._lines, *self._boxes, *self._words]
        parts = [f'<a href="{escape(link(to))}">{part}</a>' if link and to else part for part, to in layers]
        name = re.sub(r"\W+", "-", self.title.lower())
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" class="fig" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img" aria-labelledby="{name}">',
                f'<title id="{name}">{escape(self.title)}</title><style>{STYLE}</style>',
                '<defs><marker id="fig-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                'orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="#33415c"/></marker></defs>',
                f'<rect class="fig-paper" width="{self.width}" height="{self.height}" rx="6"/>',
                *parts,
                "</svg>",
                "",
            ]
        )
