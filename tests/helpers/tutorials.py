# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of a page as a reader would: its fenced blocks in order, in a folder of their own.

======================== ============================================================================================
``bash``                 a shell runs it; it must end with 0
``python``               executed, all of a page in one namespace
any with ``title="f"``   is written to file ``f``
``diff``                 its hunks are applied, each found by its text
``text`` behind another  what that one prints; ``...`` stands for anything
``sh``, ``py``, others   are read, not run
======================== ============================================================================================
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("golden", "hw", "sim", "synth", "command")

_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


class Step(NamedTuple):
    kind: str
    file: str
    body: str
    line: int
    prints: str | None


def steps(text):
    """The blocks of a page that do something, each with what it must print."""
    found = []
    for match in _FENCE.finditer(text):
        kind, file, body = match.groups()
        if kind == "text" and not file:
            if found and found[-1].prints is None and found[-1].kind in ("bash", "python"):
                found[-1] = found[-1]._replace(prints=body)
        elif file or kind in ("bash", "python", "diff"):
            found.append(Step(kind, file or "", body, text.count("\n", 0, match.start()) + 1, None))
    return found


def copy_of_the_tree(folder):
    """A copy of this project in ``folder``. Returns a folder beside it from which ``zoetrope`` is imported as the copy's."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in (*ROOMS, "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, dirs_exist_ok=True)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, folder / path.name)
    package = folder.parent / f"{folder.name}-packages" / "zoetrope"
    package.mkdir(parents=True)
    for room in ROOMS:
        (package / room).symlink_to(folder / room)
    return package.parent


def run(page, folder, packages=None):
    """Run the steps of ``page`` in ``folder``. ``AssertionError`` names the line of a block that does not do as it says."""
    found = steps(page.read_text())
    commands = folder.parent / f"{folder.name}-commands"
    commands.mkdir()
    shim = commands / "zoetrope"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zoetrope.command "$@"\n')
    shim.chmod(0o755)
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (commands / "python").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PATH"] = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(packages or ""), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, __file__], cwd=folder, env=environment, input=json.dumps(found), text=True, capture_output=True
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for step, result in zip(found, results):
        where = f"{page.name}, line {step.line}"
        assert not result["error"], f"{where}: {result['error']}"
        if step.prints is not None:
            assert matches(step.prints, result["printed"]), f"{where} prints\n{result['printed']}"
    assert len(results) == len(found), f"{page.name}: {done.stderr}"
    return len(found)


def matches(expected, printed):
    """Whether ``printed`` is what a page says, blanks at the ends of lines apart."""
    pattern = re.escape(_trimmed(expected)).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, _trimmed(printed), re.S) is not None


def _trimmed(text):
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


# -- in the process that a page has for itself -----------------------------------------------------------------------------


def do(step, namespace):
    """Do one step; what it printed."""
    if step.file:
        path = Path(step.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.body)
        return ""
    if step.kind == "diff":
        apply(step.body)
        return ""
    if step.kind == "bash":
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", step.body], text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(step.body, f"line {step.line}", "exec"), namespace)
    return out.getvalue()


def apply(diff):
    """Apply hunks, each where its text stands: numbers of lines in a tutorial would be wrong soon."""
    path = Path(re.search(r"^\+\+\+ b/(\S+)", diff, re.M)[1])
    for hunk in re.split(r"^@@.*\n", diff, flags=re.M)[1:]:
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if line[:1] != "+")
        after = "\n".join(line[1:] for line in lines if line[:1] != "-")
        text = path.read_text()
        if text.count(before) != 1:
            raise RuntimeError(f"{path} has {text.count(before)} places with\n{before}")
        path.write_text(text.replace(before, after))


def main():
    sys.path[0] = ""  # as in an interactive session: the folder, not this file's
    namespace = {"__name__": "__main__"}
    out, sys.stdout = sys.stdout, sys.stderr
    for step in json.load(sys.stdin):
        error = printed = ""
        try:
            printed = do(Step(*step), namespace)
        except BaseException as found:
            error = f"{type(found).__name__}: {found}"
        print(json.dumps({"error": error, "printed": printed}), file=out, flush=True)
        if error:
            return


if __name__ == "__main__":
    main()
