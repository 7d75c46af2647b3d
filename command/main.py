# SPDX-License-Identifier: Apache-2.0
"""The one command, ``zoetrope``: each subcommand is a module's ``main``, imported when it is asked for.

So a subcommand needs only what it uses: ``zoetrope verilog`` runs without a simulator, ``zoetrope study`` without synthesis.
"""

import importlib
import sys

from zoetrope.hw import tools
from zoetrope.hw.catalogue import imported, unknown
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.tools import DISTRIBUTION

#: Name, of one word or two, to the module of its ``main`` below ``zoetrope``, and what it does.
COMMANDS = {
    "sim": ("command.sim", "run the benches, then one head through SIMCORE; compare every output with the goldens"),
    "head": ("sim.studies.head", "one head through SIMCORE, with each of the paper's ablations"),
    "generate": ("sim.video.generate", "denoise a video with a trained model, attention by each machine, side by side"),
    "blocks": ("command.blocks", "list the blocks with their presets, or the parameters of one"),
    "verilog": ("hw.verilog.write", "write the Verilog of blocks, with a description of their ports; or lint it"),
    "registers": ("command.registers", "print SIMCORE's register map"),
    "synth": ("command.synth", "cost of blocks: gate equivalents, FPGA resources, Fmax, um2, delay and power"),
    "compose": ("synth.costs.composition", "cost of a machine as the sum of its modules"),
    "power": ("synth.costs.power", "power of a block from the switching of its own bench on its netlist"),
    "lanes": ("synth.costs.lanes", "the ways to multiply FP16 by INT8 side by side, as a table and a plot"),
    "matching-budget": ("synth.costs.datm_budget", "what it takes to hide the matching of ORBIS under attention"),
    "report": ("synth.report.page", "all costs beside the papers' on one HTML page"),
    "bitstream": ("synth.boards.bitstream", "the demonstrator for a board, by open tools"),
    "board": ("sim.host.command", "check a board that runs the demonstrator against the goldens"),
    "clips": ("sim.input.clips", "make Q, K and V of a video file, and show what they are"),
    "capture": ("sim.capture.command", "keep attention heads of a video model of diffusers; check a file of them"),
    "study accuracy": ("sim.studies.accuracy", "error of each way to multiply FP16 by INT8"),
    "study softmax": ("sim.studies.softmax_accuracy", "error of the softmax unit against float64"),
    "study speculation": ("sim.studies.speculation", "what speculation on tiles saves and costs, over p"),
    "study similarity": ("sim.studies.similarity", "what skipping similar tokens saves and costs, over tau"),
    "study matching": ("sim.studies.matching", "quality of token pairs: DATM against Bipartite Soft Matching"),
    "heads": ("sim.studies.simcore_heads", "random heads through SIMCORE by the thousand, each against the golden"),
    "campaign": ("command.campaign", "the long checks: run what is stale, and write its rows"),
    "expected": ("synth.costs.expectations", "measure and commit gate counts of presets"),
    "docs": ("command.docs", "render the tables and figures of the README and of the documentation"),
}


#: First words of commands of two words.
_GROUPS = {"study": "studies of the method on a clip or on your own tensors"}


def usage(group=None):
    """What ``zoetrope --help`` prints; what ``zoetrope study --help`` prints, with the ``group`` "study"."""
    shown = {name: summary for name, (_, summary) in COMMANDS.items() if not group or name.startswith(f"{group} ")}
    width = max(map(len, shown))
    rows = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in shown.items())
    if group:
        return f"usage: zoetrope {group} NAME [options]\n\n{_GROUPS[group].capitalize()}.\n\n{rows}\n\n{_MORE}"
    return (
        "usage: zoetrope COMMAND [options]\n\n"
        "Open RTL for attention in video diffusion transformers: simulate it, cost it, write its Verilog.\n\n"
        f"commands:\n{rows}\n\n"
        "examples:\n"
        "  zoetrope sim --block exp\n"
        "  zoetrope verilog --block simcore --preset small --out rtl\n"
        "  zoetrope verilog --block lut_pe --set lanes=4 --name small_pe\n"
        "  zoetrope study similarity --tau 1.5 2.5 --json\n\n"
        f"{_MORE}\n\n"
        "Results go to ./build or where -o says; what can be made again is kept in the folder that ZOETROPE_CACHE\n"
        "names, else in your cache folder. Exit status: 0; 1, something differs; 2, what you can mend; 130, Ctrl-C."
    )


_MORE = "`zoetrope COMMAND --help` lists a command's options, with examples."


def chosen(arguments):
    """(name, the rest of ``arguments``) of the command that they begin with. ``UnknownName`` says what may be meant."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    group = arguments[0]
    kinds = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{group} ")]
    if kinds and not arguments[1:]:
        raise UserError(f"which {group}? There is: {', '.join(kinds)}")
    if kinds:
        raise unknown(f"there is no {group}", arguments[1], kinds, "there is")
    raise unknown("there is no command", group, [*COMMANDS, *_GROUPS], "the commands are")


@command_line
def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    wants_help = [word for word in arguments[:2] if word in ("-h", "--help")]
    if not arguments or arguments[0] in wants_help:
        print(usage())
        return 0 if arguments else 2
    if arguments[0] in _GROUPS and wants_help:
        print(usage(arguments[0]))
        return 0
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"zoetrope {version(DISTRIBUTION)}")
        return 0
    name, rest = chosen(arguments)
    tools.collect_less()
    with tools.ended_in_order():
        command = _module(name).main
        try:
            return command(rest)
        except (ImportError, SyntaxError) as error:  # of a file that is imported where it is needed
            raise UserError(f"zoetrope {name}: {type(error).__name__}: {error}") from error


def _module(name):
    module = f"zoetrope.{COMMANDS[name][0]}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("zoetrope"):
            return imported(module, f"zoetrope {name}")
        raise UserError(
            f"{name} needs {error.name}, which is not installed: pip install '{DISTRIBUTION}[board]'"
        ) from None
    except (ImportError, SyntaxError):
        return imported(module, f"zoetrope {name}")


if __name__ == "__main__":
    sys.exit(main())
