# SPDX-License-Identifier: Apache-2.0
"""``zoetrope board``: check a board that runs the demonstrator against the goldens.

::

    zoetrope board --port /dev/ttyUSB0 selftest
    zoetrope board --simulate default selftest
"""

from dataclasses import replace

from zoetrope.hw import catalogue
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.board.demonstrator import UNITS
from zoetrope.hw.errors import command_line, whole
from zoetrope.sim.host.board import BAUD, Board, preset_version
from zoetrope.sim.host.selftest import MEMORY, SIMCORE, selftest, table
from zoetrope.sim.input import clips


@command_line
def main(arguments=None):
    parser = Parser(
        "board",
        "Check a board that runs the demonstrator against the goldens.",
        "zoetrope board --port /dev/ttyUSB0 selftest",
        "zoetrope board --simulate default selftest --unit min_tree",
    )
    parser.add_argument("command", choices=("selftest", "version"), help="what to do")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", metavar="PATH", help="the board's serial port, such as /dev/ttyUSB0")
    where.add_argument("--simulate", metavar="PRESET", help="no board: the pins of a simulated demonstrator instead")
    parser.add_argument(
        "--baud", metavar="N", type=whole(1), default=BAUD, help="of the bitstream (default: %(default)s)"
    )
    parser.add_argument("--unit", choices=(*UNITS, MEMORY, SIMCORE), help="one unit instead of all that the board has")
    parser.add_argument(
        "--seed", metavar="N", type=whole(0), default=1, help="of the random vectors (default: %(default)s)"
    )
    parser.add_argument(
        "--queries",
        metavar="N",
        type=whole(1),
        default=8,
        help="tokens of the clip's last frame (default: %(default)s)",
    )
    clips.add_options(parser)
    parser.json()
    options = parser.parse_args(arguments)
    port = _simulated(options.simulate) if options.simulate else options.port
    with answer(options) as tell, Board(port, baud=options.baud) as board:
        return _checked(board, options, tell)


def _checked(board, options, tell):
    """Print what the board is and how it does. Returns the exit status."""
    place = options.port or "simulated"
    has = ", ".join([*board.units, *["a machine"] * bool(board.config.machine)])
    print(f"{place}: demonstrator {board.name}, version {board.version:08x}, {has}")
    found = {"board": place, "demonstrator": board.name, "version": f"{board.version:08x}", "units": list(board.units)}
    if options.command == "version":
        tell(found)
        return 0
    given = clips.chosen(options)
    print(f"input: {given.source}{'; the selftest takes no text' if given.text else ''}")
    tensors = dict(given.items())
    units = [options.unit] if options.unit else None
    results = list(selftest(board, tensors, seed=options.seed, queries=options.queries, units=units))
    tell(found | {"input": given.source, "results": results})
    print(table(results))
    failed = sum(r.mismatches for r in results)
    print(f"{sum(r.vectors for r in results):,} vectors, {failed:,} mismatches, {board.repeated} requests repeated")
    return 1 if failed else 0


def _simulated(preset):
    from zoetrope.sim.host.pins import Pins

    config = catalogue.find("demonstrator").config(preset)
    return Pins(replace(config, version=preset_version(preset)))
