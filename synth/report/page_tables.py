# SPDX-License-Identifier: Apache-2.0
"""The tables of the report (``synth.report.page``): results of the flows as rows of text, each with the command that
makes it.
"""

import dataclasses
import re

from markupsafe import Markup

from zoetrope.hw import catalogue
from zoetrope.synth.costs import composition as sums
from zoetrope.synth.costs import lanes, power
from zoetrope.synth.costs.expectations import DEEPEST
from zoetrope.synth.costs.runs import FPGA_GE as ROUTED
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.papers import orbis, simpicker
from zoetrope.synth.report import side_by_side
from zoetrope.synth.report import tables as report
from zoetrope.synth.technologies import scaling

#: FPGAs other than ECP5: the key in a result, its title, and the counts that are shown.
FPGAS = (
    ("ice40", "iCE40", {"LUT4": "lut4", "FF": "ff", "DSP": "dsp", "BRAM": "bram"}),
    ("xilinx7", "Xilinx 7", {"LUT6": "lut6", "FF": "ff", "DSP": "dsp", "BRAM18": "bram"}),
)
POWER_COMMAND = "make synth LIBERTY=cells.lib"


def missing(command, what="not measured"):
    """What stands in place of a number that no run has made."""
    return Markup('<span class="missing">{}: run <code>{}</code></span>').format(what, command)


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(value):
    return "-" if value is None else f"{value:.2f}"


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

    def numeric(self, column):
        """Whether most cells of a column that say something are numbers; its title stands over them."""
        cells = [row[column] for row in self.rows if len(row) > 1 and row[column] not in ("", "-")]
        return column > 0 and 2 * sum(map(is_number, cells)) > len(cells)


def _name(block, preset):
    return f"{block}.{preset}"


# -- tables ----------------------------------------------------------------------------------------------------------------


def bridge_table(steps):
    """``verdict.bridge`` as a table; None without it."""
    if not steps:
        return None
    header = ("SIMCORE at the paper's size", "ours, MGE", "the paper's, MGE", "ratio")
    rows = []
    for what, ours, theirs, at_least in steps:
        bound = "≥ " if at_least else ""
        beside = (f"{theirs / 1e6:.2f}", f"{bound}{ours / theirs:.2f}") if theirs else ("not in Table II", "-")
        rows.append((what, f"{bound}{ours / 1e6:.2f}", *beside))
    return Table(
        header, rows, compose_command("simcore", catalogue.Block.PAPER_SIZE), "MGE: a million gate equivalents."
    )


def lane_table(rows):
    """The mixed lanes; columns without a number in any row are left out."""
    header, cells = list(lanes.HEADER), [list(row) for row in lanes.cells(rows)]
    for k, row in enumerate(cells, 1):
        row[0] = f"{k}. {row[0]}"
    for title, key in (("Fmax MHz", "fmax_mhz"), ("pJ a product", "pj")):
        if all(row.get(key) is None for row in rows):
            place = header.index(title)
            header.pop(place)
            for row in cells:
                row.pop(place)
    note = Markup(
        "GE; <em>row</em>: shared by the lanes of a row, <em>shared</em>: by the array; ≥: a table too shallow for CACTI. "
        "Adders without register stages, the LUT buffer that all lanes share left out."
    )
    libraries = {row["library"] for row in rows if row.get("library")}
    if libraries:
        note += Markup(" pJ: logic, glitch-free, no wires, {}.").format(", ".join(sorted(libraries)))
    return Table(tuple(header), cells, "make lanes", note)


def comparison_table(results):
    """The LUT PE against the plain PE, a lane of each."""
    header = ("GE a lane", "memories in", "multiplier", "its table", "LUT buffer / 1,024", "sum", "/ plain")
    header += ("paper's LUT lane", "/ paper's", "PE's logic", "/ plain PE's")
    rows = [report.compared_cells(row) for row in report.comparison(results)]
    note = "Whole PEs as they are by default, with register stages; the sum has a lane's part of the LUT buffer in it."
    return Table(header, rows, "make synth", note)


#: Kinds of modules of a machine that are shown one by one.
SHOWN = 12


def composition(machine):
    """A machine (``page._machine``) as the sum of its modules by kind: the largest, the others together, SRAM, all."""
    kinds = sums.kinds(machine["modules"])
    total, bound = machine["total_ge"], "≥ " if machine["at_least"] else ""

    def share(ge):
        return f"{ge / total:.1%}" if total else "-"

    def row(name, count, ge, flops):
        return (name, count, number(ge), share(ge), f"{flops:,}")

    rows = [row(kind["kind"], f"{kind['count']:,}", kind["ge"], kind["flops"]) for kind in kinds[:SHOWN]]
    if rest := kinds[SHOWN:]:
        ge, flops = (sum(kind[key] for kind in rest) for key in ("ge", "flops"))
        rows.append(row(f"{len(rest):,} more kinds", f"{sum(kind['count'] for kind in rest):,}", ge, flops))
    rows.append(row("all logic", "", machine["ge"], machine["flops"]))
    if machine["sram_bits"]:
        ge = machine["sram_ge"]
        price = ("no price", "-") if ge is None else (bound + number(ge), share(ge))
        rows.append((f"SRAM, {machine['sram_bits']:,} bits", "", *price, ""))
    rows.append(("all", "", bound + number(total), share(total), ""))
    header = ("kind of module", "instances", "GE", "share", "flip-flops")
    note = (
        "Each module synthesised once, without those in it, and counted as often as it is there. SRAM: CACTI 7, 32 nm; "
        f"smaller memories than of {flows.APART_BITS:,} bits are registers, the kind called sram."
    )
    if machine["difference"] is not None:
        note += f" The same design synthesised flat: this sum is {machine['difference']:+.2%} of it off."
    return Table(header, rows, compose_command(machine["block"], machine["preset"]), note)


def checks_table(checks):
    """Sums of modules beside the same designs synthesised flattened; None where none is measured."""
    if not checks:
        return None
    header = (
        "design",
        "modules",
        "GE, sum",
        "GE, flat",
        "difference",
        "flip-flops, sum",
        "flat",
        "SRAM bits, sum",
        "flat",
    )
    rows = [
        (
            _name(row["block"], row["preset"]),
            f"{row['modules']:,}",
            number(row["ge"]),
            number(row["flat_ge"]),
            f"{row['difference']:+.2%}",
            *(f"{row[key]:,}" for key in ("flops", "flat_flops", "bits", "flat_bits")),
        )
        for row in checks
    ]
    beyond = [_name(row["block"], row["preset"]) for row in checks if not sums.within(row)]
    bound = f"The bound of the method is {sums.BOUND:.0%} of the flat design from {sums.LEAST_GE:,} GE on"
    note = f"{bound}; beyond it: {', '.join(beyond)}." if beyond else f"{bound}; all of these are within it."
    return Table(header, rows, "zoetrope compose --check", note)


def compose_command(block, preset):
    return f"zoetrope compose --block {block} --preset {preset}"


def table_ii(rows, libraries):
    """SIMPICKER's Table II, row by row: one unit of theirs and of ours, and as many units as the paper has."""
    header = ("Table II", "units", "mm2, 32 nm", "mW", "GE of one", "ours", "GE of one")
    header += (*(f"um2 of one, {name}" for name in libraries), "paper's kGE", "our kGE", "ratio", "why")
    cells = []
    for total in side_by_side.totals(rows):
        row, ours = total["row"], total["blocks"]
        printed = (row.component, f"{row.units:,}", f"{row.area_mm2:.2f}", f"{row.power_mw:.2f}")
        printed += (f"{row.ge:,.0f} a {row.unit}",)
        names = " + ".join(_name(beside["block"], beside["preset"]) for beside in ours) or missing("make expected")
        one = number(sum(beside["ge"] for beside in ours)) if ours else "-"
        mapped = (_um2(ours, name) for name in libraries)
        both = (number(row.ge * row.units / 1e3), number(total["ge"] / 1e3) if ours else "-", ratio(total["ratio"]))
        cells.append((*printed, names, one, *mapped, *both, row.reason))
        for beside in rows:
            if beside["row"] is row and beside["block"] and not beside["counted"]:
                name = f"instead: {_name(beside['block'], beside['preset'])}"
                mapped = (_um2([beside], library) for library in libraries)
                why = f"Not in the sum: {catalogue.find(beside['block']).summary}."
                cells.append(
                    ("", "", "", "", "", name, number(beside["ge"]), *mapped, "", "", ratio(beside["ratio"]), why)
                )
    blank, logic = ("",) * len(libraries), side_by_side.logic(rows)
    mm2 = f"{simpicker.TOTAL_MM2 - simpicker.TABLE_II['buffers'].area_mm2:.2f}"
    ours = number(logic["ours"] / 1e3) if logic["ours"] is not None else "-"
    kge = (number(logic["paper"] / 1e3), ours, ratio(logic["ratio"]))
    cells.append(("all logic", "", mm2, "", "", "", "", *blank, *kge, ""))
    last = rows[-1]
    memory, theirs = (
        (last["row"].component, "", f"{last['row'].area_mm2:.2f}", f"{last['row'].power_mw:.2f}"),
        last["row"],
    )
    cells.append((*memory, "", f"{last['mm2']:.2f} mm2", "", *blank, "", "", ratio(last["ratio"]), theirs.reason))
    total = (f"{simpicker.TOTAL_MM2:.2f}", f"{simpicker.TOTAL_MW:.2f}")
    cells.append(("all, as printed", "", *total, *("",) * (len(header) - 4)))
    note = Markup(
        "Theirs in GE by the NAND2 of their library, {} um2. A lane: one multiplier of a PE, one element of a vector unit. "
        "Ours: blocks as they are by default, times the paper's units."
    )
    return Table(header, cells, "make synth", note.format(side_by_side.sram.NAND2_UM2))


def _um2(ours, library):
    found = [beside["um2"].get(library) for beside in ours]
    return number(sum(found), 1) if found and None not in found else "-"


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


def factors_table(rows, libraries):
    """Factors of area from the libraries' nodes, and ORBIS's, to those of the papers; and what our own gates measure."""
    header = ("from nm", "to nm", *scaling.SOURCES, "between them", "our gates, both libraries")
    pairs = [(node, simpicker.NODE, "-") for node in sorted(set(side_by_side.LIBRARY_NODES.values()), reverse=True)]
    pairs.append((orbis.CHIP.node, orbis.CHIP.scaled_node, "-"))
    for one, other, shrunk in side_by_side.measured_factors(rows, libraries):
        nodes = (side_by_side.LIBRARY_NODES[name] for name in (one, other))
        pairs.append((*nodes, f"{shrunk:.3g} ({one} to {other})"))
    cells = []
    for source, target, shrunk in pairs:
        both = scaling.factors("area", source, target)
        known = [factor.value for factor in both if factor.value]
        spread = f"x {max(known) / min(known):.1f}" if len(known) == 2 else "-"
        cells.append((str(source), str(target), *map(_factor, both), spread, shrunk))
    note = "Factors of logic area. ~: between two nodes of the set, in logarithms. -: a node outside of the set."
    return Table(header, cells, "make report", note)


def _factor(factor):
    if factor.value is None:
        return "-"
    return f"{'~ ' if factor.interpolated else ''}{factor.value:.3g}"


def orbis_table():
    """What ORBIS prints, and its own way from node to node beside the other set's."""
    chip = orbis.CHIP
    header = ("ORBIS", f"{chip.node} nm, printed", f"{chip.scaled_node} nm, printed")
    header += tuple(f"{chip.scaled_node} nm, {name}" for name in scaling.SOURCES)
    cells = []
    for row in side_by_side.orbis_scaling():
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
            f"{orbis.CHIP.share:.1%}",
            ratio(row["share"] / orbis.CHIP.share),
            f"{row['share_published']:.1%}",
        )
        for row in budget["rows"]
    ]
    note = f"Engines that hide {budget['pairings']} pairings a layer under attention; logic, memories apart."
    return Table(header, cells, "zoetrope matching-budget", note)


def blocks_table(results):
    """Every block by its room: gates, memories, FPGAs; columns of FPGAs of which nothing is measured are left out."""
    measured = [fpga for fpga in FPGAS if any(result.get(fpga[0]) for result in results)]
    header = ("block", "preset", "GE", "flip-flops", "SRAM bits", "SRAM GE", "LUT4", "FF", "DSP", "BRAM", "Fmax MHz")
    header += tuple(f"{title} {count}" for _, title, counts in measured for count in counts)
    rows = []
    for room, title in catalogue.ROOMS.items():
        members = [block for block in catalogue.BLOCKS.values() if block.room == room]
        rows += [(title,)] if members else []
        for block in members:
            name = Markup("<b>{}</b><small>{}; {}</small>").format(block.key, block.summary, str(block.source))
            found = [result for result in results if result["block"] == block.key]
            rows += [(name if k == 0 else block.key, *_block_cells(each, measured)) for k, each in enumerate(found)]
            if not found:
                absent = missing(f"zoetrope expected --block {block.key}")
                rows.append((name, "", absent, *[""] * (len(header) - 3)))
    note = Markup("ECP5: {}; LUT4 are sites in use, Fmax routed out of context.").format(_device(results))
    note += Markup(" not routed: larger than {:,} GE. no register path: there is no path between registers.").format(
        ROUTED
    )
    note += Markup(" SRAM bits: memories of {:,} bits or more; SRAM GE: CACTI 7, 32 nm.").format(flows.APART_BITS)
    return Table(header, rows, "make synth ROUTE=1 FPGA=ecp5", note)


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
        cells += ["not counted", "", "", "", ""]
    elif ecp5["fits"] is None:
        cells += ["not routed", "", "", "", ""]
    else:
        cells += [number(ecp5[name]) for name in ("lut_sites", "ff", "dsp", "bram")] + [_fmax(ecp5)]
    for key, _, counts in fpgas:
        used = result.get(key) or {}
        cells += [number(used.get(name)) for name in counts.values()]
    return cells


def _fmax(ecp5):
    if ecp5["fmax_mhz"]:
        return number(ecp5["fmax_mhz"], 1)
    return "no register path" if _is_routed(ecp5) else "not routed" if ecp5["fits"] else "does not fit"


def _is_routed(ecp5):
    """Whether a design was placed and routed: not where it is too large, nor where its modules were counted alone."""
    return bool(ecp5["fits"]) and ecp5.get("method", "flat") == "flat"


def power_table(results):
    """Power of blocks in each library in which it was measured; None where in none."""
    header = ("block", "preset", "library", "corner", "MHz", "fF of wire", *power.HEADER[2:])
    rows, reasons = [], []
    for result in results:
        for name, mapped in sorted(result.get("libraries", {}).items()):
            found = mapped.get("power")
            if found:
                where = (name, _corner(found["corner"]), f"{found['clock_mhz']:g}", f"{found['wire_ff']:g}")
                block, preset, *cells = power.row(found | {key: result[key] for key in ("block", "preset")})
                rows.append((block, preset, *where, *cells))
            reasons.append(mapped.get("no_power"))
    note = (
        "Logic, memories apart, under the block's own bench at full rate on its mapped netlist, outputs equal to the "
        "golden; glitch-free, no clock tree. mW a fF: what each fF of wire a fanout adds. pJ a product: of PEs. "
        "vectors: the clip's, or else all tests of the bench."
    )
    none = "; ".join(filter(None, dict.fromkeys(reasons)))
    return Table(header, rows, POWER_COMMAND, note + (f" No power: {none}." if none else "")) if rows else None


def _corner(corner):
    return f"{corner['voltage']:g} V, {corner['temperature']:g} C"


def operators_table(results):
    """The arithmetic operators with all their register stages."""
    header = ("operator", "stages", "GE", "flip-flops", "LUT4", "FF", "DSP", "Fmax MHz")
    rows = [
        (
            result["block"],
            str(catalogue.find(result["block"]).build(result["preset"]).latency),
            number(result["generic"]["ge"]),
            f"{result['generic']['flop_ge'] / result['generic']['ge']:.0%}",
            *(number(result["ecp5"][name]) for name in ("lut_sites", "ff", "dsp")),
            number(result["ecp5"]["fmax_mhz"], 1),
        )
        for result in results
    ]
    return Table(header, rows, f"make synth BLOCK=... PRESET={DEEPEST}")


def tools_table(found):
    """The versions that made the results."""
    versions = {
        (name, version) for result in [*found.blocks, *found.operators] for name, version in result["tools"].items()
    }
    return Table(("tool", "version"), sorted(versions), "make synth")


def is_number(cell):
    """Whether a cell stands to the right: a number, with its unit or bound, or a dash for none."""
    return bool(re.fullmatch(r"(≥ |~ |x )?[-+]?[\d.,]*\d(e[-+]\d+)?(%| mm2| W)?|-", str(cell)))
