# SPDX-License-Identifier: Apache-2.0
"""Every example of the documentation does what the page says, in a folder of its own."""

import pytest
import tutorials

DOCS = tutorials.ROOT / "docs"

#: Tutorials that change the project: they are followed in a copy of it.
IN_A_COPY = ("add-a-block", "add-a-machine")

PAGES = {
    str(page.relative_to(tutorials.ROOT)): page
    for page in [tutorials.ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    if tutorials.steps(page.read_text())
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page, tmp_path):
    path, folder = PAGES[page], tmp_path / "here"
    folder.mkdir()
    packages = tutorials.copy_of_the_tree(folder) if path.stem in IN_A_COPY else None
    assert tutorials.run(path, folder, packages)


def test_every_tutorial_is_run():
    assert {path.stem for path in (DOCS / "tutorials").glob("*.md")} <= {path.stem for path in PAGES.values()}


def test_a_page_that_is_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    for body, message in (
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "line 1 prints\n1"),
        ("words\n\n```python\n1 / 0\n```\n", "line 3: ZeroDivisionError: division by zero"),
        ("```bash\nfalse\n```\n", "line 1: RuntimeError: status 1"),
        ("```diff\n--- a/x\n+++ b/there.md\n@@\n-there is no such line\n+here\n```\n", "has 0 places"),
    ):
        page.write_text(body)
        folder = tmp_path / str(len(body))
        folder.mkdir()
        (folder / "there.md").write_text("something else\n")
        with pytest.raises(AssertionError, match=message):
            tutorials.run(page, folder)


def test_prints_may_leave_something_open():
    assert tutorials.matches("a ... c\n", "a b, b c") and not tutorials.matches("a ... c\n", "a b")
