# SPDX-License-Identifier: Apache-2.0
"""The documentation: pages are what they are rendered from, the site builds strictly, every link leads somewhere."""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from zoetrope.command import docs
from zoetrope.command.site import docstrings, links
from zoetrope.command.site.blocks import page_of
from zoetrope.command.site.figures import FIGURES
from zoetrope.hw import catalogue

ROOT = links.ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Page(html.parser.HTMLParser):
    """Anchors of a page, and where its links lead."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        self.links |= {found[name] for name in ("href", "src") if found.get(name)}


def test_pages_are_what_they_are_rendered_from():
    for path, text in docs.rendered().items():
        assert path.read_text() == text, f"`zoetrope docs` renders {path.relative_to(ROOT)}"


def test_every_link_of_the_site_leads_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        if path.name == "404.html":  # its links are from the root of a server
            continue
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = unquote(link).partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), f"{path.relative_to(site)} leads to {link}"
            if anchor and target in pages:
                assert anchor in pages[target].anchors, f"{path.relative_to(site)} leads to {link}"


def test_every_block_has_a_page_and_every_machine_says_whether_it_is_built(site):
    for block in catalogue.BLOCKS.values():
        assert (site / page_of(block)).with_suffix(".html").exists(), block.id
    front = (ROOT / "docs" / "index.md").read_text()
    built = {block.machine for block in catalogue.BLOCKS.values()}
    for machine, paper in catalogue.MACHINES.items():
        row = next(line for line in front.splitlines() if line.startswith("|") and f"| {paper}" in line)
        assert ("Nothing yet." in row) == (machine not in built), row


def test_links_of_the_repository_lead_to_files():
    """As they are read in the repository, without the site."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
            made_for_the_site = page.parent / target == ROOT / "docs" / "commands.md" or "blocks/" in target
            assert ":" in target or made_for_the_site or (page.parent / target).exists(), (
                f"{page.name} leads to {target}"
            )


@pytest.mark.parametrize("name", FIGURES)
def test_boxes_of_figures_lead_to_blocks_or_pages(name):
    figure = FIGURES[name]()
    assert figure.targets
    for to in figure.targets:
        assert links.page_for(to)
    assert figure.svg().count("<a ") == 0 and figure.svg(lambda to: "#").count("<a ") == len(figure.targets)


def test_a_figure_of_a_block_that_there_is_not_is_an_error():
    with pytest.raises(catalogue.UnknownName, match="there is no block 'lut_pee'; did you mean lut_pe"):
        links.page_for("lut_pee")


def test_links_lead_to_pages_of_blocks_and_to_code():
    def rewritten(text, page="costs.md"):
        return links.rewritten(text, page)

    assert rewritten("[a](../hw/arith/exp.py)") == "[a](blocks/arith/exp.md)"
    assert rewritten("[a](../../sim/model/cycles.py#x)", "machines/m.md") == "[a](../source/sim/model/cycles.py.txt#x)"
    assert rewritten("[a](../CHANGELOG.md)") == "[a](changelog.md)"
    assert rewritten("[a](https://b.c/d)") == "[a](https://b.c/d)"
    assert rewritten("```\n[a](nowhere)\n```") == "```\n[a](nowhere)\n```"
    with pytest.raises(links.NoSuchPage, match=r"there is no hw/arith/expp\.py"):
        rewritten("[a](../hw/arith/expp.py)")


def test_docstrings_become_markdown():
    text = """First, ``a_b`` and x_y, 1 < 2, 2**k::

        code  # <here>

    Members
    -------
    i : In(stream), words
        of two lines
    o : Out(1)

    * a point
    """
    assert docstrings.markdown(text) == (
        "First, `a_b` and x\\_y, 1 &lt; 2, 2\\*\\*k:\n\n```text\ncode  # <here>\n```\n\n"
        "**Members**\n\n- `i`: In(stream), words\n  of two lines\n- `o`: Out(1)\n\n\n* a point\n"
    )
    assert docstrings.markdown(None) == ""


def test_the_readme_is_short():
    assert len(Path(ROOT, "README.md").read_text().splitlines()) <= 150
