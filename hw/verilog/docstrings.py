# SPDX-License-Identifier: Apache-2.0
"""Docstrings of classes, whether or not Python keeps them: under ``PYTHONOPTIMIZE=2`` they are read from the source."""

import ast
import inspect
import sys
import textwrap


def docstring(of):
    """The docstring of the class ``of`` itself, without indentation; "" if it has none."""
    text = of.__dict__.get("__doc__")
    if text is None and sys.flags.optimize > 1:
        try:
            source = inspect.getsource(of)
        except (OSError, TypeError):  # of no file
            return ""
        text = ast.get_docstring(ast.parse(textwrap.dedent(source)).body[0], clean=False)
    return inspect.cleandoc(text or "")


def inherited(of):
    """The docstring of the class ``of``, or of the first of its bases that has one."""
    return next(filter(None, map(docstring, of.__mro__)), "")
