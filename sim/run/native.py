# SPDX-License-Identifier: Apache-2.0
"""The Verilog of a component as a shared library, driven from arrays: for exhaustive and long runs.

No cocotb and no Python inside the loop: 10^5 to 10^6 cycles a second where a bench does 5 x 10^4. The glue
(``native.cpp``) is the same for every design. CXXRTL needs no glue of ours, and ran 2 to 4 times slower.
"""

import ctypes
import functools

import numpy as np

from zoetrope.hw import cache
from zoetrope.hw.errors import UserError
from zoetrope.sim.payloads import to_rows
from zoetrope.sim.ports import interface
from zoetrope.sim.run import build

#: What ``design_streams`` returns when a sink broke the protocol; 0 and 1 mean all sinks filled, or not in time.
_VIOLATIONS = {
    2: "valid fell before the transfer",
    3: "payload changed while valid and not ready",
    4: "more than expected",
}


class NativeError(UserError, AssertionError):
    """The design broke the stream protocol, or did not deliver."""


class _Port(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("bytes", ctypes.c_uint32)]


class _Stream(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("valid", "ready", "payload")),
        ("row_bytes", ctypes.c_uint64),
        *((name, ctypes.c_void_p) for name in ("rows", "cycles")),
        *((name, ctypes.c_uint64) for name in ("length", "done")),
        ("pattern", ctypes.c_void_p),
        ("pattern_length", ctypes.c_uint64),
        ("held", ctypes.c_void_p),
        ("waiting", ctypes.c_uint64),
    ]


class Native:
    """One running instance of a design. Every call leaves it between two clock edges, its logic settled.

    Ports have the names of the Verilog (``i_x__payload``), streams those of the signature (``i_x``). A row is one value
    of a port, packed little-endian; ``rows`` arguments are arrays whose rows have that many bytes, or integers.
    """

    @classmethod
    def build(cls, component, name):
        """Build ``component`` as top module ``name``, or take it from the cache, reset it, and return it."""
        streams, ports = interface(component)
        widths = {port.name: port.width for port in ports.values()}
        for stream in streams.values():
            widths |= {stream.port("payload"): stream.width, stream.port("valid"): 1, stream.port("ready"): 1}
        return cls(build.for_native(cache.verilog(component, name), name), streams, {"clk": 1, "rst": 1, **widths})

    def __init__(self, library, streams, widths):
        self._library = _load(str(library))
        self._streams, self._widths = streams, widths
        self._design = self._library.design_new()
        self._ports = {}
        for index in range(self._library.design_ports(self._design)):
            port = self._library.design_port(self._design, index).contents
            name = port.name.decode().replace("___05F", "__")  # Verilator's spelling of two underscores
            self._ports[name] = np.ctypeslib.as_array((ctypes.c_uint8 * port.bytes).from_address(port.data))
        self.reset()

    def __del__(self):
        if getattr(self, "_design", None):
            self._library.design_delete(self._design)

    def reset(self, cycles=2):
        """Hold ``rst`` for ``cycles`` clock cycles; a design without one is left as it is."""
        if "rst" in self._ports:
            self.set("rst", 1)
            self.tick(cycles)
            self.set("rst", 0)

    def set(self, port, value):
        """Drive an input and let the logic settle."""
        row = self._rows(port, [value])
        self._ports[port][: row.shape[1]] = row[0]
        self._library.design_settle(self._design)

    def get(self, port):
        """The value of a port as an unsigned integer."""
        return int.from_bytes(self._port(port).tobytes(), "little")

    def tick(self, cycles=1):
        """Let ``cycles`` clock edges pass."""
        self._library.design_tick(self._design, cycles)

    def play(self, inputs, outputs):
        """Drive ``inputs`` (port: rows) with one row a cycle. Returns what ``outputs`` showed, as rows, in each cycle."""
        rows = {port: self._rows(port, values) for port, values in inputs.items()}
        lengths = {len(values) for values in rows.values()}
        if len(lengths) != 1:
            raise ValueError(f"all inputs need the same number of rows, not {sorted(lengths)}")
        cycles = lengths.pop()
        shown = {port: self._empty(port, cycles) for port in outputs}
        self._library.design_play(self._design, cycles, *self._table(rows), *self._table(shown))
        return shown

    def streams(self, sources, sinks, *, gaps=None, stalls=None, max_cycles=None, quiet=64):
        """Send and collect on streams, and check their protocol.

        Parameters
        ----------
        sources : input stream to rows, all of which are offered in order
        sinks : output stream to the number of payloads to take
        gaps, stalls : stream to a boolean array, true in the cycles in which nothing new is offered, or ``ready`` is low;
            it repeats
        max_cycles : by default 1000 and 100 cycles for each row
        quiet : cycles, after the last payload, in which one more is an error

        Returns
        -------
        rows of each sink; the cycles of the transfers of each source and sink; cycles run

        Raises
        ------
        NativeError : a sink did not fill, gave more, dropped ``valid`` or changed its payload before the transfer, or a
            source was not consumed
        """
        gaps, stalls = gaps or {}, stalls or {}
        given = [
            _Transfers(self, name, self._rows(f"{name}__payload", rows), gaps.get(name))
            for name, rows in sources.items()
        ]
        taken = [
            _Transfers(self, name, self._empty(f"{name}__payload", n), stalls.get(name)) for name, n in sinks.items()
        ]
        if max_cycles is None:
            max_cycles = 1000 + 100 * sum(len(transfers.rows) for transfers in given + taken)
        elapsed, culprit = ctypes.c_uint64(), ctypes.c_int()
        outcome = self._library.design_streams(
            self._design,
            *_structures(given),
            *_structures(taken),
            max_cycles,
            quiet,
            ctypes.byref(elapsed),
            ctypes.byref(culprit),
        )
        if outcome in _VIOLATIONS:
            raise NativeError(f"{taken[culprit.value].name}: {_VIOLATIONS[outcome]}, at cycle {elapsed.value}")
        if any(transfers.done < len(transfers.rows) for transfers in given + taken):
            raise NativeError(f"after {elapsed.value} cycles: {', '.join(map(str, given + taken))}")
        cycles = {transfers.name: transfers.cycles.astype(np.int64) for transfers in given + taken}
        return {transfers.name: transfers.rows for transfers in taken}, cycles, elapsed.value

    def _port(self, name):
        if name not in self._ports:
            raise ValueError(f"there is no port {name!r}; the ports are: {', '.join(self._ports)}")
        return self._ports[name]

    def _row_bytes(self, port):
        self._port(port)
        return (self._widths[port] + 7) // 8

    def _rows(self, port, values):
        self._port(port)
        return np.ascontiguousarray(to_rows(values, self._widths[port], port))

    def _empty(self, port, count):
        return np.zeros((count, self._row_bytes(port)), np.uint8)

    def _table(self, rows):
        """``(count, addresses of the ports, bytes of a row, addresses of the rows)`` as C arrays."""
        count = len(rows)
        pointers, sizes = ctypes.c_void_p * count, ctypes.c_uint64 * count
        ports = pointers(*(self._ports[port].ctypes.data for port in rows))
        return (
            count,
            ports,
            sizes(*(v.shape[1] for v in rows.values())),
            pointers(*(v.ctypes.data for v in rows.values())),
        )


class _Transfers:
    """The arrays of one stream in one call, and their C structure: it points into them, so they live together."""

    def __init__(self, native, name, rows, pattern):
        self.name, self.rows = name, rows
        self.cycles = np.zeros(len(rows), np.uint64)
        self._held = np.zeros(max(1, rows.shape[1]), np.uint8)
        self._pattern = np.ascontiguousarray([] if pattern is None else pattern, dtype=np.uint8)
        ports = (native._port(f"{name}__{member}").ctypes.data for member in ("valid", "ready", "payload"))
        self.structure = _Stream(
            *ports,
            rows.shape[1],
            rows.ctypes.data,
            self.cycles.ctypes.data,
            len(rows),
            0,
            self._pattern.ctypes.data,
            len(self._pattern),
            self._held.ctypes.data,
            0,
        )

    @property
    def done(self):
        return self.structure.done

    def __str__(self):
        return f"{self.name} {self.done} of {len(self.rows)}"


def _structures(transfers):
    array = (ctypes.POINTER(_Stream) * len(transfers))(*(ctypes.pointer(t.structure) for t in transfers))
    return array, len(transfers)


@functools.cache
def _load(path):
    library = ctypes.CDLL(path)
    pointer, count = ctypes.c_void_p, ctypes.c_uint64
    library.design_new.restype = pointer
    library.design_port.restype = ctypes.POINTER(_Port)
    for name in ("delete", "ports", "settle"):
        getattr(library, f"design_{name}").argtypes = [pointer]
    library.design_port.argtypes = [pointer, ctypes.c_int]
    library.design_tick.argtypes = [pointer, count]
    table = [ctypes.c_int, pointer, pointer, pointer]
    library.design_play.argtypes = [pointer, count, *table, *table]
    streams = [pointer, ctypes.c_int]
    library.design_streams.argtypes = [pointer, *streams, *streams, count, count, pointer, pointer]
    return library
