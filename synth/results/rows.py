# SPDX-License-Identifier: Apache-2.0
"""The committed costs: a file of rows for each machine and each room that machines share, and one for each study.

``synth/results/<room>.json`` (``pe``, ``simcore``, ...) has, each by ``<block>.<preset>``:

- ``blocks``: whole results of ``synth.costs.runs`` at default presets; ``operators``: of operators with all stages;
- ``counts``: of every other preset ``ge``, ``cells``, ``flops``, ``memory_bits`` and ``design``, by the file's ``tools``;
- ``machines``: sums of modules, of ``synth.costs.composition``; ``checks``: sums beside flat synthesis.

``lanes.json``, ``head.json`` and ``matching.json`` have the mixed lanes, a head through SIMCORE and the matching engine's
budget. People who work on different machines edit different files, and a row of counts is a line.

Commands write them; committing a changed row acknowledges the change.
"""

import json
from pathlib import Path

from zoetrope.hw import catalogue, files

FOLDER = Path(__file__).parent

KINDS = ("blocks", "operators", "counts", "machines", "checks")
STUDIES = ("lanes", "head", "matching")

#: Characters of a line up to which a value stays on it.
_WIDTH = 160


def part(block):
    """The file that a block's rows are in: the first part of its room's name."""
    return block.room.partition(".")[0] or "blocks"


def read(folder=None):
    """``blocks`` to ``checks`` of all files, name to row in the order of the catalogue; each study; ``tools`` by file."""
    folder = Path(folder or FOLDER)
    found = {kind: {} for kind in KINDS} | {"tools": {}}
    for name in dict.fromkeys(map(part, catalogue.BLOCKS.values())):
        path = folder / f"{name}.json"
        rows = json.loads(path.read_text()) if path.exists() else {}
        found["tools"][name] = rows.get("tools")
        for kind in KINDS:
            found[kind] |= rows.get(kind, {})
    for study in STUDIES:
        path = folder / f"{study}.json"
        found[study] = json.loads(path.read_text()) if path.exists() else None
    return found


def write(found, folder=None, parts=None):
    """Write what ``read`` returns: all files, or those of ``parts``. What the catalogue no longer has is left out."""
    folder = Path(folder or FOLDER)
    rooms = {}
    for block in catalogue.BLOCKS.values():
        rooms.setdefault(part(block), []).append(block.key)
    for name, blocks in rooms.items():
        if parts is None or name in parts:
            rows = {kind: _of(found[kind], blocks) for kind in KINDS}
            head = {"tools": found["tools"][name]} if found["tools"].get(name) else {}
            files.write_if_changed(folder / f"{name}.json", text(head | {k: v for k, v in rows.items() if v}))
    for study in STUDIES:
        if (parts is None or study in parts) and found[study] is not None:
            files.write_if_changed(folder / f"{study}.json", text(found[study]))


def _of(rows, blocks):
    names = [name for block in blocks for name in rows if name.rpartition(".")[0] == block]
    return {name: rows[name] for name in names}


def committed():
    """What ``read`` returns of the committed files, as pages and tables take it: all kinds but ``counts`` as lists."""
    found = read()
    return found | {kind: list(found[kind].values()) for kind in KINDS if kind != "counts"}


def text(value):
    """``value`` as JSON with sorted keys, where a value that fits stays on its line."""
    return _text(value, 0) + "\n"


def _text(value, indent):
    line = json.dumps(value, sort_keys=True)
    if not isinstance(value, (dict, list)) or not value or len(line) + indent <= _WIDTH:
        return line
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_text(value[key], indent + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(inner + item for item in items) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + _text(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
