# SPDX-License-Identifier: Apache-2.0
"""``make synth``: known designs with known counts, in the pinned tools."""

import gzip
import importlib.metadata
import json
import os
import re
import subprocess

import pytest
import synth_parts

from zoetrope import synth
from zoetrope.command import synth as command
from zoetrope.hw import cache, catalogue, emit, tools
from zoetrope.hw.errors import ToolError, UnknownName, UserError
from zoetrope.synth.costs import composition, runs
from zoetrope.synth.flows import fpga
from zoetrope.synth.papers import figures, simpicker
from zoetrope.synth.report import tables as report
from zoetrope.synth.technologies import libraries as technologies
from zoetrope.synth.technologies import sram

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

REAL = catalogue.BLOCKS

_TIMES = 'index_1("0.01, 1"); index_2("1, 100"); values("{a}, {b}", "{b}, {c}");'


def _arc(kind, related, sense=""):
    tables = "".join(
        f"{name}(grid) {{ {_TIMES.format(a=0.01, b=0.1, c=0.2)} }}"
        for name in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    )
    return f'timing() {{ related_pin : "{related}"; {sense} timing_type : {kind}; {tables} }}'


def _gate(name, area, function):
    inputs = [pin for pin in "AB" if pin in function]
    pins = "".join(f"pin({pin}) {{ direction : input; capacitance : 1; }}\n" for pin in inputs)
    arcs = "".join(_arc("combinational", pin, "timing_sense : negative_unate;") for pin in inputs)
    output = f'pin(Y) {{ direction : output; function : "{function}"; max_capacitance : 100; {arcs} }}'
    return f"cell({name}) {{ area : {area};\n{pins}{output} }}\n"


HEAD = """library(tiny) {
  time_unit : "1ns"; capacitive_load_unit(1, ff); leakage_power_unit : "1nW"; voltage_unit : "1V"; current_unit : "1mA";
  nom_voltage : 1.0; default_max_transition : 1; delay_model : table_lookup;
  lu_table_template(grid) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1("0.01, 1"); index_2("1, 100"); }
"""
GATES = _gate("INV", 1, "!A") + _gate("BUF", 1.5, "A") + _gate("NAND2", 2, "(A B)'") + _gate("NOR2", 2.5, "!(A | B)")
FLOP = (
    'cell(DFF) { area : 9; ff(IQ, IQN) { clocked_on : "C"; next_state : "D"; }\n'
    "pin(C) { direction : input; clock : true; capacitance : 1; }\npin(D) { direction : input; capacitance : 1; }\n"
    f'pin(Q) {{ direction : output; function : "IQ"; max_capacitance : 100; {_arc("rising_edge", "C")} }} }}\n'
)
LIBERTY = HEAD + GATES + FLOP + "}\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache of this module's own, cold at its first test."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def environment(monkeypatch, kept):
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
    monkeypatch.setenv("ZOETROPE_CACHE", str(kept))
    monkeypatch.delenv("PDK_ROOT", raising=False)


@pytest.fixture
def real_blocks(monkeypatch):
    monkeypatch.setattr(catalogue, "BLOCKS", REAL)


@pytest.fixture
def liberty(tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(LIBERTY)
    return path


# -- counts --------------------------------------------------------------------------------------------------------------


def test_register_is_flip_flops_and_nothing_else():
    result = synth.measure("register")
    assert result["generic"]["flops"] == result["generic"]["cells"] == 8
    assert result["generic"]["ge"] == result["generic"]["flop_ge"] == 32
    assert result["generic"]["memories"] == []
    assert result["generic_flops"] is None
    ecp5 = result["ecp5"]
    assert (ecp5["ff"], ecp5["lut4"], ecp5["dsp"], ecp5["bram"], ecp5["fits"]) == (8, 0, 0, 0, True)


def test_repeated_module_is_counted_and_parts_add_up():
    two, four = synth.measure("product_row"), synth.measure("product_row", "four", route_ge=0)
    for result, lanes in ((two, 2), (four, 4)):
        generic = result["generic"]
        modules = generic["modules"]
        assert sum(part["count"] * part["ge"] for part in modules.values()) == generic["ge"]
        assert sorted(part["count"] for part in modules.values()) == [1, lanes]
        assert generic["flops"] == 18 * lanes + 1
        assert (result["lanes"], result["ecp5"]["dsp"]) == (lanes, lanes)
        assert result["ge_per_lane"] == pytest.approx(generic["ge"] / lanes, abs=0.01)
    # A lane costs the same in either row; the rest is a valid bit with its reset.
    assert four["generic"]["ge"] - two["generic"]["ge"] == 2 * 736.5


def test_memory_is_apart_and_the_logic_around_it_stays():
    generic = synth.measure("store", technologies=("generic",))["generic"]
    assert generic["flops"] == 0
    assert generic["memory_bits"] == 1024
    (memory,) = generic["memories"]
    assert memory == {
        "depth": 64,
        "width": 16,
        "bits": 1024,
        "read_ports": 1,
        "write_ports": 1,
        "clocked_reads": True,
        "count": 1,
    }
    # 16 XOR of the mask before it and 15 of the parity behind it, 12 transistors each.
    assert generic["ge"] == (16 + 15) * 12 / 4


def test_memory_as_flip_flops_is_a_row_of_its_own():
    result = synth.measure("store", technologies=("generic", "flops"))
    in_flops = result["generic_flops"]
    assert in_flops["flops"] == 1024 + 16  # and the register of the read port
    assert in_flops["memories"] == []
    assert in_flops["ge"] > result["generic"]["ge"] + 1024 * 4


def test_small_memory_is_flip_flops():
    result = synth.measure("store", "small", technologies=("generic",))
    assert result["generic"]["flops"] == 8 * 4 + 4
    assert result["generic"]["memory_bits"] == 0
    assert result["generic_flops"] is None


def test_ecp5_memory_and_clock():
    ecp5 = synth.measure("store")["ecp5"]
    assert ecp5["bram"] or ecp5["distributed_ram"]
    assert ecp5["fmax_mhz"] is None or ecp5["fmax_mhz"] > 50


def test_what_is_too_large_is_not_routed_but_counted_by_modules():
    routed = synth.measure("product_row", "four")
    result = synth.measure("product_row", "four", route_ge=1)
    ecp5 = result["ecp5"]
    assert (ecp5["method"], ecp5["fits"], ecp5["fmax_mhz"]) == ("modules", True, None)
    assert (ecp5["dsp"], routed["ecp5"]["method"]) == (4, "flat")
    assert "not routed: 2,952 GE" in report.rows_text([result])
    small, large = synth.measure("product_row", route_ge=1)["ecp5"], ecp5
    names = fpga.TARGETS["ecp5"].resources
    lane = {name: (large[name] - small[name]) / 2 for name in names}
    assert lane == {"lut4": 0, "carry": 0, "distributed_ram": 0, "ff": 18, "dsp": 1, "bram": 0}


def test_what_is_larger_still_has_no_cells_of_an_fpga():
    pair = (catalogue.find("product_row"), "four")
    (result,) = runs.measure_all([pair], count_ge=1)
    assert "ecp5" not in result
    (counted,) = runs.measure_all([pair], route_ge=1)
    rows = report.rows_text([result, counted]).splitlines()
    assert "not counted: 2,952 GE" in rows[2] and "not routed: 2,952 GE" in rows[3]


def test_other_fpgas_are_counted_when_asked_for():
    """Of the smallest block: the maps of a family take most of the time to read."""
    result = synth.measure("register", technologies=("generic", "ice40", "xilinx7"))
    assert (result["ice40"]["ff"], result["xilinx7"]["ff"]) == (8, 8)
    assert (result["ice40"]["dsp"], result["xilinx7"]["dsp"]) == (0, 0)
    assert "ecp5" not in result
    assert "xilinx7 lut6" in report.rows_text([result])


@pytest.mark.parametrize(
    ("kinds", "counted"),
    [
        ({"LUT6": 3, "INV": 1, "RAM64M": 2, "RAMB36E1": 1, "RAMB18E1": 1, "FDRE": 5, "MUXF7": 4}, (4, 8, 0, 5, 0, 3)),
        ({"CARRY4": 2, "DSP48E1": 1, "FDSE": 1, "SRL16E": 1, "part": 7}, (0, 1, 2, 1, 1, 0)),
    ],
)
def test_cells_of_an_fpga_are_counted_by_what_they_take(kinds, counted):
    assert tuple(fpga._resources(kinds, fpga.TARGETS["xilinx7"], ("part",)).values()) == counted


def test_undriven_logic_is_an_error():
    """Registers whose clock is not connected would be removed and cost nothing."""
    top = "product_row"
    text = emit.rtlil(synth_parts.PRODUCT_ROW.build(), top)
    with pytest.raises(ToolError, match=r"wires that nothing drives: .*clk"):
        fpga.ecp5(re.sub(r"^    connect \\clk .*\n", "", text, flags=re.M), top)


# -- Liberty -------------------------------------------------------------------------------------------------------------


def test_liberty_register_is_its_flip_flops(liberty):
    mapped = synth.measure("register", technologies=("generic",), liberty=liberty)["liberty"]
    assert (mapped["library"], mapped["nand2"], mapped["nand2_um2"]) == ("tiny", "NAND2", 2)
    assert (mapped["um2"], mapped["ge"], mapped["flops"], mapped["flop_share"]) == (8 * 9, 8 * 9 / 2, 8, 1)


def test_liberty_has_delay_and_keeps_memories_apart(liberty):
    mapped = synth.measure("store", technologies=("generic",), liberty=liberty)["liberty"]
    assert mapped["flops"] == 0
    assert mapped["um2"] >= 31 * 4 * 2  # an XOR is four NAND2 at best
    assert 50 < mapped["delay_ps"] < 200  # four XOR deep, some 10 ps a gate


def test_liberty_compressed_or_in_two_files(liberty, tmp_path):
    compressed, gates, flop = tmp_path / "tiny.lib.gz", tmp_path / "gates.lib", tmp_path / "flop.lib"
    compressed.write_bytes(gzip.compress(LIBERTY.encode()))
    gates.write_text(HEAD + GATES + "}\n")
    flop.write_text(HEAD + FLOP + "}\n")
    expected = synth.measure("register", technologies=("generic",), liberty=liberty)["liberty"]
    for path in (compressed, f"{gates}{os.pathsep}{flop}"):
        assert synth.measure("register", technologies=("generic",), liberty=path)["liberty"] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read Liberty file"),
        ("", "is not a Liberty file"),
        ("module m(); endmodule", "is not a Liberty file"),
        (LIBERTY[: len(LIBERTY) // 2], "is truncated"),
        (HEAD + GATES + "}\n", "has no flip-flop"),
        (HEAD + _gate("NAND2", 2, "!(A & B)") + FLOP + "}\n", "has no inverter"),
        (HEAD + _gate("INV", 1, "!A") + _gate("NOR2", 2, "!(A + B)") + FLOP + "}\n", "has no NAND2"),
        (HEAD + GATES.replace("area : 2;", "") + FLOP + "}\n", "has no NAND2 with an area"),
        (b"\x1f\x8b damaged", "cannot read Liberty file"),
        (gzip.compress(LIBERTY.encode())[:-20], "cannot read Liberty file"),
        (LIBERTY.replace('"1ns"', '"1fortnight"'), "has an unknown time_unit, 1fortnight"),
        (LIBERTY.replace("(1, ff)", "(1, acre)"), "has an unknown capacitive_load_unit, 1acre"),
    ],
)
def test_bad_liberty_is_one_line(content, message, tmp_path, capsys):
    path = tmp_path / "bad.lib"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit) as stop:
        command.main(["--block", "register", "--liberty", str(path), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_liberty_is_found_under_pdk_root(tmp_path, monkeypatch):
    preset = next(preset for preset in technologies.PRESETS if preset.pdk_path)
    path = tmp_path / preset.pdk_path
    path.parent.mkdir(parents=True)
    path.write_text(LIBERTY.replace("(NAND2)", f"({preset.nand2})").replace("(BUF)", f"({preset.drive})"))
    assert technologies.find_library() is None
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    found = technologies.find_library()
    assert (found.name, found.nand2, found.notes) == (preset.name, preset.nand2, ())


@pytest.mark.parametrize(
    "function", ["!(A & B)", "(A B)'", "!A | !B", "(A*B)'", "(!A) + (!B)", "A' + B'", "!(A&B) ^ 0"]
)
def test_nand2_is_known_by_its_function(function):
    assert technologies._truth_table(f'pin(Y) {{ function : "{function}"; }}') == (1, 1, 1, 0)


@pytest.mark.parametrize("function", ["A & B", "!(A | B)", "A ^ B", "!(A & B & C)", "!(A", "1"])
def test_other_functions_are_not_nand2(function):
    assert technologies._truth_table(f'pin(Y) {{ function : "{function}"; }}') != (1, 1, 1, 0)


# -- runs, cache, command line --------------------------------------------------------------------------------------------


def test_cache_hit_runs_no_tool(monkeypatch):
    first = synth.measure("product_row")

    def never(*arguments, **options):
        raise AssertionError("a tool was run")

    monkeypatch.setattr(emit, "yosys", never)
    monkeypatch.setattr(subprocess, "run", never)
    assert synth.measure("product_row") == first


def test_damaged_cache_entry_is_measured_again(kept):
    first = synth.measure("register")
    for path in (kept / "results").iterdir():
        path.write_text("{")
    assert synth.measure("register") == first


def _tools_run(monkeypatch):
    """The Yosys scripts that are run from here on."""
    scripts, real = [], emit.yosys
    monkeypatch.setattr(emit, "yosys", lambda script, *rest: (scripts.append(script), real(script, *rest))[1])
    return scripts


def test_module_of_two_presets_is_synthesised_once(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    scripts = _tools_run(monkeypatch)
    pairs = [(synth_parts.PRODUCT_ROW, preset) for preset in ("default", "four")]
    runs.measure_all(pairs, ("generic",))
    assert len(scripts) == 3  # a row of two, a row of four, a product


def test_run_goes_on_where_it_was_interrupted(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    real, calls = emit.yosys, []

    def interrupted(script, workdir):
        calls.append(script)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(script, workdir)

    pairs = [(synth_parts.PRODUCT_ROW, preset) for preset in ("default", "four")]
    monkeypatch.setattr(emit, "yosys", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.measure_all(pairs, ("generic",), jobs=1)
    monkeypatch.setattr(emit, "yosys", real)
    scripts = _tools_run(monkeypatch)
    results = runs.measure_all(pairs, ("generic",))
    assert len(scripts) == 1
    assert [result["lanes"] for result in results] == [2, 4]


def test_full_disk_is_one_line_and_leaves_nothing_behind(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "TECHNOLOGIES", ("generic",))
    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", full)
        with pytest.raises(SystemExit) as stop:
            command.main(["--block", "register", "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2
    assert error.startswith("error: register.default: cannot keep results in ")
    assert error.endswith(": No space left on device")
    assert list((tmp_path / "results").iterdir()) == []
    command.main(["--block", "register", "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "register.default.json").exists()


def test_temporary_folder_that_is_full_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(emit, "yosys", full)
    with pytest.raises(UserError, match=r"^register.default, generic: No space left on device: the folder of temp"):
        synth.measure("register")


# -- composition ---------------------------------------------------------------------------------------------------------


def test_composition_adds_up_and_agrees_with_flat_synthesis():
    result = composition.compose("product_row", "four", check=True)
    assert sum(row["ge_sum"] for row in result["modules"]) == result["ge"]
    assert (result["modules"][0]["count"], result["modules"][0]["ge"]) == (4, 736.5)
    assert abs(result["flat"]["difference"]) <= composition.BOUND
    assert result["flat"]["flops"] == result["flops"] == 4 * 18 + 1
    assert "flattened" in composition.text({**result, "block": "product_row", "preset": "four"})


def test_composition_prices_memories_apart():
    result = composition.compose("store", check=True)
    (memory,) = result["memories"]
    assert memory["price"] == sram.price(64, 16)
    assert result["sram"]["bits"] == result["flat"]["memory_bits"] == 1024
    assert "itrs-hp" in result["settings"]
    shown = composition.text(result)
    assert "64 x 16 1R1W" in shown
    assert "1,024" in shown


def test_composition_command_writes_json_and_names_what_is_wrong(tmp_path, capsys):
    command_line = ["--block", "product_row", "--out", str(tmp_path)]
    composition.main(command_line)
    kept = json.loads((tmp_path / "product_row.default.composition.json").read_text())
    assert kept == composition.compose("product_row")
    capsys.readouterr()
    for arguments in (["--preset", "four"], ["--jobs", "0"], ["--block", "nope"]):
        with pytest.raises(SystemExit):
            composition.main(arguments)
        assert capsys.readouterr().err.startswith("error: ")


# -- bytes ---------------------------------------------------------------------------------------------------------------


def test_two_cold_runs_in_different_order_are_byte_identical(tmp_path, monkeypatch, capsys):
    written = []
    for name, order in (("a", ("default", "four")), ("b", ("four", "default"))):
        monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / f"cache_{name}"))
        for preset in order:
            # Routing takes seconds: one of the two is enough to show that it is the same.
            chosen = ("generic", "flops", "ecp5") if preset == "default" else ("generic", "flops")
            monkeypatch.setattr(runs, "TECHNOLOGIES", chosen)
            command.main(["--block", "product_row", "--preset", preset, "--out", str(tmp_path / name)])
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"product_row.default.json", "product_row.four.json"}
    text = written[0]["product_row.four.json"].decode()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_command_line_ends_with_one_table(tmp_path, capsys, liberty):
    command.main(["--preset", "default", "--liberty", str(liberty), "--out", str(tmp_path / "out"), "--jobs", "2"])
    shown = capsys.readouterr()
    rows = [line.split()[:3] for line in shown.out.splitlines() if line.split()[1:2] == ["default"]]
    assert rows == [["register", "default", "32"], ["product_row", "default", "1,478"], ["store", "default", "93"]]
    assert "um2" in shown.out
    assert "note: tiny.lib has no preset" in shown.err
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--block", "nope"], "there is no block 'nope'; the blocks are: register, product_row, store"),
        (["--block", "register", "--preset", "nope"], "block register has no preset 'nope'; it has: default, wide"),
        (["--jobs", "0"], "--jobs must be a whole number of at least 1, not 0"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_measure_names_what_does_not_exist():
    with pytest.raises(UnknownName, match="register, product_row, store"):
        synth.measure("nope")
    with pytest.raises(UnknownName, match="default, wide"):
        synth.measure("register", "nope")


def test_missing_yosys_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cold"))
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(ToolError, match=r"^register.default, generic: cannot run no-such-yosys: .*$"):
        synth.measure("register")


def test_missing_nextpnr_is_one_line(monkeypatch, tmp_path):
    real = importlib.metadata.entry_points

    def without_nextpnr(**wanted):
        return () if "nextpnr" in wanted.get("name", "") else real(**wanted)

    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cold"))
    monkeypatch.setattr(importlib.metadata, "entry_points", without_nextpnr)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"^register.default, ecp5: cannot run .*nextpnr-ecp5: it is not installed .*$"):
        synth.measure("register")


def test_library_key_is_its_content(liberty, tmp_path):
    """A Liberty file that changes under the same name is measured again."""
    synth.measure("register", technologies=("generic",), liberty=liberty)
    other = tmp_path / "other" / "tiny.lib"
    other.parent.mkdir()
    other.write_text(LIBERTY.replace("area : 9", "area : 11"))
    assert synth.measure("register", technologies=("generic",), liberty=other)["liberty"]["um2"] == 88


# -- the price of SRAM, the paper, the comparison --------------------------------------------------------------------------


def test_sram_price_is_the_published_one_and_between_sizes_on_log_scale():
    assert sram.price(4096, 512, shared_port=True)["area_um2"] == pytest.approx(0.5437e6, rel=1e-3)
    assert sram.price(128, 16)["area_um2"] == 1059
    small, large = sram.price(128, 16)["area_um2"], sram.price(256, 16)["area_um2"]
    between = sram.price(181, 16)
    assert between["area_um2"] == pytest.approx((small * large) ** 0.5, rel=0.01)
    assert between["at_least"] is False


def test_sram_outside_of_the_table_has_no_price():
    assert sram.price(1 << 22, 64) is None
    assert sram.price(128, 16, read_ports=3) is None
    memory = {"depth": 1 << 22, "width": 64, "bits": 1 << 28, "read_ports": 1, "write_ports": 1, "count": 1}
    assert sram.total([memory])["area_um2"] is None
    assert sram.total([]) == {"bits": 0, "area_um2": 0, "ge": 0, "leakage_mw": 0, "at_least": False}


def test_sram_of_more_read_ports_than_the_table_has_is_copies():
    memory = {"depth": 1024, "width": 512, "bits": 1 << 19, "read_ports": 2, "write_ports": 1, "count": 2}
    one, found = sram.price(1024, 512), sram.price_of(memory)
    assert sram.price(1024, 512, 2) is None
    assert (found["copies"], found["at_least"], found["read_pj"]) == (2, False, one["read_pj"])
    assert found["area_um2"] == 2 * one["area_um2"] and found["leakage_mw"] == 2 * one["leakage_mw"]
    assert sram.total([memory])["area_um2"] == pytest.approx(4 * one["area_um2"], abs=0.1)
    assert sram.price_of(memory | {"depth": 64, "width": 64}) == sram.price(64, 64, 2), "a row of the table"
    assert sram.price_of(memory | {"depth": 1 << 22}) is None
    assert sram.price_of(memory | {"write_ports": 2}) is None


def test_shallow_sram_is_a_lower_bound():
    shallow = sram.price(16, 128)
    assert shallow["at_least"] is True
    assert shallow["area_um2"] == sram.price(32, 64)["area_um2"]


def test_paper_rows_are_those_of_table_ii():
    assert sum(row.area_mm2 for row in simpicker.TABLE_II.values()) == pytest.approx(5.93)
    assert sum(row.power_mw for row in simpicker.TABLE_II.values()) == pytest.approx(468.79, abs=0.02)
    in_ge = {row.component: row.ge for row in simpicker.TABLE_II.values()}
    assert in_ge["16 x 8 LUT PEs"] == pytest.approx(790, rel=0.005)
    assert in_ge["8 x 8 FP16 PEs"] == pytest.approx(3470, rel=0.005)
    assert in_ge["4 x 8 EWUs"] == pytest.approx(820, rel=0.005)
    assert in_ge["Special Function Unit"] == pytest.approx(151e3, rel=0.005)
    assert figures.beside("register", 32) is None


def test_the_block_beside_a_row_is_in_the_catalogue(real_blocks):
    assert figures.beside("lut_pe", 8 * 787.65, lanes=8)["ratio"] == 1
    assert figures.counted("simpicker.prediction_unit") == ["prediction_unit", "column_importance"]
    assert figures.blocks("simpicker.lut_pes")[0] == "lut_pe" and figures.counted("simpicker.lut_pes") == ["lut_pe"]
    named = {block.beside for block in catalogue.BLOCKS.values() if block.beside}
    assert named <= set(figures.FIGURES), "a block stands beside a figure that no paper has"


def _pe(block, heads, logic, memories):
    module = {"cells": 1, "flops": 0, "parts": {}, "memories": memories, "count": 8, "ge": logic}
    modules = {
        f"{heads}_0": module,
        block: module | {"count": 1, "ge": 100.0, "parts": {f"{heads}_0": 8}, "memories": []},
    }
    generic = {"ge": 8 * logic + 100, "modules": modules, "memories": memories}
    return {"block": block, "preset": "default", "lanes": 8, "generic": generic, "generic_flops": None}


def test_comparison_of_lut_pe_and_plain_pe(real_blocks):
    table = {"depth": 128, "width": 16, "bits": 2048, "read_ports": 1, "write_ports": 1, "count": 1}
    results = [_pe("lut_pe", "lut_multiplier", 500.0, [table]), _pe("plain_pe", "plain_product", 1000.0, [])]
    lut, plain = report.comparison(results)
    assert lut["table_bits"] == 2048
    assert lut["table_ge"] == pytest.approx(1059 / 1.525, abs=0.1)
    assert lut["ratio_plain"] == pytest.approx((500 + 1059 / 1.525) / 1000, abs=0.001)
    assert (plain["ge"], plain["ratio_plain"]) == (1000, 1)
    assert lut["pe_ratio_plain"] == pytest.approx(4100 / 8100, abs=0.001)
    assert "lut_pe.default" in report.comparison_text([lut, plain])
    assert report.comparison(results[:1]) == []


def test_progress_off_a_terminal_is_a_line_a_run(capsys):
    with runs.progress_bar() as progress:
        progress("register.default generic", 1, 2)
    assert capsys.readouterr().err == "[1/2] register.default generic\n"


def test_cache_key_has_the_tools(monkeypatch):
    assert cache.kept(lambda: 1, "x") == 1
    monkeypatch.setattr(cache, "versions", lambda *more: {"yosys": "another"})
    assert cache.kept(lambda: 2, "x") == 2


def test_result_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        runs.write([{"block": "b", "preset": "p"}], tmp_path / "file")
