# SPDX-License-Identifier: Apache-2.0
"""The blocks of the catalogue as drawings, one a machine: grouped by room, a line from each block to its parts.

Which block instantiates which is found from the modules: a component that a block's module imports, itself or by a module
that is no block (the engine of outer products, say), is a part of the block. The emitted hierarchy was the alternative; its
instances carry a name in the parent, not always that of their class, and all blocks would have to be elaborated.

A machine's drawing has its own rooms, the chip at the top, and below them the shared blocks that they are made of. Lines to
shared blocks, and lines that others already lead along (a chip's to a part of its part), show while a block is pointed at:
with all of them at once the drawing of SIMCORE is a tangle.
"""

import ast
import functools
import importlib
import inspect
from html import escape

from amaranth.hdl import Elaboratable

from zoetrope.hw import catalogue

#: What the drawing is called whose blocks are of no machine.
SHARED = "shared"

#: The title of the band of a machine's drawing that has what other machines may use, too.
_OTHERS = "shared parts (point at a block for the lines to them)"

#: Sizes in pixels: a box's height, its least gap to the next, from row to row, around a room, its title, all of it.
_BOX, _GAP, _ROW, _MARGIN, _HEAD, _WIDTH = 28, 14, 54, 14, 30, 1000
_CHARACTER = 7.3


def drawings(blocks):
    """Names of the drawings of ``blocks``: each machine that has one, and ``SHARED``."""
    found = {block.machine for block in blocks.values()}
    return [*(name for name in catalogue.MACHINES if name in found), *([SHARED] if "" in found else [])]


def own(drawing, blocks):
    """Names of the blocks of a drawing's machine, or of those that are of none."""
    machine = "" if drawing == SHARED else drawing
    return [name for name, block in blocks.items() if block.machine == machine]


def members(drawing, blocks, uses):
    """Names of the blocks in a drawing: ``own`` and the shared ones that they are made of."""
    mine = own(drawing, blocks)
    parts = {part for name in mine for part in uses[name]}
    return [name for name in blocks if name in mine or name in parts]


def edges(blocks=None):
    """Block name to the names of the blocks that it instantiates, in the order of the catalogue."""
    blocks = catalogue.usable([]) if blocks is None else blocks
    homes = {block.component.__module__: name for name, block in blocks.items()}
    found = {name: _parts(block.component.__module__, tuple(homes)) for name, block in blocks.items()}
    return {name: [other for module, other in homes.items() if module in found[name]] for name in blocks}


def needed(uses):
    """``uses`` without what other lines already lead to."""
    below = {}

    def reached(name):
        if name not in below:
            below[name] = set()  # a circle would end here
            below[name] = set(uses[name]).union(*(reached(part) for part in uses[name]))
        return below[name]

    return {
        name: [part for part in parts if not any(part in reached(other) for other in parts if other != part)]
        for name, parts in uses.items()
    }


@functools.cache
def _parts(name, homes):
    """The modules among ``homes`` with a component that module ``name`` imports, itself or by modules not among them."""
    module, found = importlib.import_module(name), set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoetrope.hw."):
            for alias in node.names:
                value = getattr(module, alias.asname or alias.name, None)
                component = inspect.isclass(value) and issubclass(value, Elaboratable)
                if component and value.__module__ in homes:
                    found.add(value.__module__)
                elif (component or inspect.isfunction(value)) and value.__module__ not in {*homes, name}:
                    found |= _parts(value.__module__, homes)
    return frozenset(found - {name})


def bands_of(drawing, blocks):
    """Title to the names of the blocks in each band of a drawing: its rooms, what is made of others at the top."""
    found = {}
    for room in reversed(catalogue.ROOMS):
        inside = [name for name, block in blocks.items() if block.room == room]
        own = drawing == SHARED or room.partition(".")[0] == drawing
        found.setdefault(catalogue.ROOMS[room] if own else _OTHERS, []).extend(inside)
    found[_OTHERS] = found.pop(_OTHERS, [])
    return {title: names for title, names in found.items() if names}


def layout(bands, uses):
    """(bands, places, height): (title, top, height) of each band, block name to the (x, y) of its box's upper left corner.

    In a band, a block stands below those of the band that instantiate it; within a row it stands near its users. Shared
    blocks of a machine stand in rows, one beside the other.
    """
    users, named = _users(uses), bands
    bands, places, y = [], {}, _MARGIN
    for each, inside in named.items():
        depths = dict.fromkeys(inside, 0) if each == _OTHERS else _depths(inside, users)
        rows = []
        for depth in sorted(set(depths.values())):
            rows += _wrapped([name for name in inside if depths[name] == depth])
        top = y
        y += _HEAD
        for row in rows:
            _place(row, users, places, y)
            y += _ROW
        y += _GAP - (_ROW - _BOX) + _MARGIN
        bands.append((each, top, y - top - _MARGIN))
    return bands, places, y


def _depths(members, users):
    """Longest chain of users within ``members`` above each of them."""

    @functools.cache
    def depth(name):
        return max((depth(user) + 1 for user in users[name] if user in members), default=0)

    return {name: depth(name) for name in members}


def _users(uses):
    return {name: [other for other in uses if name in uses[other]] for name in uses}


def _width(name):
    return round(len(name) * _CHARACTER) + 14


def _wrapped(names):
    """``names`` in as few rows as hold them, about as long each."""
    total = sum(_width(name) + _GAP for name in names)
    count = -(-total // (_WIDTH - 2 * _MARGIN + _GAP))
    rows = [[]]
    for name in names:
        if rows[-1] and len(rows) < count and sum(_width(n) + _GAP for n in rows[-1]) >= total / count:
            rows.append([])
        rows[-1].append(name)
    return rows


def _place(row, users, places, y):
    """Gives the boxes of a row their places: in the order of their users' mean place, with equal gaps."""

    def wanted(name):
        above = [places[user][0] for user in users[name] if user in places]
        return sum(above) / len(above) if above else _WIDTH / 2

    gap = (_WIDTH - 2 * _MARGIN - sum(map(_width, row))) / (len(row) + 1)
    x = _MARGIN + gap
    for name in sorted(row, key=lambda name: (wanted(name), name)):
        places[name] = (round(x, 1), y)
        x += _width(name) + gap


def svg(drawing, blocks=None):
    """A drawing as an SVG element for a page that styles it; a box under the pointer shows all of its own lines."""
    every = catalogue.usable([]) if blocks is None else blocks
    uses = edges(every)
    shown = members(drawing, every, uses)
    blocks = {name: every[name] for name in shown}
    uses = {name: [part for part in uses[name] if part in blocks] for name in shown}
    bands, places, height = layout(bands_of(drawing, blocks), uses)
    title = f"diagram-{drawing}"
    lines = [
        f'<svg class="diagram" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-labelledby="{title}">',
        f'<title id="{title}">Blocks by room; a line leads from a block to each block that it instantiates</title>',
    ]
    for each, top, tall in bands:
        lines.append(
            f'<rect class="room" x="2" y="{top}" width="{_WIDTH - 4}" height="{tall}" rx="6"/>'
            f'<text class="room-name" x="{_MARGIN}" y="{top + 18}">{escape(each)}</text>'
        )
    few = needed({name: [part for part in uses[name] if _at_rest(blocks[name], blocks[part])] for name in shown})
    lines += [f'<path class="line" d="{_line(user, part, places)}"/>' for user in few for part in few[user]]
    # Boxes hide the lines behind them. Each brings its own lines again, which show while it is pointed at.
    users = _users(uses)
    for name, (x, y) in places.items():
        own = [_line(name, part, places) for part in uses[name]] + [_line(user, name, places) for user in users[name]]
        lines.append(
            '<g class="block" tabindex="0">'
            + "".join(f'<path class="own" d="{path}"/>' for path in own)
            + f'<rect x="{x}" y="{y}" width="{_width(name)}" height="{_BOX}" rx="4"/>'
            + f'<text x="{x + _width(name) / 2:g}" y="{y + 18}">{name}</text>'
            + f"<title>{escape(_relation(blocks[name], uses[name], users[name]))}</title></g>"
        )
    return "\n".join([*lines, "</svg>"])


def _at_rest(user, part):
    """Whether a line between two blocks is there before one is pointed at: within a machine, or a room that is shared."""
    return user.machine == part.machine if user.machine else user.room == part.room


def _relation(block, parts, users):
    lines = [f"{block.key}: {block.summary}"]
    lines += [f"made of: {', '.join(parts)}"] if parts else []
    lines += [f"in: {', '.join(users)}"] if users else []
    return "\n".join(lines)


def _line(user, part, places):
    """From the foot of the user's box to the head of the part's; the other way round where that stands above."""
    (x1, y1), (x2, y2) = places[user], places[part]
    down = y2 > y1
    x1, x2 = x1 + _width(user) / 2, x2 + _width(part) / 2
    y1, y2 = (y1 + _BOX, y2) if down else (y1, y2 + _BOX)
    bend = (y2 - y1) / 2
    return f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
