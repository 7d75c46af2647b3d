"""Renders the README's tables, and holds what they say against what the tools say.

``zoetrope readme`` measures every block at its default preset, every mixed lane, the machines that are sums of
modules and a head through SIMCORE, writes the results to ``synth/results/expected.json`` and renders the README from
them: a change
in area or speed shows in the difference of that file, and is acknowledged by committing it. ``--head`` measures the head
alone; ``--machines`` the machines, the checks of their method and the matching engine's budget. ``--check`` measures nothing
and fails where the README is not what that file renders to.
"""

import functools
import json
import re
import sys
from pathlib import Path

from zoetrope.golden.method.token_similarity import PAPER_TAU
from zoetrope.golden.simcore.quantization_engine.prediction_unit import overhead
from zoetrope.hw import catalogue
from zoetrope.hw.errors import ArgumentParser, UserError, command_line
from zoetrope.sim.input import clips
from zoetrope.sim.studies import accuracy, head, matching, similarity, softmax_accuracy, speculation
from zoetrope.synth.boards import bitstream
from zoetrope.synth.costs import composition, datm_budget, lanes, runs
from zoetrope.synth.report import side_by_side
from zoetrope.synth.report import tables as report
from zoetrope.synth.results import FOLDER

#: The repository, whose README is rendered.
ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXPECTED = FOLDER / "expected.json"
#: The preset of an arithmetic operator with all its register stages.
DEEPEST = "deep"

#: Frames of the clip whose rows speculation is measured on, and frames that are matched: all of them take many seconds.
QUERIES, MATCHED = 3, 8
PLOT = ROOT / "docs" / "lanes.svg"


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
        fmax = result["ecp5"]["fmax_mhz"] if "ecp5" in result else None
        rows.append(
            (
                f"[`{block.name}`]({block.file('hw')})",
                block.summary,
                _cycles(component, "latency"),
                _cycles(component, "initiation_interval"),
                f"[golden]({block.file('golden')}), [bench]({block.file('sim')})",
                f"{result['generic']['ge']:,.0f}",
                f"{result['generic']['memory_bits']:,}",
                f"{fmax:.0f}" if fmax else "-",
                str(block.source),
                figure,
            )
        )
    return markdown(header, rows) + _made("make synth ROUTE=1 FPGA=ecp5", results)


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
    return markdown(header, rows) + _made(f"make synth BLOCK=... PRESET={DEEPEST}", results)


def comparison(results):
    """The LUT PE against the plain PE, a lane of each."""
    header = ("GE a lane", "memories in", "multiplier logic", "its tables", "LUT buffer / 1,024", "sum", "/ plain")
    header += ("/ paper's 788", "whole PE's logic", "/ plain PE's")
    rows = [report.compared_cells(row) for row in report.comparison(results)]
    cells = [(f"`{row[0]}`", *row[1:7], row[8], *row[9:]) for row in rows]
    return markdown(header, cells) + _made("make synth", results)


_LANES_NOTE = """

`make lanes` makes this table and the plot, routes each datapath, and with `LIBERTY=` says what a product costs in pJ."""


def lane_rows(rows):
    """The mixed lanes beside the FP16 lane; draws their plot too."""
    lanes.plot(rows, PLOT)
    cells = [row[:-2] for row in lanes.cells(rows)]
    return markdown(lanes.HEADER[:-2], cells) + _LANES_NOTE


def accuracy_rows(tensors):
    """Errors of the readings of the product table, on seeded data and on the sample clip."""
    rows = accuracy.table(tensors)
    ways = list(next(iter(rows.values())))
    cells = [(name, *(f"{figures[way]:.5f}" for way in ways)) for name, figures in rows.items()]
    return markdown(("data", *ways), cells) + "\n\n`zoetrope study accuracy` makes this table."


def softmax_rows(tensors):
    """Errors of the special function unit."""
    header = ("data", "p max", "p mean", "p subnormal or 0", "e max", "e mean")
    keys = ("max", "mean", "small", "e max", "e mean")
    cells = [
        (name, *(f"{found[key]:.1%}" if key == "small" else f"{found[key]:.3f}" for key in keys))
        for name, found in softmax_accuracy.table(tensors).items()
    ]
    return markdown(header, cells) + "\n\n`zoetrope study softmax` makes this table."


def head_rows(found):
    """A head through SIMCORE's RTL, as ``sim.studies.head.document`` has it, and its speed-ups beside SIMPICKER's."""
    header = ("configuration", *head.RUN_HEADS[:5], "FP16 array busy", "LUT array busy")
    cells = [
        (*row[:6], *(f"{found['runs'][row[0]]['activity'][array]['busy']:.1%}" for array in head.ARRAYS))
        for row in head.run_cells(found)
    ]
    return (
        markdown(header, cells)
        + "\n\n"
        + markdown(("ablation", *head.paper_heads(found)), head.paper_cells(found))
        + f"\n\n{head.title(found)[0].upper()}{head.title(found)[1:]}; memory of {found['latency']} cycles. "
        + "`zoetrope head` makes these tables, and longer ones."
    )


def measured_head():
    """``sim.studies.head.document`` of the head that ``make sim`` ends with, but the seconds it took."""
    found = head.document(head.measured(clips.load(), told=head.say))
    for each in found["runs"].values():
        del each["seconds"]
    return found


def speculation_rows(tensors):
    """What goes FP-INT at several p, beside what SIMPICKER claims; P's overhead as published and as counted."""
    header = ("p", "tiles FP-INT", "QK^T FP-INT", "PV FP-INT", "all products FP-INT", "softmax held", "output error")
    cells = []
    for found in speculation.measured(tensors, (0.9, speculation.PAPERS_P, 0.5, None), QUERIES):
        shares = (found.tiles, found.p_products, found.a_products, found.products, found.mass)
        name = "nothing important" if found.p is None else f"{found.p:g}"
        cells.append((name, *(f"{share:.1%}" for share in shares), f"{found.error:.3%}"))
    claim = (f"SIMPICKER, {speculation.PAPERS_P:g}", "-", "-", "-", speculation.CLAIM_PRODUCTS, "-")
    cells.append((*claim, f'"{speculation.CLAIM_ERROR}"'))
    cost = overhead(*speculation.CLAIM_SIZES)
    return (
        markdown(header, cells)
        + "\n\nOverhead at the paper's sizes, published and counted: "
        + f"{cost.p_published:.2%} and {cost.p:.4%} for P, {cost.a_published:.2%} and {cost.a:.2%} for A. "
        + f"Error over {QUERIES} frames of rows; `zoetrope study speculation` makes this table over all."
    )


def similarity_rows(tensors):
    """Rows of Q that are skipped at several thresholds, and what it does to the output."""
    header = ("tau", "temporal", "spatial", "rows removed", "rms error of A", "worst row")
    points, *_ = similarity.qualities(tensors, (1.0, 1.5, 2.0, PAPER_TAU, 4.0))
    cells = []
    for point in points:
        tau = f"{point.tau:g}" + (", the paper's" if point.tau == PAPER_TAU else "")
        counts = (f"{point.temporal:,}", f"{point.spatial:,}", f"{point.removed:.1%}")
        cells.append((tau, *counts, f"{point.error:.1%}", f"{point.worst:.0%}"))
    return markdown(header, cells) + "\n\n`zoetrope study similarity` makes this table, a longer one, and its plot."


def matching_rows(tensors):
    """DATM against Bipartite Soft Matching, matched by the output of the step before and by V."""
    header = ("matched by", "matching", "pair loss", "of pairs kept", "output error", "with Q alone")
    found, _, slots = matching.table(tensors, frames=MATCHED)
    cells = [
        (guide, name, *(f"{figure:.3f}" for figure in each))
        for (guide, name), each in found.items()
        if guide in ("V", "output before")
    ]
    return (
        markdown(header, cells)
        + f"\n\n{MATCHED} frames of the clip, {slots} dst tokens, {matching.RATIO:.0%} of the tokens reduced. "
        + f"`zoetrope study matching --frames {MATCHED}` makes this table; without the limit, one of the whole clip."
    )


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
    parts = f"Of the logic of {_machine(machines[0])}: {_largest(machines[0])}."
    return markdown(header, cells) + f"\n\n{parts}" + _made("zoetrope compose", machines)


def _largest(machine, shown=6):
    """The kinds of modules that most of its logic is in."""
    shares = {}
    for module in machine["modules"]:
        kind = re.sub(r"(_\d+x\d+.*|_[0-9a-f]{8})$", "", module["module"].partition(".")[0])
        shares[kind] = shares.get(kind, 0) + module["count"] * module["ge"] / machine["ge"]
    largest = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:shown]
    return ", ".join(f"`{kind}` {share:.0%}" for kind, share in largest)


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
    return markdown(header, cells) + _made(command, checks)


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


def measured_machines():
    """``machines``, sums over modules of what is too large to be synthesised whole; ``checks``, of what is synthesised
    flattened too; ``matching``, the budget of the matching engine."""
    with runs.progress_bar() as progress:
        machines = composition.compose_all(composition.MACHINES, progress=progress)
        checks = composition.compose_all(composition.CHECKS, check=True, progress=progress)
        matching = datm_budget.budget(progress=progress)
    return {"machines": machines, "checks": [composition.checked(each) for each in checks], "matching": matching}


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
    return markdown(header, cells) + _made("make bitstream BOARD=...", [{"tools": tools}])


def markdown(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def render(text, costs):
    """``text`` with every table between its markers made anew from ``costs``, as ``measured`` returns them."""
    tensors = clips.load()
    tables = {
        "blocks": blocks(costs["blocks"]),
        "operators": operators(costs["operators"]),
        "comparison": comparison(costs["blocks"]),
        "lanes": lane_rows(costs["lanes"]),
        "accuracy": accuracy_rows(tensors),
        "softmax": softmax_rows(tensors),
        "head": head_rows(costs["head"]),
        "speculation": speculation_rows(tensors),
        "similarity": similarity_rows(tensors),
        "matching": matching_rows(tensors),
        "boards": board_rows(bitstream.recorded()),
        **machine_tables(costs),
    }
    for name, table in tables.items():
        text = placed(text, name, table)
    return text


def machine_tables(costs):
    """The tables that ``--machines`` renders."""
    return {"machines": machine_rows(costs["machines"], costs["matching"]), "checks": check_rows(costs["checks"])}


def placed(text, name, table):
    """``text`` with ``table`` between its markers."""
    start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, behind = rest.partition(end.lstrip())
    if not found or not closed:
        raise UserError(f"README.md has no place for the table {name}: lines {start.strip()} and {end.strip()}")
    return f"{before}{start}{table}{end}{behind}"


def measured():
    """By the tools: ``blocks``, the costs of every block at its default preset; ``operators``, those of ``hw.arith`` with
    all their stages; ``lanes``, the mixed lanes; those of ``measured_machines``; ``head``, a head through SIMCORE."""
    found = {}
    with runs.progress_bar() as progress:
        for compared in (True, False):
            pairs = [(b, b.default) for b in catalogue.BLOCKS.values() if (b.name in report.COMPARED) == compared]
            technologies = runs.TECHNOLOGIES if compared else ("generic", "ecp5")
            options = {"progress": progress, "route_ge": runs.FPGA_GE}
            found |= {result["block"]: result for result in runs.measure_all(pairs, technologies, **options)}
        deepest = runs.measure_all([(b, DEEPEST) for b in arithmetic()], ("generic", "ecp5"), **options)
    found = [found[name] for name in catalogue.BLOCKS]
    mixed = lanes.measure(lambda text: print(text, "...", flush=True))
    return {"blocks": found, "operators": deepest, "lanes": mixed, **measured_machines(), "head": measured_head()}


def arithmetic():
    """The blocks of ``hw.arith``."""
    return [block for block in catalogue.BLOCKS.values() if block.room == "arith"]


def expected():
    """The costs as committed."""
    return json.loads(EXPECTED.read_text())


def _made(command, results):
    tools = ", ".join(f"{name} {version}" for name, version in sorted(results[0]["tools"].items()))
    return f"\n\n`{command}`, with {tools}."


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope readme", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="measure and change nothing; exit 1 where a table differs")
    parser.add_argument("--head", action="store_true", help="measure and render the head")
    parser.add_argument("--machines", action="store_true", help="measure and render the sums of modules, and checks")
    options = parser.parse_args(arguments)
    before = README.read_text()
    if options.check:
        if render(before, expected()) != before:
            print(
                "error: the README's tables are not what synth/results/expected.json says; `make readme` renders them",
                file=sys.stderr,
            )
            sys.exit(1)
        return
    if options.head or options.machines:
        costs, tables = expected(), {}
        if options.head:
            costs |= {"head": measured_head()}
            tables |= {"head": head_rows(costs["head"])}
        if options.machines:
            costs |= measured_machines()
            tables |= machine_tables(costs)
        after = functools.reduce(lambda text, name: placed(text, name, tables[name]), tables, before)
    else:
        costs = measured()
        after = render(before, costs)
    EXPECTED.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n")
    README.write_text(after)
    print(f"{README.name}: {'rendered' if after != before else 'nothing to change'}")


if __name__ == "__main__":
    main()
