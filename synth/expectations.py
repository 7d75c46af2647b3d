"""Exact gate counts of blocks at their presets, committed: ``python -m synth.expectations [--block B] [--preset P]``.

``synth/presets.json`` has rows of ``ge``, ``cells``, ``flops``, ``memory_bits`` (``flows.generic``) by block and preset, and
the tools that made them. A test measures every row again; where a change is meant, this command writes the rows anew: those
of one block, or preset, or of all. Default presets are in ``synth/expected.json``, module by module, by ``make readme``.
"""

import argparse
import json
import sys
from pathlib import Path

from hw import generate, registry
from hw.errors import UserError, command_line
from synth import cache, runs

FILE = Path(__file__).with_name("presets.json")
COUNTS = ("ge", "cells", "flops", "memory_bits")


def committed():
    """Tools, and rows by ``block.preset``."""
    return json.loads(FILE.read_text())


def measured(pairs, jobs=None, progress=None):
    """Rows of (block, preset) pairs, by ``block.preset``."""
    results = runs.measure_all(pairs, ("generic",), jobs=jobs, progress=progress)
    return {f"{r['block']}.{r['preset']}": {name: r["generic"][name] for name in COUNTS} for r in results}


def updated(before, rows, tools):
    """``before`` with ``rows`` in place of its own; rows of other tools, or of what the registry no longer has, are gone."""
    kept = before["rows"] if before["tools"] == tools else {}
    both = kept | rows
    names = [f"{block.name}.{preset}" for block in registry.BLOCKS.values() for preset in block.presets]
    return {"tools": tools, "rows": {name: both[name] for name in names if name in both}}


@command_line
def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m synth.expectations", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--block", help="one block instead of all")
    parser.add_argument("--preset", help="one preset instead of all but the default ones")
    parser.add_argument("--jobs", type=int, help="tools that run at a time (default: one a core)")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {options.jobs}")
    pairs = generate.select(options.block, options.preset or "all")
    if not options.preset:
        pairs = [(block, preset) for block, preset in pairs if preset != generate.default_preset(block)]
    with runs.progress_bar() as progress:
        rows = measured(pairs, options.jobs, progress)
    before = committed()
    after = updated(before, rows, cache.tools())
    FILE.write_text(json.dumps(after, indent=1) + "\n")
    changed = sum(before["rows"].get(name) != row for name, row in after["rows"].items())
    print(f"{FILE.name}: {len(after['rows'])} rows, {changed} of them new or changed")


if __name__ == "__main__":
    sys.exit(main())
