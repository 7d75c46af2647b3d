# SPDX-License-Identifier: Apache-2.0
"""``zoetrope sim``: run the benches of one block or of all, on the sample clip or your own input, and tabulate them."""

import importlib
import os
import shlex
import sys
import time

from rich.table import Table

from zoetrope.hw import catalogue
from zoetrope.hw.arguments import Parser, answer, folder
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.parameters import variant
from zoetrope.sim.input import clips, tensor_files
from zoetrope.sim.run import toolchain
from zoetrope.sim.run.console import console_of
from zoetrope.sim.run.harness import RESULTS
from zoetrope.sim.run.suite import run_all, write_results
from zoetrope.sim.run.waves import window
from zoetrope.sim.run.workers import workers
from zoetrope.synth.flows import netlist

#: The module of the head that is run beside the benches of all blocks.
HEAD = "zoetrope.sim.studies.head"


@command_line
def main(argv=None):
    options = _parser().parse_args(argv)
    if options.block is None and (options.preset or options.changes or options.name):
        raise UserError(f"--{'preset' if options.preset else 'set'} needs --block")
    if options.frames and (options.block or options.netlist):
        raise UserError("--frames is of the head, which is run without --block and --netlist")
    window(options.waves)
    broken = []
    runs = list(_runs(options, broken))
    simulator = toolchain.verilator().version
    toolchain.libpython()
    with answer(options) as tell:
        return _simulated(runs, broken, simulator, options, tell)


def _runs(options, broken):
    """The (block, preset) pairs that are asked for; ``broken`` gets a line for each block that cannot be had."""
    if options.block:
        yield variant(options.block, options.preset, options.changes, options.name)
        return
    for block in catalogue.usable(broken).values():
        if block.netlist or not options.netlist:
            yield block, block.default


def _simulated(runs, broken, simulator, options, tell):
    """Run and print everything, the verdict at the end. Returns the exit status."""
    start = time.perf_counter()
    tensors = clips.chosen(options, all_frames=True)
    console = console_of(110)
    whole = not (options.block or options.netlist)
    with workers(options.jobs, "a process of a bench or of the head") as pool:
        head, wrong = _begun(pool, tensors, options.frames) if whole else (None, [])
        results = _benches(pool, runs, tensors, options, console)
        write_results(results, tensors, options.out)
        console.print(_table(results))
        frames, tokens, d = tensors.q.shape
        told = f"input: {tensors.source}; {frames} frames of {tokens} tokens, d = {d}"
        if tensors.text:
            told += f"; benches of blocks take no text{', the head takes it' * whole}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
        if options.netlist:
            console.print("on generic-gate netlists; memories of 1,024 bits or more are the RTL's", highlight=False)
        if whole:
            wrong += [line for study in ("speculation", "similarity") for line in _summary(study, tensors, console)]
        found = _ended(head, options, console, wrong) if head else None
    failures = broken + [result["error"] for result in results if result["error"]] + wrong
    for error in failures:
        console.print("\n[bold red]failed:[/] ", end="")
        console.print(error, markup=False, highlight=False)
    line = verdict(results, found, failures, broken, time.perf_counter() - start, simulator)
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    tell({"verdict": line, "simulator": simulator, "input": tensors.source, "runs": results, "head": found})
    return 1 if failures else 0


def _benches(pool, runs, tensors, options, console):
    """The results of the benches of ``runs``, a line as each ends."""
    settings = {"seed": options.seed, "waves": options.waves, "out": folder(options.out)}
    settings |= {"given": tensors.given, "netlist": netlist.verilog if options.netlist else None}
    if options.changes:
        settings["again"] = _again(options, tensors.given)

    def told(result, done):
        console.print(_line(result, done, len(runs)), highlight=False)

    path = folder(options.out) / f"tensors-{os.getpid()}.npz"
    try:
        clips.save(path, tensors)
        return run_all(pool, runs, settings | {"tensors": path}, told)
    finally:
        path.unlink(missing_ok=True)


def _again(options, given):
    """The command that runs a block with parameters of one's own again."""
    words = ["zoetrope", "sim", "--block", options.block, *(["--preset", options.preset] if options.preset else [])]
    words += [word for change in options.changes for word in ("--set", change)]
    words += ["--netlist"] * options.netlist
    text = shlex.join(words) + tensor_files.options(given)
    return text.replace("{", "{{").replace("}", "}}") + " --seed {seed} --waves {waves}"


def verdict(results, found, failures, broken, seconds, simulator):
    """One line: PASS or FAIL, and what was compared."""
    blocks = f"{len(results):,} block{'s' if len(results) != 1 else ''}"
    wrong = [result for result in results if result["error"]]
    counted = [sum(result[name] or 0 for result in results) for name in ("vectors", "mismatches")]
    head_said = "no head"
    if found:
        elements = sum(each["elements"] for each in found["runs"].values())
        head_said = f"head of {found['geometry']['tokens']:,} tokens equal in {elements:,} elements"
    elif len(failures) > len(wrong) + len(broken):
        head_said = "head FAILED"
    parts = (
        f"{len(wrong)} of {blocks} failed" if wrong else blocks,
        *([f"{len(broken)} broken"] if broken else []),
        f"{counted[0]:,} vectors, {counted[1]:,} mismatches",
        head_said,
        f"{seconds:.0f} s",
        simulator,
    )
    return f"{'FAIL' if failures else 'PASS'}: {', '.join(parts)}"


def _summary(study, tensors, console):
    """Print the line of a study of ``tensors``. Returns what is wrong, where one of its files cannot be imported."""
    try:
        module = catalogue.imported(f"zoetrope.sim.studies.{study}", f"study {study}")
    except catalogue.BrokenBlock as error:
        return [str(error)]
    console.print(module.summary(tensors), highlight=False)
    return []


def _begun(pool, tensors, frames):
    """One head through SIMCORE with all its features, begun in ``pool``: its future, and what is wrong, one of which is
    empty."""
    try:
        head = catalogue.imported(HEAD, "the head")
    except catalogue.BrokenBlock as error:
        return None, [str(error)]
    return pool.submit(head.measured, tensors, frames=frames, jobs=1, configurations=("all",)), []


def _ended(begun, options, console, wrong):
    """Print what was found of the head. Returns its numbers, or None; ``wrong`` gets what failed."""
    head = importlib.import_module(HEAD)
    try:
        found = begun.result()
    except head.HeadRefused as refusal:
        console.print(f"no head was run: {refusal}", markup=False, highlight=False)
    except UserError as error:
        wrong.append(str(error))
    else:
        return head.report(found, console, folder(options.out) / head.PICTURE)
    return None


def _parser():
    parser = Parser(
        "sim",
        "Run the benches of one block or of all, on the sample clip or your own input, and compare every output with the\n"
        "goldens; of all blocks, one head through SIMCORE at the end.",
        "zoetrope sim",
        "zoetrope sim --block exp --seed 7 --waves 100:200",
        "zoetrope sim --block lut_pe --set lanes=4",
        "zoetrope sim --tensors qkv.npz --frames 3 --json",
    )
    parser.block()
    parser.preset()
    parser.own()
    parser.seed("seed of the random vectors; derived from block and preset otherwise")
    parser.add_argument(
        "--waves",
        metavar="FROM:TO",
        nargs="?",
        const="1",
        help="write waves, of these cycles only where they are given, and a prepared GTKWave view",
    )
    parser.add_argument(
        "--netlist", action="store_true", help="on synthesised gates: the main blocks, or the one of --block"
    )
    clips.add_options(parser, "frames of the head that is run at the end (default: few)")
    parser.jobs("benches run at once (default 2)", 2)
    parser.out(RESULTS)
    parser.json()
    return parser


def _line(result, done, total):
    verdict = "[bold red]failed[/]" if result["error"] else f"{result['vectors']:,} vectors, seed {result['seed']}"
    return f"{done}/{total} {result['block']} {result['preset']}: {verdict}, {result['seconds']:.1f} s"


def _table(results):
    table = Table(title="benches: every vector compared bit by bit with the golden")
    for name in ("block", "preset"):
        table.add_column(name, no_wrap=True)
    for name in ("vectors", "mismatches", "latency", "II", "utilisation", "time", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result["block"],
            result["preset"],
            _number(result["vectors"], ",d"),
            _number(result["mismatches"], ",d"),
            _number(result["latency"], "d"),
            _number(result["interval"], "g"),
            _number(result["utilisation"], ".1%"),
            f"{result['seconds']:.1f} s",
            "[bold red]FAIL[/]" if result["error"] else "[green]pass[/]",
        )
    return table


def _number(value, form):
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(main())
