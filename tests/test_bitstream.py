"""Bitstreams up to synthesis, for the smallest board; placing and routing takes minutes: ``make bitstream`` does it."""

import re
from dataclasses import replace

import pytest

from hw.board.demonstrator import version_of
from hw.errors import ToolError, UserError
from hw.registry import find
from synth import bitstream
from synth.bitstream import BOARDS

pytest.importorskip("amaranth_boards")
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.fixture(scope="module")
def smallest():
    return bitstream.prepare(BOARDS["icebreaker"])


def test_the_smallest_fits_the_smallest_board(smallest, tmp_path):
    usage = bitstream.synthesise(BOARDS["icebreaker"], smallest[0], tmp_path)
    assert 0 < usage["LUT4"][0] < usage["LUT4"][1]
    assert usage["block RAM"] == (8, 30)  # two buffers of 2 KiB
    assert usage["multiplier"][0] == 0

    tight = replace(BOARDS["icebreaker"], has=BOARDS["icebreaker"].has | {"block RAM": 7, "FF": 100})
    with pytest.raises(
        UserError, match=r"iCEBreaker has no room for it: it needs [\d,]+ of 100 FFs, 8 of 7 block RAMs"
    ):
        bitstream.synthesise(tight, smallest[0], tmp_path)


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
        (["--board", "icebreaker", "--baud", "0"], "--baud must be at least 1, not 0"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        bitstream.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_tool_that_is_missing_or_fails():
    with pytest.raises(ToolError, match="cannot run yowasp-nextpnr-none: it is not installed in this environment: pip"):
        bitstream.run_tool(["nextpnr-none"], ".")
    with pytest.raises(ToolError, match="nextpnr-ecp5 failed"):
        bitstream.run_tool(["nextpnr-ecp5", "--no-such-option"], ".")


def test_the_report_has_usage_and_slack():
    result = {"usage": {"LUT4": (10, 100)}, "clocks_mhz": {"clk": (25.0, 50.0)}}
    text = bitstream.report_text(result)
    assert re.search(r"^LUT4 +10 +100 +10.0%$", text, re.M), text
    assert "clock clk: 25.00 MHz needed, 50.00 MHz achieved, slack 20.00 ns" in text
