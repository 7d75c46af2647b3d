# SPDX-License-Identifier: Apache-2.0
"""SIMCORE stopped in mid-head: aborts at every kind of moment, the watchdog, a bus that stops answering; and the next head.

A head is held to the golden behind each of them, on the same memory and without a reset.
"""

import itertools

import numpy as np
import pytest

from zoetrope.golden.simcore.chip.simcore import simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.hw.simcore.chip.simcore import Simcore
from zoetrope.hw.simcore.chip.simcore_registers import Cause
from zoetrope.sim.host.simcore import SimcoreError, SimcoreStuck, on_native, settings_of, token_bytes
from zoetrope.sim.run.native import Native
from zoetrope.sim.studies.simcore_heads import heads

TINY = catalogue.find("simcore").config("tiny")
BASE = 0x1F40


@pytest.fixture(scope="module")
def tiny():
    return Native.build(Simcore(config=TINY), "simcore")


class Case:
    """A machine, a head for it, and what must become of it."""

    def __init__(self, native, *, latency=2, seed=None, watchdog=0, limit=300_000):
        native.reset()
        rng = np.random.default_rng(8)
        self.geometry = Geometry(min(3, TINY.max_frames), min(2, TINY.max_height), min(4, TINY.max_width))
        self.settings = settings_of(TINY)
        shape = (self.geometry.tokens, TINY.max_channels)
        self.matrices = [rng.standard_normal(shape).astype(np.float16) for _ in "qkv"]
        options = {"latency": latency, "seed": seed, "watchdog": watchdog, "limit": limit}
        self.machine = on_native(native, 1 << 16, base=BASE, **options)
        self.memory = self.machine.memory
        self.a = simcore(*self.matrices, self.geometry, self.settings).a

    def start(self):
        return self.machine.start(*self.matrices, self.geometry, self.settings)

    def right(self):
        """The head, not stopped, against the golden; its cycles."""
        run = self.machine.run(*self.matrices, self.geometry, self.settings)
        np.testing.assert_array_equal(run.a.view(np.uint16), self.a.view(np.uint16))
        return run.counters["cycles"]

    def ends_with(self, started, cause):
        with pytest.raises(SimcoreError, match=f"SIMCORE: {cause.name}: ") as error:
            self.machine.finish(started)
        assert error.value.cause is cause
        status = self.machine.registers.fields("status")
        assert not any(status[name] for name in ("busy", "error", "stuck", "reads_pending", "writes_pending"))
        return error.value.counters


@pytest.mark.parametrize("latency, seed", [(1, None), (60, None), (2, 5), (400, 6)])
@pytest.mark.campaign
def test_aborts_at_many_moments(tiny, latency, seed):
    """From the first cycle to the last row, in prologue, tiles and recovery: the cause, and the next head bit for bit."""
    case = Case(tiny, latency=latency, seed=seed)
    took = case.right()
    for moment in (0, 1, 3, 7, *np.linspace(20, took - 60, 14).astype(int).tolist()):
        started = case.start()
        case.memory.run(limit=max(1, moment))
        before = case.memory.data.copy()
        case.machine.abort()
        counters = case.ends_with(started, Cause.ABORTED)
        # Of the bus: bursts of four readers and a few rows; a register access takes a few cycles.
        assert counters["cycles"] < moment + 200 + 8 * latency + (1500 if seed else 0)
        outside = np.ones(len(before), bool)
        size = case.geometry.tokens * token_bytes(TINY.max_channels, TINY.data_bits // 8)
        outside[started.address - BASE : started.address - BASE + size] = False
        np.testing.assert_array_equal(case.memory.data[outside], before[outside])
        assert abs(case.right() - took) < 1 + (took // 4 if seed else 8)


def test_aborts_of_random_heads(tiny):
    rng = np.random.default_rng(11)
    ended = set()
    for _, head in itertools.islice(heads(TINY, seed=6), 40):
        machine = on_native(tiny, head.size, base=head.base, latency=head.latency, seed=head.pauses, limit=300_000)
        arguments = (head.q, head.k, head.v, head.geometry, head.settings)
        started = machine.start(*arguments, places=head.places)
        machine.memory.run(limit=int(rng.integers(1, 3000)))
        machine.abort()
        try:
            machine.finish(started)
            ended.add(Cause.NONE)
        except SimcoreError as error:
            ended.add(error.cause)
        try:
            run = machine.run(*arguments, places=head.places)
        except SimcoreError as error:
            assert error.cause is Cause.FOLD
        else:
            np.testing.assert_array_equal(run.a.view(np.uint16), simcore(*arguments).a.view(np.uint16))
    assert {Cause.NONE, Cause.ABORTED} <= ended <= {Cause.NONE, Cause.ABORTED, Cause.FOLD}


def test_an_abort_of_nothing_is_nothing(tiny):
    case = Case(tiny)
    case.machine.abort()
    case.right()
    case.machine.abort()
    assert case.machine.registers.fields("status")["busy"] == 0
    case.right()


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_the_watchdog_ends_a_head_that_takes_too_long(tiny, share):
    took = Case(tiny, latency=20).right()
    watchdog = int(share * took)
    case = Case(tiny, latency=20, watchdog=watchdog)
    for _ in range(2):
        counters = case.ends_with(case.start(), Cause.WATCHDOG)
        assert watchdog < counters["cycles"] < watchdog + 400
    case = Case(tiny, latency=20, watchdog=took + 1)
    assert [case.right() for _ in range(2)] == [took, took]


@pytest.mark.parametrize("channel", ["AR", "R", "AW", "W", "B"])
@pytest.mark.parametrize("moment", [1, 60, 900])
@pytest.mark.campaign
def test_a_bus_that_stops_answering(tiny, channel, moment):
    """The watchdog fires, and status says of which side; when the bus answers again, the head ends and the next is right."""
    case = Case(tiny, latency=3, watchdog=20_000)
    case.right()
    started = case.start()
    case.memory.run(limit=moment)
    case.memory.hold(channel)
    reads = channel in ("AR", "R")
    with pytest.raises(SimcoreStuck) as stuck:
        case.machine.finish(started)
    assert (stuck.value.reads, stuck.value.writes) == (reads, not reads)
    assert f"owes answers to {'reads' if reads else 'writes'}: " in str(stuck.value)
    case.memory.run(limit=1000)
    status = case.machine.registers.fields("status")
    assert status["busy"] and status["cause"] == Cause.WATCHDOG and not status["stuck"]  # it is said once
    case.memory.hold()
    case.ends_with(started, Cause.WATCHDOG)
    case.right()


def test_an_abort_of_a_head_whose_bus_has_stopped(tiny):
    case = Case(tiny, latency=3)
    started = case.start()
    case.memory.run(limit=100)
    case.memory.hold("R")
    case.memory.run(limit=500)
    case.machine.abort()
    case.memory.run(limit=5000)
    status = case.machine.registers.fields("status")
    assert status["busy"] and status["reads_pending"] and status["cause"] == Cause.ABORTED
    assert not status["stuck"]  # without a watchdog there is no time for it
    case.memory.hold()
    case.ends_with(started, Cause.ABORTED)
    case.right()


def test_an_abort_cuts_short_what_an_error_left(tiny):
    """NaN in K: reads of the commands that were begun would go on. The cause is the first one."""
    case = Case(tiny, latency=400)
    good = case.matrices[1]
    case.matrices[1] = good.copy()
    case.matrices[1][0, 0] = np.nan
    started = case.start()
    while case.machine.registers.read("status.cause") != Cause.NOT_FINITE_K:
        pass
    case.machine.abort()
    case.ends_with(started, Cause.NOT_FINITE_K)
    case.matrices[1] = good
    case.right()


def test_a_watchdog_that_no_register_holds_is_refused(tiny):
    for wrong in (-1, 1 << 32):
        with pytest.raises(UserError, match=f"watchdog must be 0 to 4294967295 cycles, not {wrong}"):
            on_native(tiny, 1 << 12, watchdog=wrong)
