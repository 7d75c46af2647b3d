# SPDX-License-Identifier: Apache-2.0
"""The tables of README and docs: links, sizes and names; that pages have them as they are is a test of ``tests/docs``."""

import pytest

from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.synth.report import markdown, readme
from zoetrope.synth.results import rows

COSTS = rows.committed()


def test_links_of_a_page_below_the_root_lead_up():
    page = "<!-- operators -->\n<!-- /operators -->\n"
    assert "](hw/arith/exp.py)" in readme.render(page, COSTS, None)
    assert "](../../hw/arith/exp.py)" in readme.render(page, COSTS, None, up=2)


def test_headlines_have_a_row_a_machine():
    lines = readme.headlines(COSTS).splitlines()
    header, names = (
        lines[0].split(" | "),
        [line.split(" | ")[0].strip("| ") for line in lines[2:] if line.startswith("|")],
    )
    assert names == [name.upper() for name in catalogue.MACHINES]
    simcore = dict(zip(header, lines[2].split(" | ")))
    machine = next(m for m in COSTS["machines"] if m["block"] == "simcore")
    assert simcore["logic"] == f"{machine['ge'] / 1e6:.2f} MGE" and simcore["the paper's"] == "3.89 MGE"
    assert simcore["memory"] == "1,000 KiB" and simcore["ratio |"] == "≥ 3.77 |"
    assert "2.4% of the chip" in lines[3], "ORBIS prints a share"


def test_tables_of_a_room():
    text = readme.table("blocks simcore.computing_engine", COSTS, None)
    rooms = {block.key for block in catalogue.BLOCKS.values() if block.room == "simcore.computing_engine"}
    assert text.count("\n| [`") == len(rooms) and all(f"[`{name}`]" in text for name in rooms)
    assert readme.table("blocks simcore", COSTS, None).count("\n| [`") > len(rooms)


def test_numbers_say_what_they_are():
    """A preset that is not called default is named; where there is no Fmax it says why."""
    text = readme.table("blocks", COSTS, None)
    row = next(line for line in text.splitlines() if line.startswith("| [`simcore`]"))
    assert ", preset tiny |" in row and "| not routed |" in row
    assert "| no register path |" in next(line for line in text.splitlines() if line.startswith("| [`lut_multiplier`]"))


def test_tables_that_do_not_exist_are_named():
    page = "<!-- costz -->\n<!-- /costz -->\n"
    with pytest.raises(UserError, match="there is no table 'costz'"):
        readme.render(page, COSTS, None)
    with pytest.raises(UserError, match="there is no room 'simcor'"):
        readme.table("blocks simcor", COSTS, None)
    with pytest.raises(UserError, match="no place for the table machines"):
        markdown.placed("text", "machines", "table")
