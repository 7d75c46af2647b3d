# SPDX-License-Identifier: Apache-2.0
"""A driver of SIMCORE: arrays in, arrays and counters out, over any registers and any memory.

``Simcore`` is for transports whose methods return, ``AsyncSimcore`` for those whose methods are awaited; both do the same.
A memory has ``write(address, data)`` and ``read(address, count)`` of bytes::

    machine = on_native(Native.build(Simcore(config=config), "simcore"), 1 << 20)     # the RTL, without cocotb
    machine = Simcore(Driver(description, transport, base), memory)                   # a board, polled
    run = machine.run(q, k, v, Geometry(4, 9, 11), Settings(rows=8, keys=128))
    run.a, run.counters["cycles"]

Tokens stand in memory as in the arrays, one row a token, each at the beginning of a word (``pack``).
"""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import fp32
from zoetrope.golden.simcore.chip.simcore import Settings
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes, inverse
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_threshold
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.errors import UserError
from zoetrope.hw.simcore.chip.simcore_registers import COUNTERS, P_BITS, REGISTERS, VERSION, Cause
from zoetrope.sim.host.driver import AsyncDriver, Driver
from zoetrope.sim.run.native_axi import AxiMemory, Lite

#: The pin; Verilator has a word of its own that is "interrupt".
INTERRUPT = "irq"

#: What ``Settings`` and ``control`` both have.
SWITCHES = ("sparsify", "speculate_p", "speculate_a", "quantize", "compact")

#: Reads of the status after which a head is given up, where there is nothing to wait for but the status.
POLLS = 1_000_000


class SimcoreError(UserError):
    """A head ended with an error. ``cause`` says which, ``counters`` what the machine had counted."""

    def __init__(self, message, cause, counters):
        super().__init__(message)
        self.cause, self.counters = cause, counters


class SimcoreStuck(UserError):
    """A head was stopped, and the bus does not answer what it had begun. ``reads``, ``writes``: whether either is owed."""

    def __init__(self, reads, writes):
        owed = " and ".join(name for name, pending in (("reads", reads), ("writes", writes)) if pending)
        super().__init__(
            f"SIMCORE: the head was stopped, but the bus owes answers to {owed or 'none any more'}: "
            "wait for them, or reset the machine and the interconnect together"
        )
        self.reads, self.writes = reads, writes


class Machine(NamedTuple):
    """What the registers say of a machine: see ``docs/registers.md``."""

    version: int
    rows: int
    data_bits: int
    max_channels: int
    max_frames: int
    max_tokens: int
    key_tile: int

    @property
    def word_bytes(self) -> int:
        return self.data_bits // 8


class Addresses(NamedTuple):
    """Of the first byte of each matrix."""

    q: int
    k: int
    v: int
    a: int


class Started(NamedTuple):
    """A head that was begun: where A will be, its tokens and channels."""

    address: int
    tokens: int
    channels: int


class Run(NamedTuple):
    """A head that ended well. ``a``: ``float16`` (T, d); ``counters``: name to number, as the registers have them."""

    a: np.ndarray
    counters: dict[str, int]


def token_bytes(channels: int, word_bytes: int) -> int:
    """From the beginning of a token to that of the next one: whole words."""
    return -(-2 * channels // word_bytes) * word_bytes


def pack(x: np.ndarray, word_bytes: int, behind: int = 0) -> bytes:
    """Tokens in memory: ``x`` (T, d), ``float16`` or binary16 codes; ``behind``: code behind the channels of a last word."""
    codes = as_codes(x)
    rows = np.full((len(codes), token_bytes(codes.shape[1], word_bytes) // 2), behind, "<u2")
    rows[:, : codes.shape[1]] = codes
    return rows.tobytes()


def unpack(data: bytes, channels: int, word_bytes: int) -> np.ndarray:
    """``float16`` (T, channels) of tokens in memory."""
    rows = np.frombuffer(bytes(data), "<u2").reshape(-1, token_bytes(channels, word_bytes) // 2)
    return rows[:, :channels].astype(np.uint16).view(np.float16)


def addresses(base: int, tokens: int, channels: int, word_bytes: int) -> Addresses:
    """Q, K, V and A one behind the other from ``base`` on, which is rounded up to a word."""
    size = tokens * token_bytes(channels, word_bytes)
    first = -(-base // word_bytes) * word_bytes
    return Addresses(*(first + k * size for k in range(4)))


def register_values(geometry: Geometry, channels: int, settings: Settings, places: Addresses) -> dict[str, int]:
    """What is written before ``start``, register to value; ``control`` comes last."""
    switches = {name: getattr(settings, name) for name in SWITCHES}
    halves = {
        f"{name}_{half}": address >> shift & 0xFFFFFFFF
        for name, address in places._asdict().items()
        for half, shift in (("low", 0), ("high", 32))
    }
    return {
        **{name: getattr(geometry, name) for name in ("frames", "height", "width", "text")},
        "channels": channels,
        "window": settings.window,
        "group": settings.group,
        **halves,
        "p_p": proportion(settings.p_p, P_BITS),
        "p_a": proportion(settings.p_a, P_BITS),
        "tau_squared": int(squared_threshold(settings.tau)),
        "frame_inverse": inverse(geometry.rows),
        "score_scale": int(fp32(np.array([1 / np.sqrt(channels)]))[0]),
        **{f"control.{name}": int(on) for name, on in switches.items()},
        "control.text_first": int(geometry.text_first),
    }


def settings_of(config, **changes):
    """``Settings`` that a machine of ``config``, a ``SimcoreConfig``, can have; all that is left is by default."""
    own = {"rows": config.rows, "keys": config.keys, "lanes": config.sfu.lanes, "running": config.sfu.add_stages}
    own |= {"distance_lanes": config.lanes, "window": min(3, config.max_window), "group": min(4, config.max_width)}
    return Settings(**{**own, **changes})


class AsyncSimcore:
    """SIMCORE over transports that are awaited.

    Parameters
    ----------
    registers : ``sim.host.driver.AsyncDriver`` over ``hw.simcore.chip.simcore_registers.REGISTERS``
    memory : where the machine's AXI4 master reads and writes; its methods return
    wait : awaited after a start; returns when ``irq`` is high. None: the status is polled
    base : address from which matrices are put where a head does not say where
    behind : FP16 code in the last words of tokens behind the last channel, which the machine does not look at
    watchdog : cycles after which the machine ends a head with ``Cause.WATCHDOG``; 0: never
    """

    def __init__(self, registers, memory, wait=None, *, base=0, behind=0, watchdog=0):
        self.registers, self.memory = registers, memory
        self._wait, self._base, self._behind = wait, base, behind
        if not 0 <= watchdog < 1 << 32:
            raise UserError(f"watchdog must be 0 to {(1 << 32) - 1} cycles, not {watchdog}")
        self._watchdog = watchdog
        self._machine = None

    async def machine(self) -> Machine:
        """What the machine is, read once. ``UserError`` if its registers are not those that are known here."""
        if self._machine is None:
            found = {**await self.registers.fields("build"), **await self.registers.fields("limits")}
            found |= {name: await self.registers.read(name) for name in ("max_tokens", "key_tile")}
            if found["version"] != VERSION:
                raise UserError(
                    f"the machine's registers are of version {found['version']}, this driver's of {VERSION}"
                )
            self._machine = Machine(**found)
        return self._machine

    async def run(self, q, k, v, geometry, settings=None, *, places=None, changes=None) -> Run:
        """One head; arguments and errors as of ``start`` and ``finish``."""
        return await self.finish(await self.start(q, k, v, geometry, settings, places=places, changes=changes))

    async def start(self, q, k, v, geometry, settings=None, *, places=None, changes=None) -> Started:
        """Put the matrices into memory, set the registers, and start.

        Parameters
        ----------
        q, k, v : (T, d), ``float16`` or binary16 codes
        geometry, settings : as of ``golden.simcore.chip.simcore.simcore``; by default the settings of the machine's
        own sizes
        places : ``Addresses``; by default one behind the other
        changes : register or field to value, in place of what follows from the rest

        ``UserError`` for arrays of other sizes than the geometry's, and for settings that this machine does not have. The
        machine itself refuses a geometry beyond its own (``SimcoreError`` of ``finish``).
        """
        machine = await self.machine()
        settings = settings or Settings(rows=machine.rows, keys=machine.key_tile)
        channels = _check(machine, (q, k, v), geometry, settings)
        places = places or addresses(self._base, geometry.tokens, channels, machine.word_bytes)
        for address, x in zip(places, (q, k, v)):
            self.memory.write(address, pack(x, machine.word_bytes, self._behind))
        values = register_values(geometry, channels, settings, places) | {
            "watchdog": self._watchdog,
            "control.interrupt_enable": int(self._wait is not None),
        }
        for name, value in (values | (changes or {})).items():
            await self.registers.write(name, value)
        await self.registers.write("control.start", 1)
        return Started(places.a, geometry.tokens, channels)

    async def abort(self) -> None:
        """Ask that the head that runs end with ``Cause.ABORTED``; ``finish`` waits for it. Without one it is nothing."""
        await self.registers.write("control.abort", 1)

    async def finish(self, started: Started) -> Run:
        """Wait for the end, and take A and the counters. ``SimcoreError`` with the cause if the head ended with an error.

        ``SimcoreStuck`` if it was stopped, and the bus has not answered in twice the watchdog: ``finish`` may be called
        again, and ends as above once the bus has.
        """
        status = await self._end()
        if status["stuck"]:
            await self.registers.write("status.stuck", 1)
            if not status["error"]:
                raise SimcoreStuck(bool(status["reads_pending"]), bool(status["writes_pending"]))
        counters = {name: await self.registers.read(name) for name in COUNTERS}
        await self.registers.write("status.error" if status["error"] else "status.done", 1)
        if status["error"]:
            cause = Cause(status["cause"])
            raise SimcoreError(f"SIMCORE: {cause.name}: {cause.doc}", cause, counters)
        word_bytes = (await self.machine()).word_bytes
        data = self.memory.read(started.address, started.tokens * token_bytes(started.channels, word_bytes))
        return Run(unpack(data, started.channels, word_bytes), counters)

    async def _end(self):
        for _ in range(POLLS if self._wait is None else 1):
            if self._wait is not None:
                await self._wait()
            status = await self.registers.fields("status")
            if status["done"] or status["error"] or status["stuck"]:
                return status
        raise UserError(f"the head has not ended: {status}")


def _check(machine, matrices, geometry, settings):
    """The number of channels."""
    shapes = [np.shape(x) for x in matrices]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or shapes[0][0] != geometry.tokens:
        raise UserError(f"q, k and v must have {geometry.tokens} tokens and the same channels, not shapes {shapes}")
    for name, own in (("rows", machine.rows), ("keys", machine.key_tile)):
        if getattr(settings, name) != own:
            raise UserError(
                f"{name} of the settings must be {own}, as the machine has it, not {getattr(settings, name)}"
            )
    if settings.p_bits != P_BITS:
        raise UserError(f"p_bits of the settings must be {P_BITS}, not {settings.p_bits}")
    return shapes[0][1]


class Simcore:
    """The same over transports whose methods return: ``registers`` is a ``sim.host.driver.Driver``, ``wait`` is called."""

    def __init__(self, registers, memory, wait=None, *, base=0, behind=0, watchdog=0):
        self.registers, self.memory = registers, memory
        options = {"base": base, "behind": behind, "watchdog": watchdog}
        self._machine = AsyncSimcore(_Awaited(registers), memory, wait and _awaited(wait), **options)

    def machine(self) -> Machine:
        return _complete(self._machine.machine())

    def run(self, q, k, v, geometry, settings=None, *, places=None, changes=None) -> Run:
        return _complete(self._machine.run(q, k, v, geometry, settings, places=places, changes=changes))

    def start(self, q, k, v, geometry, settings=None, *, places=None, changes=None) -> Started:
        return _complete(self._machine.start(q, k, v, geometry, settings, places=places, changes=changes))

    def abort(self) -> None:
        _complete(self._machine.abort())

    def finish(self, started: Started) -> Run:
        return _complete(self._machine.finish(started))


class _Awaited:
    """A ``Driver`` whose methods are awaited and never wait."""

    def __init__(self, driver):
        for name in ("read", "write", "fields"):
            setattr(self, name, _awaited(getattr(driver, name)))


def _awaited(function):
    async def call(*arguments):
        return function(*arguments)

    return call


def _complete(coroutine):
    """The result of a coroutine in which nothing waits."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("a transport whose methods return has waited")


def on_native(
    native,
    size,
    *,
    limit=100_000_000,
    told=None,
    base=0,
    behind=0,
    watchdog=0,
    prefixes=("s_axi", "m_axi"),
    **memory,
) -> Simcore:
    """The driver of a native SIMCORE with ``size`` bytes of memory from ``base`` on.

    ``limit``: cycles of a head after which it is given up; ``told``: called with those so far, now and then; ``memory``:
    further arguments of ``sim.run.native_axi.AxiMemory`` (``latency``, ``seed``, ``bursts``).
    """
    ram = AxiMemory(native, size, base=base, prefix=prefixes[1], **memory)
    registers = Driver(describe(REGISTERS), Lite(native, ram, prefix=prefixes[0]))
    options = {"base": base, "behind": behind, "watchdog": watchdog}
    return Simcore(registers, ram, lambda: ram.run(until=INTERRUPT, limit=limit, told=told), **options)


def on_bus(transport, memory, wait, *, base=0, behind=0, watchdog=0) -> AsyncSimcore:
    """The driver over an AXI4-Lite master whose ``read`` and ``write`` are awaited, as in a bench."""
    registers = AsyncDriver(describe(REGISTERS), transport)
    return AsyncSimcore(registers, memory, wait, base=base, behind=behind, watchdog=watchdog)
