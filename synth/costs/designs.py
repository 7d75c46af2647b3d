"""The designs of all presets by digest: what a committed result belongs to, known without elaborating again.

``synth/results/designs.json`` has two digests for every block and preset: ``sources``, of the code of the component's
modules, its config and Amaranth's version (``hw.cache.closure``), and ``design``, of the RTLIL that followed from them.
While the first one fits, the second is what elaboration would give; where it does not, the design is elaborated. A change
of code that leaves the hardware as it is so leaves every committed result valid.

Elaborating all presets takes minutes of a core, the largest SIMCORE alone one; reading their sources takes a second.
"""

import functools
import json

from zoetrope.hw import cache, catalogue
from zoetrope.hw.files import write_if_changed
from zoetrope.synth.results import FOLDER

FILE = FOLDER / "designs.json"


@functools.cache
def committed():
    """``sources`` and ``design`` by ``block.preset``."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def sources(block, preset):
    """The digest of what the design of a block and preset follows from."""
    versions = json.dumps(cache.versions(), sort_keys=True)
    return cache.digest(cache.closure(block.module, "zoetrope.hw.emit"), repr(block.config(preset)), versions)


@functools.cache
def design(name, preset):
    """The digest of the RTLIL of block ``name`` at ``preset``: the committed one while its sources fit, else a new one."""
    block = catalogue.find(name)
    row = committed().get(f"{block.name}.{preset}", {})
    return row["design"] if row.get("sources") == sources(block, preset) else elaborated(block, preset)


def elaborated(block, preset):
    """The digest of the RTLIL of a block and preset, elaborated unless it is kept."""
    return cache.digest(cache.rtlil(block.build(preset), block.stem(preset, "_")))


def write(progress=None):
    """Write the digests of all designs anew; only those whose sources changed are elaborated. Returns how many did."""
    rows, changed = {}, 0
    for block, preset in catalogue.select(None, "all"):
        name, now = f"{block.name}.{preset}", sources(block, preset)
        before = committed().get(name, {})
        if before.get("sources") != now:
            changed += 1
            if progress:
                progress(name)
            before = {"sources": now, "design": elaborated(block, preset)}
        rows[name] = before
    write_if_changed(FILE, json.dumps(rows, indent=1) + "\n")
    committed.cache_clear()
    design.cache_clear()
    return changed
