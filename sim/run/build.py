"""Simulator builds, cached by content: the same Verilog, flags and tool versions are compiled once.

A build lives in ``.cache/sim/<simulator>-<top>-<hash>/`` under the project root (``ZOETROPE_CACHE`` names another cache).
It is made in a ``.partial`` folder beside that name and renamed when complete, under a lock of its own: an interrupted or
failed build is never taken for a good one, and processes that want the same build at once make it once. Builds not used
for two weeks are removed when the next one is made; ``make clean`` removes the cache.

Only the ports of the top module are visible to cocotb. Its own runner makes every signal public (``--public-flat-rw``),
which keeps Verilator from optimising: 2 to 5 times the compile time and a third of the speed on Amaranth's output.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from cocotb_tools import config as cocotb_config

from hw import emit
from hw.errors import ToolError
from sim import toolchain

ROOT = Path(__file__).resolve().parent.parent
NATIVE_SOURCE = Path(__file__).with_name("native.cpp")
AXI_SOURCE = Path(__file__).with_name("native_axi.cpp")
SWITCHING_SOURCE = Path(__file__).with_name("switching.cpp")

UNUSED_DAYS = 14

# Yosys writes expressions whose widths Verilator would rather see spelled out. All other warnings stop the build.
_WARNINGS = ("-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC")
_COCOTB_FLAGS = (
    *("--cc", "--exe", "--vpi", "--no-public-flat-rw", "--assert", "-O3"),
    *("--x-assign", "unique", "--x-initial", "unique", "--timescale", "1ns/1ps"),
)
_NATIVE_FLAGS = ("--cc", "-O3", "--no-assert", "--x-assign", "fast", "--x-initial", "fast")

# -O2 and -O3 take twice as long to compile and run within 10 % of this.
_OPTIMISE = "OPT_FAST=-O1"


def cache():
    """The root of everything that can be made again."""
    return Path(os.environ.get("ZOETROPE_CACHE") or ROOT / ".cache").resolve()


def verilog(component, top):
    """The Verilog of ``component``, which has a ``config``, as module ``top``.

    Kept by its sources: elaboration takes seconds for a block with a large memory, reading the sources of ``hw`` none.
    """
    own = inspect.getsourcefile(type(component))
    sources = [Path(own).read_text(), *(path.read_text() for path in sorted((ROOT / "hw").rglob("*.py")))]
    what = f"{type(component).__qualname__} {component.config!r} {top}"
    versions = (importlib.metadata.version("amaranth"), toolchain.yosys_version())
    path = cache() / "verilog" / f"{top}-{_digest(what, *sources, *versions)}.v"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with announced(f"elaborating {top}"):
            result = emit.verilog(component, top)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(result)
        partial.replace(path)
    return path.read_text()


def ports(text, top):
    """The port names of module ``top`` in Verilog ``text``."""
    header = re.search(rf"^module {re.escape(top)}\s*\((.*?)\);", text, re.S | re.M)
    if header is None:
        raise ToolError(f"the Verilog has no module {top}")
    return re.findall(r"\w+", header[1])


def for_cocotb(text, top, sim="verilator", waves=False):
    """Build Verilog ``text`` for cocotb's runner. Returns the folder to pass as its ``build_dir``.

    The shell of a netlist (``synth.switching``) has ``switching.cpp`` in it.
    """
    if sim == "icarus":
        key = _digest("icarus", text, top, str(waves), toolchain.versions(sim))
        return _cached(f"icarus-{top}-{key}", f"{top} (icarus)", lambda work: _icarus(work, text, top, waves))
    trace = (("--trace-fst",) if toolchain.can_write_fst() else ("--trace",)) if waves else ()
    flags = (*_COCOTB_FLAGS, *trace, *_WARNINGS)
    glue = SWITCHING_SOURCE.read_text() if 'import "DPI-C"' in text else ""
    key = _digest("cocotb", text + glue, top, *flags, _OPTIMISE, toolchain.versions(sim), str(cocotb_config.libs_dir))
    label = f"{top} (verilator{', with waves' if waves else ''})"
    return _cached(f"verilator-{top}-{key}", label, lambda work: _cocotb(work, text, top, glue, flags))


def for_native(text, top):
    """Build Verilog ``text`` with ``native.cpp`` into a shared library for ctypes. Returns the path of the library.

    A design with AXI pins has ``native_axi.cpp`` as well.
    """
    axi = any(port.endswith("_arvalid") for port in ports(text, top))
    glue = NATIVE_SOURCE.read_text() + (AXI_SOURCE.read_text() if axi else "")
    flags = (*_NATIVE_FLAGS, *_WARNINGS)
    key = _digest("native", text, top, glue, *flags, _OPTIMISE, toolchain.versions("verilator"))
    return (
        _cached(f"native-{top}-{key}", f"{top} (native)", lambda work: _native(work, text, top, glue, flags)) / "sim.so"
    )


def _cocotb(work, text, top, glue, flags):
    visible = "".join(f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports(text, top))
    (work / "ports.vlt").write_text(f"`verilator_config\n{visible}")
    (work / f"{top}.v").write_text(text)
    libraries = cocotb_config.libs_dir
    main = cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp"
    link = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
    sources = ["ports.vlt", str(main), f"{top}.v"]
    if glue:
        (work / "glue.cpp").write_text(glue)
        sources.append("glue.cpp")
    options = "-std=c++17 -O2" if glue else "-std=c++17"
    _verilate(work, top, *flags, "-o", top, "-CFLAGS", options, "-LDFLAGS", link, *sources)
    _make(work, flags)
    _keep(work, top, f"{top}.v", "build.log")


def _native(work, text, top, glue, flags):
    (work / f"{top}.v").write_text(text)
    (work / "glue.cpp").write_text(glue)
    position = "-std=c++17 -fPIC -DVL_TIME_CONTEXT"
    _verilate(work, top, *flags, "-CFLAGS", position, f"{top}.v")
    members = re.findall(r"VL_(?:IN|OUT|INOUT)(?:8|16|64|W)?\(&?(\w+),", (work / "Vtop.h").read_text())
    (work / "ports.inc").write_text("".join(f"PORT({member})\n" for member in members))
    _make(work, flags, "Vtop__ALL.a", "verilated.o", "verilated_threads.o", "glue.o")
    objects = ("glue.o", "verilated.o", "verilated_threads.o", "Vtop__ALL.a")
    _run(work, [*toolchain.compiler(), "-shared", "-o", "sim.so", *objects, "-lpthread"])
    _keep(work, "sim.so", f"{top}.v", "build.log")


def _icarus(work, text, top, waves):
    (work / f"{top}.v").write_text(text)
    (work / "time.f").write_text("+timescale+1ns/1ps\n")
    sources, tops = [f"{top}.v"], ["-s", top]
    if waves:
        dump = f'module dump;\ninitial begin $dumpfile("dump.fst"); $dumpvars(0, {top}); end\nendmodule\n'
        (work / "dump.v").write_text(dump)
        sources, tops = [*sources, "dump.v"], [*tops, "-s", "dump"]
    _run(work, [toolchain.icarus(), "-g2012", "-o", "sim.vvp", "-f", "time.f", *tops, *sources])


def _verilate(work, top, *arguments):
    tool = toolchain.verilator()
    _run(work, [tool.binary, "--Mdir", ".", "--prefix", "Vtop", "--top-module", top, *arguments], tool.environment)


def _make(work, flags, *goals):
    tool = toolchain.verilator()
    compiler = " ".join(toolchain.compiler())
    runtime = cache() / "sim" / f"runtime-{_digest(*flags, str(goals != ()), toolchain.versions('verilator'))}"
    reused = _reuse(runtime, work)
    variables = [f"CXX={compiler}", f"LINK={compiler}", f"PYTHON3={sys.executable}", _OPTIMISE, *tool.make]
    jobs = f"-j{min(4, os.cpu_count() or 1)}"
    _run(work, [toolchain.make(), jobs, "-f", "Vtop.mk", *variables, *goals], tool.environment)
    if not reused:
        _offer(runtime, work)


def _reuse(runtime, work):
    """Put Verilator's own objects, compiled by an earlier build with the same flags, in place: 5 s saved."""
    if not runtime.is_dir():
        return False
    os.utime(runtime)
    newer = time.time() + 1  # than Vtop.mk, on which make says they depend
    for path in runtime.iterdir():
        os.utime(shutil.copy(path, work), (newer, newer))
    return True


def _offer(runtime, work):
    partial = runtime.with_suffix(f".{os.getpid()}")
    partial.mkdir()
    for path in work.glob("verilated*.o"):
        shutil.copy(path, partial)
    try:
        partial.rename(runtime)
    except OSError:  # another build was first
        shutil.rmtree(partial)


def _keep(work, *names):
    for path in work.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _run(work, command, environment=None):
    """Run one step of a build in ``work``, its output appended to ``build.log``; ``ToolError`` shows what matters of it."""
    with open(work / "build.log", "a+") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        env = {**os.environ, "MAKEFLAGS": "", **(environment or {})}
        done = subprocess.run(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
    if done.returncode:
        telling = [line for line in lines if re.search(r"%(Error|Warning)|\berror\b", line)][:4] or lines[-3:]
        where = f"see {work / 'build.log'}"
        raise ToolError(f"{Path(command[0]).name} failed (exit {done.returncode}): {' | '.join(telling)}; {where}")


def _cached(name, label, make):
    builds = cache() / "sim"
    folder = builds / name
    if " " in str(builds):
        raise ToolError(f"GNU make cannot build in a path with spaces: {builds}; set ZOETROPE_CACHE to another folder")
    builds.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        with announced(f"building {label}"), locked(builds / "locks" / name):
            if not folder.is_dir():
                partial = builds / f"{name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                make(partial)
                partial.rename(folder)
                _prune()
    os.utime(folder)
    return folder


def _prune():
    """Remove what nobody used for ``UNUSED_DAYS``; what another process renames or removes meanwhile is passed over."""
    oldest = time.time() - UNUSED_DAYS * 86400
    for path in (*cache().glob("sim/*"), *cache().glob("verilog/*")):
        with contextlib.suppress(FileNotFoundError):
            if path.name == "locks" or path.stat().st_mtime > oldest:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def locked(path):
    """Hold the lock file ``path``; other processes wait. The kernel releases it however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def announced(message, after=2.0):
    """Say ``message`` on stderr if what runs inside takes longer than ``after`` seconds."""
    timer = threading.Timer(after, lambda: print(f"{message} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
