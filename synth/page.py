"""The report: what everything costs, beside the papers, on one HTML page that needs nothing but itself: `make report`.

It is rendered from the committed costs (``synth/expected.json``), and from what `make synth`, `make lanes` and
`python -m synth.datm_budget` left in ``build/synth`` where that belongs to the same gates. A number that no run has made
is not on it: the page names the command that would. The same results make the same bytes.
"""

import argparse
import dataclasses
import io
import json
import re
import statistics
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hw import registry
from hw.errors import UserError, command_line
from hw.generate import default_preset, write_if_changed
from synth import datm_budget, diagram, flows, lanes, paper, readme, report, runs, scaling, side_by_side
from synth.technologies import find_library

TEMPLATE = "page.html.j2"
RESULTS = "build/synth"

#: The five mixed lanes and the lane that they are to replace, by their names in ``synth.lanes``; the rest are variants.
FIVE = ("buffered LUT (the paper's)", "generated LUT", "split LUT", "11 x 7 multiplier", "aligned integer")
FP16_LANE = "FP16 multiplier"

#: FPGA results other than ECP5's: the key in a result, its title, and which counts are shown.
FPGAS = (
    ("ice40", "iCE40", (("LUT4", ("lut4", "lut_sites")), ("FF", ("ff",)), ("DSP", ("dsp",)), ("BRAM", ("bram",)))),
    (
        "xilinx7",
        "Xilinx 7",
        (("LUT", ("lut", "lut6", "luts")), ("FF", ("ff",)), ("DSP", ("dsp",)), ("BRAM", ("bram",))),
    ),
)


@dataclasses.dataclass(frozen=True)
class Costs:
    """All that is on the page.

    ``blocks``, ``operators``, ``lanes``: as in ``synth/expected.json``; a block's ``libraries`` has its results in standard
    cells by name. ``compositions``: name to machine (``composition``). ``matching``: what ``synth.datm_budget`` wrote, or
    None.
    """

    blocks: list
    operators: list
    lanes: list
    compositions: dict
    matching: dict | None

    @property
    def defaults(self):
        """The results of ``blocks`` at their default presets."""
        return [result for result in self.blocks if result["preset"] == default_preset(registry.find(result["block"]))]

    @property
    def libraries(self):
        """Names of the libraries that any block was mapped to."""
        return sorted({name for result in self.blocks for name in result.get("libraries", {})})


def costs(folder=RESULTS, committed=None):
    """The committed costs with what is in ``folder`` besides: of the same gates by the same tools, or it is left out."""
    committed = readme.expected() if committed is None else committed
    kept = [_json(path) for path in sorted(Path(folder).glob("*.json"))]
    measured = {(k["block"], k["preset"]): k for k in kept if isinstance(k, dict) and "generic" in k}
    blocks = [_with_kept(row, measured.get((row["block"], row["preset"]))) for row in committed["blocks"]]
    drawn = next((k for k in kept if isinstance(k, list) and k and "area" in k[0]), [])
    rows = [_lane_with_kept(row, drawn) for row in committed["lanes"]]
    machines = [*committed.get("compositions", ()), *(k for k in kept if isinstance(k, dict) and "total_ge" in k)]
    budget = next((k for k in kept if isinstance(k, dict) and "array_ge" in k), None)
    return Costs(
        blocks=blocks,
        operators=committed["operators"],
        lanes=rows,
        compositions={machine["name"]: machine for machine in machines},
        matching=budget if budget and budget["array_ge"] == _array_ge(blocks) else None,
    )


def _json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; remove it, and run what made it again") from None


def _with_kept(row, kept):
    """A committed row with what a later run on the same gates measured besides."""
    if kept is None or any(kept.get(key) != row[key] for key in ("generic", "tools", "parameters")):
        return row
    more = {key: value for key, value in kept.items() if key not in row}
    return row | more | ({"libraries": {kept["liberty"]["library"]: kept["liberty"]}} if kept.get("liberty") else {})


def _lane_with_kept(row, kept):
    found = next((k for k in kept if k["name"] == row["name"] and k["area"] == row["area"]), {})
    return row | {key: value for key, value in found.items() if row.get(key) is None}


def _array_ge(blocks):
    fp16 = next((row for row in blocks if (row["block"], row["preset"]) == ("fp16_pe", "default")), None)
    return fp16 and fp16["generic"]["ge"] / fp16["lanes"] * datm_budget.ARRAY


def with_library(found, library, progress=None):
    """``found`` with every block of Table II mapped to ``library`` too; kept by content, as all runs are."""
    names = {name for row in paper.TABLE_II for name in row.blocks}
    pairs = [(block, default_preset(block)) for name, block in registry.BLOCKS.items() if name in names]
    results = runs.measure_all(pairs, ("generic",), library, progress=progress)
    mapped = {(result["block"], result["preset"]): result["liberty"] for result in results}
    blocks = []
    for row in found.blocks:
        more = mapped.get((row["block"], row["preset"]))
        known = row.get("libraries", {})
        blocks.append(row | {"libraries": known | {library.name: more}} if more else row)
    return dataclasses.replace(found, blocks=blocks)


# -- cells -----------------------------------------------------------------------------------------------------------------


def missing(command, what="not measured"):
    """What stands in place of a number that no run has made."""
    return Markup('<span class="missing">{}: run <code>{}</code></span>').format(what, command)


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(value, bound=""):
    return "-" if value is None else f"{bound}{value:.2f}"


def kilo(ge):
    return f"{ge / 1e6:,.2f} MGE" if ge >= 1e6 else f"{ge / 1e3:,.1f} kGE"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page: ``rows`` of cells under ``header``, the ``command`` that makes its numbers, and a ``note``.

    A row of one cell is a title within the table.
    """

    header: tuple
    rows: list
    command: str
    note: str = ""


def _name(block, preset):
    return f"{block}.{preset}"


# -- the summary -----------------------------------------------------------------------------------------------------------


def lane_costs(rows):
    """GE of the LUT lane, of the multiplier lane, of the FP16 lane and of the least mixed one, as dicts."""
    by_name = {row["name"]: row for row in rows}
    found = []
    least = min((name for name in by_name if name != FP16_LANE), key=lambda name: _whole(by_name[name]))
    for name in dict.fromkeys((FIVE[0], FIVE[3], FP16_LANE, least)):
        area = by_name[name]["area"]
        found.append(
            {
                "name": name,
                "bound": "≥ " if area["at_least"] and area["table_ge"] else "",
                "multiplier": area["multiplier"],
                "table": area["table_ge"],
                "sums": area["sums"],
                "whole": _whole(by_name[name]),
            }
        )
    return found


def _whole(row):
    return row["area"]["lane"] + row["area"]["table_ge"]


def speeds(found):
    """Routed Fmax on ECP5 in MHz, of ``operators`` with all their stages and of ``blocks`` by default, slowest first."""

    def routed(results):
        pairs = [((r.get("ecp5") or {}).get("fmax_mhz"), r["block"]) for r in results]
        return sorted(pair for pair in pairs if pair[0])

    blocks = routed(found.defaults)
    return {
        "operators": routed(found.operators),
        "blocks": blocks,
        "median": statistics.median(speed for speed, _ in blocks) if blocks else None,
        "large": sum((r.get("ecp5") or {"fits": True})["fits"] is None for r in found.defaults),
    }


# -- tables ----------------------------------------------------------------------------------------------------------------


def lane_table(rows):
    """The mixed lanes; columns without a number in any row are left out, and the note says how to measure them."""
    header, cells, absent = list(lanes.HEADER), [list(row) for row in lanes.cells(rows)], []
    for k, row in enumerate(cells, 1):
        row[0] = f"{k}. {row[0]}"
    for title, key in (("Fmax MHz", "fmax_mhz"), ("pJ a product", "pj")):
        if all(row.get(key) is None for row in rows):
            place = header.index(title)
            header.pop(place)
            for row in cells:
                row.pop(place)
            absent.append(title)
    note = Markup(
        "GE; <em>row</em>: shared by the lanes of a row, <em>shared</em>: by the array; ≥: a table too shallow for CACTI."
    )
    libraries = {row["library"] for row in rows if row.get("library")}
    if libraries:
        note += Markup(" pJ: logic, glitch-free, no wires, {}.").format(", ".join(sorted(libraries)))
    if "Fmax MHz" in absent:
        note += Markup(" Fmax of the datapaths: {}.").format(missing("make lanes"))
    if "pJ a product" in absent:
        note += Markup(" Energy: {}.").format(missing("make lanes LIBERTY=cells.lib"))
    return Table(tuple(header), cells, "make lanes", note)


def comparison_table(results):
    """The LUT PE against the plain PE, a lane of each."""
    header = ("GE a lane", "memories in", "multiplier", "its table", "LUT buffer / 1,024", "sum", "/ plain")
    header += ("paper's LUT lane", "/ paper's", "PE's logic", "/ plain PE's")
    rows = [report.compared_cells(row) for row in report.comparison(results)]
    return Table(header, rows, "make synth")


def composition(machine):
    """A machine of modules that are synthesised once and counted, largest first.

    ``machine`` is JSON: ``name``, ``preset``, ``modules`` (each ``module``, ``count``, ``ge`` and ``flipflops`` of one),
    ``sram_bits``, ``sram_ge`` (None where a memory has no price), ``total_ge``.
    """
    total = machine["total_ge"]
    rows = [
        (
            module["module"],
            f"{module['count']:,}",
            number(module["ge"]),
            number(module["count"] * module["ge"]),
            f"{module['count'] * module['ge'] / total:.1%}",
            f"{module['count'] * module['flipflops']:,}",
        )
        for module in sorted(machine["modules"], key=lambda module: -module["count"] * module["ge"])
    ]
    logic = sum(module["count"] * module["ge"] for module in machine["modules"])
    flops = sum(module["count"] * module["flipflops"] for module in machine["modules"])
    rows.append(("all logic", "", "", number(logic), f"{logic / total:.1%}", f"{flops:,}"))
    if machine["sram_ge"] is None:
        rows.append((f"SRAM, {machine['sram_bits']:,} bits", "", "", "no price", "-", ""))
    else:
        share = f"{machine['sram_ge'] / total:.1%}"
        rows.append((f"SRAM, {machine['sram_bits']:,} bits", "", "", number(machine["sram_ge"]), share, ""))
    rows.append(("all", "", "", number(total), "100.0%", ""))
    header = ("module", "count", "GE of one", "GE", "share", "flip-flops")
    return Table(header, rows, compose_command(machine["name"], machine["preset"]))


def compose_command(name, preset):
    return f"make synth BLOCK={name} PRESET={preset}"


def counted_table(rows):
    """Our units in the paper's numbers: what Table II's logic would be of them."""
    cells = []
    for total in side_by_side.totals(rows):
        row, ours = total["row"], total["blocks"]
        one = " + ".join(number(beside["ge"]) for beside in ours) or missing("make synth")
        names = " + ".join(_name(beside["block"], beside["preset"]) for beside in ours)
        both = (number(total["ge"] / 1e3) if ours else "-", number(row.ge * row.units / 1e3), ratio(total["ratio"]))
        cells.append((row.component, names, f"{row.units:,}", one, *both))
    found = side_by_side.logic(rows)
    ours = "-" if found["ours"] is None else number(found["ours"] / 1e3)
    cells.append(("all logic", "", "", "", ours, number(found["paper"] / 1e3), ratio(found["ratio"])))
    header = ("Table II", "ours", "units", "GE of one", "kGE", "paper's kGE", "ratio")
    note = "Units as they are by default, times the paper's count; no controller, no bus, no memories."
    return Table(header, cells, "make synth", note)


def table_ii(rows, libraries):
    """SIMPICKER's Table II, row by row."""
    header = ("Table II", "mm2, 32 nm", "mW", "GE of one", "ours", "GE of one", *(f"um2, {name}" for name in libraries))
    header += ("ratio", "why")
    cells = []
    for row in rows:
        theirs = row["row"]
        printed = (theirs.component, f"{theirs.area_mm2:.2f}", f"{theirs.power_mw:.2f}")
        printed += (f"{theirs.ge:,.0f} a {theirs.unit}" if theirs.unit != "bit" else "-",)
        blank = ("-",) * len(libraries)
        if row["block"]:
            mapped = (number(row["um2"].get(name), 1) for name in libraries)
            ours = (_name(row["block"], row["preset"]), number(row["ge"]), *mapped, ratio(row["ratio"]))
        elif theirs.unit == "bit":
            ours = (f"{row['mm2']:.2f} mm2", "-", *blank, ratio(row["ratio"]))
        else:
            ours = (missing("make synth"), "-", *blank, "-")
        alternative = row["block"] and not row["counted"]
        summary = (
            alternative
            and f"Not counted, beside {' and '.join(theirs.counted)}: {registry.find(row['block']).summary}."
        )
        cells.append((*printed, *ours, summary or theirs.reason))
    total = (f"{paper.TOTAL_MM2:.2f}", f"{paper.TOTAL_MW:.2f}")
    logic = side_by_side.logic(rows)
    ours = number(logic["ours"]) if logic["ours"] is not None else "-"
    alone = ("all logic, in the paper's counts", f"{paper.TOTAL_MM2 - paper.TABLE_II[-1].area_mm2:.2f}", "")
    cells.append((*alone, number(logic["paper"]), "", ours, *("",) * len(libraries), ratio(logic["ratio"]), ""))
    cells.append(("all, as printed", *total, *("",) * (len(header) - 3)))
    note = Markup(
        "Theirs in GE by the NAND2 of their library, {} um2. A lane: one multiplier of a PE, one element of a vector unit."
    )
    note = note.format(side_by_side.sram.NAND2_UM2)
    if not libraries:
        note += Markup(" um2 of a library: {}.").format(missing("make report LIBERTY=cells.lib"))
    return Table(header, cells, "make synth", note)


def nodes_table(rows, libraries):
    """um2 of the libraries at the paper's node, by both published factors; None without a library of a known node."""
    sources = list(scaling.SOURCES)
    header = (
        "Table II",
        "ours",
        "um2 of one, theirs",
        "library",
        "um2 of one",
        *(f"at 32 nm, {name}" for name in sources),
    )
    header += tuple(f"ratio, {name}" for name in sources)
    cells = []
    for row in rows:
        for name in libraries if row["block"] else ():
            um2 = row["um2"].get(name)
            crossed = side_by_side.crossed(um2, name) if um2 else None
            if crossed:
                theirs = row["row"].area_mm2 * 1e6 / row["row"].units
                node, _, scaled = crossed
                what = (row["row"].component, _name(row["block"], row["preset"]), number(theirs, 0))
                ratios = (ratio(value / theirs if value else None) for value in scaled)
                cells.append((*what, f"{name}, {node} nm", number(um2, 1), *(number(v, 0) for v in scaled), *ratios))
    return Table(header, cells, "make report LIBERTY=cells.lib") if cells else None


def factors_table():
    """Factors of area from the libraries' nodes, and ORBIS's, to those of the papers."""
    header = ("from nm", "to nm", *scaling.SOURCES, "between them")
    pairs = sorted({(node, paper.NODE) for node in side_by_side.LIBRARY_NODES.values()}, reverse=True)
    cells = []
    for source, target in (*pairs, (paper.ORBIS.node, paper.ORBIS.scaled_node)):
        both = scaling.factors("area", source, target)
        known = [factor.value for factor in both if factor.value]
        spread = f"x {max(known) / min(known):.1f}" if len(known) == 2 else "-"
        cells.append((str(source), str(target), *map(_factor, both), spread))
    note = "Factors of logic area. ~: between two nodes of the set, in logarithms. -: a node outside of the set."
    return Table(header, cells, "make report", note)


def _factor(factor):
    if factor.value is None:
        return "-"
    return f"{'~ ' if factor.interpolated else ''}{factor.value:.3g}"


def orbis_table():
    """What ORBIS prints, and its own way from node to node beside the other set's."""
    chip = paper.ORBIS
    header = ("ORBIS", f"{chip.node} nm, printed", f"{chip.scaled_node} nm, printed")
    header += tuple(f"{chip.scaled_node} nm, {name}" for name in scaling.SOURCES)
    cells = []
    for row in side_by_side.orbis():
        scaled = [
            "-" if value is None else f"{'~ ' if factor.interpolated else ''}{value:,.1f} {row['unit']}"
            for factor, value in zip(row["factors"], row["scaled"])
        ]
        for name, parts in ((f"{row['quantity']}, {chip.instances} instances", 1), ("of one", chip.instances)):
            digits = 1 if parts == 1 else 2
            printed = (f"{row[key] / parts:,.{digits}f} {row['unit']}" for key in ("value", "printed"))
            cells.append((name, *printed, *(scaled if parts == 1 else ("",) * len(scaled))))
    return Table(header, cells, "make report")


def matching_table(budget):
    """The matching engine's share of an instance; None where it is not measured."""
    if budget is None:
        return None
    header = (
        "layer of",
        "weights",
        "lanes",
        "kGE",
        "KiB",
        "share of area",
        "ORBIS's",
        "ratio",
        "share, array of SIMPICKER's lanes",
    )
    cells = [
        (
            row["model"],
            row["weights"],
            f"{row['lanes']:,}",
            number(row["ge"] / 1e3),
            number(row["bits"] / 8192),
            f"{row['share']:.1%}",
            f"{paper.ORBIS.share:.1%}",
            ratio(row["share"] / paper.ORBIS.share),
            f"{row['share_published']:.1%}",
        )
        for row in budget["rows"]
    ]
    note = f"Engines that hide {budget['pairings']} pairings a layer under attention; logic, memories apart."
    return Table(header, cells, "python -m synth.datm_budget", note)


def blocks_table(results):
    """Every registered block: gates, memories, FPGAs. FPGAs of which nothing is measured are named in the note."""
    measured = [fpga for fpga in FPGAS if any(result.get(fpga[0]) for result in results)]
    header = ("block", "preset", "GE", "flip-flops", "SRAM bits", "SRAM GE", "LUT4", "FF", "DSP", "BRAM", "Fmax MHz")
    header += tuple(f"{title} {count}" for _, title, counts in measured for count, _ in counts)
    rows = []
    rooms = dict.fromkeys([*diagram.ROOMS, *map(diagram.room, registry.BLOCKS.values())])
    for room in rooms:
        members = [block for block in registry.BLOCKS.values() if diagram.room(block) == room]
        rows += [(f"hw/{room}",)] if members else []
        for block in members:
            name = Markup("<b>{}</b><small>{}; {}</small>").format(block.name, block.summary, block.paper)
            found = [result for result in results if result["block"] == block.name]
            rows += [(name if k == 0 else block.name, *_block_cells(each, measured)) for k, each in enumerate(found)]
            if not found:
                absent = missing(f"make synth BLOCK={block.name}")
                rows.append((name, default_preset(block), absent, *[""] * (len(header) - 3)))
    note = Markup("ECP5: {}; LUT4 are sites in use, Fmax routed out of context.").format(_device(results))
    note += Markup(" not routed: above {:,} GE. -: no path between registers.").format(flows.FPGA_GE)
    note += Markup(" SRAM bits: memories of {:,} bits or more; SRAM GE: CACTI 7, 32 nm.").format(flows.APART_BITS)
    for fpga in FPGAS:
        if fpga not in measured:
            note += Markup(" {}: {}.").format(fpga[1], missing("make synth"))
    return Table(header, rows, "make synth", note)


def _device(results):
    return next((result["ecp5"]["device"] for result in results if result.get("ecp5")), "not measured")


def _block_cells(result, fpgas):
    generic, price, ecp5 = result["generic"], result["sram"], result.get("ecp5")
    bound = "≥ " if price["at_least"] else ""
    cells = [
        result["preset"],
        number(generic["ge"]),
        f"{generic['flop_ge'] / generic['ge']:.0%}" if generic["ge"] else "-",
        f"{generic['memory_bits']:,}",
        "-" if not price["bits"] else "no price" if price["ge"] is None else bound + number(price["ge"]),
    ]
    if ecp5 is None:
        cells += [missing("make synth"), "", "", "", ""]
    elif ecp5["fits"] is None:
        cells += ["not routed", "", "", "", ""]
    else:
        counts = [number(ecp5[name]) for name in ("lut_sites", "ff", "dsp", "bram")]
        cells += [*counts, number(ecp5["fmax_mhz"], 1) if ecp5["fits"] else "does not fit"]
    for key, _, counts in fpgas:
        used = result.get(key) or {}
        cells += [
            number(next((used[name] for name in names if used.get(name) is not None), None)) for _, names in counts
        ]
    return cells


def operators_table(results):
    """The arithmetic operators with all their register stages."""
    header = ("operator", "stages", "GE", "flip-flops", "LUT4", "FF", "DSP", "Fmax MHz")
    rows = [
        (
            result["block"],
            str(registry.find(result["block"]).build(result["preset"]).latency),
            number(result["generic"]["ge"]),
            f"{result['generic']['flop_ge'] / result['generic']['ge']:.0%}",
            *(number(result["ecp5"][name]) for name in ("lut_sites", "ff", "dsp")),
            number(result["ecp5"]["fmax_mhz"], 1),
        )
        for result in results
    ]
    return Table(header, rows, f"make synth BLOCK=... PRESET={readme.DEEPEST}")


def tools_table(found):
    """The versions that made the results."""
    versions = {
        (name, version) for result in [*found.blocks, *found.operators] for name, version in result["tools"].items()
    }
    return Table(("tool", "version"), sorted(versions), "make synth")


# -- plots -----------------------------------------------------------------------------------------------------------------

#: Colours that a plot is drawn in, and the page's own for which they stand; the page knows whether it is light or dark.
_INK, _POINT, _MARK, _PALE = "#010203", "#010204", "#010205", "#010206"
_COLOURS = {_INK: "var(--ink)", _POINT: "var(--accent)", _MARK: "var(--mark)", _PALE: "var(--muted)"}


def pareto(rows, key, label, up=False, log=False):
    """GE of a lane with its table against ``key``, as an SVG element; None where a lane of the five has no number.

    ``up``: more of it is better; ``log``: on a logarithmic axis. Mixed lanes that no other one beats in both have a ring. The five and the FP16 lane have
    their names, the others the number of their row.
    """
    points = [
        _Point(
            name=row["name"] if row["name"] in (*FIVE, FP16_LANE) else str(k),
            x=_whole(row),
            y=row[key],
            mixed=row["name"] != FP16_LANE,
            bound=bool(row["area"]["at_least"] and row["area"]["table_ge"]),
        )
        for k, row in enumerate(rows, 1)
        if row.get(key) is not None
    ]
    if not {*FIVE} <= {point.name for point in points}:
        return None
    mixed = [point for point in points if point.mixed]

    def draw(axes):
        axes.margins(0.1)
        for point in points:
            colour = _POINT if point.mixed else _MARK
            filled = {"markerfacecolor": "none"} if point.name.isdigit() else {}
            axes.plot(point.x, point.y, ">" if point.bound else "o", color=colour, markersize=6, **filled)
            if point.mixed and not any(other.beats(point, up) for other in mixed):
                axes.plot(point.x, point.y, "o", color=colour, markersize=12, markerfacecolor="none")
        axes.set(xlabel="GE of a lane with its table", ylabel=label, yscale="log" if log else "linear")
        _label(axes, points)

    return _svg(draw, key.replace("_", "-"), f"{label} of each lane against its gate equivalents")


def plots(rows):
    """(plot or None, the command that measures it, what it shows) of each plot of the lanes."""
    return [
        (pareto(rows, "fmax_mhz", "Fmax on ECP5, MHz", up=True), "make lanes", "Fmax of the routed datapath"),
        (pareto(rows, "pj", "pJ a product"), "make lanes LIBERTY=cells.lib", "energy of a product"),
        (pareto(rows, "error", "rms error", log=True), "make lanes", "rms error of a dot product on the clip"),
    ]


@dataclasses.dataclass(frozen=True)
class _Point:
    name: str
    x: float
    y: float
    mixed: bool
    bound: bool

    def beats(self, other, up):
        better = self.y >= other.y if up else self.y <= other.y
        return (self.x, self.y) != (other.x, other.y) and self.x <= other.x and better


#: Points of a label: size of its letters, width of one, distance to its point.
_LETTER, _ADVANCE, _AWAY = 8, 4.7, 9
_SIDES = {-1: "right", 0: "center", 1: "left"}
_HEIGHTS = {-1: "top", 0: "center", 1: "bottom"}


def _label(axes, points):
    """Names beside their points, each on the first side where it covers no other name or point."""
    axes.figure.draw_without_rendering()
    scale = 72 / axes.figure.dpi
    places = [axes.transData.transform((point.x, point.y)) * scale for point in points]
    frame = axes.get_window_extent()
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for point, (x, y) in zip(points, places):
        boxes = {}
        for side, height in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            width, at = len(point.name) * _ADVANCE, (x + side * _AWAY, y + height * _AWAY)
            left, low = at[0] + (side - 1) * width / 2, at[1] + (height - 1) * _LETTER / 2
            boxes[side, height] = (left, low, left + width, low + _LETTER)
        inside = [side for side, box in boxes.items() if box[0] >= frame.x0 * scale and box[2] <= frame.x1 * scale]
        chosen = min(inside, key=lambda side: sum(_overlap(boxes[side], box) for box in taken))
        taken.append(boxes[chosen])
        axes.annotate(
            point.name,
            (point.x, point.y),
            xytext=(chosen[0] * _AWAY, chosen[1] * _AWAY),
            textcoords="offset points",
            fontsize=_LETTER,
            color=_INK,
            ha=_SIDES[chosen[0]],
            va=_HEIGHTS[chosen[1]],
        )


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _svg(draw, prefix, title):
    """What ``draw(axes)`` draws, as an SVG element in the page's colours, its ids begun by ``prefix``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {
        "svg.hashsalt": "zoetrope",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _PALE,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
    }
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        pyplot.close(figure)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.S)
    drawn = re.sub(r' xmlns(:\w+)?="[^"]*"', "", drawn)
    drawn = drawn.replace("xlink:href=", "href=")
    drawn = re.sub(r'id="', f'id="{prefix}-', drawn)
    drawn = re.sub(r"""(href="|url\()#""", rf"\1#{prefix}-", drawn)
    for colour, ours in _COLOURS.items():
        drawn = drawn.replace(colour, ours)
    drawn = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", drawn)
    head, _, rest = drawn.partition(">")
    return Markup(f'{head} role="img"><title>{escape(title)}</title>{rest}')


# -- the page --------------------------------------------------------------------------------------------------------------


def render(found):
    """The page's HTML."""
    rows = side_by_side.table_ii(found.defaults)
    simcore = found.compositions.get("simcore")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(kilo=kilo, number=number, ratio=ratio, missing=missing, is_number=is_number)
    return environment.get_template(TEMPLATE).render(
        lane_costs=lane_costs(found.lanes),
        FP16_LANE=FP16_LANE,
        speeds=speeds(found),
        simcore=simcore,
        compose_command=compose_command("simcore", registry.Block.PAPER_SIZE),
        logic=side_by_side.logic(rows),
        beside=[total for total in side_by_side.totals(rows) if total["blocks"]],
        composition=composition(simcore) if simcore else None,
        others=[(name, composition(m)) for name, m in sorted(found.compositions.items()) if name != "simcore"],
        counted=counted_table(rows),
        lanes=lane_table(found.lanes),
        comparison=comparison_table(found.defaults),
        plots=plots(found.lanes),
        table_ii=table_ii(rows, found.libraries),
        nodes=nodes_table(rows, found.libraries),
        factors=factors_table(),
        sources=scaling.SOURCES,
        orbis=orbis_table(),
        matching=matching_table(found.matching),
        share=paper.ORBIS.share,
        blocks=blocks_table(found.blocks),
        operators=operators_table(found.operators),
        diagram=Markup(diagram.svg()),
        uses=diagram.edges(),
        tools=tools_table(found),
    )


def is_number(cell):
    """Whether a cell stands to the right: a number, with its unit or bound, or a dash for none."""
    return bool(re.fullmatch(r"(≥ |~ |x )?-?[\d.,]*\d(e[-+]\d+)?%?|-", str(cell)))


@command_line
def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m synth.page", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", default="build/report", help="folder of index.html (default: %(default)s)")
    parser.add_argument("--results", default=RESULTS, help="folder of results that are no longer or not yet committed")
    parser.add_argument(
        "--liberty",
        action="append",
        help="a standard-cell library: blocks of Table II are mapped to it; may be repeated",
    )
    options = parser.parse_args(arguments)
    found = costs(options.results)
    for path in options.liberty or [None]:
        library = find_library(path)
        if library:
            with runs.progress_bar() as progress:
                found = with_library(found, library, progress)
    out = Path(options.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_if_changed(out / "index.html", render(found))
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    print(f"{out / 'index.html'}: {len(found.blocks)} blocks; open it in a browser")


if __name__ == "__main__":
    sys.exit(main())
