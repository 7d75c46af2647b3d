# SPDX-License-Identifier: Apache-2.0
"""Results that are looked up by a digest instead of being made again: tables in files that a clone has, a line an entry.

``MODULES`` has the gates of each module by a digest of its RTLIL, the flow's script and Yosys' version; ``DESIGNS`` the
digest of each design's RTLIL by one of the code, config and tools that it is elaborated from. So a fresh clone synthesises
and elaborates only what was changed. The tests make a few entries anew each time, drawn by lot, and so find a wrong table.

An entry has a line to itself, in the order of digests: changes of two people meet only where they are of the same module.
"""

import functools
import json
from pathlib import Path

from zoetrope.hw import files
from zoetrope.synth.results.rows import FOLDER


class Table:
    """A table in ``path``: digest to a value that is JSON."""

    def __init__(self, path):
        self.path = Path(path)

    @functools.cached_property
    def _entries(self):
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return dict(map(json.loads, lines))

    def get(self, digest):
        """The value of ``digest``, or None."""
        return self._entries.get(digest)

    def __iter__(self):
        return iter(self._entries)

    def __len__(self):
        return len(self._entries)

    def write(self, entries, only=False):
        """Add ``entries``, a dict, to what the file has by now; with ``only`` leave out all others."""
        self.__dict__.pop("_entries", None)
        kept = entries if only else self._entries | entries
        lines = [json.dumps([digest, kept[digest]], sort_keys=True) for digest in sorted(kept)]
        files.write_if_changed(self.path, "".join(f"{line}\n" for line in lines))
        self.__dict__.pop("_entries", None)


MODULES = Table(FOLDER / "modules.jsonl")
DESIGNS = Table(FOLDER / "designs.jsonl")
