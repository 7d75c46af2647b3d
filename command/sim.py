"""``zoetrope sim``: run the benches of one block or of all, on the sample clip or your own input, and tabulate them."""

import os
import sys

from rich.console import Console
from rich.table import Table

from zoetrope.hw import catalogue
from zoetrope.hw.errors import ArgumentParser, UserError, command_line, whole
from zoetrope.sim.input import clips
from zoetrope.sim.run import toolchain
from zoetrope.sim.run.harness import RESULTS
from zoetrope.sim.run.suite import run_all, write_results
from zoetrope.sim.studies import head, similarity, speculation
from zoetrope.synth.flows import netlist


@command_line
def main(argv=None):
    options = _parser().parse_args(argv)
    if options.preset and not options.block:
        raise UserError("--preset needs --block")
    if options.frames and (options.block or options.netlist):
        raise UserError("--frames is of the head, which is run without --block and --netlist")
    names = [name for name, block in catalogue.BLOCKS.items() if block.netlist or not options.netlist]
    blocks = [catalogue.find(name) for name in ([options.block] if options.block else names)]
    runs = [(block.name, options.preset or next(iter(block.presets))) for block in blocks]
    for name, preset in runs:
        catalogue.find(name).config(preset)
    toolchain.verilator()
    toolchain.libpython()

    RESULTS.mkdir(parents=True, exist_ok=True)
    tensors = clips.chosen(options)
    path = RESULTS / f"tensors-{os.getpid()}.npz"
    clips.save(path, tensors)
    console = Console() if sys.stdout.isatty() else Console(width=110)
    settings = {"seed": options.seed, "waves": options.waves or None, "tensors": path}
    settings |= {"given": tensors.given, "netlist": netlist.verilog if options.netlist else None}

    def told(result, done):
        console.print(_line(result, done, len(runs)), highlight=False)

    try:
        results = run_all(runs, settings, options.jobs, told)
    finally:
        path.unlink()
    write_results(results, tensors)

    console.print(_table(results))
    frames, tokens, d = tensors.q.shape
    told = f"input: {tensors.source}; {frames} frames of {tokens} tokens, d = {d}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    if options.netlist:
        console.print("on generic-gate netlists; memories of 1,024 bits or more are the RTL's", highlight=False)
    elif not options.block:
        console.print(speculation.summary(tensors), highlight=False)
        console.print(similarity.summary(tensors), highlight=False)
    failures = [result["error"] for result in results if result["error"]]
    if not options.block and not options.netlist:
        failures += _head(tensors, options, console)
    for error in failures:
        console.print("\n[bold red]failed:[/] ", end="")
        console.print(error, markup=False, highlight=False)
    return 1 if failures else 0


def _head(tensors, options, console):
    """Run one head through SIMCORE, and print what was found. Returns what failed."""
    try:
        found = head.measured(tensors, frames=options.frames, jobs=options.jobs, told=head.say)
    except head.HeadRefused as refusal:
        console.print(f"no head was run: {refusal}", markup=False, highlight=False)
        return []
    except UserError as error:
        return [str(error)]
    head.report(found, console)
    return []


def _parser():
    parser = ArgumentParser(prog="zoetrope sim", description=__doc__.partition(": ")[2])
    parser.add_argument("--block", help="one block instead of all")
    parser.add_argument("--preset", help="a preset of the block; its default one otherwise")
    parser.add_argument(
        "--seed", type=whole(), help="seed of the random vectors; derived from block and preset otherwise"
    )
    parser.add_argument("--waves", action="store_true", help="write waves and a prepared GTKWave view")
    parser.add_argument(
        "--netlist", action="store_true", help="on synthesised gates: the main blocks, or the one of --block"
    )
    clips.add_options(parser)
    parser.add_argument("--frames", type=whole(1), help="frames of the head that is run at the end (default: few)")
    parser.add_argument("--jobs", type=whole(1), default=2, help="benches run at once (default 2)")
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
