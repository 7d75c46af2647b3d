# SPDX-License-Identifier: Apache-2.0
"""Five ways to multiply FP16 by INT8, and the FP16 lane that they are to replace, under one flow: `make lanes`.

Each way is a PE of 8 lanes on the same engine with the same ports (``hw.pe.outer_product``), and stands in the PE's file:
``WAYS``. Its gates are counted
where they are: in a lane (multiplier, sums), in a row (what the lanes of a row share), or in the array (what all rows
share: the LUT buffer or the slice generator, the conversion of fixed-point sums). Adders have no pipeline registers here, so
that lanes are compared by their logic; Fmax is that of the default number of stages.
"""

import dataclasses
import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np

from zoetrope.golden.formats import FP32, to_float64
from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales
from zoetrope.golden.simcore.quantization_engine.quantization_unit import dequantize, quantize
from zoetrope.hw import cache, catalogue
from zoetrope.hw.arguments import Parser, answer, folder
from zoetrope.hw.errors import command_line
from zoetrope.hw.files import table
from zoetrope.hw.formats import INT8
from zoetrope.sim.input import clips
from zoetrope.sim.stimulus.outer_product import golden_of
from zoetrope.synth.costs import lane_plot, power, runs
from zoetrope.synth.flows import fpga
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.papers import figures, simpicker
from zoetrope.synth.technologies import sram
from zoetrope.synth.technologies.libraries import find_library

#: Heads of the names of modules that make a product in a lane, its table included, and of those that add it up.
MULTIPLIER = ("lut_multiplier", "lut_product", "local_table", "plain_product", "split_product", "float_multiply")
_SUMS = ("accumulator", "fixed_accumulator", "float_add")

#: Operands of a sum and queries of the clip that stalls and errors are taken over.
OPERANDS, QUERIES, KEYS = 64, 64, 64


@dataclasses.dataclass(frozen=True)
class Lane:
    """One way: ``name`` as printed, the ``block`` of its PE and a config; ``fp16`` where both operands are FP16."""

    name: str
    block: catalogue.Block
    config: object

    @property
    def fp16(self):
        return self.config.weight is not INT8

    @property
    def counted(self):
        """The PE whose gates are counted."""
        return self.block.component(config=dataclasses.replace(self.config, add_stages=0))


def ways():
    """Every way that a PE of the catalogue has, the FP16 lane first: the others are to replace it."""
    found = [Lane(name, block, way) for block in catalogue.usable([]).values() for name, way in block.ways.items()]
    return sorted(found, key=lambda lane: not lane.fp16)


def compared():
    """Names of the PEs beside the paper's LUT PEs: the LUT PE, and the plain one that it is measured by."""
    return [name for name in figures.blocks("simpicker.lut_pes") if catalogue.BLOCKS[name].ways]


def area(lane):
    """GE of a lane's ``multiplier`` and ``sums`` and of their sum ``lane``; of a ``row`` and of what is ``shared``.

    ``table_bits`` and ``table_ge`` are the local tables of a lane as SRAM (CACTI, 32 nm), a lower bound where ``at_least``.
    Memories of sums are left out: they are the same for all FP32 sums, and a matter of D.
    """
    modules, lanes = flows.generic(cache.rtlil(lane.counted, "pe"), "pe")["modules"], lane.config.lanes

    def total(chosen):
        return sum(part["count"] * part["ge"] for name, part in modules.items() if chosen(name))

    multiplier = total(lambda name: name.startswith(MULTIPLIER))
    sums = total(lambda name: name.startswith(_SUMS) or "_cell_" in name)
    tables = [
        memory | {"count": memory["count"] * part["count"]}
        for name, part in modules.items()
        for memory in part["memories"]
        if _in_table(name, modules)
    ]
    price = sram.total(tables)
    return {
        "multiplier": round(multiplier / lanes, 1),
        "sums": round(sums / lanes, 1),
        "lane": round((multiplier + sums) / lanes, 1),
        "table_bits": price["bits"] // lanes,
        "table_ge": round(price["ge"] / lanes, 1) if price["bits"] and price["ge"] else 0.0,
        "at_least": price["at_least"],
        "row": round(total(lambda name: name.startswith("pe.operands")), 1),
        "shared": round(total(lambda name: name.startswith(("pe.source", "pe.convert"))), 1),
    }


def _in_table(name, modules):
    return any(name in part["parts"] for parent, part in modules.items() if parent.startswith("local_table"))


def speed(lane):
    """Routed Fmax (MHz) of the PE's datapath on ECP5, with the default number of stages."""
    text = cache.rtlil(lane.block.component.cell(config=lane.config), "cell")
    return cache.kept(lambda: fpga.ecp5(text, "cell"), "ecp5", fpga.scripts(), "cell", text)["fmax_mhz"]


def stalls(lane):
    """Share of cycles lost in stalls by a long run of operands of random fractions, nothing outside stalling."""
    operands = np.random.default_rng(0).integers(0x3C00, 0x4000, (4 * OPERANDS, 1))
    last = np.arange(1, len(operands) + 1) % OPERANDS == 0
    starts = lane.block.component(config=lane.config).schedule(operands, last)
    span = starts[-1] - starts[len(starts) // 2]
    return 1 - lane.config.words * (len(starts) - 1 - len(starts) // 2) / span


def error(lane, tensors):
    """rms error of Q K^T of the clip over its rms, against float64 sums of the same quantized operands."""
    q, k = tensors.q[-1][:QUERIES], tensors.k.reshape(-1, tensors.k.shape[-1])[:KEYS]
    if lane.fp16:
        codes, x, values = k.view(np.uint16), q.view(np.uint16), k.astype(np.float64)
    else:
        codes, scales = quantize(k)
        x = fold_key_scales(q, scales).view(np.uint16)
        values = dequantize(codes, np.ones_like(scales)).astype(np.float64)
    ideal = x.view(np.float16).astype(np.float64) @ values.T
    got = to_float64(golden_of(lane.config)(x, np.broadcast_to(codes.T, (len(x), *codes.T.shape))), FP32)
    return float(np.sqrt(((got - ideal) ** 2).mean() / (ideal**2).mean()))


def routed(lanes, progress):
    """``speed`` of each lane, two at a time; ``progress`` says what was routed: some minutes a lane the first time."""
    progress(f"{len(lanes)} datapaths: routing, some minutes each the first time")
    with ThreadPoolExecutor(2) as pool:
        waiting = {pool.submit(speed, lane): k for k, lane in enumerate(lanes)}
        found = [None] * len(lanes)
        for done, future in enumerate(as_completed(waiting), 1):
            lane = lanes[waiting[future]]
            found[waiting[future]] = future.result()
            progress(f"routed {done}/{len(lanes)}, {lane.name}: {_mhz(found[waiting[future]])}")
    return found


def _mhz(fmax):
    return f"{fmax:.0f} MHz" if fmax else "no path between registers"


def measure(progress=lambda text: None, route=True, library=None):
    """A dict a lane: ``name``, ``design`` (``runs.digest`` of what is counted), ``area``, ``stalls``, ``error``,
    ``fmax_mhz``, ``pj``, ``library``.

    ``fmax_mhz`` is None unless ``route``: it takes minutes. ``pj``, None without a Liberty ``library``, is the energy of a
    product in the logic of the whole PE, on the clip's vectors (``power.energy``: glitch-free, no wires, no memories).
    """
    tensors = clips.load()
    areas = []
    for lane in ways():
        progress(f"{lane.name}: gates")
        areas.append(area(lane))
    speeds = [None] * len(ways())
    if route:
        speeds = routed(ways(), progress)
    rows = []
    for lane, gates, fmax in zip(ways(), areas, speeds):
        row = {
            "name": lane.name,
            "design": runs.design_of(lane.counted, "pe"),
            "area": gates,
            "fmax_mhz": fmax,
            "stalls": stalls(lane),
            "error": error(lane, tensors),
            "pj": energy(lane, library, progress) if library else None,
            "library": library.name if library else None,
        }
        rows.append(row)
    return rows


def energy(lane, library, progress):
    """pJ a product; see ``measure``."""
    progress(f"{lane.name}: switching")
    return power.energy(lane.block, lane.config, library)["energy_pj"]["logic"]


HEADER = ("a lane", "multiplier", "sums", "lane GE", "/ FP16", "table", "with table", "/ FP16", "row GE", "shared GE")
HEADER += ("stalls", "rms error", "Fmax MHz", "pJ a product")


def cells(rows):
    """The rows of ``measure`` as they are shown, under ``HEADER``."""
    yardstick = rows[0]["area"]["lane"]
    return [_cells(row, yardstick) for row in rows]


def _cells(row, yardstick):
    gates = row["area"]
    bound = "≥ " if gates["at_least"] else ""
    whole = gates["lane"] + gates["table_ge"]
    return (
        row["name"],
        f"{gates['multiplier']:,.0f}",
        f"{gates['sums']:,.0f}",
        f"{gates['lane']:,.0f}",
        f"{gates['lane'] / yardstick:.2f}",
        f"{bound}{gates['table_ge']:,.0f}" if gates["table_bits"] else "-",
        f"{bound}{whole:,.0f}",
        f"{bound}{whole / yardstick:.2f}",
        f"{gates['row']:,.0f}",
        f"{gates['shared']:,.0f}",
        f"{row['stalls']:.0%}",
        f"{row['error']:.1e}",
        f"{row['fmax_mhz']:.0f}" if row["fmax_mhz"] else "-",
        f"{row['pj']:.3g}" if row["pj"] is not None else "-",
    )


@command_line
def main(arguments=None):
    parser = Parser(
        "lanes",
        "The ways to multiply FP16 by INT8, and the FP16 lane that they are to replace, side by side under one flow.",
        "zoetrope lanes",
        "zoetrope lanes --liberty sky130_fd_sc_hd__tt_025C_1v80.lib --json",
    )
    parser.liberty("a standard-cell library with power tables, for the energy of a product")
    parser.out("build/synth", "folder of lanes.json and lanes.svg")
    parser.json()
    options = parser.parse_args(arguments)
    library = find_library(options.liberty)
    out = folder(options.out)
    with answer(options) as tell:
        rows = measure(lambda text: print(text, "...", file=sys.stderr, flush=True), library=library)
        tell(rows)
        (out / "lanes.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
        lane_plot.write(rows, out / "lanes.svg")
        print(table(HEADER, cells(rows)))
        lut, fp16 = simpicker.TABLE_II["lut_pes"].ge, simpicker.TABLE_II["fp16_pes"].ge
        print(f"\nSIMPICKER Table II: LUT lane {lut:,.0f} GE, FP16 lane {fp16:,.0f} GE: {lut / fp16:.2f}.")
        if library:
            print(
                f"pJ a product: logic of the whole PE with its default stages, {library.name}, glitch-free, no wires."
            )
        print(f"table: SRAM by CACTI at 32 nm, as GE. {out / 'lanes.json'}, {out / 'lanes.svg'}")
