"""``zoetrope board``: check a board that runs the demonstrator against the goldens.

::

    zoetrope board --port /dev/ttyUSB0 selftest
    zoetrope board --simulate default selftest
"""

import sys
from dataclasses import replace

from zoetrope.hw import catalogue
from zoetrope.hw.board.demonstrator import UNITS
from zoetrope.hw.errors import ArgumentParser, UserError, command_line, whole
from zoetrope.sim.host.board import BAUD, Board, preset_version
from zoetrope.sim.host.selftest import MEMORY, SIMCORE, selftest, table
from zoetrope.sim.input import clips


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope board", description="Check a board against the goldens.")
    parser.add_argument("command", choices=("selftest", "version"), help="what to do")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", help="the board's serial port, such as /dev/ttyUSB0")
    where.add_argument("--simulate", metavar="PRESET", help="no board: the pins of a simulated demonstrator instead")
    parser.add_argument("--baud", type=int, default=BAUD, help="of the bitstream (default: %(default)s)")
    parser.add_argument("--unit", choices=(*UNITS, MEMORY, SIMCORE), help="one unit instead of all that the board has")
    parser.add_argument("--seed", type=whole(0), default=1, help="of the random vectors (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=8, help="tokens of the clip's last frame (default: %(default)s)")
    clips.add_options(parser)
    options = parser.parse_args(arguments)
    if options.baud < 1 or options.queries < 1:
        raise UserError(f"--baud and --queries must be at least 1, not {options.baud} and {options.queries}")
    port = _simulated(options.simulate) if options.simulate else options.port
    with Board(port, baud=options.baud) as board:
        place, units = (
            options.port or "simulated",
            ", ".join([*board.units, *["a machine"] * bool(board.config.machine)]),
        )
        print(f"{place}: demonstrator {board.name}, version {board.version:08x}, {units}")
        if options.command == "version":
            return 0
        given = clips.chosen(options)
        print(f"input: {given.source}")
        tensors = dict(given.items())
        units = [options.unit] if options.unit else None
        results = list(selftest(board, tensors, seed=options.seed, queries=options.queries, units=units))
        print(table(results))
        failed = sum(r.mismatches for r in results)
        print(f"{sum(r.vectors for r in results):,} vectors, {failed:,} mismatches, {board.repeated} requests repeated")
    return 1 if failed else 0


def _simulated(preset):
    from zoetrope.sim.host.pins import Pins

    config = catalogue.find("demonstrator").config(preset)
    return Pins(replace(config, version=preset_version(preset)))


if __name__ == "__main__":
    sys.exit(main())
