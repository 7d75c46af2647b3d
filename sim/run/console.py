# SPDX-License-Identifier: Apache-2.0
"""Where tables are printed."""

import sys

from rich.console import Console


def console_of(width):
    """A console on standard output: as wide as a terminal is, of ``width`` columns where there is none."""
    return Console() if sys.stdout is not None and sys.stdout.isatty() else Console(width=width)
