"""What every block costs: ``zoetrope synth [--block B] [--preset P] [--liberty PATH] [--route] [--fpga F] [--jobs N]``."""

import math
import sys

from zoetrope.hw import catalogue
from zoetrope.hw.errors import ArgumentParser, UserError, command_line
from zoetrope.synth.costs import runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.report import tables as report
from zoetrope.synth.technologies import libraries as technologies

_LEGEND = f"""\
GE: transistors of static CMOS / 4, without a library. Memories of {flows.APART_BITS:,} bits or more are apart (SRAM bits);
"in flops GE" has them as flip-flops, where they are {runs.IN_FLOPS_BITS:,} bits or less. paper's: SIMPICKER Table II at
1.525 um2 a GE; ratio: ours / paper's. LUT4: LUT sites in use of {technologies.ECP5.name}, with carry and
distributed RAM; Fmax: flattened and routed, out of context. All blocks together are routed up to {runs.ROUTE_GE:,} GE
(`ROUTE=1`: {runs.FPGA_GE:,}) and counted up to {runs.FPGA_GE:,} (`FPGA=ecp5`: all); one block alone is always counted, and
routed up to {runs.FPGA_GE:,}. What is not routed is a sum over modules mapped alone, in LUT4 a few percent high."""


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope synth", description="What every block costs.")
    parser.add_argument("--block", help="one block instead of all")
    parser.add_argument("--preset", help="its preset, or `all`; the default one otherwise")
    parser.add_argument(
        "--liberty", help="a standard-cell library, for um2, delay and power; else one found under $PDK_ROOT"
    )
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
    parser.add_argument("--jobs", type=int, help="tools that run at a time (default: one a core)")
    parser.add_argument("--out", default="build/synth", help="folder of the JSON results (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {options.jobs}")
    broken = []
    pairs = catalogue.select(options.block, options.preset, None if options.block else broken)
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
    print(f"{len(results)} results in {options.out}")
    return catalogue.told(broken)


if __name__ == "__main__":
    sys.exit(main())
