# SPDX-License-Identifier: Apache-2.0
"""What a user of a block's Verilog has to know, as a dict that is JSON: it stands beside the Verilog as ``<block>.json``."""

import dataclasses
import enum
import re

from amaranth import Shape
from amaranth.lib import data, stream, wiring

from zoetrope.hw import cache
from zoetrope.hw.axi import channels, registers
from zoetrope.hw.errors import ToolError
from zoetrope.hw.formats import Float
from zoetrope.hw.verilog.docstrings import docstring, inherited

_CLOCKING = {"clk": "clock of domain sync, rising edge", "rst": "reset of domain sync, synchronous, active high"}


def describe(block, preset, component, text):
    """What a user of the Verilog has to know, as a dict that is JSON. ``text`` is the RTLIL of ``component``.

    ``registers`` is there for a component that has a ``register_map``.
    """
    register_map = getattr(component, "register_map", None)
    return {
        "block": block.name,
        "preset": preset,
        "module": block.stem(preset, "_"),
        "summary": inherited(type(component)).partition("\n")[0].replace("``", ""),
        "paper": str(block.source),
        "parameters": parameters(component.config),
        "ports": _ports(component, text, block.stem(preset, "_")),
        "latency": getattr(component, "latency", None),
        "initiation_interval": getattr(component, "initiation_interval", None),
        "tools": cache.versions("zoetrope"),
    } | ({"registers": registers.describe(register_map)} if register_map else {})


def parameters(config):
    """Name, value and meaning (``metadata["doc"]``) of each field of a config."""
    return [
        {"name": f.name, "value": _plain(getattr(config, f.name)), "meaning": f.metadata.get("doc", "")}
        for f in dataclasses.fields(config)
    ]


def _plain(value):
    """A config value as JSON: a number, string or list as it is, a format, enumeration or class by its name, a config by its
    fields."""
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (Float, enum.Enum)):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def flat(parameters):
    """(name, value) of each parameter of a sidecar, those of a config within another as ``config.name``."""
    for parameter in parameters:
        value = parameter["value"]
        if isinstance(value, dict):
            inner = flat([{"name": name, "value": inner} for name, inner in value.items()])
            yield from ((f"{parameter['name']}.{name}", value) for name, value in inner)
        else:
            yield parameter["name"], value


def meanings(component):
    """Name of each port of a component, clock and reset apart, to its meaning; "" where nobody wrote one down."""
    known = _fields(getattr(component, "register_map", ())) | _members(type(component))
    found = {}
    for path, _, _ in component.signature.flatten(component):
        name = "__".join(map(str, path))
        found[name] = known.get(path[0]) or channels.meaning(name)
    return found


def _ports(component, text, module):
    members = {}
    for path, member, _ in component.signature.flatten(component):
        members["__".join(map(str, path))] = (path, member)
    known = meanings(component)
    ports = []
    for name, direction, width in rtlil_ports(text, module):
        port = {"name": name, "direction": direction, "width": width}
        if name in members:
            path, member = members[name]
            port["meaning"] = known[name]
            owner = _stream_of(component.signature, path)
            if owner:
                port["stream"] = owner
            if not isinstance(member.shape, (int, Shape, range)):
                port["layout"] = layout(member.shape)
        else:
            port["meaning"] = _CLOCKING.get(name, "")
        ports.append(port)
    return ports


def rtlil_ports(text, module):
    """(name, direction, width) of every port of ``module``, in order, from RTLIL text."""
    body = re.search(rf"^module \\{re.escape(module)}\n(.*?)^end$", text, re.M | re.S)
    if body is None:
        raise ToolError(f"the RTLIL has no module {module}")
    found = re.findall(r"^  wire (?:width (\d+) )?(?:signed )?(input|output) (\d+) +\\(\S+)", body[1], re.M)
    ordered = sorted(found, key=lambda port: int(port[2]))
    return [(name, direction, int(width or 1)) for width, direction, _, name in ordered]


def _stream_of(signature, path):
    """The stream that the port at ``path`` belongs to, and which of its signals it is; None if it is a plain port."""
    for depth, step in enumerate(path):
        if isinstance(step, int):
            continue
        member = signature.members[step]
        if member.is_port:
            return None
        signature = member.signature
        if isinstance(signature, stream.Signature):
            inner = [str(s) for s in path[depth + 1 :]]
            indices = [s for s in inner if s.isdigit()]
            name = "__".join([str(s) for s in path[: depth + 1]] + indices)
            flow = "sink" if member.flow == wiring.In else "source"
            return {"name": name, "side": flow, "signal": inner[-1]}
    return None


def layout(shape):
    """Bit layout of ``shape``: ``width``, and ``fields`` with offsets, or ``length`` and ``element``, or ``values``.

    Offsets count from the least significant bit of the enclosing value. Element k of an array starts at k times its width.
    """
    width = Shape.cast(shape).width
    if isinstance(shape, data.ArrayLayout):
        return {"width": width, "length": shape.length, "element": layout(shape.elem_shape)}
    if isinstance(shape, data.Layout):
        fields = [{"name": str(name), "offset": field.offset, **layout(field.shape)} for name, field in shape]
        return {"width": width, "fields": fields}
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return {"width": width, "values": {item.name: int(item.value) for item in shape}}
    return {"width": width, **({"signed": True} if Shape.cast(shape).signed else {})}


def _fields(register_map):
    """Port to meaning, of the hardware side of the fields of registers."""
    meanings = {}
    for r in register_map:
        for f in r.fields:
            meanings[r.port(f)] = f"register {r.name}, field {f.name}, {f.access}: {f.doc or r.doc}"
            meanings[f"{r.port(f)}_set"] = f"sets register {r.name}, field {f.name}, bit by bit"
    return meanings


def _members(component):
    """Member name to its line of the ``Members`` sections of the component's docstring and those of its bases."""
    meanings = {}
    for base in reversed(component.__mro__):
        section = re.search(r"^Members[^\n]*\n-+\n(.*?)(?:\n\s*\n|\Z)", docstring(base), re.M | re.S)
        joined = re.sub(r"\n\s+", " ", section[1]) if section else ""
        for names, meaning in re.findall(r"^(\w+(?:, \w+)*) : (.*)$", joined, re.M):
            meanings.update(dict.fromkeys(names.split(", "), meaning))
    return meanings
