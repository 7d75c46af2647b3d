# SPDX-License-Identifier: Apache-2.0
"""The drawings of the report: every block, its machine's own drawing, lines that are the hierarchy."""

import re

import pytest

from zoetrope.hw.catalogue import BLOCKS
from zoetrope.synth.report import diagram
from zoetrope.synth.results import rows

COMMITTED = rows.committed()


def test_lines_are_the_emitted_hierarchy():
    """A module of a block's netlist that is named after another block is reached by the lines from it."""
    uses = diagram.edges()

    def reached(name):
        return {name}.union(*(reached(part) for part in uses[name]))

    found = 0
    for row in COMMITTED["blocks"]:
        for module in row["generic"]["modules"]:
            stem = re.sub(r"(_stream)?_[0-9a-f]{8}$", "", module.partition(".")[0])
            if stem in BLOCKS:
                found += 1
                assert stem in reached(row["block"]), f"{row['block']} has a {module}"
    assert found > 2 * len(BLOCKS)


def test_lines_by_hand():
    uses = diagram.edges()
    assert uses["ewu"] == ["float_add", "float_multiply", "float_compare"]
    assert uses["axi_master"] == ["axi_reader", "axi_writer"]
    assert "fp16_pe" in uses["computing_engine"] and "lut_pe" in uses["computing_engine"]
    assert uses["float_add"] == []


def test_every_block_is_in_a_drawing_and_a_machine_has_its_own():
    uses = diagram.edges(BLOCKS)
    drawings = diagram.drawings(BLOCKS)
    assert drawings == ["simcore", "orbis", diagram.SHARED]
    shown = {name: diagram.members(name, BLOCKS, uses) for name in drawings}
    assert set().union(*shown.values()) == set(BLOCKS)
    for name, block in BLOCKS.items():
        assert name in shown[block.machine or diagram.SHARED]
    assert "min_tree" in shown["orbis"] and "sfu" in shown["simcore"], "what they are made of"


@pytest.mark.parametrize("drawing", ["simcore", "orbis", diagram.SHARED])
def test_boxes_stand_in_their_rooms_and_apart(drawing):
    uses = diagram.edges(BLOCKS)
    blocks = {name: BLOCKS[name] for name in diagram.members(drawing, BLOCKS, uses)}
    uses = {name: [part for part in uses[name] if part in blocks] for name in blocks}
    inside = diagram.bands_of(drawing, blocks)
    bands, places, height = diagram.layout(inside, uses)
    assert set(places) == set(blocks)
    tops = {title: (top, top + tall) for title, top, tall in bands}
    boxes = []
    for title, names in inside.items():
        for name in names:
            (x, y), (top, foot) = places[name], tops[title]
            assert top < y and y + diagram._BOX < foot and foot < height
            assert x >= 0 and x + diagram._width(name) <= diagram._WIDTH
            boxes.append((x, y, x + diagram._width(name)))
    for x, y, right in boxes:
        assert not [box for box in boxes if box[1] == y and x < box[0] < right]


def test_a_drawing_is_no_tangle():
    """At rest a machine has hardly more lines than blocks; all of them show where a block is pointed at."""
    drawn = diagram.svg("simcore", BLOCKS)
    blocks = sum(block.machine == "simcore" for block in BLOCKS.values())
    assert 0 < drawn.count('class="line"') <= 1.5 * blocks
    assert drawn.count('class="own"') > 2 * blocks
    assert diagram.needed({"a": ["b", "c"], "b": ["c"], "c": []}) == {"a": ["b"], "b": ["c"], "c": []}
