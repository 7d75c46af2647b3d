# SPDX-License-Identifier: Apache-2.0
"""Simulator builds, cached by content: the same Verilog, flags and tool versions are compiled once (``hw.cache``).

Only the ports of the top module are visible to cocotb. Its own runner makes every signal public (``--public-flat-rw``),
which keeps Verilator from optimising: 2 to 5 times the compile time and a third of the speed on Amaranth's output.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoetrope.hw import cache, tools
from zoetrope.hw.errors import ToolError
from zoetrope.sim.run import toolchain

NATIVE_SOURCE = Path(__file__).with_name("native.cpp")
#: What traces need: headers in place of those of libraries, and the window of time.
FST = Path(__file__).with_name("fst")
AXI_SOURCE = Path(__file__).with_name("native_axi.cpp")

# Yosys writes expressions whose widths Verilator would rather see spelled out. All other warnings stop the build.
_WARNINGS = ("-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC")
_COCOTB_FLAGS = (
    *("--cc", "--exe", "--vpi", "--no-public-flat-rw", "--assert", "-O3"),
    *("--x-assign", "unique", "--x-initial", "unique", "--timescale", "1ns/1ps"),
)
_NATIVE_FLAGS = ("--cc", "-O3", "--no-assert", "--x-assign", "fast", "--x-initial", "fast")

# GCC takes twice as long for the functions of tens of thousands of lines that Verilator writes as for the same in parts.
_PARTS = ("--output-split-cfuncs", "500")

# -Og compiles in less time than -O0 where there is much to compile, and a bench runs up to twice as fast. Of the runs of
# millions of cycles of small designs -O2 and -O3 take twice as long to compile as -O1 and run within 10 %.
_BRIEF = ("-Og",)
_LONG = ("-O1",)

#: Characters of Verilog from which a native build is brief, too: of SIMCORE 24 s in place of 36 s, its runs as fast.
_LARGE = 1_000_000


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

    flags = (*_COCOTB_FLAGS, *(("--trace-fst",) if waves else ()), *_PARTS, *_WARNINGS)
    versions = (toolchain.versions(), toolchain.cocotb_version(), str(cocotb.libs_dir), *(_window() if waves else ()))
    key = cache.digest("cocotb", text + glue, top, *flags, *_BRIEF, *versions)
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
    flags = (*_NATIVE_FLAGS, *_PARTS, *_WARNINGS)
    options = _BRIEF if len(text) > _LARGE else _LONG
    key = cache.digest("native", text, top, glue, *flags, *options, toolchain.versions())

    def make(work):
        _native(work, text, top, glue, flags, options)

    return cache.kept_folder("sim", f"native-{top}-{key}", f"{top} (native)", make) / "sim.so"


def _cocotb(work, text, top, glue, flags, cocotb):
    visible = "".join(f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports(text, top))
    (work / "ports.vlt").write_text(f"`verilator_config\n{visible}")
    (work / f"{top}.v").write_text(text)
    _verilate(work, top, *flags, "-o", top, "ports.vlt", f"{top}.v")
    main = cocotb.share_dir / "lib" / "verilator" / "verilator.cpp"
    path = ("-Xlinker", "-rpath", "-Xlinker", str(cocotb.libs_dir))  # -Wl, would take a comma in it for an end
    libraries = (*path, f"-L{cocotb.libs_dir}", "-lcocotbvpi_verilator")
    _compile(work, top, _BRIEF, glue, _windowed(main.read_text()), link=libraries)
    _keep(work, top, f"{top}.v", "build.log")


def _native(work, text, top, glue, flags, options):
    (work / f"{top}.v").write_text(text)
    _verilate(work, top, *flags, f"{top}.v")
    members = re.findall(r"VL_(?:IN|OUT|INOUT)(?:8|16|64|W)?\(&?(\w+),", (work / "Vtop.h").read_text())
    (work / "ports.inc").write_text("".join(f"PORT({member})\n" for member in members))
    _compile(work, "sim.so", (*options, "-fPIC", "-DVL_TIME_CONTEXT"), glue, link=("-shared",))
    _keep(work, "sim.so", f"{top}.v", "build.log")


def _window():
    return [path.read_text() for path in sorted(FST.glob("*.h"))]


def _windowed(main):
    """cocotb's C++ program, with waves of a part of a run only (``fst/window.h``)."""
    dump = "tfp->dump(main_time);"
    if dump not in main:
        raise ToolError("cocotb's main program for Verilator is not the one that is known: it writes no waves")
    include = '#if VM_TRACE\n#include "window.h"\n#endif\n'
    return include + main.replace(dump, "zoetrope_dump(tfp, main_time, traceFile);")


def _verilate(work, top, *arguments):
    tool = toolchain.verilator()
    _run(work, [tool.binary, "--Mdir", ".", "--prefix", "Vtop", "--top-module", top, *arguments], tool.environment)


def _compile(work, output, options, *sources, link):
    """Compile what Verilator wrote, and C++ texts ``sources``, as one file, and link it with Verilator's own objects.

    Nearly all time of a small file is Verilator's headers, and Verilator writes 6 files for a small design: as one, behind
    headers that are compiled already, they take a sixth. So no makefile is needed, and no path is read by
    ``make`` or a shell.
    """
    written = (work / "Vtop_classes.mk").read_text()
    names = {kind: _listed(written, kind) for kind in ("CLASSES", "SUPPORT", "GLOBAL")}
    parts = [f'#include "{name}.cpp"' for name in (*names["CLASSES"], *names["SUPPORT"])]
    (work / "all.cpp").write_text("\n".join(["#define VL_INCLUDE_OPT include", *parts, *sources]) + "\n")
    include = toolchain.verilator().include
    folders = ("-I.", f"-I{FST}", f"-I{include}", f"-I{include / 'vltstd'}")
    compiler = (*toolchain.compiler(), "-std=c++17", *_defines(written), *folders)
    runtime = _runtime(compiler, options, names["GLOBAL"])
    _run(work, [*compiler, *options, "-include", str(runtime / "headers.h"), "-c", "all.cpp", "-o", "all.o"])
    objects = (str(runtime / f"{name}.o") for name in names["GLOBAL"])
    _run(work, [*toolchain.compiler(), "-o", output, "all.o", *objects, *link, "-pthread"])


def _listed(written, kind):
    """Names of the files of a kind in ``Vtop_classes.mk``."""
    found = re.findall(rf"^VM_{kind}_(?:FAST|SLOW) \+= \\\n((?:  \S+ \\\n)*)", written, re.M)
    return [name for block in found for name in re.findall(r"\S{2,}", block)]


def _defines(written):
    """What Verilator's own makefile defines for its headers."""
    switches = ("VM_COVERAGE", "VM_TIMING", "VM_TRACE", "VM_TRACE_FST", "VM_TRACE_SAIF", "VM_TRACE_VCD")
    values = dict(re.findall(r"^(VM_\w+) = (\d)", written, re.M))
    return ("-DVERILATOR=1", "-DVM_SC=0", *(f"-D{name}={values.get(name, 0)}" for name in switches), "-faligned-new")


def _runtime(compiler, options, names):
    """The folder of Verilator's own objects and headers, compiled once for all designs with the same options."""
    include = toolchain.verilator().include

    def make(work):
        position = [option for option in options if not option.startswith("-O")]
        (work / "headers.h").write_text('#include "verilated.h"\n')
        steps = [("-O1", *position, "-c", str(include / f"{name}.cpp"), "-o", f"{name}.o") for name in names]
        steps.append((*options, "-x", "c++-header", "headers.h", "-o", "headers.h.gch"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # all other builds wait for this one
            list(pool.map(lambda step: _run(work, [*compiler, *step]), steps))

    key = cache.digest(*compiler, *options, *names, toolchain.versions())
    return cache.kept_folder("sim", f"runtime-{key}", "Verilator's runtime", make)


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
        done = tools.run(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
    if done.returncode:
        telling = [line for line in lines if re.search(r"%(Error|Warning)|\berror\b", line)][:4] or lines[-3:]
        where = f"see {work / 'build.log'}"
        raise ToolError(f"{Path(command[0]).name} failed (exit {done.returncode}): {' | '.join(telling)}; {where}")
