"""Simulator builds, cached by content: the same Verilog, flags and tool versions are compiled once (``hw.cache``).

Only the ports of the top module are visible to cocotb. Its own runner makes every signal public (``--public-flat-rw``),
which keeps Verilator from optimising: 2 to 5 times the compile time and a third of the speed on Amaranth's output.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from zoetrope.hw import cache, processes
from zoetrope.hw.errors import ToolError
from zoetrope.sim.run import toolchain

NATIVE_SOURCE = Path(__file__).with_name("native.cpp")
AXI_SOURCE = Path(__file__).with_name("native_axi.cpp")

# Yosys writes expressions whose widths Verilator would rather see spelled out. All other warnings stop the build.
_WARNINGS = ("-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC")
_COCOTB_FLAGS = (
    *("--cc", "--exe", "--vpi", "--no-public-flat-rw", "--assert", "-O3"),
    *("--x-assign", "unique", "--x-initial", "unique", "--timescale", "1ns/1ps"),
)
_NATIVE_FLAGS = ("--cc", "-O3", "--no-assert", "--x-assign", "fast", "--x-initial", "fast")

# -O2 and -O3 take twice as long to compile and run within 10 % of this.
_OPTIMISE = "OPT_FAST=-O1"


def ports(text, top):
    """The port names of module ``top`` in Verilog ``text``."""
    header = re.search(rf"^module {re.escape(top)}\s*\((.*?)\);", text, re.S | re.M)
    if header is None:
        raise ToolError(f"the Verilog has no module {top}")
    return re.findall(r"\w+", header[1])


def for_cocotb(text, top, waves=False, glue=""):
    """Build Verilog ``text`` for cocotb's runner. Returns the folder to pass as its ``build_dir``.

    ``glue`` is C++ that the Verilog calls by DPI.
    """
    from cocotb_tools import config as cocotb  # a native build needs no cocotb

    trace = (("--trace-fst",) if toolchain.can_write_fst() else ("--trace",)) if waves else ()
    flags = (*_COCOTB_FLAGS, *trace, *_WARNINGS)
    versions = (toolchain.versions(), toolchain.cocotb_version(), str(cocotb.libs_dir))
    key = cache.digest("cocotb", text + glue, top, *flags, _OPTIMISE, *versions)
    label = f"{top} (verilator{', with waves' if waves else ''})"

    def make(work):
        _cocotb(work, text, top, glue, flags, cocotb)

    return cache.kept_folder("sim", f"verilator-{top}-{key}", label, make)


def for_native(text, top):
    """Build Verilog ``text`` with ``native.cpp`` into a shared library for ctypes. Returns the path of the library.

    A design with AXI pins has ``native_axi.cpp`` as well.
    """
    axi = any(port.endswith("_arvalid") for port in ports(text, top))
    glue = NATIVE_SOURCE.read_text() + (AXI_SOURCE.read_text() if axi else "")
    flags = (*_NATIVE_FLAGS, *_WARNINGS)
    key = cache.digest("native", text, top, glue, *flags, _OPTIMISE, toolchain.versions())

    def make(work):
        _native(work, text, top, glue, flags)

    return cache.kept_folder("sim", f"native-{top}-{key}", f"{top} (native)", make) / "sim.so"


def _cocotb(work, text, top, glue, flags, cocotb):
    visible = "".join(f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports(text, top))
    (work / "ports.vlt").write_text(f"`verilator_config\n{visible}")
    (work / f"{top}.v").write_text(text)
    libraries = toolchain.without_spaces(cocotb.libs_dir)
    main = toolchain.without_spaces(cocotb.share_dir) / "lib" / "verilator" / "verilator.cpp"
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


def _verilate(work, top, *arguments):
    tool = toolchain.verilator()
    _run(work, [tool.binary, "--Mdir", ".", "--prefix", "Vtop", "--top-module", top, *arguments], tool.environment)


def _make(work, flags, *goals):
    tool = toolchain.verilator()
    compiler = " ".join(toolchain.compiler())
    runtime = cache.root() / "sim" / f"runtime-{cache.digest(*flags, str(goals != ()), toolchain.versions())}"
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
        done = processes.run(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
    if done.returncode:
        telling = [line for line in lines if re.search(r"%(Error|Warning)|\berror\b", line)][:4] or lines[-3:]
        where = f"see {work / 'build.log'}"
        raise ToolError(f"{Path(command[0]).name} failed (exit {done.returncode}): {' | '.join(telling)}; {where}")
