"""Energy of a block from the switching of real vectors on its netlist: ``python -m synth.power --block B --liberty PATH``.

The block is mapped as ``flows.liberty`` maps it, with its memories of a kilobit or more kept as RTL beside the gates, and
does the work that its bench gives it: tiles of Q K^T of the clip. What the netlist computes is compared with the golden in
the same run, so that energy of wrong results is not reported. Of every net the changes from cycle to cycle are counted.

Energy of logic, over all cells and nets (units of the Liberty file; E are energies of its ``internal_power`` tables)::

    internal   = sum over pins    toggles * (E_rise + E_fall) / 2   at one slew and the load of the net
    switching  = sum over nets    toggles * C V^2 / 2,    C = capacitances of its input pins + fanout * wire_ff
    clock      = the same two for the clock's net and pins, 2 toggles a cycle: no clock tree
    leakage    = sum over cells   leakage * time

An output's tables are averaged over ``related_pin`` by the toggles of those pins, and any table or leakage with ``when`` by
how often it holds (``liberty.mean``). The clock is not gated by tools: what it costs in flip-flops that keep their value is
in ``clock``. Zero-delay simulation has no glitches: this is a glitch-free estimate, and so a low one, above all for
multipliers. Without ``wire_ff`` there are no wires either, as in the area and delay of ``flows.liberty``.

Energy of memories is ``synth.sram``'s of another node (32 nm) and never in the sum: see ``sram``.

Rejected: OpenSTA (not on PyPI; its `read_vcd` agrees within 2 % with this method on an FP16 MAC), default or propagated
activity (four times too high there, without vectors), VCD or SAIF (a thousand times the bytes of the counts), event-driven
simulation with delays (no wires to take them from).
"""

import argparse
import hashlib
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw import emit, generate, registry
from hw.errors import ToolError, UserError, command_line
from hw.simcore.outer_product import OuterProduct
from sim import build, clips
from sim.native import Native
from sim.outer_product import clip_tiles, golden_of, operand_codes, operand_rows, weight_words
from sim.ports import interface
from synth import cache, flows, sram
from synth.liberty import PowerLibrary, mean
from synth.technologies import Library, find_library

#: Cycles of vectors: four tiles of 64 operands x 16 words.
CYCLES = 4096

#: Cycles after reset in which a block has to be ready; twice what the longest fill takes.
_PREPARATION = 1 << 18

#: Nets that one port of the simulated netlist shows.
_CHUNK = 64


@dataclass(frozen=True)
class Vectors:
    """What a block is given and has to return: input stream to rows, output stream to rows; ``products`` made of it.

    ``until``: an output that has to be 1 first, as that of a table that fills itself after reset; what happens before is
    not counted.
    """

    sources: dict
    expected: dict
    products: int
    until: str | None = None


def energy(block, preset=None, library=None, *, cycles=CYCLES, clock_mhz=None, wire_ff=0.0, slew_ps=None, tensors=None):
    """Power and energy per product of a PE that multiplies tiles of Q K^T, as a dict that is JSON.

    Parameters
    ----------
    block : name in the registry, of a PE (a subclass of ``OuterProduct``)
    preset : its preset, or a config; the default preset if None
    library : path of a Liberty file, or a ``technologies.Library``; None for one under ``$PDK_ROOT``
    cycles : words of weights that are multiplied, rounded up to whole tiles
    clock_mhz : by default that at which the library's preset maps; only leakage depends on it
    wire_ff : wire capacitance in fF for each input pin that a net drives
    slew_ps : of every transition; by default that of a NAND2 that drives four of its own kind
    tensors : ``clips.Tensors`` in place of the default clip

    Returns what ``priced`` does, with ``block``, ``preset``, ``vectors`` (where they are from) and ``tools``.

    Errors: ``UserError`` for no or an unusable library, a block that is no PE, the preset of the paper's size;
    ``ToolError`` if the netlist does not compute what the golden does.
    """
    found = registry.find(block)
    if not issubclass(found.component, OuterProduct):
        pes = [name for name, entry in registry.BLOCKS.items() if issubclass(entry.component, OuterProduct)]
        raise UserError(f"block {block} makes no products of tiles; those that do: {', '.join(pes)}")
    if preset == found.PAPER_SIZE:
        raise UserError(f"{block}.{preset} is too large to be simulated as a netlist; energy is measured on one PE")
    config = found.config(preset) if preset is None or isinstance(preset, str) else preset
    name = generate.default_preset(found) if preset is None else preset
    library = _library(library)
    tensors = clips.load() if tensors is None else tensors
    component = found.component(config=config)
    result = measured(
        component,
        f"{block}_power",
        library,
        pe_vectors(component, dict(tensors.items()), cycles),
        clock_mhz=clock_mhz,
        wire_ff=wire_ff,
        slew_ps=slew_ps,
    )
    names = {"block": block, "preset": name if isinstance(name, str) else None, "vectors": tensors.source}
    return names | {"parameters": generate.parameters(config), "tools": cache.tools()} | result


def _library(library):
    found = library if isinstance(library, Library) else find_library(library)
    if found is None:
        raise UserError(
            "energy needs a standard-cell library: give a Liberty file with --liberty PATH, or set PDK_ROOT"
        )
    return found


def pe_vectors(component, tensors, cycles):
    """``Vectors`` of at least ``cycles`` words of weights: whole tiles of Q K^T, repeated where the clip has too few."""
    c = component.config
    x, w = clip_tiles(tensors, c)
    tiles = np.arange(max(1, math.ceil(cycles / (w.shape[1] * c.words)))) % len(x)
    x, w = x[tiles], w[tiles]
    sums = golden_of(c)(x, w[:, None])
    return Vectors(
        sources={"i_x": operand_rows(*operand_codes(x)), "i_w": weight_words(c, w)},
        expected={"o": np.ascontiguousarray(sums).reshape(len(tiles) * c.rows * c.words, -1).view(np.uint8)},
        products=x.size * c.words * c.outputs,
        until="filled" if "filled" in component.signature.members else None,
    )


def measured(component, top, library, vectors, *, clock_mhz=None, wire_ff=0.0, slew_ps=None):
    """``priced`` for any ``component`` with streams and its ``Vectors``; netlist and counts are kept by content."""
    rtlil = emit.rtlil(component, top)
    key = ("netlist", flows.scripts(), library.digest, top, rtlil)
    netlist = cache.kept(lambda: flows.netlist(rtlil, top, library), *key)
    rows = [*vectors.sources.items(), *vectors.expected.items()]
    given = [f"{name} {hashlib.sha256(values.tobytes()).hexdigest()}" for name, values in rows]
    counts = cache.kept(
        lambda: activity(netlist, component, top, vectors),
        *("activity", Path(__file__).read_text(), build.NATIVE_SOURCE.read_text(), json.dumps(netlist)),
        *(repr(vectors.until), *given),
    )
    return priced(netlist, counts, library, vectors.products, clock_mhz=clock_mhz, wire_ff=wire_ff, slew_ps=slew_ps)


# --- activity ------------------------------------------------------------------------------------------------------


def activity(netlist, component, top, vectors):
    """Run a netlist of ``flows.netlist`` on ``vectors``. ``ToolError`` unless it returns what is expected.

    Returns ``cycles``, from the first offer to the last result, and by net number, as ``nets`` lists them, ``toggles`` and
    ``ones`` (cycles in which it was 1).
    """
    nets = _nets(netlist)
    streams, ports = interface(component)
    widths = {"clk": 1, "rst": 1} | {port.name: port.width for port in ports.values()}
    for stream in streams.values():
        widths |= {stream.port("payload"): stream.width, stream.port("valid"): 1, stream.port("ready"): 1}
    native = Native(build.for_native(_verilog(netlist, nets, top), top), streams, widths)
    _wait(native, vectors.until, top)
    chunks = [f"nets_{k}" for k in range(math.ceil(len(nets) / _CHUNK))]
    counted = native.watch(chunks)
    sinks = {name: len(rows) for name, rows in vectors.expected.items()}
    got, _, cycles = native.streams(vectors.sources, sinks, quiet=0)
    for name, rows in vectors.expected.items():
        if not np.array_equal(got[name], rows):
            wrong = int((got[name] != rows).any(axis=1).sum())
            raise ToolError(
                f"the netlist of {top} is wrong: {wrong} of {len(rows)} rows of {name} differ from the golden"
            )
    toggles, ones = (np.concatenate([counted[port][k] for port in chunks])[: len(nets)].tolist() for k in (0, 1))
    return {"cycles": cycles, "nets": nets, "toggles": toggles, "ones": ones}


def _wait(native, until, top):
    for _ in range(_PREPARATION // 64):
        if not until or native.get(until):
            native.tick()  # the nets as they are without reset
            return
        native.tick(64)
    raise ToolError(f"the netlist of {top} is wrong: {until} is not 1 after {_PREPARATION} cycles")


def _nets(netlist):
    """All net numbers, in order."""
    bits = {bit for port in netlist["ports"].values() for bit in port["bits"]}
    bits |= {bit for _, pins in netlist["cells"] for connected in pins.values() for bit in connected}
    return sorted(bit for bit in bits if isinstance(bit, int))


def _verilog(netlist, nets, top):
    """The netlist as Verilog, with every net on one of the outputs ``nets_<k>``, as the rising edge found it.

    It is written from the data that is priced rather than by Yosys, so that a net has one name in both. Outputs without the
    register would have Verilator write them out three times, and the compiler read them.
    """
    ports = [] if "clk" in netlist["ports"] else ["input clk"]
    lines = [f"wire n{net};" for net in nets]
    for name, port in netlist["ports"].items():
        ports.append(f"{port['direction']} [{len(port['bits']) - 1}:0] {name}")
        sides = (name, _bits(port["bits"])) if port["direction"] == "output" else (_bits(port["bits"]), name)
        lines.append(f"assign {sides[0]} = {sides[1]};")
    for k in range(0, len(nets), _CHUNK):
        chunk = nets[k : k + _CHUNK] + ["0"] * max(0, k + _CHUNK - len(nets))
        ports.append(f"output reg [{_CHUNK - 1}:0] nets_{k // _CHUNK}")
        lines.append(f"always @(posedge clk) nets_{k // _CHUNK} <= {_bits(chunk)};")
    for k, (kind, pins) in enumerate(netlist["cells"]):
        lines.append(f"{kind} c{k} ({', '.join(f'.{pin}({_bits(bits)})' for pin, bits in pins.items())});")
    body = "\n".join(lines)
    parts = [netlist["models"], *netlist["srams"].values()]
    return "\n".join([*parts, f"module {top}({', '.join(ports)});\n{body}\nendmodule\n"])


def _bits(bits):
    return "{" + ", ".join(f"n{bit}" if isinstance(bit, int) else f"1'b{int(bit == '1')}" for bit in bits[::-1]) + "}"


# --- price ---------------------------------------------------------------------------------------------------------


def priced(netlist, counts, library, products, *, clock_mhz=None, wire_ff=0.0, slew_ps=None):
    """Energy of ``counts`` (of ``activity``) on a netlist, by the formulas at the head of this file.

    Returns ``library``; ``corner`` (``liberty.PowerLibrary``); ``clock_mhz``, ``slew_ps``, ``wire_ff`` as used; ``cycles``;
    ``products``; ``cells``, ``flops``, ``nets``; ``toggles_per_net``, a cycle, without the clock; ``glitches``, false;
    ``unpriced``, cells without power tables; ``power_mw`` of logic; ``energy_pj`` per product: ``internal``, ``switching``,
    ``clock``, ``leakage`` and their sum ``logic``; ``wire_pj_per_ff``, what each fF of ``wire_ff`` adds to it, the change
    of internal energy apart; ``sram``: energy of memories, at 32 nm, in no other number.
    """
    if wire_ff < 0 or (clock_mhz is not None and clock_mhz <= 0) or (slew_ps is not None and slew_ps <= 0):
        raise UserError(f"clock ({clock_mhz}) and slew ({slew_ps}) must be positive, and wire ({wire_ff}) not negative")
    kinds = {}
    for kind, pins in netlist["cells"]:
        kinds.setdefault(kind, []).append(pins)
    memories = {kind: instances for kind, instances in kinds.items() if kind in netlist["srams"]}
    gates = {kind: instances for kind, instances in kinds.items() if kind not in memories}
    power = PowerLibrary(library, gates)
    slew = power.nand2_slew(library) if slew_ps is None else slew_ps
    clock = clock_mhz or 1e6 / library.period_ps
    nets = _Nets(netlist, counts)
    for kind, instances in gates.items():
        nets.load(power.cells[kind], instances, wire_ff)
    sums = _Sums(nets, power.voltage, slew)
    for kind, instances in gates.items():
        sums.add(power.cells[kind], instances)
    seconds = counts["cycles"] / (clock * 1e6)
    fj = sums.energies() | {"leakage": sums.leakage_nw * seconds * 1e6}
    per_product = {name: value / 1000 / products for name, value in fj.items()}
    return {
        "library": library.name,
        "corner": power.corner,
        "clock_mhz": round(clock, 3),
        "slew_ps": round(slew, 3),
        "wire_ff": wire_ff,
        "cycles": counts["cycles"],
        "products": products,
        "cells": sum(map(len, gates.values())),
        "flops": sum(len(instances) for kind, instances in gates.items() if power.cells[kind].sequential),
        "nets": len(counts["nets"]),
        "toggles_per_net": _round(nets.data_toggles / len(counts["nets"]) / counts["cycles"]),
        "glitches": False,
        "unpriced": sorted(kind for kind in gates if not power.cells[kind].has_power),
        "power_mw": _round(sum(fj.values()) * 1e-12 / seconds),
        "energy_pj": {name: _round(value) for name, value in per_product.items()}
        | {"logic": _round(sum(per_product.values()))},
        "wire_pj_per_ff": _round(nets.fanout_toggles * power.voltage**2 / 2000 / products),
        "sram": _sram(memories, nets, products, seconds),
    }


def _round(value):
    """Six figures: what differs behind them differs between machines."""
    return float(f"{value:.6g}")


class _Nets:
    """Toggles, probability and load of every net; index 0 is a constant 0, index 1 a constant 1."""

    def __init__(self, netlist, counts):
        self.cycles = counts["cycles"]
        self._index = {"0": 0, "x": 0, "1": 1} | {net: k + 2 for k, net in enumerate(counts["nets"])}
        self.toggles = np.array([0, 0, *counts["toggles"]], float)
        self.ones = np.array([0, self.cycles, *counts["ones"]], float)
        self.capacitance = np.zeros(len(self.toggles))
        self.fanout = np.zeros(len(self.toggles))
        self.clock = self._index[netlist["ports"]["clk"]["bits"][0]] if "clk" in netlist["ports"] else -1
        if self.clock >= 0:
            self.toggles[self.clock] = 2 * self.cycles  # settled states show it low
            self.ones[self.clock] = self.cycles / 2

    def of(self, instances, pin):
        """Indices of the nets at ``pin`` of each instance; of nothing, 0."""
        return np.array([self._index[pins[pin][0]] if pins.get(pin) else 0 for pins in instances])

    def bits(self, pins, name):
        return [self._index[bit] for bit in pins[name]]

    def load(self, cell, instances, wire_ff):
        """Add the input pins of instances of ``cell`` to the nets at them."""
        for pin in cell.pins.values():
            at = self.of(instances, pin.name)
            if pin.clock and (at != self.clock).any():
                raise ToolError("a flip-flop is clocked by a net that is not the block's clock")
            if pin.into:
                np.add.at(self.capacitance, at, pin.capacitance + wire_ff)
                np.add.at(self.fanout, at, 1.0)

    @property
    def data_toggles(self):
        return self.toggles.sum() - (self.toggles[self.clock] if self.clock >= 0 else 0.0)

    @property
    def fanout_toggles(self):
        return float(self.fanout @ self.toggles)


class _Sums:
    """Energies in fJ and leakage in nW, summed over cells."""

    def __init__(self, nets, voltage, slew):
        self._nets, self._slew = nets, slew
        self._switching = nets.toggles * nets.capacitance * voltage**2 / 2
        self._internal = 0.0
        self._clock = 0.0
        self.leakage_nw = 0.0

    def energies(self):
        clock_net = self._switching[self._nets.clock] if self._nets.clock >= 0 else 0.0
        return {
            "internal": float(self._internal),
            "switching": float(self._switching.sum() - clock_net),
            "clock": float(self._clock + clock_net),
        }

    def add(self, cell, instances):
        nets = self._nets
        at = {pin: nets.of(instances, pin) for pin in cell.pins}
        probabilities = {pin: nets.ones[index] / max(nets.cycles, 1) for pin, index in at.items()}
        functions = cell.functions()
        leakage = mean(cell.leakage, probabilities, functions, lambda nw: nw + np.zeros(len(instances)), True)
        self.leakage_nw += float(leakage.sum())
        for pin in cell.pins.values():
            load = np.zeros(len(instances)) if pin.into else nets.capacitance[at[pin.name]]
            shares = self._shares(pin, at)
            each = 0.0
            for related, states in pin.related.items():
                energy = mean(
                    states,
                    probabilities,
                    functions,
                    lambda tables, load=load: sum((t.at(self._slew, load) for t in tables), np.zeros(len(load))),
                    pin.clock,
                )
                each = each + shares[related] * energy
            total = float(np.sum(nets.toggles[at[pin.name]] * each))
            if pin.clock:
                self._clock += total
            else:
                self._internal += total

    def _shares(self, pin, at):
        """The share of each ``related_pin`` in the transitions of an output; an input's is 1."""
        toggles = [
            sum((self._nets.toggles[at[name]] for name in related if name in at), 0.0) for related in pin.related
        ]
        total = sum(toggles)
        if pin.into or not np.any(total):
            return dict.fromkeys(pin.related, 1.0 if pin.into else 1.0 / max(len(pin.related), 1))
        even = 1.0 / len(pin.related)
        return {
            related: np.divide(share, total, out=np.full_like(total, even), where=total > 0)
            for related, share in zip(pin.related, toggles)
        }


def _sram(memories, nets, products, seconds):
    """Energy of the memories that are kept apart, by ``sram.price``.

    Returns ``node_nm``; ``memories``: ``depth``, ``width``, ``count``, ``reads`` and ``writes`` per product and the energies
    per product ``access_pj`` and ``leakage_pj``, None where CACTI gave none; sums of both, ``at_least`` where a price is a
    lower bound or one is missing. Words written in part count as whole.
    """
    rows = []
    for name, instances in sorted(memories.items()):
        depth, width, ports = map(int, re.fullmatch(r"sram_(\d+)x(\d+)(?:_w\d+)?_(\d+)r", name).groups())
        reads = sum(nets.ones[nets.bits(pins, f"r_en__{k}")[0]] for pins in instances for k in range(ports)) / products
        writes = sum(nets.ones[nets.bits(pins, "w_en")].max() for pins in instances) / products
        row = {
            "depth": depth,
            "width": width,
            "count": len(instances),
            "reads": _round(reads),
            "writes": _round(writes),
        }
        price = sram.price(depth, width, ports, 1)
        access = price and _round(reads * price["read_pj"] + writes * price["write_pj"])
        leakage = price and _round(price["leakage_mw"] * len(instances) * seconds * 1e9 / products)
        at_least = price["at_least"] if price else True
        rows.append(row | {"access_pj": access, "leakage_pj": leakage, "at_least": at_least})
    sums = {key: _round(sum(row[key] or 0.0 for row in rows)) for key in ("access_pj", "leakage_pj")}
    return {"node_nm": 32, "memories": rows, **sums, "at_least": any(row["at_least"] for row in rows)}


# --- command line --------------------------------------------------------------------------------------------------


def text(result):
    """The printed form of ``energy``."""
    parts = result["energy_pj"]
    row = (f"{result['block']}.{result['preset']}", *(f"{value:.4f}" for value in parts.values()))
    corner = result["corner"]
    return "\n".join(
        [
            generate.table(("pJ per product", *parts), [row]),
            "",
            f"{result['library']} ({corner['name']}, {corner['voltage']} V, {corner['temperature']} C), "
            f"{result['clock_mhz']} MHz: {result['power_mw']} mW in {result['cells']} cells ({result['flops']} flip-flops), "
            f"{result['toggles_per_net']:.3f} toggles a net and cycle",
            f"{result['products']} products in {result['cycles']} cycles, outputs equal to the golden; {result['vectors']}",
            f"glitch-free estimate; slew {result['slew_ps']} ps; {result['wire_ff']} fF of wire a fanout "
            f"(each fF adds {result['wire_pj_per_ff']} pJ); no clock tree",
            *_sram_lines(result["sram"]),
            *([f"without power tables: {', '.join(result['unpriced'])}"] if result["unpriced"] else []),
        ]
    )


def _sram_lines(memories):
    """The memories, in a table of their own: they are of another node."""
    if not memories["memories"]:
        return []
    header = ("memories", "a product reads", "writes", "access pJ", "leakage pJ")
    rows = [
        (
            f"{row['count']} x {row['depth']} x {row['width']} bits",
            f"{row['reads']:.3f}",
            f"{row['writes']:.3f}",
            *(_shown(row[key], row["at_least"]) for key in ("access_pj", "leakage_pj")),
        )
        for row in memories["memories"]
    ]
    sums = (_shown(memories[key], memories["at_least"]) for key in ("access_pj", "leakage_pj"))
    table = generate.table(header, [*rows, ("sum", "", "", *sums)])
    return ["", table, "", f"memories are CACTI's at {memories['node_nm']} nm, whole, and in no sum with logic"]


def _shown(value, at_least):
    return "-" if value is None else f"{'≥ ' if at_least else ''}{value:.4f}"


@command_line
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m synth.power", description="Energy per product on the clip's vectors."
    )
    parser.add_argument("--block", required=True, help="a PE")
    parser.add_argument("--preset", help="its preset; the default one otherwise")
    parser.add_argument("--liberty", help="a standard-cell library with power tables; else one found under $PDK_ROOT")
    parser.add_argument("--cycles", type=int, default=CYCLES, help="words of weights (default: %(default)s)")
    parser.add_argument("--clock", type=float, help="clock in MHz (default: that of the library's preset)")
    parser.add_argument("--wire", type=float, default=0.0, help="fF of wire a fanout (default: %(default)s)")
    parser.add_argument(
        "--slew", type=float, help="ps of every transition (default: that of a NAND2 with four fanouts)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    result = energy(
        options.block,
        options.preset,
        options.liberty,
        cycles=options.cycles,
        clock_mhz=options.clock,
        wire_ff=options.wire,
        slew_ps=options.slew,
    )
    print(json.dumps(result, indent=2, sort_keys=True) if options.json else text(result))


if __name__ == "__main__":
    sys.exit(main())
