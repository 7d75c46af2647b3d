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

from hw import registry
from hw.errors import UserError
from sim import build, toolchain
from sim.ports import interface
from sim.record import CONTEXT, Context, Row
from sim.tensor_files import variables
from sim.waves import write_view
from synth import netlist as gate_netlist

RESULTS = build.ROOT / "build" / "sim"


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
    sim: str
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
    sim=None,
    waves=None,
    tensors=None,
    given=None,
    testcase=None,
    stall=None,
    netlist=None,
    bench=None,
):
    """Run the bench of ``block`` and return its ``Report``.

    Parameters
    ----------
    block : name in the registry, or a ``hw.registry.Block``
    preset : name of a preset; the block's first one if neither this nor ``config`` is given
    config : a config outside the presets
    seed : of all random data; the environment's ``SEED``, else derived from block and preset
    sim : "verilator" or "icarus"; the environment's ``SIM``, else Verilator
    waves : whether to write a trace and a GTKWave save file; the environment's ``WAVES`` decides if it is set
    tensors : path of an ``.npz``, or a mapping of arrays, that the bench finds as ``bench.tensors``
    given : what the user gave for them, by the option's name, for the line that says how to run it again; ``tensors``
        itself where it is a path
    testcase : run only this test of the bench, or those of a sequence
    stall : run only under this stall pattern
    netlist : what to simulate in place of the component's Verilog: True for its generic-gate netlist (``synth.netlist``), or
        a path of Verilog with the same ports
    bench : module of the bench; ``sim.tb_<block>`` by default

    Raises
    ------
    BenchFailed : a test failed, none ran, or the simulator ended early
    UserError : the block has no bench
    ToolError : something needed is not installed, or the build failed
    UnknownName : no such block, preset or simulator
    """
    __tracebackhide__ = True  # pytest then shows the test's own line and the message
    start = time.perf_counter()
    block = registry.find(block) if isinstance(block, str) else block
    label = f"config-{_digest(repr(config))[:8]}" if config is not None else preset or next(iter(block.presets))
    bench = bench or f"sim.tb_{block.name}"
    if importlib.util.find_spec(bench) is None:
        raise UserError(f"block {block.name} has no bench: there is no module {bench}")
    gates = " NETLIST=1" if netlist is True else ""
    rerun = "SEED={}" if config is not None else f"make sim BLOCK={block.name} PRESET={label}{gates} SEED={{}}"
    config = block.config(preset) if config is None else config
    sim = toolchain.simulator(sim)
    seed = _seed(seed, f"{block.name}/{label}")
    waves = _flag("WAVES", waves)
    component = block.component(config=config)
    text = _verilog(component, block.name, netlist)
    clocked = "clk" in build.ports(text, block.name)
    built = build.for_cocotb(text, block.name, sim, waves)
    chosen = _filter(testcase, stall)
    names = testcase if isinstance(testcase, str) else "-".join(testcase or ())
    parts = [block.name, label, sim if sim != "verilator" else "", names, stall or "", "netlist" if netlist else ""]
    with _folder("-".join(filter(None, parts))) as folder:
        rows = str(folder / "rows.jsonl")
        context = Context(block.component, config, seed, clocked, rows, _tensors(tensors, folder))
        (folder / "context.pickle").write_bytes(pickle.dumps(context))
        _launch(sim, built, block.name, bench, folder, seed, waves, chosen)
        if waves:
            _view(folder, block.name, component, clocked)
        rows = _rows(folder)
        report = Report(block.name, label, sim, seed, rows, time.perf_counter() - start, folder)
        fault = _fault(rows, folder)
        if fault:
            simulator = "" if sim == "verilator" else f" SIM={sim}"
            origin = variables(_given(tensors) if given is None else given) if rerun.startswith("make") else ""
            again = f"  again: {rerun.format(seed)} WAVES=1{simulator}{origin}\n  log: {relative(folder / 'sim.log')}"
            raise BenchFailed(f"{block.name}, {label}: {fault}\n{again}", report)
    return report


def _verilog(component, top, netlist):
    if netlist is True:
        with build.announced(f"synthesising {top}"):
            return gate_netlist.verilog(component, top)
    return Path(netlist).read_text() if netlist else build.verilog(component, top)


@contextlib.contextmanager
def _folder(name):
    """An empty folder of results that no other process uses meanwhile."""
    folder = RESULTS / name
    with build.locked(RESULTS / "locks" / name):
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


def _launch(sim, built, top, bench, folder, seed, waves, chosen):
    """Run the simulator; its output goes to ``sim.log``, the verdicts to ``results.xml`` and ``rows.jsonl``."""
    toolchain.libpython()
    runner = get_runner(sim)
    runner.log.disabled = True
    arguments = [f"+verilator+seed+{seed % (2**31 - 1) + 1}", "+verilator+rand+reset+2"] if sim == "verilator" else []
    # cocotb would rewrite the assertions of all modules, Amaranth's too: 1.1 s a start instead of 0.5.
    environment = {CONTEXT: str(folder / "context.pickle"), "COCOTB_REWRITE_ASSERTION_FILES": "tb_*.py"}
    # Under pytest the runner exits when a test fails, and it raises when the simulator does; ``_fault`` tells why.
    with _imported_from(build.ROOT), contextlib.suppress(SystemExit, RuntimeError):
        runner.test(
            test_module=bench,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=folder,
            seed=seed,
            waves=waves,
            test_filter=chosen,
            test_args=arguments,
            extra_env=environment,
            results_xml=str(folder / "results.xml"),
            log_file=folder / "sim.log",
        )


def _view(folder, top, component, clocked):
    """Write the GTKWave view of a run and say how to open it; a run that ended before it traced has none."""
    for trace in (folder / "dump.fst", folder / "dump.vcd"):
        if trace.exists():
            view = write_view(trace, top, *interface(component), clocked)
            print(f"waves: gtkwave {relative(trace)} {relative(view)}", file=sys.stderr)


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
    places = [line for line in lines if line.startswith('File "') and str(build.ROOT) in line][-2:]
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


def _flag(name, default):
    text = os.environ.get(name, "")
    return bool(default) if text == "" else text.lower() not in ("0", "no", "n", "off", "false", "disable")


@contextlib.contextmanager
def _imported_from(root):
    """Have the simulator's Python import this tree: the runner hands ``sys.path`` on, where "" would be its own folder."""
    saved = sys.path[:]
    sys.path[:0] = [str(root)]
    try:
        yield
    finally:
        sys.path[:] = saved


def relative(path):
    """``path`` as a user in the project's folder writes it."""
    return path.relative_to(build.ROOT) if path.is_relative_to(build.ROOT) else path


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()
