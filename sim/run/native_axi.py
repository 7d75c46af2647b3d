# SPDX-License-Identifier: Apache-2.0
"""A memory and a register master on the AXI pins of a native design: whole runs of a machine, at the speed of its Verilog.

``AxiMemory`` answers the AXI4 master at ``m_axi_*`` out of a NumPy array, ``Lite`` reads and writes registers at
``s_axi_*``; both let the clock run while they do::

    native = Native.build(component, "top")
    memory = AxiMemory(native, 1 << 20, base=0x8000_0000, latency=20)
    registers = Driver(describe(REGISTERS), Lite(native, memory))
    memory.write(0x8000_0000, data)
    registers.write("control.start", 1)
    cycles = memory.run(until="irq", limit=1_000_000)

What it holds the master to: valid stays until it is taken, and what goes with it; no burst crosses 4 KiB; bursts are INCR,
of whole words, and begin at one; WLAST is with the last beat and no other. cocotbext-axi's memory asks Python in each cycle:
a hundredth of the speed.
"""

import ctypes

import numpy as np

from zoetrope.sim.run.native import NativeError

_PINS = (
    *("awaddr", "awlen", "awsize", "awburst", "awvalid", "awready"),
    *("wdata", "wstrb", "wlast", "wvalid", "wready"),
    *("bresp", "bvalid", "bready"),
    *("araddr", "arlen", "arsize", "arburst", "arvalid", "arready"),
    *("rdata", "rresp", "rlast", "rvalid", "rready"),
)
_LITE_PINS = (
    *("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid", "bready"),
    *("araddr", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready"),
)
_SETTINGS = (
    *("base", "bytes", "word_bytes", "address_bytes", "strobe_bytes", "latency", "bursts"),
    *("read_low", "read_high", "write_low", "write_high", "held"),
)
_COUNTS = (
    *("cycles", "words_read", "words_written", "bursts_read", "bursts_written", "failed"),
    *("violation", "channel", "when"),
)
_CHANNELS = ("AW", "W", "B", "AR", "R")
_VIOLATIONS = (
    "",
    "valid fell before the transfer",
    "the payload changed while valid and not ready",
    "a burst crosses 4 KiB",
    "a burst that is no INCR of whole words",
    "a burst that begins within a word",
    "WLAST is not with the last beat",
)

#: Cycles from one call of ``told`` to the next.
_TOLD = 1 << 16

_NAMES = {0: "OKAY", 1: "EXOKAY", 2: "SLVERR", 3: "DECERR"}


class BusError(NativeError):
    """A register access was answered with an error, or not at all."""


class _Pins(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in _PINS]


class _LitePins(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in _LITE_PINS]


class _Settings(ctypes.Structure):
    _fields_ = [("memory", ctypes.c_void_p), *((name, ctypes.c_uint64) for name in _SETTINGS)]


class _Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in _COUNTS]


class AxiMemory:
    """A memory at the AXI4 master pins of a native design. It goes on from one call to the next.

    Parameters
    ----------
    native : ``sim.run.native.Native``
    size : bytes of memory, a multiple of a word; it begins as 0
    base : address of the first one
    latency : cycles from AR to the first word, and from the last W to B; at least 1
    bursts : taken and not yet answered, at most, of reads and of writes
    seed : of pauses, spells of 1 to 16 cycles on each channel; None: none
    prefix : of the pins

    Attributes
    ----------
    data : the bytes, a NumPy array, to be read and written at any time
    """

    def __init__(self, native, size, *, base=0, latency=2, bursts=64, seed=None, prefix="m_axi"):
        ports = {name: native._port(f"{prefix}_{name}") for name in _PINS}
        word_bytes = len(ports["wdata"])
        for name, value, least in (("latency", latency, 1), ("bursts", bursts, 1), ("size", size, word_bytes)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if size % word_bytes or base % word_bytes:
            raise ValueError(f"size and base must be multiples of a word of {word_bytes} bytes, not {size} and {base}")
        self.native, self.base = native, base
        self.data = np.zeros(size, np.uint8)
        self._library = _declare(native._library)
        settings = _Settings(
            self.data.ctypes.data, base, size, word_bytes, len(ports["araddr"]), len(ports["wstrb"]), latency, bursts
        )
        pins = _Pins(*(ports[name].ctypes.data for name in _PINS))
        self._memory = self._library.axi_new(pins, settings, 0 if seed is None else 2 * seed + 1)
        self._counts = self._library.axi_counts(self._memory).contents
        self._settings = self._library.axi_settings(self._memory).contents

    def __del__(self):
        if getattr(self, "_memory", None):
            self._library.axi_delete(self._memory)

    @property
    def counts(self):
        """What passed so far: cycles, words and bursts of each way, and words that ``failed``."""
        return {name: getattr(self._counts, name) for name in _COUNTS[:-3]}

    def fail(self, *, reads=range(0), writes=range(0)):
        """Answer SLVERR to words read from, and to bursts with words written to, addresses of these ranges."""
        for way, places in (("read", reads), ("write", writes)):
            setattr(self._settings, f"{way}_low", places.start)
            setattr(self._settings, f"{way}_high", places.stop)

    def hold(self, *channels):
        """From now on take nothing on AW, W and AR, and offer nothing new on B and R, where they are named; no others."""
        self._settings.held = sum(1 << _CHANNELS.index(channel) for channel in channels)

    def read(self, address, count):
        """``count`` bytes from ``address`` on."""
        return self.data[self._place(address, count)].tobytes()

    def write(self, address, data):
        """Bytes, or an array of any type, to ``address`` and on."""
        data = np.frombuffer(bytes(data), np.uint8)
        self.data[self._place(address, len(data))] = data

    def _place(self, address, count):
        start = address - self.base
        if not 0 <= start <= start + count <= len(self.data):
            raise ValueError(
                f"the memory has {len(self.data)} bytes from {self.base:#x} on, not {count} from {address:#x} on"
            )
        return slice(start, start + count)

    def reset(self):
        """Reset the design, and forget what it has begun; what the memory holds stays."""
        self._library.axi_forget(self._memory)
        self.native.reset()

    def run(self, *, until=None, limit, told=None):
        """Let the clock run until the port ``until`` is not 0, or for ``limit`` cycles. Returns how many there were.

        ``told`` is called with the number so far after every 2^16. ``NativeError`` if the port is still 0 at the end, or if
        the master breaks the protocol.
        """
        stop = self.native._port(until).ctypes.data if until else None
        cycles, ran, step = 0, None, None
        while ran == step and cycles < limit:
            step = min(limit - cycles, _TOLD if told else limit)
            ran = self._library.axi_run(self.native._design, self._memory, stop, step)
            cycles += ran
            self.check()
            if told:
                told(cycles)
        if until and not self.native.get(until):
            raise NativeError(f"{until} is still 0 after {cycles} cycles; the memory has counted {self.counts}")
        return cycles

    def check(self):
        """``NativeError`` if the master has broken the protocol."""
        if what := self._counts.violation:
            channel, when = _CHANNELS[self._counts.channel], self._counts.when
            raise NativeError(f"{channel}: {_VIOLATIONS[what]}, at cycle {when} of the memory")


class Lite:
    """A transport for ``sim.host.driver.Driver``: registers at the AXI4-Lite slave pins of a native design.

    Parameters
    ----------
    native : ``sim.run.native.Native``
    memory : ``AxiMemory`` of the same design, which goes on while a register is accessed; None: it has none
    prefix : of the pins
    limit : cycles without a response after which ``BusError`` is raised, as for a response that is an error
    """

    def __init__(self, native, memory=None, *, prefix="s_axi", limit=10_000):
        self._native, self._memory, self._limit = native, memory, limit
        self._library = _declare(native._library)
        ports = {name: native._port(f"{prefix}_{name}") for name in _LITE_PINS}
        self._pins = _LitePins(*(ports[name].ctypes.data for name in _LITE_PINS))
        self._address_bytes = len(ports["araddr"])

    def read(self, address):
        return self._access(False, address, 0)

    def write(self, address, value):
        self._access(True, address, value)

    def _access(self, writing, address, value):
        data = ctypes.c_uint32(value)
        memory = self._memory and self._memory._memory
        arguments = (self._pins, writing, address, self._address_bytes, ctypes.byref(data), self._limit)
        response = self._library.lite_access(self._native._design, memory, *arguments)
        if self._memory:
            self._memory.check()
        what = f"{'write to' if writing else 'read of'} register {address:#x}"
        if response < 0:
            raise BusError(f"{what}: no response within {self._limit} cycles")
        if response > 1:
            raise BusError(f"{what}: {_NAMES[response]}")
        return data.value


def _declare(library):
    if not hasattr(library, "axi_new"):
        raise ValueError("the design has no AXI pins")
    pointer, count = ctypes.c_void_p, ctypes.c_uint64
    library.axi_new.restype = pointer
    library.axi_new.argtypes = [ctypes.POINTER(_Pins), ctypes.POINTER(_Settings), count]
    for name, structure in (("counts", _Counts), ("settings", _Settings)):
        getattr(library, f"axi_{name}").restype = ctypes.POINTER(structure)
    for name in ("delete", "forget", "counts", "settings"):
        getattr(library, f"axi_{name}").argtypes = [pointer]
    library.axi_run.restype = count
    library.axi_run.argtypes = [pointer, pointer, pointer, count]
    accessed = [ctypes.POINTER(_LitePins), ctypes.c_int, count, count, pointer, count]
    library.lite_access.argtypes = [pointer, pointer, *accessed]
    return library
