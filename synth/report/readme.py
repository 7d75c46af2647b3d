# SPDX-License-Identifier: Apache-2.0
"""The tables of the README and of the pages of ``docs``, from the committed costs; ``zoetrope docs`` writes them.

A table stands between the lines ``<!-- name -->`` and ``<!-- /name -->`` of a page; ``TABLES`` lists the names. Nothing is
measured here: ``zoetrope expected`` does that.
"""

import re
from pathlib import Path

from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.synth.boards import bitstream
from zoetrope.synth.costs import composition, lanes
from zoetrope.synth.costs.expectations import DEEPEST
from zoetrope.synth.report import page, side_by_side, study_tables, verdict
from zoetrope.synth.report import tables as report
from zoetrope.synth.report.markdown import made, markdown, placed

#: The repository, whose pages are rendered.
ROOT = Path(__file__).resolve().parents[2]


def pages():
    """The pages that may have tables: the README and those of ``docs``."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def headlines(costs):
    """The table by machine: what is built of each, what it costs beside its paper's figure."""
    header = ("machine", "paper", "blocks", "whole", "logic", "memory", "with memory as gates", "the paper's", "ratio")
    cells = []
    for part, paper in catalogue.MACHINES.items():
        mine = [block for block in catalogue.BLOCKS.values() if block.machine == part]
        if not mine:
            cells.append((part.upper(), paper, "-", "not built yet", *["-"] * 5))
        for machine in _wholes(part, costs):
            cells.append((part.upper(), paper, len(mine), f"`{machine['block']}`", *_headline(machine, costs)))
    note = "\n\nlogic in gate equivalents (GE, four transistors); MGE: a million of them; memory: SRAM."
    return markdown(header, cells) + note


def _wholes(part, costs):
    """The machines of ``part`` that have a figure of the paper beside them, the whole chip where there is one."""
    found = [m for m in costs["machines"] if catalogue.find(m["block"]).machine == part]
    found = [m for m in found if side_by_side.machine(m, costs["matching"])]
    chips = [m for m in found if side_by_side.machine(m, costs["matching"])["memories"]]
    return chips or found


def _headline(machine, costs):
    memories, beside = machine["sram"], side_by_side.machine(machine, costs["matching"])
    bound = "≥ " if memories["at_least"] else ""
    kib = f"{memories['bits'] / 8192:,.0f} KiB"
    whole = f"{bound}{(machine['ge'] + memories['ge']) / 1e6:.2f} MGE"
    if beside["unit"] == "share":
        theirs = f"{beside['paper']:.1%} of the chip; ours {beside['ours']:.1%}"
    else:
        theirs = f"{beside['paper'] / 1e6:.2f} MGE"
    ratio = f"{bound if beside['memories'] else ''}{beside['ratio']:.2f}"
    return f"{machine['ge'] / 1e6:.2f} MGE", kib, whole, theirs, ratio


def claims(costs):
    """What the papers say, whether it holds for what is built here, and our figures: the verdict of the report."""
    found = page.costs(None, costs)
    rows = verdict.claims(found, side_by_side.table_ii(found.defaults))
    cells = [(claim.text, claim.source, f"**{claim.verdict}**", claim.figures) for claim in rows]
    return markdown(("the paper says", "where", "here it", "our figures"), cells)


def blocks(results):
    """Every block at its default preset: what it does, how fast, how large, the paper's figure."""
    header = (
        "block",
        "function",
        "latency",
        "II",
        "checked by",
        "GE",
        "SRAM bits",
        "Fmax MHz",
        "paper",
        "paper's figure",
    )
    rows = []
    for result in results:
        block = catalogue.find(result["block"])
        component = block.build(result["preset"])
        beside = result["beside_paper"]
        figure = f"{beside['paper_ge']:,.0f} GE a {beside['unit']}; ours {beside['ge']:,.0f}" if beside else "-"
        rows.append(
            (
                f"[`{block.key}`]({block.file('hw')}){_preset(result)}",
                block.summary,
                _cycles(component, "latency"),
                _cycles(component, "initiation_interval"),
                f"[golden]({block.file('golden')}), [bench]({block.file('sim')})",
                f"{result['generic']['ge']:,.0f}",
                f"{result['generic']['memory_bits']:,}",
                _fmax(result.get("ecp5")),
                str(block.source),
                figure,
            )
        )
    return markdown(header, rows) + made("make synth ROUTE=1 FPGA=ecp5", results)


def _preset(result):
    """The preset, where it is called otherwise than ``default``: its numbers are of that size."""
    return "" if result["preset"] == "default" else f", preset {result['preset']}"


def _fmax(ecp5):
    """Fmax, or why there is none."""
    if not ecp5:
        return "not counted"
    if ecp5["fmax_mhz"]:
        return f"{ecp5['fmax_mhz']:.0f}"
    return "no register path" if ecp5["method"] == "flat" else "not routed"


def _cycles(component, name):
    """A property of ``component``, or what stands for cycles that depend on the job."""
    found = getattr(component, name, None)
    return "*" if found is None else found


def operators(results):
    """The arithmetic operators with all their register stages, routed."""
    header = ("operator", "stages", "GE", "share of flip-flops", "LUT4", "FF", "DSP", "Fmax MHz")
    rows = []
    for result in results:
        block, generic, ecp5 = catalogue.find(result["block"]), result["generic"], result["ecp5"]
        rows.append(
            (
                f"[`{block.name}`]({block.file('hw')})",
                block.build(result["preset"]).latency,
                f"{generic['ge']:,.0f}",
                f"{generic['flop_ge'] / generic['ge']:.0%}",
                f"{ecp5['lut_sites']:,}",
                f"{ecp5['ff']:,}",
                ecp5["dsp"],
                f"{ecp5['fmax_mhz']:.1f}",
            )
        )
    return markdown(header, rows) + made(f"make synth BLOCK=... PRESET={DEEPEST}", results)


def comparison(results):
    """The LUT PE against the plain PE, a lane of each."""
    header = ("GE a lane", "memories in", "multiplier logic", "its tables", "LUT buffer / 1,024", "sum", "/ plain")
    header += ("/ paper's 788", "whole PE's logic", "/ plain PE's")
    rows = [report.compared_cells(row) for row in report.comparison(results)]
    cells = [(f"`{row[0]}`", *row[1:7], row[8], *row[9:]) for row in rows]
    return markdown(header, cells) + made("make synth", results)


#: Below the table of lanes.
_LANES_NOTE = """

`make lanes` makes this table and the plot, routes each datapath, and with `LIBERTY=` says what a product costs in pJ."""


def lane_rows(rows):
    """The mixed lanes beside the FP16 lane."""
    cells = [row[:-2] for row in lanes.cells(rows)]
    return markdown(lanes.HEADER[:-2], cells) + _LANES_NOTE


def machine_rows(machines, matching):
    """What is too large to be synthesised whole, as sums of modules, beside the papers' totals."""
    header = ("machine", "modules", "logic GE", "SRAM bits", "SRAM um2", "SRAM GE", "all GE")
    header += ("beside", "the paper's", "ours", "ratio")
    cells = []
    for machine in machines:
        memories, beside = machine["sram"], side_by_side.machine(machine, matching)
        bound = "≥ " if memories["at_least"] else ""
        row = (f"{len(machine['modules']):,}", f"{machine['ge']:,.0f}", f"{memories['bits']:,}")
        if memories["ge"] is None:
            row += ("no price", "no price", f"≥ {machine['ge']:,.0f}")
        else:
            figures = (memories["area_um2"], memories["ge"], machine["ge"] + memories["ge"])
            row += tuple(f"{bound}{figure:,.0f}" for figure in figures)
        cells.append((_machine(machine), *row, *_beside(beside, bound)))
    largest = max(machines, key=lambda machine: machine["ge"])
    parts = f"Of the logic of {_machine(largest)}: {_largest(largest)}."
    return markdown(header, cells) + f"\n\n{parts}" + made("zoetrope compose", machines)


def _largest(machine, shown=6):
    """The kinds of modules that most of its logic is in."""
    largest = composition.kinds(machine["modules"])[:shown]
    return ", ".join(f"`{row['kind']}` {row['ge'] / machine['ge']:.0%}" for row in largest)


def check_rows(checks):
    """Sums of modules beside the same designs synthesised flattened."""
    header = ("design", "modules", "sum, GE", "flat, GE", "sum / flat - 1", "flip-flops", "flat", "SRAM bits", "flat")
    cells = []
    for row in checks:
        counts = (f"{row[key]:,}" for key in ("flops", "flat_flops", "bits", "flat_bits"))
        difference = f"{row['difference']:+.2%}" + ("" if composition.within(row) else ", out of bound")
        sums = (f"{row['modules']:,}", f"{row['ge']:,.0f}", f"{row['flat_ge']:,.0f}", difference)
        cells.append((_machine(row), *sums, *counts))
    command = "zoetrope compose --check --block ... --preset ..."
    return markdown(header, cells) + made(command, checks)


def _beside(found, bound):
    """Cells of ``side_by_side.machine``."""
    if found is None:
        return ("-",) * 4
    if found["unit"] == "share":
        return found["what"], f"{found['paper']:.1%}", f"{found['ours']:.1%}", f"{found['ratio']:.2f}"
    bound = bound if found["memories"] else ""
    return found["what"], f"{found['paper']:,.0f}", f"{bound}{found['ours']:,.0f}", f"{bound}{found['ratio']:.2f}"


def _machine(row):
    return f"`{row['block']}`, `{row['preset']}`"


def board_rows(results):
    """The demonstrator on each board, its own preset first, as the last recorded build had it; ``results``: name to it."""
    header = (
        "board",
        "preset",
        "LUT4",
        "FF",
        "block RAM",
        "multipliers",
        "clock MHz",
        "closes MHz",
        "slack ns",
        "CPU s",
    )
    cells, tools = [], {}
    for name, target in bitstream.BOARDS.items():
        board = f"{target.title}, `{name}`"
        builds = [result for key, result in results.items() if result["board"] == name and key != name]
        if name in results:
            builds.insert(0, results[name])
        else:
            cells.append((board, f"`{target.preset}`", *["-"] * 8))
        for result in builds:
            tools |= result["tools"]
            used = [
                f"{n:,} of {has:,}" for n, has in (result["usage"][kind] for kind in bitstream.CELLS[target.family])
            ]
            needed, closed = min(result["clocks_mhz"].values())
            slack = f"{bitstream.slack_ns(needed, closed):.1f}"
            cells.append(
                (board, f"`{result['preset']}`", *used, f"{needed:g}", f"{closed:.1f}", slack, result["cpu_seconds"])
            )
    return markdown(header, cells) + made("make bitstream BOARD=...", [{"tools": tools}])


#: Name to what renders it from the committed costs (``rows.committed``) and the tensors of the sample clip.
TABLES = {
    "headlines": lambda costs, tensors: headlines(costs),
    "claims": lambda costs, tensors: claims(costs),
    "blocks": lambda costs, tensors: blocks(costs["blocks"]),
    "operators": lambda costs, tensors: operators(costs["operators"]),
    "comparison": lambda costs, tensors: comparison(costs["blocks"]),
    "lanes": lambda costs, tensors: lane_rows(costs["lanes"]),
    "machines": lambda costs, tensors: machine_rows(costs["machines"], costs["matching"]),
    "checks": lambda costs, tensors: check_rows(costs["checks"]),
    "boards": lambda costs, tensors: board_rows(bitstream.recorded()),
    "head": lambda costs, tensors: study_tables.head_rows(costs["head"]),
    "accuracy": lambda costs, tensors: study_tables.accuracy_rows(tensors),
    "softmax": lambda costs, tensors: study_tables.softmax_rows(tensors),
    "speculation": lambda costs, tensors: study_tables.speculation_rows(tensors),
    "similarity": lambda costs, tensors: study_tables.similarity_rows(tensors),
    "matching": lambda costs, tensors: study_tables.matching_rows(tensors),
}


def table(name, costs, tensors):
    """The table called ``name``: one of ``TABLES``, or ``blocks <room>``, the blocks of a room or of all rooms below it."""
    kind, _, room = name.partition(" ")
    if kind == "blocks" and room:
        chosen = [r for r in costs["blocks"] if f"{catalogue.find(r['block']).room}.".startswith(f"{room}.")]
        if not chosen:
            raise UserError(f"there is no room {room!r} for the table {name!r}")
        return blocks(chosen)
    if name not in TABLES:
        raise catalogue.unknown("there is no table", name, TABLES, "the tables are")
    return TABLES[name](costs, tensors)


def render(text, costs, tensors, up=0):
    """``text`` with every table between its markers made anew from ``costs``, as ``rows.committed`` returns them.

    ``up``: how many folders the page is below the root of the repository, from which a table's links go.
    """
    for name in re.findall(r"^<!-- /([\w. ]+) -->$", text, re.M):
        made = re.sub(r"\]\((?=(golden|hw|sim)/)", f"]({'../' * up}", table(name, costs, tensors))
        text = placed(text, name, made)
    return text


def rendered(page, costs, tensors):
    """``render`` of the file ``page``."""
    return render(page.read_text(), costs, tensors, len(page.relative_to(ROOT).parts) - 1)
