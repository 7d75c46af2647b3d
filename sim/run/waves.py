# SPDX-License-Identifier: Apache-2.0
"""Waves of a run: which part of it, and a prepared view for GTKWave.

A trace is an FST file of a window of cycles, of ``MOST_BYTES`` at most. The view has clock and reset, each stream as a
group with its payload's fields as rows of their own, the other ports, and the states of every state machine by name.
"""

import contextlib
import json
import re

from amaranth import Module
from vcd.gtkw import GTKWSave, make_translation_filter

from zoetrope.hw import cache, emit
from zoetrope.hw.errors import UserError
from zoetrope.hw.verilog.sidecar import layout
from zoetrope.sim.ports import interface
from zoetrope.sim.record import PERIOD

#: A file of waves that has grown to so many bytes grows no more.
MOST_BYTES = 200 << 20

#: Steps, two a cycle, after which what was traced is written, and the file's size is looked at.
STEPS = 4096

#: Rows of one payload at most; wider arrays are shown in coarser parts.
ROWS = 64

#: The simulator's unit of time is a picosecond.
_UNIT = 1000 * PERIOD

_OFF, _ALL = ("", "0", "no", "n", "off", "false", "disable"), ("1", "yes", "y", "on", "true", "all")


def window(text):
    """(first cycle, cycle after the last or None) of what ``--waves`` or ``WAVES`` says; None for no waves.

    Cycles count from the start of the simulation, as ``Row.begin`` does. ``UserError`` for what is no window.
    """
    text = str(text if text is not None else "").strip().lower()
    if text in _OFF:
        return None
    if text in _ALL:
        return 0, None
    found = re.fullmatch(r"(\d*):(\d*)", text)
    begin, end = (int(part) if part else None for part in found.groups()) if found else (None, None)
    if found is None or (end is not None and end <= (begin or 0)):
        raise UserError(f"waves must be 1, or cycles from:to as in 1000:2000, not {text!r}")
    return begin or 0, end


def environment(chosen):
    """What ``fst/window.h`` reads, for a window of ``window``."""
    begin, end = chosen
    last = 2**64 - 1 if end is None else end * _UNIT
    return {"ZOETROPE_WAVES": f"{begin * _UNIT} {last} {MOST_BYTES} {STEPS}"}


def stopped_at(log):
    """The cycle at which a file of waves was full; None if it has all of its window."""
    found = re.search(r"^ZOETROPE_WAVES_END (\d+)$", log, re.M)
    return int(found[1]) // _UNIT if found else None


# -- the view --------------------------------------------------------------------------------------------------------------


def write_view(trace, top, component, clocked):
    """Write ``waves.gtkw`` beside ``trace`` and return its path.

    Parameters
    ----------
    trace : path of the trace
    top : name of the top module in it
    component : whose run it is
    clocked : whether the top has ``clk`` and ``rst``
    """
    streams, ports = interface(component)
    path = trace.with_name("waves.gtkw")
    with open(path, "w") as file:
        view = _View(GTKWSave(file), top, path.parent)
        view.begin(trace)
        if clocked:
            view.row("clk", 1)
            view.row("rst", 1)
        for stream in streams.values():
            with view.save.group(stream.name):
                view.row(stream.port("valid"), 1)
                view.row(stream.port("ready"), 1)
                if stream.width:
                    view.payload(stream.port("payload"), layout(stream.shape))
        for port in ports.values():
            if port.width:
                view.payload(port.name, layout(port.shape))
        found = states(component, top)
        if found:
            with view.save.group("states"):
                for name, width, names in found:
                    view.row(name, width, dict(enumerate(names)))
    return path


class _View:
    def __init__(self, save, top, folder):
        self.save, self._top, self._folder, self._filters = save, top, folder, {}

    def begin(self, trace):
        self.save.dumpfile(str(trace), abspath=False)
        self.save.treeopen(f"{self._top}.")
        self.save.signals_width(300)

    def _signal(self, name, width):
        return f"{self._top}.{name}" if width == 1 else f"{self._top}.{name}[{width - 1}:0]"

    def _translated(self, width, names):
        """The file by which values are shown as ``names``, a dict; one for all signals with the same."""
        if not names:
            return None
        key = (width, tuple(names.items()))
        if key not in self._filters:
            path = self._folder / f"names{len(self._filters)}.txt"
            path.write_text(make_translation_filter(list(names.items()), datafmt="hex", size=width))
            self._filters[key] = str(path)
        return self._filters[key]

    def row(self, name, width, names=None):
        self.save.trace(self._signal(name, width), translate_filter_file=self._translated(width, names))

    def payload(self, name, shape):
        """The word, and its fields below it: in a view a field is a vector of the word's bits, the first bit the highest."""
        names = {value: text for text, value in shape.get("values", {}).items()}
        self.row(name, shape["width"], names)
        word = self._signal(name, shape["width"])
        for path, offset, field in fields(shape):
            bits = range(shape["width"] - offset - field["width"], shape["width"] - offset)
            ends = f"[{field['width'] - 1}:0]" if field["width"] > 1 else ""
            row = " ".join([f"#{{{name}{path}{ends}}}", *(f"({bit}){word}" for bit in bits)])
            names = {value: text for text, value in field.get("values", {}).items()}
            self.save.trace(row, translate_filter_file=self._translated(field["width"], names))


def fields(shape):
    """(path, offset, layout) of the fields of a layout, as fine as ``ROWS`` rows allow; none of what is no layout."""
    rows = [("", 0, shape)]
    while True:
        finer = [part for row in rows for part in (_parts(*row) or [row])]
        if finer == rows or len(finer) > ROWS:
            return [] if rows == [("", 0, shape)] else rows
        rows = finer


def _parts(path, offset, shape):
    if "fields" in shape:
        return [(f"{path}.{f['name']}", offset + f["offset"], f) for f in shape["fields"] if f["width"]]
    if "element" in shape and shape["element"]["width"]:
        each = shape["element"]
        return [(f"{path}[{k}]", offset + k * each["width"], each) for k in range(shape["length"])]
    return []


# -- state machines --------------------------------------------------------------------------------------------------------


def states(component, top):
    """(path below the top, width, names by value) of every state machine in ``component``, in the order of the paths."""
    sources = cache.closure(type(component).__module__, "zoetrope.hw.emit", __name__)
    found = cache.kept(lambda: _states(component, top), "states", repr(component.config), top, sources)
    return [(name, width, names) for name, width, names in found]


_MACHINE = re.compile(r"^  attribute \\states \"(.*)\"\n(?:  attribute .*\n)*  wire (?:width (\d+) )?.*\\(\S+)$", re.M)


def _states(component, top):
    with _named_states():
        text = emit.rtlil(component, top)
    machines, parts = {}, {}
    for name, body in re.findall(r"^module \\(\S+)\n(.*?)^end$", text, re.M | re.S):
        wires = _MACHINE.findall(body)
        machines[name] = [(wire, int(width or 1), json.loads(names.replace("'", '"'))) for names, width, wire in wires]
        parts[name] = re.findall(r"^  cell \\(\S+) \\(\S+)$", body, re.M)
    found = []

    def walk(module, path):
        found.extend((f"{path}{wire}", width, names) for wire, width, names in machines.get(module, ()))
        for part, inside in parts.get(module, ()):
            walk(part, f"{path}{inside}.")

    walk(top, "")
    return found


@contextlib.contextmanager
def _named_states():
    """While this lasts, the wire of a state machine has an attribute with the names of its states."""
    plain = Module.FSM

    @contextlib.contextmanager
    def named(self, *arguments, **settings):
        with plain(self, *arguments, **settings) as machine:
            yield machine
        names = [machine.decoding[value] for value in range(len(machine.decoding))]
        machine.state.attrs["states"] = json.dumps(names).replace('"', "'")

    Module.FSM = named
    try:
        yield
    finally:
        Module.FSM = plain
