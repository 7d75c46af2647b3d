# SPDX-License-Identifier: Apache-2.0
"""Tools that a command runs: called by its own interpreter, and ended when it is.

A script of an environment begins with the path of its interpreter: it is wrong once the environment has moved, and is not
beside the interpreter where packages are shared. So the tool of a package is called by way of its entry point.
"""

import gc
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


def command(name, extra="hw"):
    """The words that run the tool ``name`` of an installed package, else one on the path.

    ``ToolError`` where there is neither; ``extra`` is that of this project which would install it.
    """
    from importlib import metadata  # takes longer than all else here, and `zoetrope --help` needs none

    for entry in metadata.entry_points(group="console_scripts", name=name):
        module, _, function = entry.value.partition(":")
        return [sys.executable, "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]
    found = shutil.which(name)
    if found is None:
        raise ToolError(
            f"cannot run {name}: it is not installed in this environment; `make setup` installs it, or "
            f"pip install '{DISTRIBUTION}[{extra}]'"
        )
    return [found]


def run(words, **settings):
    """``subprocess.run`` with text, of a program that ``stop`` ends. ``ToolError`` where it cannot be started."""
    if _stopped.is_set():
        raise ToolError("stopped")
    if settings.pop("capture_output", False):
        settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(words, text=True, **settings)
    except OSError as error:
        raise ToolError(f"cannot run {words[0]}: {error.strerror}") from None
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
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def stop():
    """End all that ``run`` waits for in any thread; nothing more is started."""
    _stopped.set()
    with _lock:
        for process in _running:
            process.terminate()


def collect_less():
    """Look for garbage less often. Elaboration and benches make objects by the hundred thousand, nearly all of which stay:
    Python's own pace, all new ones at every 700, takes 18 % of the time of an elaboration and 5 % of a bench's.
    """
    gc.set_threshold(10_000, 20, 20)


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
