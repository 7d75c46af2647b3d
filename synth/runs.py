"""Runs of the flows over blocks and presets, on all cores, each kept by its content (RTLIL, flow, tools, Liberty text).

Results are JSON of fixed order without times or dates, equal byte for byte from run to run.
"""

import contextlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from hw import emit, generate, registry
from hw.errors import UserError
from synth import cache, flows, paper, sram
from synth.technologies import Library, find_library

TECHNOLOGIES = ("generic", "flops", "ecp5")


def measure(block, preset=None, technologies=TECHNOLOGIES, liberty=None):
    """The cost of a block as a dict that is JSON.

    Parameters
    ----------
    block, preset : names in the registry; the default preset if None
    technologies : any of ``generic`` (always run: the others need its size), ``flops`` and ``ecp5``
    liberty : path of a Liberty file, or a ``technologies.Library``; None for none

    Returns
    -------
    ``block``, ``preset``, ``paper``, ``parameters``, ``lanes`` (None without any), ``tools``;
    ``generic`` (``flows.generic``), ``generic_flops`` (the same with memories as flip-flops; None
    without any, or above ``FLOPS_BITS`` together);
    ``ge_per_lane``; ``sram`` (price of the memories kept apart, ``sram.total``, and ``memories`` with a price each);
    ``beside_paper`` (``paper.beside``, None where the paper has no figure); ``ecp5`` and ``liberty`` if asked for.

    Errors: ``UnknownName`` for a block or preset, ``UserError`` for a Liberty file that cannot be used, ``ToolError`` for a
    tool that is missing or fails.
    """
    found = registry.find(block)
    found.config(preset)
    library = liberty if isinstance(liberty, Library) or liberty is None else find_library(liberty)
    pair = (found, preset or generate.default_preset(found))
    return measure_all([pair], technologies, library)[0]


def measure_all(pairs, technologies=TECHNOLOGIES, library=None, jobs=None, progress=None):
    """``measure`` for many (block, preset) pairs, ``jobs`` tools at a time, in the order of ``pairs``.

    ``progress`` is called as ``progress(label, done, known)`` after each run.
    """
    runs = _Runs(jobs or os.cpu_count() or 1, progress)
    with runs:
        designs = []
        for pair in pairs:
            designs.append((pair, *_rtlil(*pair)))
            runs.start(pair, "generic", "generic", *designs[-1][1:], flows.generic)
        runs.wait()
        for pair, text, top in designs:
            generic = runs.results[_label(pair), "generic"]
            small = [memory for memory in generic["memories"] if memory["bits"] <= flows.FLOPS_BITS]
            bits = sum(memory["count"] * memory["bits"] for memory in small)
            if "flops" in technologies and 0 < bits <= flows.FLOPS_BITS:
                runs.start(pair, "generic_flops", "generic flops", text, top, _generic_flops)
            if "ecp5" in technologies and generic["ge"] <= flows.FPGA_GE:
                runs.start(pair, "ecp5", "ecp5", text, top, flows.ecp5)
            if library:
                flatten = generic["cells"] <= flows.FLAT_CELLS
                key = f"liberty {library.digest} {flatten}"
                runs.start(pair, "liberty", key, text, top, lambda t, n, f=flatten: flows.liberty(t, n, library, f))
        runs.wait()
    return [_result(pair, runs.results, technologies) for pair in pairs]


def _generic_flops(text, top):
    return flows.generic(text, top, memories="flops")


def _label(pair):
    block, preset = pair
    return f"{block.name}.{preset}"


def _rtlil(block, preset):
    top = generate.stem(block, preset, "_")
    return emit.rtlil(block.build(preset), top), top


def _result(pair, results, technologies):
    block, preset = pair
    config = block.config(preset)
    found = {flow: result for (label, flow), result in results.items() if label == _label(pair)}
    generic = found["generic"]
    lanes = getattr(config, "lanes", None)
    result = {
        "block": block.name,
        "preset": preset,
        "paper": block.paper,
        "parameters": generate.parameters(config),
        "lanes": lanes,
        "tools": cache.tools(),
        "generic": generic,
        "generic_flops": found.get("generic_flops"),
        "ge_per_lane": round(generic["ge"] / lanes, 2) if lanes else None,
        "sram": sram.total(generic["memories"])
        | {"memories": [memory | {"price": sram.price_of(memory)} for memory in generic["memories"]]},
        "beside_paper": paper.beside(block.name, generic["ge"], lanes),
    }
    if "ecp5" in technologies:
        result["ecp5"] = found.get("ecp5") or flows.too_large_for_ecp5()
    if "liberty" in found:
        result["liberty"] = found["liberty"]
    return result


def write(results, out):
    """Write each result to ``<out>/<block>.<preset>.json``; an equal file is not touched."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    for result in results:
        text = json.dumps(result, indent=2, sort_keys=True) + "\n"
        generate.write_if_changed(out / f"{result['block']}.{result['preset']}.json", text)


class _Runs:
    """Flows running in threads, each of which waits for a tool's process. The first error cancels those not yet started."""

    def __init__(self, jobs, progress):
        self._pool = ThreadPoolExecutor(jobs)
        self._progress = progress or (lambda label, done, known: None)
        self._waiting = {}
        self._known = 0
        self.results = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._pool.shutdown(cancel_futures=True)

    def start(self, pair, flow, key, text, top, run):
        """Begin ``run(text, top)``; its result goes to ``results[label, flow]``."""
        future = self._pool.submit(cache.kept, lambda: run(text, top), key, flows.scripts(), top, text)
        self._waiting[future] = (_label(pair), flow)
        self._known += 1

    def wait(self):
        for future in as_completed(self._waiting):
            label, flow = self._waiting[future]
            try:
                self.results[label, flow] = future.result()
            except UserError as error:
                raise type(error)(f"{label}, {flow}: {error}") from None
            self._progress(f"{label} {flow}", len(self.results), self._known)
        self._waiting.clear()


@contextlib.contextmanager
def progress_bar(stream=None):
    """A ``progress`` for ``measure_all``: a bar on a terminal, one line a run elsewhere, both on stderr."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield lambda label, done, known: print(f"[{done}/{known}] {label}", file=stream, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("synthesis", total=None)
        yield lambda label, done, known: bar.update(task, completed=done, total=known, description=label)
