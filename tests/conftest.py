# SPDX-License-Identifier: Apache-2.0
"""Tests that take long: run where something changed, looked up in the committed rows where nothing did.

A test marked ``campaign`` is a part of ``zoetrope campaign tests``. While the row of its file belongs to what the file would
be run on now, the suite takes the row's word; else it runs the test, and ``tests/costs/test_campaigns.py`` says that the
row is old. ``pytest --campaign`` runs them in any case.
"""

import pytest

from zoetrope.command import campaign

LOOKED_UP = "looked up"


def pytest_addoption(parser):
    parser.addoption("--campaign", action="store_true", help="run the tests of the campaign, also where their row fits")


def pytest_configure(config):
    config.addinivalue_line("markers", "campaign: takes long; looked up where its committed row fits")


class LookedUp(pytest.Item):
    """A test in whose place a committed row stands: nothing is run, and none of its fixtures is made."""

    def runtest(self):
        self.user_properties.append((LOOKED_UP, True))

    def reportinfo(self):
        return self.path, None, self.name


def pytest_collection_modifyitems(config, items):
    marked = [item for item in items if item.get_closest_marker("campaign")]
    if marked and not config.getoption("campaign"):
        jobs = list(campaign.tests())
        fitting = {job.name for job in jobs} - {job.name for job in campaign.stale("tests", jobs)}
        for number, item in enumerate(items):
            if item in marked and str(item.path.relative_to(config.rootpath)) in fitting:
                items[number] = LookedUp.from_parent(item.parent, name=item.name)
                items[number].add_marker("campaign")


def pytest_terminal_summary(terminalreporter):
    passed = terminalreporter.getreports("passed")
    number = sum((LOOKED_UP, True) in report.user_properties for report in passed if report.when == "call")
    if number:
        terminalreporter.write_line(f"{number} of them by rows of `make campaign`; `pytest --campaign` runs them")
