"""Sums of modules against the same blocks flattened, at sizes where both run."""

import pytest

from synth import composition

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.mark.parametrize(("block", "preset"), [("axi_reader", "default"), ("axi_writer", "default")])
def test_sum_of_modules_is_close_to_flat_synthesis(block, preset):
    result = composition.compose(block, preset, check=True)
    assert len(result["modules"]) > 2
    assert result["ge"] >= composition.LEAST_GE
    assert abs(result["flat"]["difference"]) <= composition.BOUND
    assert result["flat"]["memory_bits"] <= result["sram"]["bits"]
