# SPDX-License-Identifier: Apache-2.0
"""Errors that a user caused or can mend, and the way every command line shows them: one line, exit status 2.

A command is a ``main`` under ``command_line`` whose options are those of an ``ArgumentParser`` of this module.
"""

import argparse
import contextlib
import errno
import functools
import math
import os
import re
import signal
import sys


class UserError(Exception):
    """Its message says what was wrong, where, and what would be right. Command lines print it without a traceback."""


class ToolError(UserError, RuntimeError):
    """A tool of the flow is missing or failed."""


class UnknownName(UserError, ValueError):
    """A block, preset or other name that does not exist; the message lists those that do."""


class ArgumentParser(argparse.ArgumentParser):
    """One whose errors are one ``error:`` line, as all others are; ``--help`` has the usage that argparse would print.

    A ``type`` of an option raises ``argparse.ArgumentTypeError("must be ...")``, and the option's name is put before it.
    """

    def error(self, message):
        self.exit(2, f"error: {plain(message)}\n")


_NOUNS = {"int": "a whole number", "float": "a number"}


def plain(message):
    """What argparse says of an option, as ``UserError`` says it of a value: what it must be, and what it is."""
    named = re.fullmatch(r"argument (\S+): (.*)", message, re.DOTALL)
    if not named:
        return message.replace("unrecognized arguments:", "there is no option") + "; see --help"
    option, fault = named[1].partition("/")[0], named[2]
    if wrong := re.fullmatch(r"invalid (int|float) value: (.*)", fault, re.DOTALL):
        return f"{option} must be {_NOUNS[wrong[1]]}, not {wrong[2]}"
    if wrong := re.fullmatch(r"invalid choice: (.*) \(choose from (.*)\)", fault, re.DOTALL):
        return f"{option} must be one of {wrong[2].replace(chr(39), '')}, not {wrong[1]}"
    return f"{option} {fault}" if fault.startswith("must ") else f"{option}: {fault}"


def whole(least=None):
    """The type of an option that is a whole number, of at least ``least``."""
    bound = "" if least is None else f" of at least {least}"

    def of(text):
        if re.fullmatch(r"[+-]?[0-9]{19,}", text):
            raise argparse.ArgumentTypeError(f"must be a whole number of at most 18 digits, not {text}")
        if not re.fullmatch(r"[+-]?[0-9]+", text) or (least is not None and int(text) < least):
            raise argparse.ArgumentTypeError(f"must be a whole number{bound}, not {text or 'nothing'}")
        return int(text)

    return of


def finite(least=None):
    """The type of an option that is a finite number, of at least ``least``."""
    bound = "" if least is None else f" of at least {least}"

    def of(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (least is not None and value < least):
            raise argparse.ArgumentTypeError(f"must be a finite number{bound}, not {text or 'nothing'}")
        return value

    return of


def _drop_output():
    """Nothing is left to be flushed to standard output at exit."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # where it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line(main):
    """Decorate a ``main`` so that a ``UserError`` becomes one ``error:`` line and exit status 2, Ctrl-C status 130.

    So does a file that cannot be read or written, of which the system says why: a disk that is full, a tree that is
    read-only. Whoever reads standard output may close it early; the status is then that of a program that ends by SIGPIPE.
    """

    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            status = main(*args, **kwargs)
            if sys.stdout is not None:
                sys.stdout.flush()  # what cannot be written is known here, and not at exit
            return status
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except BrokenPipeError:
            _drop_output()
            sys.exit(128 + signal.SIGPIPE)
        except OSError as error:
            if error.strerror is None or (error.filename is None and error.errno != errno.ENOSPC):
                raise
            if error.filename is None:
                _drop_output()
            where = "standard output" if error.filename is None else os.fsdecode(error.filename)
            print(f"error: {where}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    return wrapper
