# SPDX-License-Identifier: Apache-2.0
"""What a bench sees inside the simulator: streams to send to and collect from, comparison, measurement.

A bench is a coroutine under ``bench_test``; it runs once per stall pattern::

    @bench_test()
    async def products(bench):
        bench.send("i_x", rows)
        got = await bench.collect("o", len(expected))
        bench.compare(got, expected, unit="products")
        bench.measure(latency=("i_x", 0, "o", 0), interval="o")

One loop over the clock edges drives every source and sink and checks every stream; a coroutine per stream is the usual
way, and half as fast. At each edge it sees what a flip-flop sees, the values before the edge, and what it writes takes
effect after it. Payloads are turned into integers before the loop and back into bytes after it.

Checked on every stream, in every test: ``valid`` once raised stays until the transfer, the payload with it; ``valid`` is
raised without waiting for ``ready``; ``valid`` and ``ready`` are never X; everything sent is consumed; nothing comes out
that the test did not collect; something was compared.
"""

import contextlib
import functools
import hashlib
import json
import os
import pickle
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.simtime import get_sim_time
from cocotb.triggers import First, RisingEdge, Timer

from zoetrope.hw import tools
from zoetrope.sim.input.tensor_files import guess
from zoetrope.sim.payloads import as_rows, to_integers
from zoetrope.sim.ports import interface
from zoetrope.sim.record import CONTEXT, PERIOD, Row

tools.collect_less()

STALLS = ("none", "sink", "source", "both")

_PATTERN = 4096  # cycles until a stall pattern repeats
_STALL, _GO, _SHY = range(3)  # a shy sink waits for valid before it raises ready, for one transfer


class BenchError(AssertionError):
    """A check of the bench failed; the message is written for the reader of the report."""


@functools.cache
def _context():
    return pickle.loads(Path(os.environ[CONTEXT]).read_bytes())


@functools.cache
def _tensors(path):
    with np.load(path) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    if "grid" not in found and "q" in found:
        found["grid"] = np.array(guess(found["q"].shape))
    return MappingProxyType(found)


def bench_test(stalls=STALLS, **parameters):
    """Make a cocotb test of ``async def test(bench, ...)``, run once for each stall pattern of ``stalls``.

    Further keywords are sequences of values for the coroutine's arguments of that name: the test runs for each of them.
    Stimulus is the same under every stall pattern. A combinational block without streams takes ``stalls=("none",)``.
    """
    unknown = set(stalls) - set(STALLS)
    if unknown or not stalls:
        raise ValueError(f"stalls must be some of {STALLS}, not {tuple(stalls)}")

    def decorate(coroutine):
        @cocotb.test()
        @cocotb.parametrize(stall=list(stalls), **parameters)
        @functools.wraps(coroutine)
        async def test(dut, stall, **arguments):
            label = "/".join([coroutine.__name__, *(f"{name}={value}" for name, value in arguments.items())])
            await _run_test(Bench(dut, _context(), label, stall), coroutine, arguments)

        return test

    return decorate


async def _run_test(bench, coroutine, arguments):
    start = time.perf_counter()
    bench.row.begin = round(get_sim_time("ns") / PERIOD)
    try:
        await bench._begin()
        await coroutine(bench, **arguments)
        await bench._finish()
    except Exception as error:
        bench.row.error = _explain(error, coroutine)
        raise
    finally:
        bench.row.cycles = bench.cycle
        bench.row.seconds = time.perf_counter() - start
        with open(bench._context.rows, "a") as rows:
            rows.write(json.dumps(asdict(bench.row)) + "\n")


def _explain(error, coroutine):
    """The error as the report shows it: a failed check by its message, anything else with the line of the bench it left."""
    if isinstance(error, BenchError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == coroutine.__code__.co_filename] or frames
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}"
    return f"{type(error).__name__}: {error}\n{place}"


class Bench:
    """One test of one block.

    Attributes
    ----------
    config, component : of the block under test; the component is only there to be asked, it is not elaborated
    stall : the stall pattern of this run
    rng : ``np.random.Generator``, seeded by the run's seed and the test's name
    tensors : the harness's ``.npz`` as a mapping of arrays, with the grid guessed where it has none, or None
    dut : the simulator's handle of the block, for a model of a bus that drives pins of its own
    cycle : clock edges since the test began
    """

    def __init__(self, dut, context, test, stall):
        self.dut = dut
        self._context = context
        self.config = context.config
        self.component = context.component(config=context.config)
        self.component._MustUse__used = True
        self.stall = stall
        self.cycle = 0
        self.row = Row(test, stall, context.seed)
        self.tensors = _tensors(context.tensors) if context.tensors else None
        self.rng = _generator(context.seed, test)
        streams, self._ports = interface(self.component)
        self._sources = {s.name: _Source(dut, s, self._pattern(s, "source")) for s in streams.values() if s.into}
        self._sinks = {s.name: _Sink(dut, s, self._pattern(s, "sink")) for s in streams.values() if not s.into}
        self._streams = {**self._sources, **self._sinks}
        self._abandoned = set()
        self._counting = hasattr(dut, "counted")  # a netlist of synth.flows.switching
        self._settled = False  # nothing was sent or ran since the last quiet period
        latency = getattr(self.component, "latency", None) or 0
        self._quiet_cycles = int(min(max(latency, 64), 1024))
        self._patience = int(2000 + 4 * latency)

    def _pattern(self, stream, side):
        if self.stall not in (side, "both"):
            return None
        rng = _generator(self.row.seed, self.row.test, self.stall, stream.name)
        return _source_pattern(rng) if side == "source" else _sink_pattern(rng)

    # Driving

    async def reset(self, cycles=2):
        """Reset the block and forget all that was sent and collected so far. Done before each test already."""
        for stream in self._streams.values():
            stream.clear()
        self._settled = False
        with self._uncounted():
            if hasattr(self.dut, "rst"):
                self.dut.rst.value = 1
                await self._edges(cycles)
                self.dut.rst.value = 0
            elif self._counting:  # the first cycle that counts has one before it
                await self._edges(cycles)

    def send(self, stream, rows):
        """Queue payloads for an input stream.

        ``rows`` is an array whose rows have the bytes of one packed payload, little-endian, or a sequence of integers
        (negative ones in two's complement). ``ValueError`` if they do not fit the payload.
        """
        source = self._find(self._sources, stream, "input stream")
        source.queue.extend(to_integers(rows, source.stream.width, stream))
        self._settled = False

    async def collect(self, stream, count, *, more=False, timeout=None):
        """The next ``count`` payloads of an output stream, as ``uint8`` of shape ``(count, bytes)``.

        Runs until they are there and then, unless ``more`` is set or inputs are still queued, through a quiet period in
        which one more is an error. ``BenchError`` tells what every stream was doing when neither an input nor this
        output moved for ``timeout`` cycles; the default is 2000 cycles and four times the block's latency.
        """
        sink = self._find(self._sinks, stream, "output stream")
        wanted = sink.collected + count
        await self._run(self._patience if timeout is None else timeout, sink, wanted)
        if not more and not self._pending():
            await self._quiet()
            if len(sink.values) > wanted:
                raise BenchError(f"{stream}: {len(sink.values) - wanted} more transfers than the {wanted} expected")
        values = sink.values[sink.collected : wanted]
        rows = _decode(values, sink.stream, sink.collected)
        sink.collected = wanted
        return rows

    async def cycles(self, count):
        """Let ``count`` clock cycles pass; streams move as they do in ``collect``."""
        await self._run(count + 1, stop=self.cycle + count)

    async def until(self, port, *, timeout=1_000_000):
        """Wait until a port that belongs to no stream is not zero. ``BenchError`` after ``timeout`` cycles.

        With nothing queued the sinks lower ready and Python sleeps meanwhile: a million cycles take about a second.
        """
        handle, start = self._plain(port), self.cycle
        while not int(handle.value):
            left = timeout - (self.cycle - start)
            if left <= 0:
                raise BenchError(f"{port} is still zero after {timeout} cycles")
            await (self.cycles(1) if self._pending() else self._sleep(handle, left))

    async def _sleep(self, handle, timeout):
        for sink in self._sinks.values():
            sink.rest()
        start = get_sim_time("ns")
        with self._uncounted():
            await First(handle.value_change, Timer(timeout * PERIOD, unit="ns"))
        self.cycle += round((get_sim_time("ns") - start) / PERIOD)

    def get(self, port):
        """The value of a port that belongs to no stream, as an unsigned integer, as it was before the last clock edge."""
        return int(self._plain(port).value)

    def set(self, port, value):
        """Drive an input that belongs to no stream, from after the last clock edge on."""
        if not self._find(self._ports, port, "plain port").into:
            raise ValueError(f"{port} is an output: it cannot be set")
        getattr(self.dut, port).value = int(value)

    def _plain(self, port):
        self._find(self._ports, port, "plain port")
        return getattr(self.dut, port)

    def abandon(self, *streams):
        """Do not mind what these streams have queued or uncollected when the test ends."""
        for stream in streams:
            self._find(self._streams, stream, "stream")
        self._abandoned.update(streams)

    # Checking

    def compare(self, got, expected, *, unit="vectors", describe=None):
        """Compare payloads with the golden's, bit by bit. ``BenchError`` shows the first ones that differ.

        A row of ``expected``, an array of any type, is one vector; ``unit`` names them in the report, ``describe(i)``
        says in words what row i was.
        """
        expected = np.asarray(expected)
        got_bytes, want_bytes = as_rows(np.asarray(got)), as_rows(expected)
        if got_bytes.shape != want_bytes.shape:
            raise BenchError(
                f"{unit}: got {len(got_bytes)} rows of {got_bytes.shape[1]} bytes, "
                f"expected {len(want_bytes)} of {want_bytes.shape[1]}"
            )
        wrong = np.flatnonzero((got_bytes != want_bytes).any(axis=1))
        self.row.vectors += len(want_bytes)
        self.row.mismatches += len(wrong)
        if len(wrong):
            size = expected.itemsize if expected.ndim > 1 and expected.itemsize > 1 else want_bytes.shape[1]
            shown = [_difference(i, got_bytes[i], want_bytes[i], size, describe) for i in wrong[:4].tolist()]
            raise BenchError("\n".join([f"{unit}: {len(wrong)} of {len(want_bytes)} differ", *shown]))

    def equal(self, what, got, expected):
        """``BenchError`` unless ``got == expected``, for a count, a flag or a cycle number; ``what`` names it."""
        if got != expected:
            raise BenchError(f"{what}: got {got}, expected {expected}")

    def transfers(self, stream):
        """The cycles in which each transfer of ``stream`` took place, as an integer array."""
        return np.array(self._find(self._streams, stream, "stream").cycles, dtype=np.int64)

    def measure(self, *, latency=None, interval=None, busy=None):
        """Measure latency, initiation interval and utilisation; without stalls, compare with the component's properties.

        Parameters
        ----------
        latency : ``(input, i, output, j)``: cycles from the transfer of input i to that of output j
        interval : a stream, or ``(stream, first, last)``: mean cycles from one of its transfers to the next; the stream
            is the one whose transfers the component's ``initiation_interval`` counts
        busy : number of slots in use, for a utilisation per cycle from the first to the last transfer of any stream;
            without it, utilisation is the transfers of that stream per cycle from its first to its last

        Stalled runs keep the utilisation only. ``BenchError`` if a property disagrees.
        """
        stream, *window = (interval,) if isinstance(interval, str) else interval or (None,)
        if busy is not None:
            self.row.utilisation = busy / _span(np.concatenate([self.transfers(name) for name in self._streams]))
        elif stream or latency:
            moves = self.transfers(stream or latency[2])
            self.row.utilisation = len(moves) / _span(moves)
        if self.stall != "none":
            return
        if latency is not None:
            source, i, sink, j = latency
            self.row.latency = int(self.transfers(sink)[j] - self.transfers(source)[i])
            self._agree("latency", self.row.latency)
        if stream is not None:
            first, last = window or (0, len(self.transfers(stream)) - 1)
            moves = self.transfers(stream)[first : last + 1]
            if len(moves) < 2:
                raise BenchError(f"interval of {stream}: {len(moves)} transfers are too few to measure")
            self.row.interval = float((moves[-1] - moves[0]) / (len(moves) - 1))
            self._agree("initiation_interval", self.row.interval)

    def _agree(self, name, measured):
        stated = getattr(self.component, name, None)
        if stated is not None and stated != measured:
            raise BenchError(f"{name}: measured {measured:g} cycles, the component says {stated:g}")

    # The loop

    async def _begin(self):
        if self._context.clocked:
            Clock(self.dut.clk, PERIOD, unit="ns").start(start_high=False)
            self._edge = RisingEdge(self.dut.clk)
        else:
            self._edge = Timer(PERIOD, unit="ns")
        for port in self._ports.values():
            if port.into and port.width:
                self.set(port.name, 0)
        await self.reset()

    async def _edges(self, count):
        for _ in range(count):
            await self._edge
            self.cycle += 1

    async def _run(self, patience, sink=None, wanted=0, stop=None):
        """Run until cycle ``stop``, or until ``sink`` has ``wanted`` transfers, or until every input is consumed.

        ``BenchError`` if no input and not ``sink`` had a transfer for ``patience`` cycles.
        """
        edge, cycle = self._edge, self.cycle
        steps = [(stream.step, stream is sink or stream in self._sources.values()) for stream in self._streams.values()]
        last, pending = cycle, self._pending()
        while cycle < stop if stop is not None else len(sink.values) < wanted if sink else pending:
            await edge
            for step, progress in steps:
                if step(cycle) and progress:
                    last = cycle
            if last == cycle:
                pending = self._pending()
            cycle += 1
            self.cycle = cycle
            if cycle - last > patience:
                raise BenchError(self._stuck(patience, sink, wanted))
            self._settled = False

    def _pending(self):
        return [name for name, source in self._sources.items() if source.pending and name not in self._abandoned]

    async def _quiet(self):
        """Take whatever still comes for a while, all sinks ready."""
        if self._settled:
            return
        for sink in self._sinks.values():
            sink.open = True
        with self._uncounted():
            await self.cycles(self._quiet_cycles)
        for sink in self._sinks.values():
            sink.open = False
        self._settled = True

    async def _finish(self):
        await self._run(self._patience)
        await self._quiet()
        for name, sink in self._sinks.items():
            if len(sink.values) != sink.collected and name not in self._abandoned:
                raise BenchError(f"{name}: {len(sink.values)} transfers came out, {sink.collected} were collected")
        if not self.row.vectors:
            raise BenchError("the bench compared nothing")

    @contextlib.contextmanager
    def _uncounted(self):
        """Cycles in here are no work: a netlist that counts its switching leaves them out."""
        if not self._counting:
            yield
            return
        self.dut.counted.value = 0
        yield
        self.dut.counted.value = 1

    def _stuck(self, patience, sink, wanted):
        goal = (
            f"{sink.stream.name}: {len(sink.values)} of {wanted} transfers arrived" if sink else "inputs are left over"
        )
        states = [stream.state() for stream in self._streams.values()]
        return "\n".join([f"{goal}; nothing has moved for {patience} cycles (at cycle {self.cycle})", *states])

    @staticmethod
    def _find(among, name, kind):
        if name not in among:
            raise ValueError(f"there is no {kind} {name!r}; there is: {', '.join(among) or 'none'}")
        return among[name]


class _Source:
    """Drives one input stream of the block."""

    def __init__(self, dut, stream, pattern):
        self.stream = stream
        self._payload = getattr(dut, stream.port("payload")) if stream.width else None
        self._valid = getattr(dut, stream.port("valid"))
        self._level_of_ready = _reader(getattr(dut, stream.port("ready")))
        self._pattern = pattern
        self.clear()

    def clear(self):
        self.queue, self.cycles = [], []
        self._next = 0
        self._offered = False
        self._valid.value = 0
        if self._payload is not None:
            self._payload.value = 0

    @property
    def pending(self):
        return len(self.cycles) < len(self.queue)

    def step(self, cycle):
        """Look at one clock edge and drive what follows it. True if a transfer took place."""
        moved = self._offered and _level(self._level_of_ready, self.stream, "ready", cycle)
        if moved:
            self.cycles.append(cycle)
            self._offered = False
        if not self._offered:
            if self._next < len(self.queue) and (self._pattern is None or self._pattern[cycle % _PATTERN] == _GO):
                if self._payload is not None:
                    self._payload.value = self.queue[self._next]
                self._next += 1
                self._offered = True
                if not moved:
                    self._valid.value = 1
            elif moved:
                self._valid.value = 0
                if self._payload is not None:  # a block that takes a payload without valid shall take a wrong one
                    self._payload.value = ~self.queue[self._next - 1] & ((1 << self.stream.width) - 1)
        return moved

    def state(self):
        ready = "ready" if _level(self._level_of_ready, self.stream, "ready", None) else "not ready"
        valid = "valid" if self._offered else "idle"
        return f"  {self.stream.name}: {len(self.cycles)} of {len(self.queue)} consumed; {valid}, {ready}"


class _Sink:
    """Takes one output stream of the block and checks that it keeps its promises."""

    def __init__(self, dut, stream, pattern):
        self.stream = stream
        self._payload = _reader(getattr(dut, stream.port("payload"))) if stream.width else lambda: "0"
        self._level_of_valid = _reader(getattr(dut, stream.port("valid")))
        self._ready = getattr(dut, stream.port("ready"))
        self._pattern = pattern
        self.open = False
        self.clear()

    def clear(self):
        self.values, self.cycles = [], []
        self.collected = 0
        self._position = None  # in the pattern; None until the first valid
        self._driven = False
        self._waiting = False
        self._held = None
        self._ready.value = 0

    def step(self, cycle):
        """Look at one clock edge and drive what follows it. True if a transfer took place."""
        valid = _level(self._level_of_valid, self.stream, "valid", cycle)
        moved = False
        if valid:
            value = self._payload()
            if self._waiting and value != self._held:
                raise BenchError(f"{self.stream.name}: payload changed while valid and not ready, at cycle {cycle}")
            moved = self._driven
            if moved:
                self.values.append(value)
                self.cycles.append(cycle)
        elif self._waiting:
            raise BenchError(f"{self.stream.name}: valid fell before the transfer, at cycle {cycle}")
        self._waiting = valid and not moved
        self._held = value if self._waiting else None
        ready = self._pattern is None or self.open or self._willing(moved)
        if ready != self._driven:
            self._ready.value = ready
            self._driven = ready
        return moved

    def rest(self):
        """Take nothing until the next step."""
        self._ready.value = 0
        self._driven = False

    def _willing(self, moved):
        """Whether to raise ready. Until the first valid and in shy spells it waits: the block's valid must not."""
        if self._position is None:
            self._position = 0 if self._waiting else None
            return False
        mode = self._pattern[self._position % _PATTERN]
        if mode != _SHY or moved:
            self._position += 1
        return mode == _GO or (mode == _SHY and self._waiting)

    def state(self):
        valid = _level(self._level_of_valid, self.stream, "valid", None)
        waits = "" if valid or self._driven else " (if valid waits for ready: it must not)"
        words = f"{'valid' if valid else 'not valid'}, {'ready' if self._driven else 'not ready'}"
        return f"  {self.stream.name}: {len(self.values)} arrived; {words}{waits}"


def _reader(handle):
    """A function that returns a signal's value as text: cocotb makes an object of it, a tenth of the time of all benches."""
    return handle._handle.get_signal_val_binstr


def _level(read, stream, member, cycle):
    text = read()
    if text == "1":
        return True
    if text == "0":
        return False
    raise BenchError(f"{stream.name}: {member} is {text} at cycle {cycle}")


def _source_pattern(rng):
    """Gaps of one to four cycles, some of up to forty, between bursts of up to sixteen."""
    return _bursts(rng, [(_STALL, 40), (_GO, 16), (_STALL, 4), (_GO, 2), (_STALL, 4), (_GO, 4)], rng.integers(0, 40))


def _sink_pattern(rng):
    """The same for a sink, with spells of shyness; the first stall is long, so that the block fills up to its inputs."""
    return _bursts(rng, [(_STALL, 4), (_GO, 16), (_SHY, 24), (_STALL, 60), (_GO, 4), (_STALL, 3), (_GO, 2)], 64)


def _bursts(rng, kinds, first):
    modes = [_STALL] * int(first)
    while len(modes) < _PATTERN:
        mode, longest = kinds[rng.integers(len(kinds))]
        modes += [mode] * int(rng.integers(1, longest + 1))
    return modes[:_PATTERN]


def _generator(*names):
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _decode(values, stream, first=0):
    """Payloads as read from the simulator, to ``uint8`` of shape ``(n, bytes)``. ``BenchError`` if one has an X in it."""
    data = bytearray()
    for i, value in enumerate(values):
        try:
            data += int(value, 2).to_bytes(stream.row_bytes, "little")
        except ValueError:
            raise BenchError(f"{stream.name}: payload {first + i} is {value}") from None
    return np.frombuffer(data, np.uint8).reshape(len(values), stream.row_bytes)


def _span(moves):
    return int(moves.max() - moves.min()) + 1 if len(moves) else 1


def _difference(i, got, want, size, describe):
    """One line on row ``i``; of a row of several values, the first that differs."""
    words = f" ({describe(i)})" if describe else ""
    item = int(np.flatnonzero(got != want)[0]) // size
    part = slice(item * size, (item + 1) * size)
    index = f"[{i}]" if size == len(want) else f"[{i}, {item}]"
    return f"  {index}{words}: got {_hex(got[part])}, expected {_hex(want[part])}"


def _hex(data):
    return f"0x{data[::-1].tobytes().hex()}"
