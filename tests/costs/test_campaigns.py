# SPDX-License-Identifier: Apache-2.0
"""The long checks: their committed rows belong to what is here, and the command runs what is stale and nothing else."""

import json

import pytest

from zoetrope.command import campaign
from zoetrope.command.campaign import CAMPAIGNS, Job


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_committed_rows_belong_to_what_is_here(name):
    stale = [job.name for job in campaign.stale(name)]
    assert not stale, f"run `make campaign` and commit synth/results/campaigns.json: {', '.join(stale)}"


def test_no_row_has_a_mismatch():
    for name in ("benches", "netlists"):
        for job, row in campaign.committed()[name].items():
            assert row["vectors"] > 0 and row["mismatches"] == 0, job


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A campaign of two jobs, and its file."""
    monkeypatch.setattr(campaign, "FILE", tmp_path / "campaigns.json")
    monkeypatch.setattr(campaign, "CAMPAIGNS", {"small": lambda: [Job("one", "1", dict), Job("two", "2", dict)]})
    return campaign.FILE


def test_what_is_stale_is_run_and_written(small, capsys):
    small.write_text(json.dumps({"small": {"one": {"digest": "1"}, "two": {"digest": "old"}, "gone": {"digest": "3"}}}))
    assert campaign.main(["--check"]) == 1
    assert capsys.readouterr().out == "small: 1 of 2 are stale\n  two\n"
    assert campaign.main([]) == 0
    assert json.loads(small.read_text()) == {"small": {"one": {"digest": "1"}, "two": {"digest": "2"}}}
    assert campaign.main(["--check"]) == 0


def test_unknown_campaign(capsys):
    with pytest.raises(SystemExit):
        campaign.main(["bench"])
    assert "did you mean benches?" in capsys.readouterr().err
