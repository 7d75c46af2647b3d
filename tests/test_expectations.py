"""Exact gate counts of presets, as committed: ``python -m synth.expectations`` writes them anew where a change is meant."""

import json

import pytest
import synth_parts

from hw import registry
from synth import cache, expectations

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

COMMITTED = expectations.committed()


@pytest.mark.parametrize("name", COMMITTED["rows"])
def test_gate_counts_are_the_committed_ones(name):
    block, _, preset = name.partition(".")
    assert expectations.measured([(registry.find(block), preset)]) == {name: COMMITTED["rows"][name]}


def test_rows_are_of_the_pinned_tools():
    assert COMMITTED["tools"] == cache.tools()


def test_command_rewrites_rows_and_keeps_the_others(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(registry, "BLOCKS", synth_parts.BLOCKS)
    monkeypatch.setattr(expectations, "FILE", tmp_path / "presets.json")
    gone = {"tools": cache.tools(), "rows": {"register.gone": {}, "store.small": {"ge": 1.0}}}
    expectations.FILE.write_text(json.dumps(gone))
    expectations.main(["--block", "register"])
    row = {"ge": 64.0, "cells": 16, "flops": 16, "memory_bits": 0}
    assert expectations.committed()["rows"] == {"register.wide": row, "store.small": {"ge": 1.0}}
    assert "2 rows, 1 of them new or changed" in capsys.readouterr().out


def test_rows_of_other_tools_are_dropped(monkeypatch):
    monkeypatch.setattr(registry, "BLOCKS", synth_parts.BLOCKS)
    before = {"tools": {"yosys": "another"}, "rows": {"store.small": {"ge": 1.0}}}
    assert expectations.updated(before, {"register.wide": {}}, {"yosys": "this"})["rows"] == {"register.wide": {}}
