# SPDX-License-Identifier: Apache-2.0
"""Benches on synthesised gates: ``make sim NETLIST=1``."""

import pytest
import synth_parts

from zoetrope.hw import emit
from zoetrope.hw.catalogue import BLOCKS
from zoetrope.hw.errors import ToolError
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.sim.run.harness import BenchFailed, simulate
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.flows import netlist

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.mark.parametrize("block", ["float_compare", "local_table"])
def test_bench_passes_on_gates(block):
    """Small ones, the second with a memory that stays RTL; `make campaign` runs all with ``netlist`` in the catalogue."""
    report = simulate(block, netlist=netlist.verilog)
    assert report.vectors
    assert not report.mismatches


def test_bench_fails_on_gates_that_are_wrong(tmp_path):
    """One NAND that is an AND."""
    text = netlist.verilog(BLOCKS["float_compare"].build(), "float_compare")
    assert "~(" in text
    path = tmp_path / "wrong.v"
    path.write_text(text.replace("~(", "(", 1))
    with pytest.raises(BenchFailed, match="differ"):
        simulate("float_compare", netlist=path)


def test_blocks_that_run_on_gates_are_many():
    """Those of the campaign of netlists: more than the two above, and larger ones."""
    chosen = {name for name, block in BLOCKS.items() if block.netlist}
    assert {"float_compare", "lut_multiplier", "lut_pe"} <= chosen and len(chosen) > len(BLOCKS) // 4


def test_netlist_has_the_modules_that_are_counted():
    component = synth_parts.PRODUCT_ROW.build("four")
    text = netlist.verilog(component, "product_row")
    modules = flows.modules(emit.rtlil(component, "product_row"), "product_row")
    assert text.count("\nmodule ") == len(modules)
    assert all(f"module {name}" in text for name in modules)
    assert "*" not in text.replace("/*", "").replace("*/", "")  # the product is gates


def test_memories_apart_are_the_rtl_and_small_ones_are_gates():
    large = netlist.verilog(Sram(config=SramConfig(depth=64, width=16)), "sram_64x16_1r")
    small = netlist.verilog(Sram(config=SramConfig(depth=4, width=2)), "sram_4x2_1r")
    assert "[63:0]" in large
    assert "[3:0]" not in small


def test_memory_that_is_no_sram_is_an_error():
    with pytest.raises(ToolError, match="is no Sram"):
        netlist.verilog(synth_parts.TABLE.build(), "store")
