# SPDX-License-Identifier: Apache-2.0
"""The long checks, run where something changed and kept as rows: ``make campaign``.

What takes longer than a suite should is run here, and its result is committed in ``synth/results/campaigns.json`` with the
digest of all that it was run on. The suite fails when a digest no longer fits: then this command runs what is stale, and
nothing else.

A row is written as soon as it is there, so a run that was interrupted goes on from what it has.
"""

import ast
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, catalogue
from zoetrope.hw.arguments import Parser, repository
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.files import write_if_changed
from zoetrope.sim.run.workers import workers
from zoetrope.synth.costs import runs
from zoetrope.synth.results.rows import FOLDER

FILE = FOLDER / "campaigns.json"

#: Random heads of a campaign by preset of SIMCORE: right ones, and as many of which every other one must fail.
HEADS = {"tiny": 1000}

#: What only runs a check: the suite has tests of it, and a row does not depend on it.
RUNNERS = (
    "zoetrope.command",
    "zoetrope.sim.run",
    *(f"zoetrope.hw.{name}" for name in ("cache", "catalogue", "errors", "tools")),
)

_code = partial(cache.closure, apart=RUNNERS)


@dataclass(frozen=True)
class Job:
    """One row: ``name``, the ``digest`` of what it is run on, and ``run()``, which returns the row's results, JSON."""

    name: str
    digest: str
    run: callable


def benches():
    """The bench of every preset but the default one, which the suite runs itself: vectors compared, and cycles."""
    for block, preset in catalogue.select(None, "all"):
        if preset != block.default and preset in block.small_presets:
            yield _bench(block, preset)


def netlists():
    """The benches of the main blocks on their gates, as ``make sim NETLIST=1`` runs them."""
    from zoetrope.synth.flows import modules, netlist

    flow = modules.flow_text() + cache.code(Path(netlist.__file__))
    for block in catalogue.BLOCKS.values():
        if block.netlist:
            yield _bench(block, block.default, flow, netlist=netlist.verilog)


def _bench(block, preset, *more, **settings):
    key = cache.digest(runs.design(block, preset), _code(block.bench), *more)
    return Job(f"{block.name}.{preset}", key, partial(_simulated, block, preset, settings))


def _simulated(block, preset, settings):
    from zoetrope.sim.run.harness import simulate

    report = simulate(block, preset, **settings)
    return {"seed": report.seed, "vectors": report.vectors, "mismatches": report.mismatches, "cycles": report.cycles}


def heads():
    """Random heads through SIMCORE by the thousand, right ones and wrong ones, all of memory looked at."""
    code = _code("zoetrope.sim.studies.simcore_heads")
    for preset, count in HEADS.items():
        for faults in (False, True):
            key = cache.digest(runs.design(catalogue.find("simcore"), preset), code, str(count))
            run = partial(_heads, preset, count, faults)
            yield Job(f"simcore.{preset}{'.faults' if faults else ''}", key, run)


def _heads(preset, count, faults):
    from zoetrope.sim.run.native import Native
    from zoetrope.sim.studies.simcore_heads import campaign

    block = catalogue.find("simcore")
    native = Native.build(block.build(preset), "simcore")
    causes, cycles = campaign(native, block.config(preset), count, 0, faults=faults)
    return {"heads": count, "ended": dict(sorted(causes.items())), "cycles": cycles}


def lint():
    """Verilator's warnings on the Verilog of every preset, each module looked at once: there must be none."""
    code = _code("zoetrope.hw.verilog.lint")
    for block, preset in catalogue.select(None, "all"):
        key = cache.digest(runs.design(block, preset), code)
        yield Job(f"{block.name}.{preset}", key, partial(_lint, block, preset))


def _lint(block, preset):
    from zoetrope.hw.verilog.write import lint_all

    (lines,) = lint_all([(block, preset)]).values()
    if lines:
        raise UserError(f"{len(lines)} warnings, the first: {lines[0]}")
    return {"warnings": 0}


#: Tests with this mark are looked up by the suite while their row fits (``tests/conftest.py``).
MARK = "pytest.mark.campaign"


def tests():
    """The tests that take long, by file: those that are marked ``campaign``."""
    root = Path(__file__).resolve().parents[1]
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text()
        if f"@{MARK}" in text:
            helpers = _helpers(path, root / "tests" / "helpers", set())
            named = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
            blocks = [block for key, block in catalogue.BLOCKS.items() if key in named]
            parts = [module for block in blocks for module in (block.module, block.bench)]
            key = _code(path, *sorted(helpers), *parts)
            yield Job(str(path.relative_to(root)), key, partial(_tested, root, path))


def _helpers(path, folder, found):
    """Files of ``folder`` that ``path`` imports, itself or by others of them, added to ``found``."""
    for name in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.M):
        helper = folder / f"{name}.py"
        if helper.exists() and helper not in found:
            found.add(helper)
            _helpers(helper, folder, found)
    return found


def _tested(root, path):
    options = ("-n0", "-p", "no:cacheprovider", "--campaign", "-m", "campaign")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)], cwd=root, capture_output=True, text=True
    )
    passed = re.search(r"^(\d+) passed", done.stdout, re.M)
    if done.returncode or not passed:
        raise UserError("; ".join(re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.M)) or done.stderr[-500:])
    return {"tests": int(passed[1])}


#: Name to the function that yields its jobs.
CAMPAIGNS = {"lint": lint, "benches": benches, "netlists": netlists, "heads": heads, "tests": tests}


def committed():
    """Rows by campaign and job."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def stale(name, jobs=None):
    """The jobs of a campaign whose row is missing or belongs to something else."""
    rows = committed().get(name, {})
    return [job for job in jobs or CAMPAIGNS[name]() if rows.get(job.name, {}).get("digest") != job.digest]


def record(name, job, jobs, found):
    """Write the row of ``job``, in the order of ``jobs``, and drop those that no job has."""
    everything = committed()
    rows = everything.get(name, {}) | {job.name: {"digest": job.digest, **found}}
    everything[name] = {each.name: rows[each.name] for each in jobs if each.name in rows}
    text = json.dumps({each: everything[each] for each in CAMPAIGNS if each in everything}, indent=1)
    write_if_changed(FILE, text + "\n")


@command_line
def main(arguments=None):
    parser = Parser(
        "campaign",
        "The long checks, run where something changed and kept as rows.",
        "zoetrope campaign                      # all that is stale",
        "zoetrope campaign benches netlists     # of two campaigns",
        "zoetrope campaign --check              # say what is stale, and run nothing",
        "zoetrope campaign heads --all          # also what is not",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}; all of them otherwise")
    parser.add_argument(
        "--check", action="store_true", help="say what is stale, run nothing; exit status 1 if something is"
    )
    parser.add_argument("--all", action="store_true", help="run also what is not stale")
    parser.jobs("that run at a time (default: one a core)", os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in CAMPAIGNS:
            raise catalogue.unknown("there is no campaign", name, CAMPAIGNS, "the campaigns are")
    repository()
    failed = 0
    for name in options.names or CAMPAIGNS:
        jobs = list(CAMPAIGNS[name]())
        waiting = jobs if options.all else stale(name, jobs)
        print(f"{name}: {len(waiting)} of {len(jobs)} {'are stale' if options.check else 'to run'}", flush=True)
        if options.check:
            print("".join(f"  {job.name}\n" for job in waiting), end="")
            failed += len(waiting)
        else:
            failed += _run_all(name, waiting, jobs, options.jobs)
    return 1 if failed else 0


def _run_all(name, waiting, jobs, processes):
    """Run ``waiting`` on ``processes`` and write each row as it is there. Returns how many failed."""
    failed = 0
    with workers(processes, "a campaign's process") as pool:
        running = {pool.submit(_timed, job.run): job for job in waiting}
        for number, future in enumerate(as_completed(running), 1):
            job = running[future]
            found, error, seconds = future.result()
            if error:
                failed += 1
                told = f"failed: {error}"
            else:
                record(name, job, jobs, found)
                told = ", ".join(f"{key} {value}" for key, value in found.items())
            print(f"  {number}/{len(waiting)} {job.name}: {told}, {seconds:.0f} s", flush=True)
    return failed


def _timed(run):
    """(what ``run`` found, or None and the error of one line, seconds)."""
    start = time.perf_counter()
    try:
        return run(), "", time.perf_counter() - start
    except UserError as error:
        return None, str(error), time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
