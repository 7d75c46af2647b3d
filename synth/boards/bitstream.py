# SPDX-License-Identifier: Apache-2.0
"""The demonstrator for a board, by open tools: ``zoetrope bitstream --board ulx3s_85f``.

Pins and clocks are those of amaranth-boards; Yosys and nextpnr come from PyPI. Nothing is loaded: the file is named, and a
board's own loader takes it. Placement starts from a given seed, so the same sources and tools give the same bitstream.
"""

import hashlib
import importlib
import json
import resource
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from amaranth import ClockDomain, ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.lib import io

from zoetrope.hw import cache, catalogue, emit, tools
from zoetrope.hw.arguments import Parser, answer, folder
from zoetrope.hw.board.demonstrator import Demonstrator, version_of
from zoetrope.hw.errors import ToolError, UserError, command_line, whole
from zoetrope.hw.files import table
from zoetrope.synth.results import rows

BAUD = 1_000_000

#: Of rates that a host's serial port has.
SLOWEST = 300

#: What the builds of the README took, by board.
RECORD = Path(__file__).with_name("boards.json")

#: Largest difference of the line's rate from that asked for; the receiver bears 2 % and the host's clock is not exact.
BAUD_ERROR = 0.005

#: Silence after which the link gives up a frame, in seconds: a host's USB pauses for a millisecond or two.
SILENCE = 0.016

#: Cells of each family that are counted against what a device has: resource to cell types (a prefix) and units of each.
CELLS = {
    "ecp5": {
        "LUT4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        "FF": {"TRELLIS_FF": 1},
        "block RAM": {"DP16KD": 1},
        "multiplier": {"MULT18X18D": 1},
    },
    "ice40": {
        "LUT4": {"SB_LUT4": 1},
        "FF": {"SB_DFF": 1},
        "block RAM": {"SB_RAM40_4K": 1},
        "multiplier": {"SB_MAC16": 1},
    },
}

#: Gate equivalents that a LUT4 takes at most: twice as many as in any design that was placed.
GE_OF_A_LUT = 20

_ECP5_85 = {"LUT4": 83640, "FF": 83640, "block RAM": 208, "multiplier": 156}
_UP5K = {"LUT4": 5280, "FF": 5280, "block RAM": 30, "multiplier": 8}


@dataclass(frozen=True)
class Target:
    """A board, and how the demonstrator is put on it.

    Parameters
    ----------
    title : what its maker calls it
    module, platform : of amaranth-boards
    family : key of ``CELLS``
    has : what its device has, by the resources of ``CELLS``
    divide : the design's clock is the board's over this: 1, or an even number
    preset : of the demonstrator, unless another is asked for
    uart : pins of (rx, tx) as (connector, number, rx, tx) where the board has no USB serial converter; None where it has
    file : what is loaded
    """

    title: str
    module: str
    platform: str
    family: str
    has: dict
    divide: int
    preset: str = "default"
    uart: tuple | None = None
    file: str = "top.bit"


BOARDS = {
    "ulx3s_85f": Target("ULX3S 85F", "ulx3s", "ULX3S_85F_Platform", "ecp5", _ECP5_85, 1),
    "ecpix5_85f": Target("ECPIX-5 85F", "ecpix5", "ECPIX585Platform", "ecp5", _ECP5_85, 4),
    "orangecrab_85f": Target(
        "OrangeCrab r0.2 85F",
        "orangecrab_r0_2",
        "OrangeCrabR0_2_85FPlatform",
        "ecp5",
        _ECP5_85,
        2,
        uart=("io", 0, "0", "1"),
    ),
    "icebreaker": Target(
        "iCEBreaker", "icebreaker", "ICEBreakerPlatform", "ice40", _UP5K, 1, preset="smallest", file="top.bin"
    ),
}


def find_board(name):
    """The ``Target`` called ``name``. ``UnknownName`` lists the boards."""
    if name not in BOARDS:
        raise catalogue.unknown("there is no board", name, BOARDS, "the boards are")
    return BOARDS[name]


class Top(Elaboratable):
    """The demonstrator between a board's clock and its serial line. It is read from ``demonstrator.il``.

    A clock that is divided comes from a flip-flop: nothing here is fast, and every family has those. Its frequency is
    what nextpnr is given for every clock without one of its own: Yosys may give its net another name.
    """

    def __init__(self, target):
        self._target = target

    def elaborate(self, platform):
        m = Module()
        clock = Signal()
        m.submodules.source = source = io.Buffer("i", platform.request(platform.default_clk, dir="-"))
        m.domains.sync = ClockDomain()
        if self._target.divide > 1:
            m.domains.board = ClockDomain(reset_less=True)
            count = Signal(range(self._target.divide // 2))
            m.d.comb += ClockSignal("board").eq(source.i)
            m.d.board += count.eq(count + 1)
            with m.If(count == self._target.divide // 2 - 1):
                m.d.board += [count.eq(0), clock.eq(~clock)]
        else:
            m.d.comb += clock.eq(source.i)

        m.domains.start = ClockDomain(reset_less=True)
        started = Signal(8)
        pins = platform.request("uart", dir="-")
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.d.comb += [
            ClockSignal("start").eq(clock),
            ClockSignal().eq(clock),
            ResetSignal().eq(~started[-1]),
        ]
        m.d.start += started.eq((started << 1) | 1)
        m.submodules.demonstrator = Instance(
            "demonstrator", i_clk=ClockSignal(), i_rst=ResetSignal(), i_rx=rx.i, o_tx=tx.o
        )
        return m


def configure(target, platform, preset=None, baud=BAUD):
    """``(config, design clock)`` of the demonstrator for a board. ``UserError`` if its clock cannot make the baud rate."""
    clock = platform.default_clk_frequency / target.divide
    divisor = round(clock / baud)
    if divisor < 8 or abs(clock / divisor / baud - 1) > BAUD_ERROR:
        nearest = clock / max(8, divisor)
        raise UserError(f"{target.title} has {clock / 1e6:g} MHz: no {baud} baud, the nearest is {nearest:.0f}")
    config = replace(
        catalogue.find("demonstrator").config(preset or target.preset), divisor=divisor, timeout=int(SILENCE * clock)
    )
    return replace(config, version=version_of(config)), clock


def load_platform(target):
    """A new platform of amaranth-boards for ``target``, with its serial line."""
    try:
        module = importlib.import_module(f"amaranth_boards.{target.module}")
        resources = importlib.import_module("amaranth_boards.resources")
    except ImportError:
        raise ToolError("amaranth-boards is not installed: pip install 'zoetrope[board]'") from None
    platform = getattr(module, target.platform)()
    if target.uart:
        from amaranth.build import Attrs

        connector, number, rx, tx = target.uart
        attrs = Attrs(IO_TYPE="LVCMOS33")
        platform.add_resources([resources.UARTResource(0, rx=rx, tx=tx, conn=(connector, number), attrs=attrs)])
    return platform


def prepare(target, preset=None, baud=BAUD, seed=1):
    """``(files, commands, config, design clock)``: all that the tools read, by name, and their command lines in order."""
    platform = load_platform(target)
    config, clock = configure(target, platform, preset, baud)
    text = emit.rtlil(Demonstrator(config=config), "demonstrator")
    platform.add_file("demonstrator.il", text)
    options = f"--seed {seed} --freq {clock / 1e6:g} --router router2 --report report.json"
    plan = platform.prepare(Top(target), "top", nextpnr_opts=options)
    files = {name: text if isinstance(text, str) else text.decode() for name, text in plan.files.items()}
    commands = json.loads(files["build_top.json"])["commands"]
    return files, [c for c in commands if not c[0].startswith("dfu")], config, clock


def refuse_what_is_too_large(target, preset):
    """``UserError`` where the committed count of gates says that there is no room: synthesis would take minutes to say so.

    A gate equivalent is less than a ``GE_OF_A_LUT``-th of a LUT4 in no design that was ever placed here.
    """
    name = preset or target.preset
    gates = committed_gates().get(name, 0)
    least, has = gates / GE_OF_A_LUT, target.has["LUT4"]
    if least > has:
        raise UserError(
            f"{target.title} has no room for preset {name!r}: its {gates:,.0f} gate equivalents are {least:,.0f} LUT4s or "
            f"more, and there are {has:,}; take a smaller preset or a larger board: {', '.join(BOARDS)}"
        )


def committed_gates():
    """Gate equivalents of the demonstrator's presets, as committed."""
    block = catalogue.find("demonstrator")
    found = rows.read()
    whole = {name: row["generic"] for name, row in found["blocks"].items()}
    names = {preset: f"{block.key}.{preset}" for preset in block.presets}
    counted = whole | found["counts"]
    return {preset: counted[name]["ge"] for preset, name in names.items() if name in counted}


def synthesise(target, files, workdir):
    """Run Yosys in ``workdir``. Returns resource to (used, has); ``UserError`` with the numbers if it does not fit."""
    for name, text in files.items():
        (Path(workdir) / name).write_text(text)
    emit.yosys(files["top.ys"] + "\ntee -q -o stat.json stat -json\n", workdir)
    cells = json.loads((Path(workdir) / "stat.json").read_text())["design"]["num_cells_by_type"]
    used = {
        resource: sum(
            int(n) * weight for kind, n in cells.items() for name, weight in kinds.items() if kind.startswith(name)
        )
        for resource, kinds in CELLS[target.family].items()
    }
    usage = {resource: (n, target.has[resource]) for resource, n in used.items()}
    over = [f"{n:,} of {has:,} {resource}s" for resource, (n, has) in usage.items() if n > has]
    if over:
        raise UserError(f"{target.title} has no room for it: it needs {', '.join(over)}")
    return usage


def place(commands, workdir, design_clock):
    """Place, route and pack. Returns clock to (MHz needed, MHz achieved). ``ToolError`` if one is not achieved.

    No clock may be checked against less than ``design_clock``, in Hz: then a constraint did not reach its net.
    """
    for command in commands[1:]:
        run_tool(command, workdir)
    report = json.loads((Path(workdir) / "report.json").read_text())
    clocks = {name: (clock["constraint"], clock["achieved"]) for name, clock in report["fmax"].items()}
    for name, (needed, _) in clocks.items():
        if needed < 0.999 * design_clock / 1e6:
            raise ToolError(f"clock {name} was routed for {needed:g} MHz, not for {design_clock / 1e6:g}")
    return clocks


def run_tool(command, workdir):
    program = tools.command(f"yowasp-{command[0]}", "board")
    done = tools.run([*program, *command[1:]], cwd=workdir, capture_output=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:]
        raise ToolError(f"{command[0]} failed (exit {done.returncode}): {' | '.join(lines)}")


def build(board, preset=None, *, baud=BAUD, seed=1, out="build/bitstream"):
    """Make the bitstream of a board. Returns what it took: ``usage``, ``clocks_mhz``, ``version``, ``file``, ``sha256``, ...

    Errors: ``UnknownName`` for the board or preset; ``UserError`` where it does not fit; ``ToolError`` for a tool that is
    missing or fails, which nextpnr does where a clock is not met.
    """
    target = find_board(board)
    refuse_what_is_too_large(target, preset)
    before = _cpu_seconds()
    files, commands, config, clock = prepare(target, preset, baud, seed)
    workdir = Path(out) / f"{board}.{preset or target.preset}"
    file = workdir / target.file
    folder(workdir)
    print(f"{target.title}: synthesis ...", file=sys.stderr, flush=True)
    usage = synthesise(target, files, workdir)
    print(f"{target.title}: placement and routing ...", file=sys.stderr, flush=True)
    clocks = place(commands, workdir, clock)
    result = {
        "board": board,
        "preset": preset or target.preset,
        "version": f"{config.version:08x}",
        "baud": baud,
        "seed": seed,
        "design_clock_mhz": clock / 1e6,
        "cpu_seconds": round(_cpu_seconds() - before),
        "usage": usage,
        "clocks_mhz": clocks,
        "tools": cache.versions("amaranth-boards", f"yowasp-nextpnr-{target.family}"),
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (workdir / "result.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    return result


def _cpu_seconds():
    """Of this process and those that it waited for: what a build takes where nothing else runs."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def recorded():
    """The results that are committed: what ``build`` returned by ``record_name``."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def record(result):
    """Put a result in place of that of its board and preset; which file it was is nobody's business."""
    kept = {name: value for name, value in result.items() if name != "file"}
    named = {record_name(result["board"], result["preset"]): kept}
    RECORD.write_text(json.dumps(recorded() | named, indent=1, sort_keys=True) + "\n")


def record_name(board, preset):
    """The board, and the preset behind a stop where it is not the board's own."""
    return board if preset == BOARDS[board].preset else f"{board}.{preset}"


def slack_ns(needed, achieved):
    return 1000 / needed - 1000 / achieved


def report_text(result):
    """What is printed of a build."""
    rows = [
        (resource, f"{used:,}", f"{has:,}", f"{used / has:.1%}") for resource, (used, has) in result["usage"].items()
    ]
    lines = [table(("resource", "used", "of", "share"), rows), ""]
    for name, (needed, achieved) in result["clocks_mhz"].items():
        slack = slack_ns(needed, achieved)
        lines.append(f"clock {name}: {needed:.2f} MHz needed, {achieved:.2f} MHz achieved, slack {slack:.2f} ns")
    return "\n".join(lines)


@command_line
def main(arguments=None):
    parser = Parser(
        "bitstream",
        "The demonstrator for a board, by open tools: synthesis, placement, routing, a file to load.",
        "zoetrope bitstream --board ulx3s_85f",
        "zoetrope bitstream --board ulx3s_85f --preset simcore --seed 3 -o bits",
    )
    parser.add_argument("--board", metavar="NAME", help=f"one of {', '.join(BOARDS)}")
    parser.preset("of the demonstrator; the board's own otherwise")
    parser.add_argument(
        "--baud", metavar="N", type=whole(SLOWEST), default=BAUD, help="of the serial line (default: %(default)s)"
    )
    parser.seed("of the placement (default: %(default)s)", 1)
    parser.add_argument("--twice", action="store_true", help="build it again, elsewhere, and compare the files")
    parser.add_argument("--record", action="store_true", help="write what it took to the README's numbers")
    parser.out("build/bitstream")
    parser.json()
    options = parser.parse_args(arguments)
    if options.board is None:
        raise UserError(f"no board is named; the boards are: {', '.join(BOARDS)}")
    with answer(options) as tell:
        return _built(options, tell)


def _built(options, tell):
    arguments = {"preset": options.preset, "baud": options.baud, "seed": options.seed}
    start = time.perf_counter()
    result = build(options.board, **arguments, out=options.out)
    tell(result)
    print(report_text(result))
    print(f"version {result['version']}, {result['baud']} baud, {time.perf_counter() - start:.0f} s: {result['file']}")
    print(f"sha256 {result['sha256']}, {result['cpu_seconds']} s of processor time")
    if options.record:
        record(result)
    if options.twice:
        again = build(options.board, **arguments, out=Path(options.out) / "again")
        same = again["sha256"] == result["sha256"]
        print("the second build is the same, byte for byte" if same else f"the second build differs: {again['file']}")
        return 0 if same else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
