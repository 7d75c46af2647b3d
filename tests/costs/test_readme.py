"""The README says what the tools say: it is rendered from the committed costs, and the costs are measured again."""

import pytest

from zoetrope.golden.simcore.chip.simcore import Geometry
from zoetrope.hw.catalogue import BLOCKS
from zoetrope.sim.host.simcore import settings_of
from zoetrope.sim.input import clips
from zoetrope.sim.studies import head
from zoetrope.synth.costs import lanes, runs
from zoetrope.synth.report import readme

COSTS = readme.expected()
EXPECTED = {row["block"]: row for row in COSTS["blocks"]}


def test_readme_is_rendered_from_the_committed_costs():
    text = readme.README.read_text()
    assert readme.render(text, COSTS) == text, "`make readme` renders it"


def test_every_block_has_a_row():
    assert list(EXPECTED) == list(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_gate_counts_are_the_committed_ones(block):
    """To the last gate, with the pinned tools. `make readme` writes a new row where a change is meant."""
    (result,) = runs.measure_all([(BLOCKS[block], BLOCKS[block].default)], technologies=("generic",))
    assert result["generic"] == EXPECTED[block]["generic"]
    assert result["tools"] == EXPECTED[block]["tools"]


@pytest.mark.parametrize("row", COSTS["operators"], ids=lambda row: row["block"])
def test_deepest_operators_close_the_target(row):
    """120 MHz on ECP5 speed grade 6 as committed, by the very gates that are built now."""
    assert row["ecp5"]["fmax_mhz"] >= 120
    pair = (BLOCKS[row["block"]], readme.DEEPEST)
    (result,) = runs.measure_all([pair], technologies=("generic",))
    assert result["generic"] == row["generic"]


def test_every_operator_has_a_deepest_row():
    assert [row["block"] for row in COSTS["operators"]] == [block.name for block in readme.arithmetic()]


@pytest.mark.parametrize("lane", lanes.LANES, ids=lambda lane: lane.name)
def test_gates_of_lanes_are_the_committed_ones(lane):
    row = next(row for row in COSTS["lanes"] if row["name"] == lane.name)
    assert lanes.area(lane) == row["area"]


def test_lanes_meet_what_the_machine_was_planned_with():
    """An FP16 lane of at most 4,200 GE; the best mixed lane, tables included, at most two thirds of it."""
    fp16, *mixed = (row["area"]["lane"] + row["area"]["table_ge"] for row in COSTS["lanes"])
    assert fp16 <= 4200
    assert min(mixed) <= 2 / 3 * fp16


def test_cycles_of_the_head_are_the_committed_ones():
    """All features, in RTL. `zoetrope readme --head` writes new ones where a change is meant."""
    found = COSTS["head"]
    g, preset = found["geometry"], found["preset"]
    geometry = Geometry(g["frames"], g["height"], g["width"])
    matrices = [x[: g["frames"]].reshape(g["tokens"], -1) for _, x in clips.load().items()]
    rtl, _ = head.run("all", preset, matrices, geometry, settings_of(BLOCKS["simcore"].config(preset)))
    assert rtl.counters == found["runs"]["all"]["counters"]
