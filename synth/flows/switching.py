# SPDX-License-Identifier: Apache-2.0
"""How often every net of a mapped netlist changes while the block's own bench runs on it.

The bench is ``sim/tb_<block>.py``, as `make sim` runs it on RTL, in cocotb: it compares what the netlist returns with the
golden in the run in which nets are counted, so that wrong results have no power. Of its tests run those on the clip's
vectors (``on_clip``), all of them where it has none, at full rate: without stalls of the bench.

Counted are the cycles of the tests but those in reset, those of the quiet periods at the end, and those in which the bench
waits for a port with nothing queued, as for a table that fills itself after reset (``Bench._uncounted``). A net is what the
rising edge finds: its settled state, without the glitches before.

Gates are tables made from the functions in the Liberty file, evaluated where an input changed
(``synth/flows/switching.cpp``);
memories are the RTL's. Registers begin with anything.

Rejected: the netlist compiled by Verilator (5 ms of compiler for each cell: 95 s of CPU for 20,000 of them, where this takes
4), a native loop beside cocotb (a second bench for each block), counters in Verilog (hours to compile), VCD or SAIF (a
thousand times the bytes of the counts).
"""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoetrope.hw import cache
from zoetrope.hw.errors import ToolError, UserError
from zoetrope.sim.input import tensor_files
from zoetrope.sim.run.workers import workers
from zoetrope.synth.flows.liberty import names_in, parse
from zoetrope.synth.technologies.libraries import Expression

#: Evaluates the gates and counts, called from the Verilog.
_GLUE = Path(__file__).with_name("switching.cpp")

#: Of the random data of benches.
_SEED = 1

#: Environment variable with the folder that ``switching.cpp`` reads from and writes to.
_FOLDER = "ZOETROPE_SWITCHING"


def activity(netlist, library, block, config, tensors, bench=None):
    """Run the bench of a ``hw.catalogue.Block`` on a netlist of ``flows.netlist``. Kept by the content of all that it reads.

    Returns ``cycles``; ``tests``, their names; ``compared``, vectors that were equal to the golden; and by net number, as
    ``nets`` lists them, ``toggles`` and ``ones`` (cycles in which it was 1).

    Errors: ``UserError`` for a block without a bench, ``ToolError`` if the netlist does not pass it.
    """
    bench = bench or block.bench
    module = _module(bench, block)
    arrays = tensor_files.arrays(tensors)
    given = [f"{name} {hashlib.sha256(array.tobytes()).hexdigest()}" for name, array in arrays.items()]
    return cache.kept(
        lambda: _alone(_run, netlist, library, block, config, arrays, bench, _tests(module)),
        *("activity", _sources(bench), library.digest, repr(config), json.dumps(netlist)),
        *given,
    )


def _module(bench, block):
    try:
        return importlib.import_module(bench)
    except ModuleNotFoundError as error:
        if error.name != bench:
            raise
        raise UserError(f"block {block.name} has no bench: there is no module {bench}") from None


def _tests(module):
    """Names of the tests that run."""
    names = [name for name, value in vars(module).items() if type(value).__module__.startswith("cocotb.")]
    return [name for name in names if on_clip(name)] or names


def on_clip(test):
    """Whether a test of this name is on the clip's vectors: ``clip``, ``clip_distances``, ``a_tile_of_the_clip``."""
    return bool(re.search("(^|the_)clip", test))


def _sources(bench):
    """A digest of what a run follows from, but its input: this module, its C++, the bench and what they import."""
    return cache.digest(cache.closure(__name__, bench), _GLUE.read_text())


def _alone(run, *arguments):
    """``run(*arguments)`` in a process of its own: the harness is made for one simulation in a process."""
    with workers(1, "the process of a simulation") as pool:
        return pool.submit(run, *arguments).result()


def _run(netlist, library, block, config, tensors, bench, tests):
    from zoetrope.sim.run.harness import simulate

    shell = _Shell(netlist, block.name)
    words = shell.nets.compiled(library, shell)
    # What takes how long is told by who asked for it.
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as mute, contextlib.redirect_stderr(mute):
        words.tofile(Path(folder, "gates"))
        path = Path(folder, "shell.v")
        path.write_text(shell.verilog)
        os.environ[_FOLDER] = folder
        settings = {"seed": _SEED, "waves": False, "glue": _GLUE.read_text(), "tensors": tensors, "netlist": path}
        try:
            report = simulate(block, config=config, bench=bench, testcase=tests, stall="none", **settings)
        except AssertionError as failure:  # BenchFailed, which does not survive the way to another process
            what = str(failure).partition("\n  again:")[0]
            raise ToolError(f"the netlist of {what}") from None
        counts = np.fromfile(Path(folder, "counts"), np.uint64)
    toggles, ones = counts[1:].reshape(2, -1)[:, 2 : 2 + len(shell.nets.numbers)].tolist()
    found = {"cycles": int(counts[0]), "nets": shell.nets.numbers, "toggles": toggles, "ones": ones}
    return found | {"tests": sorted({row.test for row in report.rows}), "compared": report.vectors}


# --- shell ---------------------------------------------------------------------------------------------------------


class _Shell:
    """Verilog with the ports of a netlist and its memories around DPI calls that are the rest of it.

    ``into``, ``out`` : net numbers of what goes into the calls, and of what comes out
    """

    def __init__(self, netlist, top):
        self.nets = _Nets(netlist)
        self.into, self.out = [], []
        self._read, self._body = [], []
        ports = {name: (port["direction"], len(port["bits"])) for name, port in netlist["ports"].items()}
        for name, port in netlist["ports"].items():
            self._port(name, port)
        for k, (kind, pins) in enumerate(netlist["cells"]):
            if kind in netlist["srams"]:
                self._memory(f"memory_{k}", kind, pins)
        ports |= {name: ("input", 1) for name in ("clk", "counted")}  # a combinational block has cycles, too
        self.verilog = "\n".join([*netlist["srams"].values(), *self._module(top, ports)])

    def _port(self, name, port):
        if port["direction"] == "output":
            self._body.append(f"assign {name} = {self._taken(port['bits'])};")
        elif name != "clk":
            self._given(name, port["bits"])

    def _memory(self, name, kind, pins):
        connected = []
        for pin, bits in pins.items():
            if pin.startswith("r_data"):
                value = f"{name}_{pin}"
                self._body.insert(0, f"wire {_range(len(bits))}{value};")
                self._given(value, bits)
            else:
                value = pin if pin == "clk" else self._taken(bits)
            connected.append(f".{pin}({value})")
        self._body.append(f"{kind} {name} ({', '.join(connected)});")

    def _given(self, name, bits):
        self._read.insert(0, name)
        self.into += bits

    def _taken(self, bits):
        self.out += bits
        return f"netlist_out[{len(self.out) - 1}:{len(self.out) - len(bits)}]"

    def _module(self, top, ports):
        yield f"module {top}({', '.join(ports)});"
        for name, (direction, width) in ports.items():
            yield f"{direction} {_range(width)}{name};"
        given, taken = (f"[{len(nets) - 1}:0]" for nets in (self.into, self.out))
        yield f'import "DPI-C" function void netlist_settle(input bit {given} into, output bit {taken} out);'
        yield 'import "DPI-C" function void netlist_edge(input bit counted);'
        yield 'import "DPI-C" function void netlist_write();'
        yield f"reg {taken} netlist_out;"
        yield "reg netlist_step;"
        yield from self._body
        yield f"wire {given} netlist_into = {{{', '.join(self._read)}}};"
        yield "always @(posedge clk) begin netlist_edge(counted); netlist_step <= ~netlist_step; end"
        yield "always @(netlist_into or netlist_step) netlist_settle(netlist_into, netlist_out);"
        yield "final netlist_write();"
        yield "endmodule\n"


def _range(width):
    """To cocotb a vector of one bit is no bit."""
    return f"[{width - 1}:0] " if width > 1 else ""


# --- netlist -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Function:
    """A table over ``inputs``, pins or the state of a flip-flop, the first the lowest bit; ``output`` likewise."""

    inputs: tuple
    output: str
    table: tuple


#: Inputs of a gate in ``switching.cpp``.
_WIDEST = 6

#: What a flip-flop holds, and what it will, beside its pins.
_STATE, _NEXT = "state", "next state"


class _Nets:
    """Nets and cells of a netlist as ``switching.cpp`` reads them; 0 and 1 are constants, the ``numbers`` follow."""

    def __init__(self, netlist):
        cells = [(kind, pins) for kind, pins in netlist["cells"] if kind not in netlist["srams"]]
        bits = {bit for port in netlist["ports"].values() for bit in port["bits"]}
        bits |= {bit for _, pins in netlist["cells"] for connected in pins.values() for bit in connected}
        self.numbers = sorted(bit for bit in bits if isinstance(bit, int))
        self._cells = cells
        self._index = {"0": 0, "x": 0, "1": 1} | {net: k + 2 for k, net in enumerate(self.numbers)}
        self._count = 2 + len(self.numbers)

    def compiled(self, library, shell):
        """All words of `gates`."""
        kinds = {kind: _functions(library, kind) for kind, _ in self._cells}
        gates, flops = [], []
        for kind, pins in self._cells:
            at = {pin: self._index[bits[0]] for pin, bits in pins.items() if bits}
            if any(function.output == _NEXT for function in kinds[kind]):
                _tied(library, kind, pins)
                at |= {_STATE: self._new(), _NEXT: self._new()}
                flops += [at[_STATE], at[_NEXT]]
            for function in kinds[kind]:
                if function.output in at:
                    inputs = [at.get(name, 0) for name in function.inputs]
                    gates += self._narrow(at[function.output], inputs, function.table)
        into = [self._index[bit] if isinstance(bit, int) else self._new() for bit in shell.into]
        out = [self._index[bit] for bit in shell.out]
        words = [self._count, len(into), *into, len(out), *out, len(flops) // 2, *flops, len(gates)]
        for output, inputs, table in _ordered(gates):
            words += [*inputs, *[0] * (_WIDEST - len(inputs)), output, table & 0xFFFFFFFF, table >> 32]
        return np.array(words, np.uint32)

    def _new(self):
        self._count += 1
        return self._count - 1

    def _narrow(self, output, inputs, table):
        """Gates (output, inputs, bits of the table as an integer) that are one of any number of inputs."""
        if len(inputs) <= _WIDEST:
            return [(output, inputs, sum(bit << k for k, bit in enumerate(table)))]
        low, high, half = self._new(), self._new(), len(table) // 2
        select = (output, [low, high, inputs[-1]], 0b11001010)
        return [*self._narrow(low, inputs[:-1], table[:half]), *self._narrow(high, inputs[:-1], table[half:]), select]


def _ordered(gates):
    """Gates in an order in which none reads what a later one drives. ``ToolError`` if there is none."""
    driven = {output: k for k, (output, *_) in enumerate(gates)}
    before = [{driven[net] for net in inputs if net in driven} for _, inputs, _ in gates]
    readers = [[] for _ in gates]
    for k, others in enumerate(before):
        for other in others:
            readers[other].append(k)
    missing = list(map(len, before))
    ready = [k for k, count in enumerate(missing) if not count]
    for k in ready:  # which grows
        for reader in readers[k]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(ready) < len(gates):
        raise ToolError("the netlist has a loop of gates")
    return [gates[k] for k in ready]


@functools.cache
def _cell(library, kind):
    return parse(library.cells[kind].partition("{")[2], "cell")


@functools.cache
def _functions(library, kind):
    """The ``_Function``s of a cell. ``ToolError`` for one that is neither gates nor a flip-flop of the rising edge."""
    cell = _cell(library, kind)
    pins = {pin.arguments[0]: pin.attributes for pin in cell.all("pin")}
    inputs = [name for name, pin in pins.items() if pin.get("direction") == "input"]
    outputs = {name: pin["function"] for name, pin in pins.items() if "function" in pin}
    flops = cell.all("ff", "latch", "statetable")
    if not outputs or [flop.kind for flop in flops] not in ([], ["ff"]):
        raise ToolError(f"cell {kind} of library {library.name} is neither gates nor a flip-flop")
    if flops and re.sub(r"[()\s]", "", flops[0].attributes["clocked_on"]) not in inputs:
        raise ToolError(f"cell {kind} of library {library.name} does not act with the rising edge")
    states = flops[0].arguments if flops else ()
    if flops:
        outputs[_NEXT] = flops[0].attributes["next_state"]
    return [_function(text, name, inputs, states) for name, text in outputs.items()]


def _function(text, output, inputs, states):
    used = set(names_in(text))
    names = [name for name in inputs if name in used] + [_STATE] * bool(used & set(states))
    minterms = np.arange(1 << len(names))
    bits = {name: minterms >> k & 1 for k, name in enumerate(names)}
    if _STATE in bits:
        bits |= {states[0]: bits[_STATE], states[1]: 1 - bits[_STATE]}
    try:
        values = Expression(text, bits).value()
    except (IndexError, KeyError) as error:
        raise UserError(f"Liberty function {text!r} cannot be read: {error}") from None
    return _Function(tuple(names), output, tuple(np.broadcast_to(values, minterms.shape).tolist()))


def _tied(library, kind, pins):
    """``ToolError`` unless a flip-flop's clear and preset are off for good: the hardware resets with the clock."""
    (flop,) = _cell(library, kind).all("ff")
    ties = {pin: int(bits[0] == "1") for pin, bits in pins.items() if bits and isinstance(bits[0], str)}
    for name in ("clear", "preset"):
        text = flop.attributes.get(name)
        if text and (set(names_in(text)) - set(ties) or Expression(text, ties).value()):
            raise ToolError(f"a flip-flop {kind} has a {name} that is not off")
