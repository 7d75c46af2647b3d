# SPDX-License-Identifier: Apache-2.0
"""The report: what everything costs, beside the papers, on one HTML page that needs nothing but itself: `make report`.

It is rendered from the committed costs (``synth.results``), and from what `make synth`, `make lanes` and
`zoetrope matching-budget` left in ``build/synth`` where that belongs to the same gates. A number that no run
has made
is not on it: the page names the command that would. The same results make the same bytes.
"""

import dataclasses
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from zoetrope.hw import catalogue
from zoetrope.hw.arguments import Parser, folder
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.files import write_if_changed
from zoetrope.synth.costs import datm_budget, runs
from zoetrope.synth.papers import figures, orbis
from zoetrope.synth.report import diagram, lane_plots, side_by_side, verdict
from zoetrope.synth.report import page_tables as tables
from zoetrope.synth.results import rows
from zoetrope.synth.technologies import scaling
from zoetrope.synth.technologies.libraries import find_library

TEMPLATE = "page.html.j2"
RESULTS = "build/synth"

#: The machine of the paper's size, as block and preset.
SIMCORE = f"simcore.{catalogue.Block.PAPER_SIZE}"


@dataclasses.dataclass(frozen=True)
class Costs:
    """All that is on the page.

    ``blocks``, ``operators``, ``lanes``, ``checks``, ``head``: as in ``synth.results.rows``; a block's ``libraries`` has its
    results in standard cells by name. ``machines``: block and preset, joined by a dot, to a machine (``_machine``).
    ``matching``: what ``synth.costs.datm_budget`` wrote, or None.
    """

    blocks: list
    operators: list
    lanes: list
    machines: dict
    checks: list
    matching: dict | None
    head: dict | None

    @property
    def simcore(self):
        """SIMCORE at the paper's size, or None."""
        return self.machines.get(SIMCORE)

    @property
    def defaults(self):
        """The results of ``blocks`` at their default presets."""
        usable = catalogue.usable([])
        return [r for r in self.blocks if r["block"] in usable and r["preset"] == usable[r["block"]].default]

    @property
    def libraries(self):
        """Names of the libraries that any block was mapped to."""
        return sorted({name for result in self.blocks for name in result.get("libraries", {})})


def costs(folder=RESULTS, committed=None):
    """The committed costs with what is in ``folder``, if any: of the same gates by the same tools, or it is left out.

    Where the committed costs have them: ``machines``, results of ``synth.costs.composition``, ``checks`` of the method, and
    ``matching``, the one of ``synth.costs.datm_budget``.
    """
    committed = rows.committed() if committed is None else committed
    kept = [_json(path) for path in sorted(Path(folder).glob("*.json"))] if folder else []
    measured = {(k["block"], k["preset"]): k for k in kept if isinstance(k, dict) and "generic" in k}
    blocks = [_with_kept(row, measured.get((row["block"], row["preset"]))) for row in committed["blocks"]]
    drawn = next((k for k in kept if isinstance(k, list) and k and "area" in k[0]), [])
    mixed = [_lane_with_kept(row, drawn) for row in committed["lanes"]]
    sums = [k for k in kept if isinstance(k, dict) and "modules" in k and _is_of(k, committed)]
    machines = [*committed.get("machines", ()), *sums]
    budgets = [k for k in kept if isinstance(k, dict) and "array_ge" in k and _is_budget_of(k, committed)]
    budget = budgets[0] if budgets else committed.get("matching")
    return Costs(
        blocks=blocks,
        operators=committed["operators"],
        lanes=mixed,
        machines={f"{machine['block']}.{machine['preset']}": _machine(machine) for machine in machines},
        checks=committed.get("checks", []),
        matching=budget if budget and budget["array_ge"] == _array_ge(blocks) else None,
        head=committed.get("head"),
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
    if kept.get("liberty"):
        more["libraries"] = {kept["liberty"]["library"]: kept["liberty"]}
    if kept.get("ecp5", {}).get("fmax_mhz"):
        more["ecp5"] = kept["ecp5"]
    return row | more


def _is_of(machine, committed):
    """Whether a sum of modules is by the tools and of the gates of the committed costs, as far as these have it."""
    known = {(row["block"], row["preset"]): row["generic"]["ge"] for row in committed["blocks"]}
    known |= {(row["block"], row["preset"]): row["ge"] for row in committed.get("machines", ())}
    same = known.get((machine["block"], machine["preset"]), machine["ge"]) == machine["ge"]
    return same and machine["tools"] == committed["blocks"][0]["tools"]


def _is_budget_of(budget, committed):
    """Whether engines that it has in common with the committed one are of the same gates."""
    before = (committed.get("matching") or {"rows": ()})["rows"]
    known = {(row["weights"], row["lanes"]): row["ge"] for row in before}
    return all(known.get((row["weights"], row["lanes"]), row["ge"]) == row["ge"] for row in budget["rows"])


def _machine(result):
    """What the page shows of a result of ``synth.costs.composition``.

    ``modules`` (each ``module``, ``count``, ``ge`` and ``flops`` of one), ``ge`` and ``flops`` of all, ``sram_bits``,
    ``sram_ge`` (None without a price), ``at_least``, ``total_ge``, ``difference`` from the same design flattened (or None).
    """
    memories = result["sram"]
    return {
        "block": result["block"],
        "preset": result["preset"],
        "modules": result["modules"],
        "ge": result["ge"],
        "flops": result["flops"],
        "sram_bits": memories["bits"],
        "sram_ge": memories["ge"],
        "at_least": memories["at_least"] or memories["ge"] is None,
        "total_ge": result["ge"] + (memories["ge"] or 0),
        "difference": result["flat"] and result["flat"]["difference"],
    }


def _lane_with_kept(row, kept):
    found = next((k for k in kept if k["name"] == row["name"] and k["area"] == row["area"]), {})
    return row | {key: value for key, value in found.items() if row.get(key) is None}


def _array_ge(blocks):
    fp16 = next((row for row in blocks if (row["block"], row["preset"]) == ("fp16_pe", "default")), None)
    return fp16 and fp16["generic"]["ge"] / fp16["lanes"] * datm_budget.ARRAY


def with_library(found, library, progress=None):
    """``found`` with every block of Table II mapped to ``library`` too, for area and power; kept by content, as all runs."""
    beside = [block for block in catalogue.usable([]).values() if figures.row(block.key)]
    pairs = [(block, block.default) for block in beside]
    results = runs.measure_all(pairs, ("generic", "power"), library, progress=progress)
    mapped = {(result["block"], result["preset"]): result["liberty"] for result in results}
    blocks = []
    for row in found.blocks:
        more = mapped.get((row["block"], row["preset"]))
        known = row.get("libraries", {})
        blocks.append(row | {"libraries": known | {library.name: more}} if more else row)
    return dataclasses.replace(found, blocks=blocks)


def render(found):
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("kilo", "number", "ratio", "missing", "is_number")
    environment.globals.update(**{name: getattr(tables, name) for name in names})
    return environment.get_template(TEMPLATE).render(**_verdict(found), **_tables(found), **_drawings())


def _verdict(found):
    """What the top of the page says."""
    beside = side_by_side.table_ii(found.defaults)
    return {
        "built": verdict.built(),
        "bridge": tables.bridge_table(verdict.bridge(beside, found.simcore)),
        "claims": verdict.claims(found, beside),
        "speeds": verdict.speeds(found),
        "lane_costs": lane_plots.lane_costs(found.lanes),
    }


def _tables(found):
    beside = side_by_side.table_ii(found.defaults)
    others = [(name, tables.composition(m)) for name, m in sorted(found.machines.items()) if name != SIMCORE]
    return {
        "composition": tables.composition(found.simcore) if found.simcore else None,
        "compose_command": tables.compose_command(*SIMCORE.split(".")),
        "others": others,
        "checks": tables.checks_table(found.checks),
        "lanes": tables.lane_table(found.lanes),
        "comparison": tables.comparison_table(found.defaults),
        "plots": [plot for plot in lane_plots.plots(found.lanes) if plot[0]],
        "table_ii": tables.table_ii(beside, found.libraries),
        "nodes": tables.nodes_table(beside, found.libraries),
        "factors": tables.factors_table(beside, found.libraries),
        "sources": scaling.SOURCES,
        "orbis": tables.orbis_table(),
        "matching": tables.matching_table(found.matching),
        "share": orbis.CHIP.share,
        "blocks": tables.blocks_table(found.blocks),
        "power": tables.power_table(found.blocks),
        "operators": tables.operators_table(found.operators),
        "tools": tables.tools_table(found),
    }


def _drawings():
    blocks = catalogue.usable([])
    uses = diagram.edges(blocks)
    drawn = {name: Markup(diagram.svg(name, blocks)) for name in diagram.drawings(blocks)}
    parts = {name: {b: uses[b] for b in diagram.own(name, blocks) if uses[b]} for name in drawn}
    return {"drawn": drawn, "parts": parts}


@command_line
def main(arguments=None):
    parser = Parser(
        "report",
        "All costs beside the papers' on one HTML page.",
        "zoetrope report",
        "zoetrope report --liberty sky130_fd_sc_hd__tt_025C_1v80.lib -o costs",
    )
    parser.add_argument(
        "--results",
        metavar="PATH",
        default=RESULTS,
        help="folder of the results of `zoetrope synth` and other commands (default: %(default)s)",
    )
    parser.liberty(
        "a standard-cell library: blocks of Table II are mapped to it, for um2 and power; may be repeated",
        action="append",
    )
    parser.out("build/report", "folder of index.html")
    options = parser.parse_args(arguments)
    broken = []
    catalogue.usable(broken)
    found = costs(options.results)
    for path in options.liberty or [None]:
        library = find_library(path)
        if library:
            with runs.progress_bar() as progress:
                found = with_library(found, library, progress)
    page = folder(options.out) / "index.html"
    write_if_changed(page, render(found))
    print(f"{page}: {len(found.blocks)} blocks; open it in a browser")
    return catalogue.told(broken)
