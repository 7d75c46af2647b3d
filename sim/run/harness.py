# SPDX-License-Identifier: Apache-2.0
"""Runs the bench of a block in a simulator and reports what it compared and measured."""

import contextlib
import hashlib
import importlib.util
import json
import os
import pickle
import re
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from cocotb_tools.runner import get_runner

from zoetrope.hw import cache, catalogue
from zoetrope.hw.errors import UserError
from zoetrope.sim.input.tensor_files import variables
from zoetrope.sim.record import CONTEXT, Context, Row
from zoetrope.sim.run import build, toolchain
from zoetrope.sim.run.waves import environment as waves_environment
from zoetrope.sim.run.waves import stopped_at, window, write_view

#: Where results go, below the folder in which a command runs.
RESULTS = Path("build", "sim")


class BenchFailed(UserError, AssertionError):
    """A bench found the block wrong, or did not run to its end. The message says which test, and how to run it again.

    ``report`` has the rows of the tests that ran, those that failed with their ``error``.
    """

    def __init__(self, message, report):
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Report:
    """What one bench found: a row for each test and stall pattern. ``simulate`` returns it only if every row passed.

    ``latency`` (cycles), ``interval`` (cycles) and ``utilisation`` are those of the last test without stalls that measured
    them, or None.
    """

    block: str
    preset: str
    seed: int
    rows: tuple
    seconds: float
    folder: Path

    @property
    def vectors(self):
        return sum(row.vectors for row in self.rows)

    @property
    def mismatches(self):
        return sum(row.mismatches for row in self.rows)

    @property
    def cycles(self):
        return sum(row.cycles for row in self.rows)

    @property
    def latency(self):
        return self._unstalled("latency")

    @property
    def interval(self):
        return self._unstalled("interval")

    @property
    def utilisation(self):
        return self._unstalled("utilisation")

    def _unstalled(self, name):
        values = [getattr(row, name) for row in self.rows if row.stall == "none"]
        return next((value for value in reversed(values) if value is not None), None)


def simulate(
    block,
    preset=None,
    *,
    config=None,
    seed=None,
    waves=None,
    tensors=None,
    given=None,
    testcase=None,
    stall=None,
    netlist=None,
    glue="",
    bench=None,
    again=None,
    out=RESULTS,
):
    """Run the bench of ``block`` and return its ``Report``.

    Parameters
    ----------
    block : name in the catalogue, or a ``hw.catalogue.Block``
    preset : name of a preset; the block's first one if neither this nor ``config`` is given
    config : a config outside the presets
    seed : of all random data; the environment's ``SEED``, else derived from block and preset
    waves : whether to write a trace and a GTKWave save file; or of which cycles, "1000:2000"; the environment's ``WAVES``
        if None
    tensors : path of an ``.npz``, or a mapping of arrays, that the bench finds as ``bench.tensors``
    given : what the user gave for them, by the option's name, for the line that says how to run it again; ``tensors``
        itself where it is a path
    testcase : run only this test of the bench, or those of a sequence
    stall : run only under this stall pattern
    netlist : what to simulate in place of the component's Verilog: a function of component and name that returns Verilog,
        or the path of Verilog with the same ports
    glue : C++ that this Verilog calls by DPI
    bench : module of the bench; the block's own by default
    again : the command that runs it again, with ``{seed}`` and ``{waves}`` in it; that of `make sim` by default
    out : folder of the results

    Raises
    ------
    BenchFailed : a test failed, none ran, or the simulator ended early
    UserError : the block has no bench
    ToolError : something needed is not installed, or the build failed
    UnknownName : no such block, preset or simulator
    """
    __tracebackhide__ = True  # pytest then shows the test's own line and the message
    start = time.perf_counter()
    block = catalogue.find(block) if isinstance(block, str) else block
    label = f"config-{_digest(repr(config))[:8]}" if config is not None else preset or next(iter(block.presets))
    bench = bench or block.bench
    if not _exists(bench):
        raise UserError(f"block {block.name} has no bench: there is no module {bench}")
    gates = " NETLIST=1" if callable(netlist) else ""
    rerun = "SEED={seed} WAVES={waves}"
    if config is None:
        rerun = again or f"make sim BLOCK={block.key} PRESET={label}{gates} {rerun}"
    config = block.config(preset) if config is None else config
    seed = _seed(seed, f"{block.name}/{label}")
    waves = window(os.environ.get("WAVES") if waves is None else int(waves) if isinstance(waves, bool) else waves)
    component = block.component(config=config)
    text = _verilog(component, block.name, netlist)
    clocked = "clk" in build.ports(text, block.name)
    built = build.for_cocotb(text, block.name, waves is not None, glue)
    chosen = _filter(testcase, stall)
    names = testcase if isinstance(testcase, str) else "-".join(testcase or ())
    parts = [block.key, label, names, stall or "", "netlist" if netlist else ""]
    with _folder(Path(out), "-".join(filter(None, parts))) as folder:
        rows = str(folder / "rows.jsonl")
        context = Context(block.component, config, seed, clocked, rows, _tensors(tensors, folder))
        (folder / "context.pickle").write_bytes(pickle.dumps(context))
        _launch(built, block.name, bench, folder, seed, waves, chosen)
        if waves is not None:
            _view(folder, block.name, component, clocked)
        rows = _rows(folder)
        report = Report(block.key, label, seed, rows, time.perf_counter() - start, folder)
        fault = _fault(rows, folder)
        if fault:
            origin = variables(_given(tensors) if given is None else given) if rerun.startswith("make") else ""
            rerun = rerun.format(seed=seed, waves=_around(rows)) + origin
            again = f"  again: {rerun}\n  log: {relative(folder / 'sim.log')}"
            raise BenchFailed(f"{block.key}, {label}: {fault}\n{again}", report)
    return report


def _exists(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the folder that it would be in
        return False


def _verilog(component, top, netlist):
    if callable(netlist):
        with cache.announced(f"synthesising {top}"):
            return netlist(component, top)
    return Path(netlist).read_text() if netlist else cache.verilog(component, top)


@contextlib.contextmanager
def _folder(out, name):
    """An empty folder of results that no other process uses meanwhile."""
    folder = out.absolute() / name
    with cache.locked(folder.parent / "locks" / name):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder


def _filter(testcase, stall):
    """The tests that cocotb shall run, as a regular expression of names; None for all."""
    if not testcase and not stall:
        return None
    names = [testcase] if isinstance(testcase, str) else testcase or ()
    tests = "|".join(map(re.escape, names)) or r"\w+"
    return rf"\.({tests})" + (f"/stall={stall}" if stall else "") + "(/|$)"


def _launch(built, top, bench, folder, seed, waves, chosen):
    """Run the simulator; its output goes to ``sim.log``, the verdicts to ``results.xml`` and ``rows.jsonl``."""
    toolchain.libpython()
    runner = get_runner("verilator")
    runner.log.disabled = True
    arguments = [f"+verilator+seed+{seed % (2**31 - 1) + 1}", "+verilator+rand+reset+2"]
    # cocotb would rewrite the assertions of all modules, which takes half a second; benches have none.
    environment = {CONTEXT: str(folder / "context.pickle"), "COCOTB_REWRITE_ASSERTION_FILES": ""}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # the other cores have benches of their own
    environment |= waves_environment(waves) if waves is not None else {}
    # Under pytest the runner exits when a test fails, and it raises when the simulator does; ``_fault`` tells why.
    with contextlib.suppress(SystemExit, RuntimeError), _plain_waves():
        runner.test(
            test_module=bench,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=folder,
            seed=seed,
            waves=waves is not None,
            test_filter=chosen,
            test_args=arguments,
            extra_env=environment,
            results_xml=str(folder / "results.xml"),
            log_file=folder / "sim.log",
        )


@contextlib.contextmanager
def _plain_waves():
    """Without ``WAVES``: cocotb reads it, too, and knows no windows."""
    text = os.environ.pop("WAVES", None)
    try:
        yield
    finally:
        if text is not None:
            os.environ["WAVES"] = text


def _view(folder, top, component, clocked):
    """Write the GTKWave view of a run and say how to open it; a run that ended before it traced has none."""
    trace = folder / "dump.fst"
    if not trace.exists():
        return
    view = write_view(trace, top, component, clocked)
    print(f"waves: gtkwave {relative(trace)} {relative(view)}", file=sys.stderr)
    end = stopped_at((folder / "sim.log").read_text(errors="replace"))
    if end is not None:
        print(f"waves: the file is full at cycle {end}: WAVES=from:to has another part", file=sys.stderr)


def _around(rows):
    """The window of cycles of the first test that failed."""
    wrong = next((row for row in rows if row.error), None)
    return f"{wrong.begin}:{wrong.begin + wrong.cycles + 4}" if wrong else "1"


def _rows(folder):
    path = folder / "rows.jsonl"
    return tuple(Row(**json.loads(line)) for line in path.read_text().splitlines()) if path.exists() else ()


def _fault(rows, folder):
    """What is wrong with a finished run, with an excerpt of what it said; "" if nothing is."""
    wrong = [row for row in rows if row.error]
    if wrong:
        shown = "\n".join(_shown(row) for row in wrong[:3])
        return f"{len(wrong)} of {len(rows)} bench runs failed\n{shown}"
    results, log = folder / "results.xml", folder / "sim.log"
    if not results.exists():
        return f"the simulator ended before the tests did\n{_excerpt(log)}"
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    if failed:
        return f"{', '.join(failed)} failed\n{_excerpt(log)}"
    return "" if rows else "no bench ran, so nothing was checked"


def _shown(row):
    error = "\n    ".join(row.error.splitlines()[:12])
    return f"  {row.test}, stalls {row.stall}, seed {row.seed}:\n    {error}"


def _excerpt(log):
    """What a log says of the end of a run: the last error, with its places in this project."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()] if log.exists() else []
    places = [line for line in lines if line.startswith('File "') and "zoetrope" in line][-2:]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b|%Error", line)][-1:]
    return "\n".join(f"  {line}" for line in [*places, *errors] or lines[-4:])


def _tensors(tensors, folder):
    if isinstance(tensors, Mapping):
        np.savez(folder / "tensors.npz", **tensors)
        return str(folder / "tensors.npz")
    return str(Path(tensors).resolve()) if tensors else None


def _given(tensors):
    return {} if tensors is None or isinstance(tensors, Mapping) else {"tensors": str(tensors)}


def _seed(seed, name):
    text = os.environ.get("SEED") if seed is None else seed
    if text in (None, ""):
        return int(_digest(name), 16) % 1_000_000
    try:
        return int(text)
    except ValueError:
        raise UserError(f"SEED must be an integer, not {text!r}") from None


def relative(path):
    """``path`` as a user in this folder writes it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()
