# SPDX-License-Identifier: Apache-2.0
"""Several benches at once, each in a process of its own, and the file of their results."""

import json
import time
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path

from zoetrope.hw.errors import UserError
from zoetrope.sim.run.harness import RESULTS, BenchFailed, simulate

#: The file of results, in the folder of all results.
RESULTS_FILE = "results.json"
_MEASURED = ("vectors", "mismatches", "cycles", "latency", "interval", "utilisation")


def run_all(pool, runs, settings, told):
    """Run the benches of ``runs``, pairs of a block's entry and a preset, in ``pool``, the longest one first.

    ``settings`` are keywords of ``simulate``. Returns a dict for each, in the order of ``runs``: block, preset, sim, seed,
    what ``Report`` has (None if the bench did not start), ``error`` (None if it passed), ``seconds`` and ``rows``.
    ``told(result, done)`` is called as each ends.
    """
    seconds = _earlier_seconds(settings.get("out", RESULTS))
    longest_first = sorted(runs, key=lambda run: -seconds.get((run[0].key, run[1]), float("inf")))
    results = {}
    for future in as_completed([pool.submit(_run, *run, settings) for run in longest_first]):
        result = future.result()
        results[result["block"], result["preset"]] = result
        told(result, len(results))
    return [results[block.key, preset] for block, preset in runs]


def _run(block, preset, settings):
    start = time.perf_counter()
    report, error = None, None
    try:
        report = simulate(block, preset, **settings)
    except BenchFailed as failure:
        report, error = failure.report, str(failure)
    except UserError as failure:
        error = f"{block.key}, {preset}: {failure}"
    result = {name: getattr(report, name, None) for name in ("seed", *_MEASURED)}
    rows = [asdict(row) for row in report.rows] if report else []
    seconds = time.perf_counter() - start
    return {"block": block.key, "preset": preset, **result, "seconds": seconds, "error": error, "rows": rows}


def write_results(results, tensors, out=RESULTS):
    """Write ``results.json`` to the folder ``out``: the input's source and shape, and the results of ``run_all``."""
    document = {"input": {"source": tensors.source, "shape": list(tensors.q.shape)}, "runs": results}
    Path(out, RESULTS_FILE).write_text(json.dumps(document, indent=1) + "\n")


def _earlier_seconds(out):
    try:
        runs = json.loads(Path(out, RESULTS_FILE).read_text())["runs"]
        return {(run["block"], run["preset"]): run["seconds"] for run in runs}
    except (OSError, ValueError, KeyError):
        return {}
