# SPDX-License-Identifier: Apache-2.0
"""Bitstreams up to synthesis, for the smallest board; placing and routing takes minutes: ``make bitstream`` does it."""

import re
from dataclasses import replace

import pytest

from zoetrope.hw.board.demonstrator import DemonstratorConfig, version_of
from zoetrope.hw.catalogue import find
from zoetrope.hw.errors import ToolError
from zoetrope.hw.tree.min_tree import MinTreeConfig
from zoetrope.synth.boards import bitstream
from zoetrope.synth.boards.bitstream import BOARDS

pytest.importorskip("amaranth_boards")
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


#: As little as there is.
LEAST = replace(
    find("demonstrator"),
    configs={
        "smallest": DemonstratorConfig(
            units=("min_tree",), min_tree=MinTreeConfig(1, 2, stages=0), max_payload=16, max_answer=16
        )
    },
)


@pytest.fixture(scope="module")
def smallest():
    return bitstream.prepare(BOARDS["icebreaker"])


def test_the_smallest_fits_the_smallest_board(smallest, tmp_path):
    usage = bitstream.synthesise(BOARDS["icebreaker"], smallest[0], tmp_path)
    assert 0 < usage["LUT4"][0] < usage["LUT4"][1]
    assert usage["block RAM"] == (8, 30)  # two buffers of 2 KiB
    assert usage["multiplier"][0] == 0


def test_what_has_no_room_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bitstream.catalogue, "find", lambda name: LEAST)
    tight = replace(BOARDS["icebreaker"], has=BOARDS["icebreaker"].has | {"block RAM": 0, "FF": 100})
    monkeypatch.setitem(BOARDS, "icebreaker", tight)
    with pytest.raises(SystemExit) as stop:
        bitstream.main(["--board", "icebreaker", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert re.fullmatch(
        r"iCEBreaker: synthesis ...\n"
        r"error: iCEBreaker has no room for it: it needs [\d,]+ of 100 FFs, [\d,]+ of 0 block RAMs\n",
        capsys.readouterr().err,
    )


def test_two_builds_are_the_same(tmp_path, monkeypatch, capsys):
    """A whole build of as little as there is, twice, and what is printed of it."""
    monkeypatch.setattr(bitstream.catalogue, "find", lambda name: LEAST)
    assert bitstream.main(["--board", "icebreaker", "--twice", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^clock clk: 12.00 MHz needed, [\d.]+ MHz achieved, slack [\d.]+ ns$", told, re.M), told
    assert re.search(r"^sha256 [0-9a-f]{64}, \d+ s of processor time$", told, re.M), told
    assert told.endswith("the second build is the same, byte for byte\n")
    files = [tmp_path / part / "icebreaker.smallest" / "top.bin" for part in (".", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(files[0].read_bytes()) > 10_000


def test_a_clock_that_lost_its_constraint_is_told(tmp_path):
    (tmp_path / "report.json").write_text('{"fmax": {"clk": {"constraint": 12.0, "achieved": 53.0}}}')
    assert bitstream.place([[]], tmp_path, 12e6) == {"clk": (12.0, 53.0)}
    with pytest.raises(ToolError, match="clock clk was routed for 12 MHz, not for 25"):
        bitstream.place([[]], tmp_path, 25e6)


@pytest.mark.parametrize("name", bitstream.recorded())
def test_the_recorded_builds_are_of_this_design_and_meet_their_clocks(name):
    """Where the demonstrator has changed: ``zoetrope bitstream --board NAME --record``, then ``zoetrope docs``."""
    result = bitstream.recorded()[name]
    assert result["version"] == f"{version_of(find('demonstrator').config(result['preset'])):08x}"
    assert all(used <= has for used, has in result["usage"].values())
    needed = [needed for needed, _ in result["clocks_mhz"].values()]
    assert min(needed) == pytest.approx(result["design_clock_mhz"], rel=1e-3)
    assert all(needed <= achieved for needed, achieved in result["clocks_mhz"].values())


def test_preparing_is_deterministic_and_the_seed_reaches_the_placer(smallest):
    files, commands, config, clock = bitstream.prepare(BOARDS["icebreaker"], seed=7)
    assert {name: text for name, text in files.items() if not name.startswith("build")} == {
        name: text for name, text in smallest[0].items() if not name.startswith("build")
    }
    assert commands[1][:4] == ["nextpnr-ice40", "--quiet", "--seed", "7"]
    assert (config.divisor, clock) == (12, 12e6)
    assert config.version == version_of(find("demonstrator").config("smallest"))


@pytest.mark.parametrize(
    "name, clock, divisor", [("ecpix5_85f", 25, 25), ("orangecrab_85f", 24, 24), ("ulx3s_85f", 25, 25)]
)
def test_clocks_and_pins_of_the_boards(name, clock, divisor):
    files, commands, config, found = bitstream.prepare(BOARDS[name], "smallest")
    assert (found, config.divisor) == (clock * 1e6, divisor)
    assert [command[0] for command in commands] == ["yosys", "nextpnr-ecp5", "ecppack"]
    assert len(re.findall(r'LOCATE COMP "uart_0__[rt]x__io"', files["top.lpf"])) == 2
    assert ["--freq", str(clock)] == commands[1][4:6]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--board", "ulx4"],
            "there is no board 'ulx4'; the boards are: ulx3s_85f, ecpix5_85f, orangecrab_85f, icebreaker",
        ),
        ([], "no board is named; the boards are: ulx3s_85f"),
        (
            ["--board", "icebreaker", "--preset", "huge"],
            "block demonstrator has no preset 'huge'; it has: default, small",
        ),
        (
            ["--board", "icebreaker", "--baud", "3000000"],
            "iCEBreaker has 12 MHz: no 3000000 baud, the nearest is 1500000",
        ),
        (["--board", "icebreaker", "--baud", "12"], "--baud must be a whole number of at least 300, not 12"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        bitstream.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_no_room_is_said_before_synthesis(capsys, tmp_path):
    """SIMCORE on an iCEBreaker would be synthesised for ten minutes."""
    with pytest.raises(SystemExit):
        bitstream.main(["--board", "icebreaker", "--preset", "simcore", "-o", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert said.startswith("error: iCEBreaker has no room for preset 'simcore': its 4") and "5,280" in said
    assert not (tmp_path / "out").exists()
    for board, built in bitstream.recorded().items():
        gates = bitstream.committed_gates()[built["preset"]]
        assert built["usage"]["LUT4"][0] * bitstream.GE_OF_A_LUT > 2 * gates, board


def test_a_tool_that_is_missing_or_fails():
    with pytest.raises(ToolError, match="cannot run yowasp-nextpnr-none: it is not installed in this environment"):
        bitstream.run_tool(["nextpnr-none"], ".")
    with pytest.raises(ToolError, match="nextpnr-ecp5 failed"):
        bitstream.run_tool(["nextpnr-ecp5", "--no-such-option"], ".")


def test_the_report_has_usage_and_slack():
    result = {"usage": {"LUT4": (10, 100)}, "clocks_mhz": {"clk": (25.0, 50.0)}}
    text = bitstream.report_text(result)
    assert re.search(r"^LUT4 +10 +100 +10.0%$", text, re.M), text
    assert "clock clk: 25.00 MHz needed, 50.00 MHz achieved, slack 20.00 ns" in text
