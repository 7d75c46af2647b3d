# SPDX-License-Identifier: Apache-2.0
"""What is rendered into the repository's own pages: ``zoetrope docs [--check]``.

Tables between the markers of README and ``docs`` are made from the committed costs, figures from their drawings, the map of
SIMCORE's registers from their description. ``--check`` changes nothing; the exit status is 1 where a page is not what it
should be. The site itself is built from these pages by ``make docs``, which also makes the pages of blocks and commands.
"""

import sys

from zoetrope.command.site.figures import FIGURES
from zoetrope.hw.arguments import Parser, repository
from zoetrope.hw.errors import command_line
from zoetrope.hw.files import write_if_changed
from zoetrope.hw.simcore.chip import simcore_registers
from zoetrope.sim.input import clips
from zoetrope.synth.costs import lane_plot
from zoetrope.synth.report import readme
from zoetrope.synth.results import rows

DOCS = readme.ROOT / "docs"


def rendered():
    """Path to text of every file that is rendered whole or in part."""
    costs, tensors = rows.committed(), clips.load()
    found = {page: readme.rendered(page, costs, tensors) for page in readme.pages()}
    found |= {DOCS / "figures" / f"{name}.svg": draw().svg() for name, draw in FIGURES.items()}
    return found | {DOCS / "registers.md": simcore_registers.document()}


@command_line
def main(arguments=None):
    parser = Parser(
        "docs",
        "Render tables and figures of the README and of the documentation's pages, from what is committed.",
        "zoetrope docs",
        "zoetrope docs --check",
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where a page differs")
    options = parser.parse_args(arguments)
    repository()
    differ = {path: text for path, text in rendered().items() if not path.exists() or path.read_text() != text}
    for path, text in differ.items():
        name = path.relative_to(readme.ROOT)
        if options.check:
            print(f"error: {name} is not what it is rendered from; `zoetrope docs` renders it", file=sys.stderr)
        else:
            write_if_changed(path, text)
            print(f"{name}: rendered")
    if not options.check:
        lane_plot.write(rows.committed()["lanes"], DOCS / "lanes.svg")
    if not differ:
        print("every page is what it is rendered from")
    return 1 if differ and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
