# SPDX-License-Identifier: Apache-2.0
"""Processes that work for a command and end with it, however it ends.

Each worker leads a group of its own, in which the simulators that it starts are, too, and watches a pipe that only the
command holds open: when the pipe closes, as the command gives up or is killed, the worker ends its whole group.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from zoetrope.hw import tools
from zoetrope.hw.errors import UserError


@contextlib.contextmanager
def workers(jobs, what):
    """A ``ProcessPoolExecutor`` of ``jobs`` workers. ``UserError`` says that ``what`` was killed, if a worker was.

    Workers start afresh: a fork would take over the threads of NumPy and of the video decoder in an unknown state.
    """
    spawn = multiprocessing.get_context("spawn")
    watched, held = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(max(1, jobs), spawn, _begin, (watched,))
    try:
        yield pool
        pool.shutdown()
    except BrokenProcessPool:
        fewer = ": --jobs 1" if jobs > 1 else ""
        raise UserError(f"{what} was killed; if memory ran out, run fewer at once{fewer}") from None
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        watched.close()


def _begin(watched):
    tools.collect_less()
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _end)  # as the pool sends to all workers when one of them was killed
    threading.Thread(target=_follow, args=(watched,), daemon=True).start()


def _follow(watched):
    multiprocessing.connection.wait([watched])
    _end()


def _end(*_):
    os.killpg(0, signal.SIGKILL)
