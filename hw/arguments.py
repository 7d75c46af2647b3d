# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, each written once, and answers as JSON.

A command's ``main`` makes a ``Parser``, adds the shared options by its methods and its own ones by ``add_argument``::

    parser = arguments.Parser("synth", "What every block costs.", "zoetrope synth --block exp")
    parser.block()
    parser.json()
    options = parser.parse_args(argv)
    with arguments.answer(options) as answer:
        print("a table")
        answer({"what": "the table says"})
"""

import argparse
import contextlib
import dataclasses
import difflib
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from zoetrope.hw.errors import ArgumentParser, UserError, whole


class Parser(ArgumentParser):
    """Of ``zoetrope <command>``: ``what`` it does, and ``examples``, command lines that are right.

    Every option that is called the same in two commands means the same in both.
    """

    def __init__(self, command, what, *examples):
        super().__init__(
            prog=f"zoetrope {command}",
            description=what,
            epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_args(self, arguments=None, namespace=None):
        options, rest = self.parse_known_args(arguments, namespace)
        for word in rest:
            name = word.partition("=")[0]
            if not name.startswith("-"):
                self.exit(2, f"error: there is no argument {word!r}; see --help\n")
            close = difflib.get_close_matches(name, self._known(), 2, 0.6)
            meant = f"did you mean {' or '.join(close)}?" if close else "see --help"
            self.exit(2, f"error: there is no option {name}; {meant}\n")
        return options

    def _known(self):
        return sorted(set(re.findall(r"--[\w-]+", self.format_usage())))

    def block(self, meaning="one block instead of all", **more):
        self.add_argument("--block", metavar="NAME", type=_name, help=meaning, **more)

    def preset(self, meaning="its preset; the default one otherwise", **more):
        self.add_argument("--preset", metavar="NAME", type=_name, help=meaning, **more)

    def own(self):
        """``--set`` and ``--name``: a config that is no preset."""
        self.add_argument(
            "--set",
            dest="changes",
            metavar="PARAMETER=VALUE",
            action="append",
            default=[],
            help="another value of a parameter of the preset, as in --set lanes=8; may be repeated",
        )
        self.add_argument("--name", help="of the block so changed; made of the changes otherwise")

    def jobs(self, meaning="tools that run at a time (default: one a core)", default=None):
        self.add_argument("--jobs", metavar="N", type=whole(1), default=default, help=meaning)

    def seed(self, meaning, default=None):
        self.add_argument("--seed", metavar="N", type=whole(), default=default, help=meaning)

    def liberty(
        self, meaning="a standard-cell library, for um2, delay and power; else one found under $PDK_ROOT", **more
    ):
        self.add_argument("--liberty", metavar="LIB", help=meaning, **more)

    def out(self, default, meaning="folder of the results"):
        self.add_argument("-o", "--out", metavar="PATH", default=default, help=f"{meaning} (default: %(default)s)")

    def json(self):
        self.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, on stdout")


def _name(text):
    """The type of an option that is a name: a variable of a shell that was not set is none."""
    if not text:
        raise argparse.ArgumentTypeError("must be a name, not nothing")
    return text


@contextlib.contextmanager
def answer(options):
    """Yield a function that takes the result of a command. With ``--json`` it is printed at the end, whatever is printed
    inside goes to stderr; else it is dropped.
    """
    if not options.json:
        yield lambda result: None
        return
    found = []
    with contextlib.redirect_stdout(sys.stderr):
        yield found.append
    print(json.dumps(plain(found[-1]), indent=2, allow_nan=False))


def plain(value):
    """``value`` as JSON has it: named tuples and dataclasses by their fields, keys as text, null for what is no number."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # of NumPy
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _key(key):
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def folder(path):
    """The folder ``path``, made if it is not there. ``UserError`` where nothing can be written to it."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise UserError(f"cannot write to {path}: it is read-only")
    return path


def picture(path):
    """The path of a picture to be written. ``UserError`` for what is neither SVG nor PNG."""
    path = Path(path)
    if path.suffix not in (".svg", ".png"):
        raise UserError(f"--out must end in .svg or .png, not {path.name}")
    return path


def repository():
    """The folder of the repository that this runs from. ``UserError`` for an installed package, which has none."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "pyproject.toml").exists():
        raise UserError(
            "this command changes files of the repository, and Zoetrope is an installed package here: run it in a clone, "
            "after `make setup`"
        )
    return root
