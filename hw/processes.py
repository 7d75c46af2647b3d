"""Programs that a command runs: found in its own environment, and ended when it is.

A program of a package is called by way of this interpreter, not by the script that an installation left: the first line
of such a script has the path of the environment, which is another one once a clone was moved or copied.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

from zoetrope.hw.errors import ToolError

#: The name under which this project is installed.
DISTRIBUTION = "zoetrope-rtl"

_running, _lock = set(), threading.Lock()
_stopped = threading.Event()


def program(name, variable=None):
    """The command line, a list of words, that begins a call of ``name``.

    That is what the environment ``variable`` names, else the program of a package in this environment, else one on the
    path. ``ToolError`` where there is none.
    """
    if variable and os.environ.get(variable):
        return [os.environ[variable]]
    from importlib import metadata  # takes longer than all else here, and `zoetrope --help` needs none

    for script in metadata.entry_points(group="console_scripts", name=name):
        call = f"import sys, {script.module}; sys.argv[0] = {name!r}; sys.exit({script.module}.{script.attr}())"
        return [sys.executable, "-c", call]
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"cannot run {name}: it is not installed in this environment; `make setup` installs it")
    return [found]


def run(command, **settings):
    """``subprocess.run`` with text, of a program that ``stop`` ends. ``ToolError`` where it cannot be started."""
    if _stopped.is_set():
        raise ToolError("stopped")
    if settings.pop("capture_output", False):
        settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(command, text=True, **settings)
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}") from None
    with _lock:
        _running.add(process)
    try:
        with process:
            out, err = process.communicate()
    except BaseException:
        process.kill()
        raise
    finally:
        with _lock:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def stop():
    """End all that ``run`` waits for in any thread; nothing more is started."""
    _stopped.set()
    with _lock:
        for process in _running:
            process.terminate()


@contextmanager
def ended_in_order():
    """SIGTERM and SIGHUP end a command as Ctrl-C does: its programs and workers with it, its temporary files removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, _):
        stop()
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
