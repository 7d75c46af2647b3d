"""Errors that a user caused or can mend, and the way every command line shows them: one line, exit status 2."""

import functools
import sys


class UserError(Exception):
    """Its message says what was wrong, where, and what would be right. Command lines print it without a traceback."""


class ToolError(UserError, RuntimeError):
    """A tool of the flow is missing or failed."""


class UnknownName(UserError, ValueError):
    """A block, preset or other name that does not exist; the message lists those that do."""


def command_line(main):
    """Decorate a ``main`` so that a ``UserError`` becomes one ``error:`` line and exit status 2, Ctrl-C status 130."""

    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    return wrapper
