# SPDX-License-Identifier: Apache-2.0
"""``zoetrope synth``: what every block costs."""

import math
import sys

from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.catalogue import told
from zoetrope.hw.errors import command_line
from zoetrope.hw.parameters import selected
from zoetrope.synth.costs import runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.report import tables as report
from zoetrope.synth.technologies import libraries as technologies

_LEGEND = f"""\
GE: transistors of static CMOS / 4, without a library. Memories of {flows.APART_BITS:,} bits or more are apart (SRAM bits);
"in flops GE" has them as flip-flops, where they are {runs.IN_FLOPS_BITS:,} bits or less. paper's: SIMPICKER Table II at
1.525 um2 a GE; ratio: ours / paper's. LUT4: LUT sites in use of {technologies.ECP5.name}, with carry and
distributed RAM; Fmax: flattened and routed, out of context. All blocks together are routed up to {runs.ROUTE_GE:,} GE
(`--route`: {runs.FPGA_GE:,}) and counted up to {runs.FPGA_GE:,} (`--fpga ecp5`: all); one block alone is always counted, and
routed up to {runs.FPGA_GE:,}. What is not routed is a sum over modules mapped alone, in LUT4 a few percent high."""


@command_line
def main(arguments=None):
    parser = Parser(
        "synth",
        "What every block costs: gate equivalents, FPGA resources and Fmax; um2, delay and power with a Liberty file.",
        "zoetrope synth --block exp --preset all",
        "zoetrope synth --block lut_pe --set lanes=16 --json",
        "zoetrope synth --liberty sky130_fd_sc_hd__tt_025C_1v80.lib",
    )
    parser.block()
    parser.preset("its preset, or `all`; the default one otherwise")
    parser.own()
    parser.liberty()
    parser.add_argument(
        "--route",
        action="store_true",
        help=f"place and route all blocks up to {runs.FPGA_GE:,} GE, not {runs.ROUTE_GE:,}",
    )
    parser.add_argument(
        "--fpga",
        choices=("ecp5", *runs.FAMILIES, "all"),
        help="count the cells of another family, or of all ECP5 designs",
    )
    parser.jobs()
    parser.out("build/synth")
    parser.json()
    options = parser.parse_args(arguments)
    pairs = selected(options)
    with answer(options) as tell:
        tell(_measured(pairs, options))
    return told(options.broken)


def _measured(pairs, options):
    """The costs of ``pairs``, which are printed and written."""
    library = technologies.find_library(options.liberty)
    for note in library.notes if library else ():
        print(f"note: {note}", file=sys.stderr)
    families = [family for family in runs.FAMILIES if options.fpga in (family, "all")]
    alone = options.block is not None
    with runs.progress_bar() as progress:
        results = runs.measure_all(
            pairs,
            (*runs.TECHNOLOGIES, *families),
            library,
            options.jobs,
            progress,
            route_ge=runs.FPGA_GE if options.route or alone else runs.ROUTE_GE,
            count_ge=math.inf if alone or options.fpga in ("ecp5", "all") else runs.FPGA_GE,
        )
    runs.write(results, options.out)
    compared = report.comparison(results)
    if compared:
        print("LUT PE against plain PE\n")
        print(report.comparison_text(compared), end="\n\n")
    print(report.rows_text(results))
    print(f"\n{_LEGEND}")
    if library:
        print(f"um2, delay: {library.name}, no wires; GE (lib): um2 / {library.nand2_area} um2 ({library.nand2})")
        print(report.power_text(results))
    print(f"{len(results)} result{'s' if len(results) != 1 else ''} in {options.out}")
    return results
