"""The blocks of the catalogue as a drawing: grouped by room, a line from each block to the blocks that it instantiates.

Which block instantiates which is found from the modules: a component that a block's module imports, itself or by a module
that is no block (the engine of outer products, say), is a part of the block. The emitted hierarchy was the alternative; its
instances carry a name in the parent, not always that of their class, and all blocks would have to be elaborated.
"""

import ast
import functools
import importlib
import inspect
from html import escape

from amaranth.hdl import Elaboratable

from zoetrope.hw import catalogue

#: Rooms from the top of the drawing to its foot, and what is in them; a room that is not named comes first.
ROOMS = {
    "board": "on a board",
    "axi": "AXI",
    "orbis": "ORBIS",
    "simcore": "SIMCORE, the chip of SIMPICKER",
    "memory": "memories",
    "tree": "trees",
    "arith": "arithmetic",
}

#: Sizes in pixels: a box's height, its least gap to the next, from row to row, around a room, its title, all of it.
_BOX, _GAP, _ROW, _MARGIN, _HEAD, _WIDTH = 28, 14, 54, 14, 30, 1200
_CHARACTER = 7.3


def room(block):
    """The folder of ``hw`` that ``block`` is in."""
    return block.room.partition(".")[0]


def edges(blocks=None):
    """Block name to the names of the blocks that it instantiates, in the order of the catalogue."""
    blocks = catalogue.BLOCKS if blocks is None else blocks
    homes = {block.component.__module__: name for name, block in blocks.items()}
    found = {name: _parts(block.component.__module__, tuple(homes)) for name, block in blocks.items()}
    return {name: [other for module, other in homes.items() if module in found[name]] for name in blocks}


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


def layout(blocks, uses):
    """(bands, places, height): (room, top, height) of each room, block name to the (x, y) of its box's upper left corner.

    In a room, a block stands below those of the room that instantiate it; within a row it stands near its users.
    """
    rooms = sorted(
        {room(block) for block in blocks.values()}, key=lambda r: (list(ROOMS).index(r) if r in ROOMS else -1, r)
    )
    users = _users(uses)
    bands, places, y = [], {}, _MARGIN
    for each in rooms:
        members = [name for name in blocks if room(blocks[name]) == each]
        depths = _depths(members, users)
        rows = []
        for depth in sorted(set(depths.values())):
            rows += _wrapped([name for name in members if depths[name] == depth])
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


def svg(blocks=None):
    """The drawing as an SVG element for a page that styles it; a box under the pointer shows its own lines."""
    blocks = catalogue.BLOCKS if blocks is None else blocks
    uses = edges(blocks)
    bands, places, height = layout(blocks, uses)
    lines = [
        f'<svg class="diagram" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        'aria-labelledby="diagram-title">',
        '<title id="diagram-title">Blocks by room; a line leads from a block to each block that it instantiates</title>',
    ]
    for each, top, tall in bands:
        lines.append(
            f'<rect class="room" x="2" y="{top}" width="{_WIDTH - 4}" height="{tall}" rx="6"/>'
            f'<text class="room-name" x="{_MARGIN}" y="{top + 18}">hw/{each}: {escape(ROOMS.get(each, each))}</text>'
        )
    lines += [f'<path class="line" d="{_line(user, part, places)}"/>' for user in uses for part in uses[user]]
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


def _relation(block, parts, users):
    lines = [f"{block.name}: {block.summary}"]
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
