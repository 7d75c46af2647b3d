"""The README says what the tools say: it is rendered from the committed costs, and the costs are measured again."""

import pytest

from hw.generate import default_preset
from hw.registry import BLOCKS
from synth import readme, runs

EXPECTED = {row["block"]: row for row in readme.expected()}


def test_readme_is_rendered_from_the_committed_costs():
    text = readme.README.read_text()
    assert readme.render(text, readme.expected()) == text, "`make readme` renders it"


def test_every_block_has_a_row():
    assert list(EXPECTED) == list(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_gate_counts_are_the_committed_ones(block):
    """To the last gate, with the pinned tools. `make readme` writes a new row where a change is meant."""
    (result,) = runs.measure_all([(BLOCKS[block], default_preset(BLOCKS[block]))], technologies=("generic",))
    assert result["generic"] == EXPECTED[block]["generic"]
    assert result["tools"] == EXPECTED[block]["tools"]
