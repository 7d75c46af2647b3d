"""The one command, ``zoetrope``: each subcommand is a module's ``main``, imported when it is asked for.

So a subcommand needs only what it uses: ``zoetrope verilog`` runs without a simulator, ``zoetrope study`` without synthesis.
"""

import importlib
import sys

from zoetrope.hw.catalogue import unknown
from zoetrope.hw.errors import UserError, command_line

#: Name, of one word or two, to the module of its ``main`` below ``zoetrope``, and what it does.
COMMANDS = {
    "sim": ("command.sim", "run the benches, then one head through SIMCORE; compare every output with the goldens"),
    "head": ("sim.studies.head", "one head through SIMCORE, with each of the paper's ablations"),
    "verilog": ("hw.verilog.write", "write the Verilog of blocks, with a description of their ports; or lint it"),
    "registers": ("hw.simcore.chip.simcore_registers", "print SIMCORE's register map"),
    "synth": ("command.synth", "cost of blocks: gate equivalents, FPGA resources, Fmax, um2, delay and power"),
    "compose": ("synth.costs.composition", "cost of a machine as the sum of its modules"),
    "power": ("synth.costs.power", "power of a block from the switching of its own bench on its netlist"),
    "lanes": ("synth.costs.lanes", "the ways to multiply FP16 by INT8 side by side, as a table and a plot"),
    "matching-budget": ("synth.costs.datm_budget", "what it takes to hide the matching of ORBIS under attention"),
    "report": ("synth.report.page", "all costs beside the papers' on one HTML page"),
    "bitstream": ("synth.boards.bitstream", "the demonstrator for a board, by open tools"),
    "board": ("sim.host.command", "check a board that runs the demonstrator against the goldens"),
    "clips": ("sim.input.clips", "make Q, K and V of a video file, and show what they are"),
    "study accuracy": ("sim.studies.accuracy", "error of each way to multiply FP16 by INT8"),
    "study softmax": ("sim.studies.softmax_accuracy", "error of the softmax unit against float64"),
    "study speculation": ("sim.studies.speculation", "what speculation on tiles saves and costs, over p"),
    "study similarity": ("sim.studies.similarity", "what skipping similar tokens saves and costs, over tau"),
    "study matching": ("sim.studies.matching", "quality of token pairs: DATM against Bipartite Soft Matching"),
    "heads": ("sim.studies.simcore_heads", "random heads through SIMCORE by the thousand, each against the golden"),
    "campaign": ("command.campaign", "the long checks: run what is stale, and write its rows"),
    "expected": ("synth.costs.expectations", "measure and commit gate counts of presets"),
    "readme": ("synth.report.readme", "measure and commit all costs, and render the README from them"),
}


def usage():
    """What ``zoetrope --help`` prints."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: zoetrope COMMAND [options]\n\n"
        "Open RTL for attention in video diffusion transformers: simulate it, cost it, write its Verilog.\n\n"
        f"commands:\n{rows}\n\n"
        "examples:\n"
        "  zoetrope sim --block exp\n"
        "  zoetrope verilog --block simcore --preset small --out rtl\n"
        "  zoetrope study similarity --tau 1.5 2.5\n\n"
        "`zoetrope COMMAND --help` lists a command's options."
    )


def chosen(arguments):
    """(name, the rest of ``arguments``) of the command that they begin with. ``UnknownName`` says what may be meant."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    beginning = [name for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    if beginning:
        kinds = [name.partition(" ")[2] for name in beginning]
        given = f"there is no {arguments[0]} {arguments[1]!r}" if arguments[1:] else f"which {arguments[0]}?"
        raise UserError(f"{given} There is: {', '.join(kinds)}")
    raise unknown("there is no command", arguments[0], COMMANDS, "the commands are")


@command_line
def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    name, rest = chosen(arguments)
    return importlib.import_module(f"zoetrope.{COMMANDS[name][0]}").main(rest)


if __name__ == "__main__":
    sys.exit(main())
