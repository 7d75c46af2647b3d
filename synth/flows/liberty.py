# SPDX-License-Identifier: Apache-2.0
"""What a Liberty file says of a cell's power: pins and their capacitance, energy a transition, leakage by state.

Everything is in ps, fF, fJ and nW, whatever the file's units. Energy tables have no unit of their own in Liberty: it is
that of capacitance times that of voltage squared. They leave out the 0.5 C V^2 of the load, which is counted with the net.

Rejected: a parser of Liberty from PyPI (one more dependency, for the forty lines of ``parse``; what the numbers mean is the
larger part).
"""

import re
from dataclasses import dataclass, field

import numpy as np

from zoetrope.hw.errors import UserError
from zoetrope.synth.technologies.libraries import Expression

_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}

# One statement: `name : value ;` (some files leave the semicolon to the end of the line), `name (arguments)` with what
# follows it, or the end of a group.
_STATEMENT = re.compile(
    r'[\s;]*(?:(\w+)\s*:\s*("[^"]*"|[^;\n}]*)|(\w+)\s*\(((?:"[^"]*"|[^()"])*)\)[ \t]*(\{?)|(\}))', re.S
)


@dataclass
class Group:
    """A Liberty group: its kind, its arguments, its attributes (the last of each name) and the groups in it."""

    kind: str
    arguments: list = field(default_factory=list)
    attributes: dict = field(default_factory=dict)
    groups: list = field(default_factory=list)

    def all(self, *kinds):
        return [group for group in self.groups if group.kind in kinds]

    def number(self, name, default=None):
        value = self.attributes.get(name)
        return default if value is None else float(value)


def parse(text, kind=""):
    """The ``Group`` whose statements ``text`` begins with, up to the brace that ends it, or the end of the text."""
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    stack, position = [Group(kind)], 0
    while found := _STATEMENT.match(text, position):
        position = found.end()
        name, value, head, arguments, opens, closes = found.groups()
        if closes:
            if len(stack) == 1:
                break
            stack.pop()
        elif name:
            stack[-1].attributes[name] = value.strip().strip('"')
        elif opens:
            group = Group(head, _arguments(arguments))
            stack[-1].groups.append(group)
            stack.append(group)
        else:
            stack[-1].attributes[head] = _arguments(arguments)
    return stack[0]


def _arguments(text):
    return [(quoted or plain).strip() for quoted, plain in re.findall(r'"([^"]*)"|([^\s",][^",]*)', text)]


def _numbers(texts):
    return np.array([float(number) for text in texts for number in text.replace(",", " ").split()])


@dataclass(frozen=True)
class Units:
    """Factors from the file's units to fF, ps, nW, V and fJ."""

    load: float
    time: float
    leakage: float
    voltage: float

    @property
    def energy(self):
        return self.load * self.voltage**2


class Table:
    """A look-up table over input slew and output load, either of which may be missing."""

    def __init__(self, group, templates, units, scale):
        """``scale`` is the unit of the values."""
        template = templates.get(group.arguments[0] if group.arguments else "scalar", Group(""))
        values = _numbers(group.attributes["values"]) * scale
        axes = {"slew": np.zeros(1), "load": np.zeros(1)}
        order = []
        for k in range(1, 4):
            variable = template.attributes.get(f"variable_{k}")
            index = group.attributes.get(f"index_{k}") or template.attributes.get(f"index_{k}")
            if variable and index and values.size > 1:
                order.append(axis := _axis(variable))
                axes[axis] = _numbers(index) * (units.load if axis == "load" else units.time)
        if len(set(order)) < len(order) or values.size != axes["slew"].size * axes["load"].size:
            raise UserError(
                f"Liberty table {group.kind}({' '.join(group.arguments)}) is not over one slew and one load"
            )
        values = values.reshape([axes[axis].size for axis in order] or [1])
        self.slews, self.loads = axes["slew"], axes["load"]
        self.values = (values.T if order == ["load", "slew"] else values).reshape(self.slews.size, self.loads.size)

    def at(self, slew, load):
        """The value at a slew in ps for each load in fF, linear between points; the border's value outside."""
        row = [np.interp(slew, self.slews, column) for column in self.values.T]
        return np.interp(load, self.loads, row)


def _axis(variable):
    return "load" if "capacitance" in variable else "slew"


@dataclass(frozen=True)
class State:
    """A value of a cell that holds ``when`` (an ``Expression`` of pins; None: in all other states of the same ``key``)."""

    when: str | None
    key: tuple
    value: object


class Pin:
    """``name``, ``into`` (an input), ``clock``, ``capacitance`` in fF, ``related``: pins to the ``State``s of energies.

    An energy is a list of tables that are added: the mean of a rise and a fall, which is that of one transition.
    """

    def __init__(self, group, library):
        self.name = group.arguments[0]
        self.into = group.attributes.get("direction") == "input"
        self.clock = group.attributes.get("clock") == "true"
        edges = [group.number(f"{edge}_capacitance", 0.0) for edge in ("rise", "fall")]
        self.capacitance = group.number("capacitance", sum(edges) / 2) * library.units.load if self.into else 0.0
        self.function = group.attributes.get("function")
        self.related = {}
        for power in group.all("internal_power"):
            related = tuple(power.attributes.get("related_pin", "").split())
            key = (power.attributes.get("related_pg_pin", ""),)
            state = State(power.attributes.get("when"), key, library.energies(power))
            self.related.setdefault(related, []).append(state)


class Cell:
    """A cell's ``pins`` by name and its ``leakage``, ``State``s of numbers in nW."""

    def __init__(self, group, library):
        self.pins = {pin.arguments[0]: Pin(pin, library) for pin in group.all("pin")}
        self.sequential = bool(group.all("ff", "latch", "statetable"))
        unit = library.units.leakage
        self.leakage = [
            State(
                state.attributes.get("when"),
                (state.attributes.get("related_pg_pin", ""),),
                state.number("value") * unit,
            )
            for state in group.all("leakage_power")
            if state.number("value") is not None
        ] or [State(None, ("",), group.number("cell_leakage_power", library.default_leakage) * unit)]

    @property
    def has_power(self):
        return any(pin.related for pin in self.pins.values())

    def functions(self):
        """Functions of the outputs that are functions of inputs."""
        names = {name for name, pin in self.pins.items() if pin.into}
        outputs = {name: pin.function for name, pin in self.pins.items() if pin.function and not self.sequential}
        return {name: text for name, text in outputs.items() if set(names_in(text)) <= names}


def names_in(expression):
    return re.findall(r"[A-Za-z_]\w*", expression)


class PowerLibrary:
    """The cells called ``names`` of a ``technologies.Library``, with their power.

    ``corner``: process, voltage, temperature and the name of the operating conditions. ``UserError`` for a library without
    a voltage, with units that are not understood, or in which none of the cells has an ``internal_power`` table.
    """

    def __init__(self, library, names):
        heads = [parse(re.split(r"^\s*cell\s*\(", text, maxsplit=1, flags=re.M)[0]).groups[0] for text in library.texts]
        head = heads[0]
        self.units = _units(library, head)
        kinds = ("power_lut_template", "lu_table_template")
        self._templates = {template.arguments[0]: template for h in heads for template in h.all(*kinds)}
        self.default_leakage = head.number("default_cell_leakage_power", 0.0)
        self.corner = _corner(library, head)
        self.voltage = self.corner["voltage"] * self.units.voltage
        self._groups = {name: parse(library.cells[name].partition("{")[2], "cell") for name in {*names, library.nand2}}
        self.cells = {name: Cell(self._groups[name], self) for name in sorted(names)}
        if names and not any(cell.has_power for cell in self.cells.values()):
            raise UserError(
                f"Liberty file of {library.name} has no internal_power tables: give one with power to know energy"
            )
        self._nand2 = Cell(self._groups[library.nand2], self)

    def energies(self, power):
        """The tables whose sum is the energy of one transition, of an ``internal_power`` group."""
        found = power.all("power", "rise_power", "fall_power")
        scales = [self.units.energy * (1.0 if table.kind == "power" else 0.5) for table in found]
        return [Table(table, self._templates, self.units, scale) for table, scale in zip(found, scales)]

    def nand2_slew(self, library):
        """The transition time in ps of a NAND2 that drives four of its own kind, driven by its own: the default slew.

        ``UserError`` if its timing has no transition tables.
        """
        group = self._groups[library.nand2]
        tables = [
            Table(table, self._templates, self.units, self.units.time)
            for pin in group.all("pin")
            for timing in pin.all("timing")
            for table in timing.all("rise_transition", "fall_transition")
        ]
        if not tables:
            raise UserError(f"{library.nand2} of {library.name} has no transition tables: state a slew")
        inputs = [pin.capacitance for pin in self._nand2.pins.values() if pin.into]
        load, slew = 4 * sum(inputs) / len(inputs), 0.0
        for _ in range(20):
            slew = float(np.mean([table.at(slew, load) for table in tables]))
        return slew


def _units(library, head):
    capacitance = head.attributes.get("capacitive_load_unit")
    volts = _factor(head.attributes.get("voltage_unit", "1V"), "V")
    load = _factor("".join(capacitance).lower(), "f") if capacitance else None
    time, leakage = _factor(library.units[0], "s"), _factor(library.units[2], "W")
    lacking = {"voltage_unit": volts, "capacitive_load_unit": load, "time_unit": time, "leakage_power_unit": leakage}
    if names := [name for name, factor in lacking.items() if factor is None]:
        raise UserError(f"Liberty file of {library.name} does not say its {', '.join(names)} in a way known here")
    return Units(load=load * 1e15, time=time * 1e12, leakage=leakage * 1e9, voltage=volts)


def _factor(text, unit):
    found = re.fullmatch(rf"([\d.]+)\s*([fpnum]?){unit}", text or "")
    return float(found[1]) * _PREFIXES[found[2]] if found else None


def _corner(library, head):
    name = head.attributes.get("default_operating_conditions")
    conditions = next((group for group in head.all("operating_conditions") if group.arguments[:1] == [name]), Group(""))
    corner = {key: head.number(f"nom_{key}", conditions.number(key)) for key in ("process", "voltage", "temperature")}
    if not corner["voltage"]:
        raise UserError(f"Liberty file of {library.name} has no nom_voltage: switching energy is 0.5 C V^2")
    return {"name": name} | corner


def mean(states, probabilities, functions, value, stand_for_all=False):
    """The mean of ``value(state.value)`` over the states that a cell is in.

    ``probabilities``: pin to an array of how often it is 1 in each instance. Pins are taken as independent of each other;
    outputs that are ``functions`` of inputs are not. States with one key exclude each other; keys are added. The state
    without ``when`` gets what the others leave. Where there is none the rest is nothing, or, if they ``stand_for_all``, as
    the states that are there.
    """
    total = 0.0
    for key in {state.key: None for state in states}:
        subtotal, covered = 0.0, 0.0
        for state in sorted((state for state in states if state.key == key), key=lambda state: state.when is None):
            share = _probability(state.when, probabilities, functions) if state.when else np.maximum(1.0 - covered, 0.0)
            subtotal, covered = subtotal + share * value(state.value), covered + share
        if stand_for_all:
            subtotal = np.divide(subtotal, covered, out=np.zeros_like(subtotal), where=np.asarray(covered) > 0)
        total = total + subtotal
    return total


def _probability(when, probabilities, functions):
    """How often ``when`` holds, for each instance."""
    for name, function in functions.items():
        when = re.sub(rf"\b{name}\b", f"({function})", when)
    names = sorted(set(names_in(when)) & set(probabilities))
    minterms = np.arange(1 << len(names))
    bits = {name: minterms >> k & 1 for k, name in enumerate(names)}
    try:
        holds = Expression(when, bits).value()
    except (IndexError, KeyError) as error:
        raise UserError(f"Liberty condition {when!r} cannot be read: {error}") from None
    total = 0.0
    for minterm in np.flatnonzero(np.broadcast_to(holds, minterms.shape)):
        term = 1.0
        for name in names:
            term = term * (probabilities[name] if bits[name][minterm] else 1.0 - probabilities[name])
        total = total + term
    return total
