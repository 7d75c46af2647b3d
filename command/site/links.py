# SPDX-License-Identifier: Apache-2.0
"""Where a link of a page leads on the site.

Pages of ``docs`` are read in two places: in the repository, where a link leads to a file, and on the site. There a link to a
block's component leads to the block's page, one to another file of the code to its text, one to a page to that page.
"""

import posixpath
import re
from functools import cache
from pathlib import Path

from zoetrope.command.site.blocks import page_of
from zoetrope.hw import catalogue

#: The repository.
ROOT = Path(__file__).resolve().parents[2]

#: The folder of the site that has the text of the code's files.
SOURCE = "source"

#: Pages of the site that stand at the root of the repository.
OUTSIDE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}

_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


class NoSuchPage(ValueError):
    """A link leads to nothing."""


@cache
def _components():
    return {block.file("hw"): page_of(block) for block in catalogue.BLOCKS.values()}


def on_site(path):
    """The page or file of the site for ``path`` from the root of the repository. ``NoSuchPage`` where there is none."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path in _components():
        return _components()[path]
    file = path.removeprefix(f"{SOURCE}/")
    if (ROOT / file).is_file():
        return f"{SOURCE}/{file}.txt"
    raise NoSuchPage(f"there is no {path}")


def page_for(to):
    """The page, with its anchor, for the ``to`` of a box: a block's, or the page that it names."""
    return to if ".md" in to else page_of(catalogue.find(to))


def rewritten(markdown, page, home=None):
    """``markdown`` of the page ``page`` with its links as the site has them; code is left alone.

    ``home``: the folder of the repository that the page's links start from, if it is not the page's own below ``docs``.
    """
    home = posixpath.join("docs", posixpath.dirname(page)) if home is None else home
    here, code, lines = posixpath.dirname(page), False, []

    def link(match):
        target = match[2]
        if re.match(r"[a-z]+:", target):
            return match[0]
        found = on_site(posixpath.normpath(posixpath.join(home, target)))
        return f"{match[1]}{posixpath.relpath(found, here or '.')}{match[3]}"

    for line in markdown.split("\n"):
        if line.lstrip().startswith("```"):
            code = not code
        lines.append(line if code else _LINK.sub(link, line))
    return "\n".join(lines)
