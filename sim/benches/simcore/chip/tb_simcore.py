# SPDX-License-Identifier: Apache-2.0
"""Bench of SIMCORE on its pins: heads of the clip and seeded ones, every switch, every error, by the driver.

Memory and registers are cocotbext-axi's, under stalls each of their channels holds up at random. Behind every head all
memory but A's must be as it was. The coroutines take what a head must become, so that they run on other machines too.
"""

import logging
from types import SimpleNamespace

import numpy as np
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiSlave

from zoetrope.golden.simcore.chip.simcore import simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.simcore.chip.simcore_registers import Cause
from zoetrope.sim.host.simcore import SWITCHES, SimcoreError, addresses, on_bus, settings_of, token_bytes
from zoetrope.sim.inside.bench import BenchError, bench_test
from zoetrope.sim.stimulus.axi import pauses
from zoetrope.sim.stimulus.outer_product import seeded_tensors
from zoetrope.sim.studies.simcore_heads import registers_that_are_wrong

#: Of the memory; the first matrix does not stand at 0.
SIZE, BASE = 1 << 19, 0x1FC0

#: Cycles after which a head is given up.
PATIENCE = 3_000_000

#: NaN behind a token's last channel: the machine does not look at it.
BEHIND = 0x7E00


def expected_of(q, k, v, geometry, settings):
    """A of the golden, and the counters that it knows."""
    result = simcore(q, k, v, geometry, settings)
    counted = result.statistics
    return result.a, {
        "rows_kept": counted.tokens - counted.temporal - counted.spatial,
        "slices": counted.slices,
        "tiles_fp16": counted.important,
        "tiles_lut": counted.tiles - counted.important,
    }


@bench_test(stalls=("none",))
async def clip(bench):
    """The beginning of a head of the clip, with all that saves work, and with nothing of it."""
    await clip_heads(bench, expected_of)


@bench_test(stalls=("both",))
async def shapes(bench):
    """Heads one after the other without a reset: text before and after, sizes that divide nothing, the smallest."""
    await seeded_heads(bench, expected_of, shapes_of(bench.config))


@bench_test(stalls=("none",))
async def switches(bench):
    """Every feature alone."""
    c = bench.config
    chosen = [{name: name == on for name in SWITCHES} for on in SWITCHES]
    geometry = Geometry(2, min(2, c.max_height), min(3, c.max_width), min(1, c.max_text))
    await seeded_heads(bench, expected_of, [(geometry, min(c.max_channels, 5), each) for each in chosen])


@bench_test(stalls=("none",))
async def refusals(bench):
    """What the registers hold makes no head: each cause, nothing written, and the next head is right."""
    await refused_heads(bench, expected_of)


@bench_test(stalls=("none",))
async def bad_data(bench):
    """NaN and infinity in each matrix, and products beyond FP16: the cause, and the next head is right."""
    c = bench.config
    large = Head(bench, expected_of, small(c), 2)
    large.q[:], large.k[:] = 200, 60_000
    await not_finite_heads(bench, expected_of, [(large, Cause.FOLD)])


@bench_test(stalls=("both",))
async def bus_errors(bench):
    """A memory that fails where a matrix stands: the cause, and the next head, which stands elsewhere, is right."""
    await failing_heads(bench, expected_of)


@bench_test(stalls=("none",))
async def start_while_busy(bench):
    """Is refused and said to be; the head that runs is right."""
    await started_twice(bench, expected_of)


# -- what the tests are made of ------------------------------------------------------------------------------------------


class Head:
    """Matrices of a geometry, seeded or given, and what must become of them."""

    def __init__(self, bench, expected, geometry, channels, matrices=None, **switches):
        self.bench, self.geometry, self.channels = bench, geometry, channels
        shape = (geometry.tokens, channels)
        made = matrices or [bench.rng.standard_normal(shape).astype(np.float16) for _ in "qkv"]
        self.q, self.k, self.v = made
        self.settings = settings_of(bench.config, **switches)
        self._expected = expected

    def expected(self):
        return self._expected(self.q, self.k, self.v, self.geometry, self.settings)

    def __str__(self):
        g = self.geometry
        text = f", {g.text} of text {'before' if g.text_first else 'after'}" if g.text else ""
        off = [name for name in SWITCHES if not getattr(self.settings, name)]
        without = f", without {', '.join(off)}" if off else ""
        return f"{g.frames} frames of {g.height} x {g.width}{text}, {self.channels} channels{without}"


def small(c):
    return Geometry(min(2, c.max_frames), 1, min(3, c.max_width))


def shapes_of(c):
    """(geometry, channels, settings that differ) of every awkward kind."""
    d, text = c.max_channels, c.max_text
    height, width = min(2, c.max_height), min(4, c.max_width)
    return [
        (Geometry(1, 1, 1), 1, {}),
        (Geometry(min(3, c.max_frames), height, width, min(3, text), True), d, {}),
        (Geometry(min(3, c.max_frames), height, width, min(3, text), False), max(1, d - 1), {"tau": 0.0, "p_p": 0.3}),
        (Geometry(min(2, c.max_frames), 1, width, min(c.keys + 1, text), True), min(d, 3), {"p_p": 1.0, "p_a": 0.0}),
        (Geometry(min(2, c.max_frames), height, 1), min(d, c.lanes), {"tau": 100.0, "p_a": 1.0}),
    ]


async def clip_heads(bench, expected):
    """The counters of the first one are the bench's utilisation."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    frames, tokens, channels = tensors["q"].shape
    width = min(c.max_width, tokens, 11)
    geometry = Geometry(min(frames, c.max_frames, 3), min(c.max_height, tokens // width, 3), width)
    d = min(channels, c.max_channels)
    matrices = [
        tensors[name][: geometry.frames, : geometry.rows, :d].reshape(-1, d).astype(np.float16) for name in "qkv"
    ]
    machine = machine_of(bench)
    for off in ({}, {"sparsify": False, "quantize": False}):
        run = await check(bench, machine, Head(bench, expected, geometry, d, matrices, **off))
        if not off and run.counters["cycles"]:
            bench.row.utilisation = (
                max(run.counters[f"{array}_busy"] for array in ("fp16", "lut")) / run.counters["cycles"]
            )


async def seeded_heads(bench, expected, cases):
    machine = machine_of(bench)
    for geometry, channels, changes in cases:
        await check(bench, machine, Head(bench, expected, geometry, channels, **changes))


async def refused_heads(bench, expected):
    """One register of each cause; ``tests/test_simcore_machine.py`` has all of them."""
    machine = machine_of(bench)
    head = Head(bench, expected, small(bench.config), 2)
    cases = {}
    for changes, cause in registers_that_are_wrong(
        bench.config, head.geometry, head.channels, machine_places(bench, head, BASE)
    ):
        cases.setdefault(cause, changes)
    for cause, changes in cases.items():
        await fails(bench, machine, head, cause, untouched=True, changes=changes)
    await check(bench, machine, head)


async def not_finite_heads(bench, expected, more=()):
    """NaN in the first token, infinity in the last one; ``more``: heads and causes."""
    c = bench.config
    machine = machine_of(bench)
    causes = {"q": Cause.NOT_FINITE_Q, "k": Cause.NOT_FINITE_K, "v": Cause.NOT_FINITE_V}
    cases = []
    for name, cause in causes.items():
        for place, value in ((0, np.nan), (-1, -np.inf)):
            head = Head(bench, expected, small(c), min(5, c.max_channels))
            getattr(head, name)[place, place] = value
            cases.append((head, cause))
    for head, cause in [*cases, *more]:
        await fails(bench, machine, head, cause)
        await check(bench, machine, Head(bench, expected, small(c), min(5, c.max_channels)))


async def failing_heads(bench, expected):
    c = bench.config
    hole = range(1 << 17, (1 << 17) + (1 << 12))
    memory = Holed(bench, hole)
    machine = machine_of(bench, memory)
    head = Head(bench, expected, small(c), min(5, c.max_channels))
    good = machine_places(bench, head, BASE)
    for name, cause in (("q", Cause.READ), ("k", Cause.READ), ("v", Cause.READ), ("a", Cause.WRITE)):
        await fails(bench, machine, head, cause, places=good._replace(**{name: hole.start}))
        await check(bench, machine, head)


async def started_twice(bench, expected):
    c = bench.config
    machine = machine_of(bench)
    head = Head(bench, expected, small(c), min(5, c.max_channels))
    before = memory_of(machine)
    started = await machine.driver.start(head.q, head.k, head.v, head.geometry, head.settings)
    await machine.driver.registers.write("control.start", 1)
    status = await machine.driver.registers.fields("status")
    bench.equal("refused while busy", (status["busy"], status["refused"]), (1, 1))
    run = await machine.driver.finish(started)
    compare(bench, head, run)
    only_a_changed(bench, machine, head, before, started.address)
    await machine.driver.registers.write("status.refused", 1)
    bench.equal("refused after it was cleared", await machine.driver.registers.read("status.refused"), 0)
    await check(bench, machine, head)


async def check(bench, machine, head):
    """One head against what must become of it. Returns its ``sim.host.simcore.Run``."""
    before = memory_of(machine)
    try:
        run = await machine.driver.run(head.q, head.k, head.v, head.geometry, head.settings)
    except SimcoreError as error:
        raise BenchError(f"{head}: {error}") from None
    compare(bench, head, run)
    only_a_changed(bench, machine, head, before, machine_places(bench, head, BASE).a)
    bench.equal(f"{head}: the interrupt when its cause was cleared", bench.get("irq"), 0)
    return run


def compare(bench, head, run):
    a, counters = head.expected()
    bench.compare(run.a.view(np.uint16), np.asarray(a).view(np.uint16), unit=f"rows of A, {head}")
    bench.equal(f"{head}: counters", {name: run.counters[name] for name in counters}, counters)


async def fails(bench, machine, head, cause, *, untouched=False, places=None, changes=None):
    """A head that must end with ``cause``; ``untouched``: and write nothing."""
    before = memory_of(machine)
    try:
        await machine.driver.run(head.q, head.k, head.v, head.geometry, head.settings, places=places, changes=changes)
    except SimcoreError as error:
        bench.equal(f"cause of {changes or head}", error.cause.name, cause.name)
        bench.row.vectors += 1
        only_a_changed(
            bench, machine, head, before, None if untouched else (places or machine_places(bench, head, BASE)).a
        )
        return
    raise BenchError(f"{changes or head}: ended well, and should have ended with {cause.name}")


def only_a_changed(bench, machine, head, before, address):
    """Nothing but A, and of its tokens nothing behind the channels; Q, K and V stand where the driver has put them."""
    after = memory_of(machine)
    allowed = np.zeros(SIZE, bool)
    for start, size in machine.memory.written:
        allowed[start : start + size] = True
    machine.memory.written.clear()
    if address is not None:
        pitch = token_bytes(head.channels, bench.config.data_bits // 8)
        a = allowed[address : address + head.geometry.tokens * pitch].reshape(-1, pitch)
        a[:, : 2 * head.channels] = True
    wrong = np.flatnonzero((after != before) & ~allowed).tolist()
    if wrong:
        raise BenchError(f"{head}: {len(wrong)} bytes outside of A were written, the first at {wrong[0]:#x}")


def machine_places(bench, head, base):
    return addresses(base, head.geometry.tokens, head.channels, bench.config.data_bits // 8)


# -- the machine's other side --------------------------------------------------------------------------------------------


class Memory:
    """cocotbext-axi's memory, and what the driver wrote into it."""

    def __init__(self, bench):
        quiet(bench)
        self.slave = AxiRam(AxiBus.from_prefix(bench.dut, "m_axi"), bench.dut.clk, size=SIZE)
        self.slave.write(0, bench.rng.integers(0, 256, SIZE, dtype=np.uint8).tobytes())
        self.written = []

    def write(self, address, data):
        self.written.append((address, len(data)))
        self.slave.write(address, data)

    def read(self, address, count):
        return self.slave.read(address, count)


class Holed:
    """The same, failing where the master reads or writes in ``hole``."""

    def __init__(self, bench, hole):
        quiet(bench)
        self._data = bench.rng.integers(0, 256, SIZE, dtype=np.uint8)
        target = SimpleNamespace(read=self._bus_read, write=self._bus_write)
        self.slave = AxiSlave(AxiBus.from_prefix(bench.dut, "m_axi"), bench.dut.clk, target=target)
        self._hole = hole
        self.written = []

    def write(self, address, data):
        self.written.append((address, len(data)))
        self._data[address : address + len(data)] = np.frombuffer(bytes(data), np.uint8)

    def read(self, address, count):
        return self._data[address : address + count].tobytes()

    async def _bus_read(self, address, length):
        self._check(address)
        return self.read(address, length)

    async def _bus_write(self, address, data):
        self._check(address)
        self._data[address : address + len(data)] = np.frombuffer(bytes(data), np.uint8)

    def _check(self, address):
        if address in self._hole:
            raise ValueError("no memory here")


class Transport:
    """cocotbext-axi's AXI4-Lite master as the driver wants it."""

    def __init__(self, bench):
        self._bench = bench
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(bench.dut, "s_axi"), bench.dut.clk)

    async def read(self, address):
        answer = await self.master.read(address, 4)
        self._bench.equal(f"response to a read of {address:#x}", int(answer.resp), 0)
        return int.from_bytes(answer.data, "little")

    async def write(self, address, value):
        answer = await self.master.write(address, value.to_bytes(4, "little"))
        self._bench.equal(f"response to a write to {address:#x}", int(answer.resp), 0)


def machine_of(bench, memory=None):
    """``driver`` and ``memory`` of a machine, all channels of which hold up at random under stalls."""
    memory = memory or Memory(bench)
    transport = Transport(bench)
    seeds = iter(bench.rng.integers(0, 1 << 32, 10))
    for side in (memory.slave, transport.master):
        write, read = side.write_if, side.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            seed = next(seeds)
            if bench.stall == "both":
                channel.set_pause_generator(pauses(np.random.default_rng(seed)))

    async def wait():
        await bench.until("irq", timeout=PATIENCE)

    return SimpleNamespace(driver=on_bus(transport, memory, wait, base=BASE, behind=BEHIND), memory=memory)


def memory_of(machine):
    return np.frombuffer(bytes(machine.memory.read(0, SIZE)), np.uint8)


def quiet(bench):
    """The models would log every burst."""
    logging.getLogger(f"cocotb.{bench.dut._name}").setLevel(logging.WARNING)
