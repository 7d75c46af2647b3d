"""What is rendered into the repository's own pages: ``zoetrope docs [--check]``.

Tables between the markers of README and ``docs`` are made from the committed costs, figures from their drawings, the map of
SIMCORE's registers from their description. ``--check`` changes nothing, and ends with 1 where a page is not what it should be.
The site itself is built from these pages by ``make docs``, which also makes the pages of blocks and commands.
"""

import sys

from zoetrope.command.site.figures import FIGURES
from zoetrope.hw.errors import ArgumentParser, command_line
from zoetrope.hw.files import write_if_changed
from zoetrope.hw.simcore.chip import simcore_registers
from zoetrope.synth.report import readme

DOCS = readme.ROOT / "docs"


def rendered():
    """Path to text of every file that is rendered whole or in part."""
    found = {DOCS / "figures" / f"{name}.svg": draw().svg() for name, draw in FIGURES.items()}
    found[DOCS / "registers.md"] = simcore_registers.document()
    return found | readme.rendered()


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope docs", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where a page differs")
    options = parser.parse_args(arguments)
    differ = [path for path, text in rendered().items() if not path.exists() or path.read_text() != text]
    for path in differ:
        name = path.relative_to(readme.ROOT)
        if options.check:
            print(f"error: {name} is not what it is rendered from; `zoetrope docs` renders it", file=sys.stderr)
        else:
            write_if_changed(path, rendered()[path])
            print(f"{name}: rendered")
    if not differ:
        print("every page is what it is rendered from")
    return 1 if differ and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
