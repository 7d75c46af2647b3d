# SPDX-License-Identifier: Apache-2.0
"""The pages of the blocks, made from the catalogue: what a block is, its ports, parameters, presets, costs and files."""

import dataclasses
import sys

from amaranth import Shape
from amaranth.lib import data

from zoetrope.command.site import docstrings
from zoetrope.hw import catalogue
from zoetrope.hw.verilog import sidecar
from zoetrope.sim import ports
from zoetrope.synth.report.markdown import markdown as table
from zoetrope.synth.results import rows

#: Where the pages are, below ``docs``, and from there the way back to the repository.
FOLDER = "blocks"


def page_of(block):
    """The page of a block, below ``docs``."""
    return f"{FOLDER}/{block.room.replace('.', '/')}/{block.name}.md"


def _up(block):
    """From a block's page to the root of the repository."""
    return "../" * (page_of(block).count("/") + 1)


class Costs:
    """The committed costs by block and preset."""

    def __init__(self):
        found = rows.read()
        self.whole = found["blocks"] | found["operators"]
        self.counts = found["counts"]

    def of(self, block, preset):
        """(GE, SRAM bits, Fmax) of a preset, as text; "-" for what is not measured."""
        name = f"{block.key}.{preset}"
        row, count = self.whole.get(name), self.counts.get(name)
        if row:
            return f"{row['generic']['ge']:,.0f}", f"{row['generic']['memory_bits']:,}", _fmax(row.get("ecp5"))
        return (f"{count['ge']:,.0f}", f"{count['memory_bits']:,}", "-") if count else ("-", "-", "-")

    def beside(self, block):
        """The paper's figure beside the default preset's, as a sentence; "" for none."""
        found = self.whole.get(f"{block.key}.{block.default}", {}).get("beside_paper")
        if not found:
            return ""
        return (
            f"The paper's figure is {found['paper_ge']:,.0f} GE a {found['unit']} ({found['component']}); "
            f"ours is {found['ge']:,.0f}, {found['ratio']:.2f} times as much."
        )


def _fmax(ecp5):
    if not ecp5:
        return "not counted"
    if ecp5["fmax_mhz"]:
        return f"{ecp5['fmax_mhz']:.0f} MHz"
    return "no register path" if ecp5["method"] == "flat" else "not routed"


def page(block, costs):
    """The page of ``block``, Markdown."""
    component = block.build()
    return "\n\n".join(
        part
        for part in (
            f"# {block.name}",
            f"{sentence(block.summary)}.",
            _facts(block, component, costs),
            f"## What it does\n\n{docstrings.markdown(_described(type(component)).__doc__)}",
            f"## How it works\n\n{docstrings.markdown(sys.modules[block.module].__doc__)}",
            f"## Ports\n\n{_ports(component)}",
            f"## Parameters\n\n{_parameters(block)}",
            f"## Presets and costs\n\n{_presets(block, costs)}",
            f"## Try it\n\n{_commands(block)}",
        )
    )


def sentence(text):
    """``text`` with a capital letter, unless it begins with a symbol, as "e to the x"."""
    return text if len(text.split()[0]) == 1 else f"{text[0].upper()}{text[1:]}"


def _described(component):
    """The class whose docstring says what the block does: of a stream around an operator, the operator."""
    return getattr(component, "operator", None) or component


def _facts(block, component, costs):
    up = _up(block)
    facts = [
        ("room", f"{catalogue.ROOMS[block.room]}, `hw/{block.room.replace('.', '/')}`"),
        ("described in", str(block.source)),
        ("latency", _cycles(component, "latency")),
        ("initiation interval (II)", _cycles(component, "initiation_interval")),
        ("golden", f"[`{block.golden_name}`]({up}{block.file('golden')})"),
        ("bench", f"[`{block.file('sim')}`]({up}{block.file('sim')})"),
        ("test", f"[`{block.file('tests')}`]({up}{block.file('tests')})"),
        ("code", f"[`{block.file('hw')}`]({up}source/{block.file('hw')})"),
    ]
    beside = costs.beside(block)
    return table(("", ""), [(f"**{name}**", value) for name, value in facts]) + (f"\n\n{beside}" if beside else "")


def _cycles(component, name):
    found = getattr(component, name, None)
    return "depends on the job: see below" if found is None else f"{found} cycles" if found != 1 else "1 cycle"


def _ports(component):
    streams, plain = ports.interface(component)
    cells = [
        (f"`{s.name}`", "stream in" if s.into else "stream out", s.width, _fields(component, s.name))
        for s in streams.values()
    ]
    cells += [(f"`{p.name}`", "in" if p.into else "out", p.width, "") for p in plain.values()]
    note = (
        "A stream `x` is the three ports `x__payload`, `x__valid` and `x__ready`; a word passes in a cycle in which valid "
        "and ready are both 1. Besides there are the clock `clk` and the synchronous reset `rst`, active high."
    )
    return f"{table(('port', 'kind', 'bits', 'fields, from bit 0'), cells)}\n\n{note}"


def _fields(component, name):
    """The fields of a stream's payload: name and bits."""
    interface = component
    for step in name.split("__"):
        interface = interface[int(step)] if step.isdigit() else getattr(interface, step)
    shape = interface.payload.shape()
    if isinstance(shape, data.ArrayLayout):
        return f"{shape.length} of {Shape.cast(shape.elem_shape).width}"
    if isinstance(shape, data.Layout):
        return ", ".join(f"`{field}` {Shape.cast(inside.shape).width}" for field, inside in shape)
    return ""


def _parameters(block):
    config = block.config()
    cells = [(f"`{p['name']}`", _value(p["value"]), p["meaning"]) for p in sidecar.parameters(config)]
    return f"Of `{type(config).__name__}`.\n\n" + table(("parameter", f"preset `{block.default}`", "meaning"), cells)


def _value(value):
    text = str(value)
    return f"`{text}`" if len(text) <= 40 else "another config"


def _presets(block, costs):
    header = ("preset", "differs from the default in", "GE", "SRAM bits", "Fmax on ECP5")
    base = {f.name: getattr(block.config(), f.name) for f in dataclasses.fields(block.config())}
    cells = []
    for preset, config in block.presets.items():
        changes = [name for name, value in base.items() if getattr(config, name) != value]
        told = ", ".join(f"`{name}`{_change(config, name)}" for name in changes) or "-"
        cells.append((f"`{preset}`", told, *costs.of(block, preset)))
    return (
        f"{table(header, cells)}\n\nWhat these words mean, and what is not in them: [costs]({_up(block)}docs/costs.md)."
    )


def _change(config, name):
    text = str(getattr(getattr(config, name), "name", getattr(config, name)))
    return f" = {text}" if len(text) <= 24 else ""


def _commands(block):
    preset = next((name for name in block.small_presets if name != block.default), None)
    lines = [f"zoetrope sim --block {block.key}", f"zoetrope synth --block {block.key}"]
    lines.append(f"zoetrope verilog --block {block.key}" + (f" --preset {preset}" if preset else ""))
    return "\n".join(["```sh", *lines, "```"])


def index(costs):
    """The page with a table of all blocks, a table a room."""
    parts = [
        "# Blocks",
        "Every block of the catalogue, room by room. Latency and II (initiation interval, cycles from one input to the "
        "next) are measured by the block's bench and equal what the component says; `*` depends on the job. GE are gate "
        "equivalents without memories, of the default preset, which is often small: a block's page says its size.",
    ]
    for room, title in catalogue.ROOMS.items():
        blocks = [block for block in catalogue.BLOCKS.values() if block.room == room]
        if blocks:
            parts += [f"## {sentence(title)}", _room(blocks, costs)]
    return "\n\n".join(parts) + "\n"


def _room(blocks, costs):
    cells = []
    for block in blocks:
        component = block.build()
        cycles = [getattr(component, name, None) for name in ("latency", "initiation_interval")]
        place = page_of(block).removeprefix(f"{FOLDER}/")
        cells.append(
            (
                f"[`{block.name}`]({place})",
                block.summary,
                *("*" if found is None else found for found in cycles),
                *costs.of(block, block.default),
                str(block.source),
            )
        )
    header = ("block", "what it does", "latency", "II", "GE", "SRAM bits", "Fmax on ECP5", "described in")
    return table(header, cells)
