# SPDX-License-Identifier: Apache-2.0
"""Command lines: what argparse and the system have to say is one line, too."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoetrope.command.main import COMMANDS
from zoetrope.command.main import main as zoetrope
from zoetrope.hw.errors import ArgumentParser, UserError, command_line, finite, whole

ROOT = Path(__file__).resolve().parents[2]


@command_line
def main(arguments):
    parser = ArgumentParser(prog="trial", description="A trial.")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--share", type=float)
    parser.add_argument("--frames", type=whole(1), help="at least 1")
    parser.add_argument("--noise", type=finite(0))
    parser.add_argument("--fpga", choices=("ice40", "xilinx7"))
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--seed", "abc"], "--seed must be a whole number, not 'abc'"),
        (["--share", "much"], "--share must be a number, not 'much'"),
        (["--frames", "0"], "--frames must be a whole number of at least 1, not 0"),
        (["--frames", "2.5"], "--frames must be a whole number of at least 1, not 2.5"),
        (["--frames", "٣"], "--frames must be a whole number of at least 1, not ٣"),
        (["--frames", "1_0"], "--frames must be a whole number of at least 1, not 1_0"),
        (["--frames", ""], "--frames must be a whole number of at least 1, not nothing"),
        (["--frames", "9" * 5000], f"--frames must be a whole number of at most 18 digits, not {'9' * 5000}"),
        (["--noise", "-1"], "--noise must be a finite number of at least 0, not -1"),
        (["--noise", "nan"], "--noise must be a finite number of at least 0, not nan"),
        (["--noise", "much"], "--noise must be a finite number of at least 0, not much"),
        (["--fpga", "virtex"], "--fpga must be one of ice40, xilinx7, not 'virtex'"),
        (["--seed"], "--seed: expected one argument"),
        (["--sed", "1", "rest"], "there is no option --sed 1 rest; see --help"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, line, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and capsys.readouterr().err == f"error: {line}\n"


def test_right_arguments_and_help(capsys):
    found = main(["--frames", "3", "--noise", "0.5", "--fpga", "ice40"])
    assert (found.frames, found.noise, found.fpga) == (3, 0.5, "ice40")
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    shown = capsys.readouterr().out
    assert not stopped.value.code and shown.startswith("usage: trial [-h]") and "A trial." in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_no_command_has(name, capsys):
    """Every command has the parser and the decorator of this room."""
    with pytest.raises(SystemExit) as stopped:
        zoetrope([*name.split(), "--no-such-option"])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and told.startswith("error: ") and told.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("what was wrong"), "what was wrong"),
        (OSError(errno.EROFS, "Read-only file system", "build/a.svg"), "build/a.svg: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", b"caf\xe9"), "caf\udce9: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "x: No space left on device"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, line, monkeypatch):
    @command_line
    def failing():
        raise error

    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    with pytest.raises(SystemExit) as stopped:
        failing()
    assert stopped.value.code == 2 and told.getvalue() == f"error: {line}\n"


def test_what_no_user_can_mend_is_a_traceback():
    for error in (ValueError("a bug"), OSError("without a file")):

        @command_line
        def failing(raised=error):
            raise raised

        with pytest.raises(type(error)):
            failing()


def test_a_reader_who_leaves_early():
    code = (
        "from zoetrope.hw.errors import command_line\n"
        "main = command_line(lambda: [print(f'line {n}', flush=True) for n in range(100_000)])\n"
        "main()"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout.readline() == b"line 0\n"
    run.stdout.close()
    assert run.stderr.read() == b"" and run.wait() == 128 + signal.SIGPIPE
    run.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_behind_standard_output():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "zoetrope.command", "blocks"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2 and done.stderr == "error: standard output: No space left on device\n"


def test_no_standard_output_at_all():
    code = "import sys; sys.stdout = None; from zoetrope.command.main import main; sys.exit(main(['blocks']))"
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE).returncode == 0
