# SPDX-License-Identifier: Apache-2.0
"""What mkdocs asks of this project while it builds the site: the pages that are made, links, and figures with links.

``mkdocs.yml`` names this file. Nothing that is made here is written into the repository.
"""

import logging
import posixpath
import re

from mkdocs.structure.files import File

from zoetrope.command import main
from zoetrope.command.site import blocks, links
from zoetrope.command.site.figures import FIGURES
from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.synth.report.markdown import markdown as table

log = logging.getLogger("mkdocs.hooks.zoetrope")

_FIGURE = re.compile(r'<p><img alt="[^"]*" src="[^"]*figures/(\w+)\.svg"\s*/?></p>')

#: Folders whose files are shown as text.
_CODE = ("golden", "hw", "sim", "synth", "command", "tests")

#: Other files that pages lead to.
_OTHERS = ("LICENSE", "CITATION.cff", "synth/boards/boards.json", "synth/technologies/sram.csv")


def on_files(files, config):
    """The pages of blocks, of commands, those at the root of the repository, and the text of the code."""
    costs = blocks.Costs()
    made = {f"{blocks.FOLDER}/index.md": blocks.index(costs), "commands.md": commands()}
    for block in catalogue.BLOCKS.values():
        try:
            made[blocks.page_of(block)] = blocks.page(block, costs)
        except UserError as error:
            log.warning("no page of block %s: %s", block.name, error)
    for name, page in links.OUTSIDE.items():
        made[page] = (links.ROOT / name).read_text()
    code = (path for top in _CODE for path in (links.ROOT / top).rglob("*.py"))
    for path in sorted((*code, *(links.ROOT / name for name in _OTHERS))):
        made[f"{links.SOURCE}/{path.relative_to(links.ROOT)}.txt"] = path.read_text()
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def commands():
    """The page of the one command's subcommands."""
    cells = [(f"`zoetrope {name}`", f"{text[0].upper()}{text[1:]}.") for name, (_, text) in main.COMMANDS.items()]
    return (
        "# Commands\n\nThere is one command, `zoetrope`. In a clone it is `.venv/bin/zoetrope`, and `make` targets call it; "
        "`zoetrope COMMAND --help` lists the options of each. It ends with status 0 when all is well, 1 when something "
        "differs from what it should be, and 2 for what you can mend yourself, which it says in one line.\n\n"
        + table(("command", "what it does"), cells)
        + "\n"
    )


def on_page_markdown(markdown, page, config, files):
    home = "" if page.file.src_uri in links.OUTSIDE.values() else None
    try:
        return links.rewritten(markdown, page.file.src_uri, home)
    except links.NoSuchPage as error:
        log.warning("%s: %s", page.file.src_uri, error)
        return markdown


def on_page_content(html, page, config, files):
    """A figure stands in the page itself, so that its boxes lead to their blocks."""

    def link(to):
        path, _, anchor = links.page_for(to).partition("#")
        file = files.get_file_from_path(path)
        if file is None:
            log.warning("%s: a box leads to %s, which is no page", page.file.src_uri, to)
            return "#"
        address = posixpath.relpath(file.dest_uri, posixpath.dirname(page.file.dest_uri) or ".")
        return f"{address}#{anchor}" if anchor else address

    return _FIGURE.sub(lambda match: f'<div class="figure">{FIGURES[match[1]]().svg(link)}</div>', html)
