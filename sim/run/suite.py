"""Several benches at once, each in a process of its own, and the file of their results."""

import json
import multiprocessing
import signal
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict

from zoetrope.hw.errors import UserError
from zoetrope.sim.run.harness import RESULTS, BenchFailed, simulate

RESULTS_FILE = RESULTS / "results.json"
_MEASURED = ("vectors", "mismatches", "cycles", "latency", "interval", "utilisation")


def run_all(runs, settings, jobs, told):
    """Run the benches of ``runs``, pairs of block and preset, ``jobs`` at a time, the longest of last time first.

    ``settings`` are keywords of ``simulate``. Returns a dict for each, in the order of ``runs``: block, preset, sim, seed,
    what ``Report`` has (None if the bench did not start), ``error`` (None if it passed), ``seconds`` and ``rows``.
    ``told(result, done)`` is called as each ends.
    """
    seconds = _earlier_seconds()
    longest_first = sorted(runs, key=lambda run: -seconds.get(run, float("inf")))
    results = {}
    # Workers start afresh: a fork would take over the threads of NumPy and of the video decoder in an unknown state.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max(1, jobs), spawn, initializer=die_of_interrupts)
    try:
        for future in as_completed([pool.submit(_run, *run, settings) for run in longest_first]):
            result = future.result()
            results[result["block"], result["preset"]] = result
            told(result, len(results))
    except BrokenProcessPool:
        raise UserError("a bench's process was killed; if memory ran out, run fewer at once: --jobs 1") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [results[run] for run in runs]


def die_of_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process; one message of it is enough


def _run(block, preset, settings):
    start = time.perf_counter()
    report, error = None, None
    try:
        report = simulate(block, preset, **settings)
    except BenchFailed as failure:
        report, error = failure.report, str(failure)
    except UserError as failure:
        error = f"{block}, {preset}: {failure}"
    result = {name: getattr(report, name, None) for name in ("seed", *_MEASURED)}
    rows = [asdict(row) for row in report.rows] if report else []
    seconds = time.perf_counter() - start
    return {"block": block, "preset": preset, **result, "seconds": seconds, "error": error, "rows": rows}


def write_results(results, tensors):
    """Write ``build/sim/results.json``: the input's source and shape, and the results of ``run_all``."""
    document = {"input": {"source": tensors.source, "shape": list(tensors.q.shape)}, "runs": results}
    RESULTS_FILE.write_text(json.dumps(document, indent=1) + "\n")


def _earlier_seconds():
    try:
        runs = json.loads(RESULTS_FILE.read_text())["runs"]
        return {(run["block"], run["preset"]): run["seconds"] for run in runs}
    except (OSError, ValueError, KeyError):
        return {}
