# SPDX-License-Identifier: Apache-2.0
"""A board with the demonstrator, from Python::

    board = Board("/dev/ttyUSB0")
    sums = board.lut_pe(x, w).view(np.float32)

    driver = Driver(description, board.registers)    # of a board with a machine; see ``sim.host.driver``
    board.memory.write(0, tokens.tobytes())

    run = board.simcore.run(q, k, v, Geometry(4, 4, 4), settings_of(board.simcore_config))    # see ``sim.host.simcore``

``zoetrope board`` (``sim.host.command``) runs the tests of ``sim.host.selftest`` on it. Nothing here knows what the port is:
anything with the ``read``, ``write``, ``reset_input_buffer`` and ``close`` of ``serial.Serial`` will do, and the benches put
the pins of a simulated board in its place.
"""

import contextlib
import errno
import functools
import struct

import numpy as np

from zoetrope.golden.board import link
from zoetrope.golden.board.bus_adapter import READ_MEMORY, READ_REGISTERS, WRITE_MEMORY, WRITE_REGISTERS
from zoetrope.golden.board.link import ANSWER, HELLO, OVERHEAD, SYNC, Frame
from zoetrope.golden.formats import int8_encode
from zoetrope.golden.pe.lut_pe import check_operands
from zoetrope.hw import catalogue
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.board.demonstrator import FIRST_MACHINE, FIRST_UNIT, MACHINE_BIT, STATE, UNITS, version_of
from zoetrope.hw.errors import UserError
from zoetrope.hw.simcore.chip import simcore_registers
from zoetrope.hw.simcore.chip.simcore import Simcore
from zoetrope.sim.host.driver import Driver
from zoetrope.sim.host.simcore import Simcore as SimcoreDriver
from zoetrope.sim.packing import pack, unpack

BAUD = 1_000_000

#: Seconds without a byte after which an answer is given up.
SILENCE = 0.5

#: Times that a request is sent before the board counts as gone.
ATTEMPTS = 5

#: Questions whether a unit is available, a fraction of a millisecond each at least. A LUT buffer is filled in a few.
_PATIENCE = 2000

#: Faults of the line, against which a request is sent again; all others are the request's own.
_TRANSIENT = (link.CHECKSUM, link.TIMEOUT, link.LENGTH)

#: What a port raises when its board was unplugged; pyserial lets through what is no OSError.
_GONE = (OSError,)
with contextlib.suppress(ImportError):
    import termios

    _GONE = (OSError, termios.error)


class BoardError(UserError):
    """The board, or the way to it, does not do what was asked."""


def open_port(path, baud=BAUD):
    """``serial.Serial`` of ``path``. ``BoardError`` says in one line what is in the way."""
    try:
        import serial
    except ImportError:
        raise BoardError("pyserial is not installed: pip install 'zoetrope[board]'") from None
    try:
        return serial.Serial(path, baud, timeout=SILENCE, write_timeout=10)
    except serial.SerialException as error:
        known = {
            errno.ENOENT: "there is no such port; is the board plugged in?",
            errno.EACCES: "no permission; on most systems its group, dialout or uucp, has it",
            errno.EBUSY: "another program has it",
            errno.ENOTTY: "it is no serial port",
        }
        raise BoardError(f"cannot open {path}: {known.get(error.errno, str(error))}") from None
    except (OSError, ValueError) as error:
        raise BoardError(f"cannot open {path}: {error}") from None


def known_versions():
    """Version word and (name, config) of each demonstrator that this tree builds; that of SIMCORE takes seconds to make."""
    for name, config in catalogue.find("demonstrator").presets.items():
        yield preset_version(name), (name, config)


@functools.cache
def preset_version(preset):
    """The version word of the demonstrator of ``preset``."""
    return version_of(catalogue.find("demonstrator").config(preset))


class Board:
    """A demonstrator behind a port.

    Parameters
    ----------
    port : path of a serial port, or an open one
    baud : rate of the port, where ``port`` is a path
    versions : version word to (name, config); those of this tree if None

    Attributes
    ----------
    name, config : which demonstrator it is
    version : its version word
    repeated : requests that had to be sent again
    sent, received : bytes on the line

    Raises
    ------
    BoardError : no such port, no permission, no answer, another version, or a request that the board refuses
    """

    def __init__(self, port, *, baud=BAUD, versions=None):
        self._name = port if isinstance(port, str) else "the board"
        self._port = open_port(port, baud) if isinstance(port, str) else port
        self._tag = 0
        self._ready = set()
        self.repeated = self.sent = self.received = 0
        try:
            self._identify(known_versions() if versions is None else versions.items())
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._port.close()

    @property
    def units(self):
        return self.config.units

    def reset(self):
        """Reset all units: sums that were begun are forgotten. Returns the version word and the units built, a bit each."""
        self._ready.clear()
        version, built, _ = struct.unpack("<IBB", self._request(HELLO, b"", 6))
        return version, built

    def lut_pe(self, x, w):
        """``golden.pe.lut_pe.lut_pe`` on the board's LUT PE.

        Parameters
        ----------
        x : (..., K), ``float16`` or binary16 codes (``uint16``)
        w : (..., K, outputs), integers -127..127, or sign-magnitude codes (``uint8``)

        Returns
        -------
        binary32 codes (..., outputs), ``uint32``
        """
        return self._outer_product("lut_pe", x, w)

    def plain_pe(self, x, w):
        """The same on the plain PE."""
        return self._outer_product("plain_pe", x, w)

    def min_tree(self, keys):
        """``golden.tree.min_tree.min_tree``: least key and its index over the last axis of unsigned ``keys``.

        Rows shorter than the tree has leaves are filled up with the greatest key.
        """
        c = self._built("min_tree").min_tree
        keys = np.asarray(keys)
        if keys.dtype.kind != "u" or keys.ndim == 0 or not 1 <= keys.shape[-1] <= c.leaves:
            raise ValueError(
                f"keys must be unsigned integers, 1 to {c.leaves} on the last axis, not {keys.dtype}{keys.shape}"
            )
        if keys.size and int(keys.max()) >> c.width:
            raise ValueError(f"keys must fit {c.width} bits, not {int(keys.max()):#x}")
        rows = np.full((keys.size // keys.shape[-1], c.leaves), (1 << c.width) - 1, np.uint64)
        rows[:, : keys.shape[-1]] = keys.reshape(-1, keys.shape[-1])
        got = self._run("min_tree", pack(*rows.T, widths=[c.width] * c.leaves), np.ones(len(rows), int))
        key, index = unpack(got, [c.width, c.index_bits])
        shape = keys.shape[:-1]
        return key.astype(keys.dtype).reshape(shape), index.astype(np.int64).reshape(shape)

    # -- a machine and its memory

    @property
    def registers(self):
        """The machine's registers, words of 32 bits: a transport of ``sim.host.driver``."""
        self._with_machine()
        return _Registers(self)

    @property
    def memory(self):
        """The machine's memory: ``read(address, count)`` and ``write(address, data)`` of bytes."""
        self._with_machine()
        return _Memory(self)

    @property
    def simcore(self):
        """The driver of a SIMCORE, ``sim.host.simcore.Simcore``; the board is asked whether a head has ended."""
        _ = self.simcore_config
        return SimcoreDriver(Driver(describe(simcore_registers.REGISTERS), self.registers), self.memory)

    @property
    def simcore_config(self):
        """``SimcoreConfig`` of the board's SIMCORE."""
        self._with_machine()
        if not is_simcore(self.config):
            raise BoardError(f"{self._name} has no SIMCORE: its machine is a {self.config.machine.component.__name__}")
        return self.config.machine.config

    def _with_machine(self):
        if self.config.machine is None:
            raise BoardError(f"{self._name} has no machine: its demonstrator, {self.name}, has {', '.join(self.units)}")

    def _bus(self, kind, address, rest):
        """A request to the machine. Returns what was read."""
        if not 0 <= address < 1 << 32:
            raise ValueError(f"an address must have 32 bits, not {address!r}")
        size = int.from_bytes(rest, "little") if kind & 1 else 0
        return self._request(FIRST_MACHINE + kind, address.to_bytes(4, "little") + rest, size)

    # -- units

    def _outer_product(self, unit, x, w):
        c = getattr(self._built(unit), unit)
        x, w = np.asarray(x), np.asarray(w)
        x = x.view(np.uint16) if x.dtype == np.float16 else x
        x, w = check_operands(x, int8_encode(w) if w.dtype.kind == "i" else w)
        lead = np.broadcast_shapes(x.shape[:-1], w.shape[:-2])
        k, outputs = w.shape[-2:]
        x = np.broadcast_to(x, (*lead, k)).reshape(-1, k)
        w = np.broadcast_to(w, (*lead, k, outputs)).reshape(-1, k, outputs)
        sums = np.zeros((len(x), outputs), np.uint32)
        width = c.words * c.outputs
        for first in range(0, outputs, width):
            part = w[:, :, first : first + width]
            words = np.zeros((len(x), k, width), np.uint8)
            words[:, :, : part.shape[2]] = part
            got = self._run(unit, *_operand_records(x, words, c.words))
            sums[:, first : first + width] = got.view("<u4").reshape(len(x), width)[:, : part.shape[2]]
        return sums.reshape(*lead, outputs)

    def _built(self, unit):
        if unit not in self.units:
            raise BoardError(f"{self._name} has no {unit}: its demonstrator, {self.name}, has {', '.join(self.units)}")
        return self.config

    def _run(self, unit, records, results):
        """Send records (n, bytes) to a unit, as many in a request as there is room for; record k gives ``results[k]`` words.

        Returns the words, (sum of results, bytes).
        """
        self._wait(unit)
        adapter = self.config.adapter(unit)
        most = self.config.max_payload // adapter.record_bytes
        room = self.config.max_answer // adapter.result_bytes
        answers, first = [], 0
        while first < len(records):
            words = np.cumsum(results[first : first + most])
            count = max(1, int(np.searchsorted(words, room, side="right")))
            size = int(words[count - 1]) * adapter.result_bytes
            payload = records[first : first + count].tobytes()
            answers.append(self._request(FIRST_UNIT + UNITS.index(unit), payload, size))
            first += count
        return np.frombuffer(b"".join(answers), np.uint8).reshape(-1, adapter.result_bytes)

    def _wait(self, unit):
        """Until the unit is available: a LUT buffer has to be filled first."""
        for _ in range(_PATIENCE):
            if unit in self._ready:
                return
            available = self._request(STATE, b"", 6)[5]
            self._ready |= {name for k, name in enumerate(UNITS) if available >> k & 1}
        raise BoardError(f"{unit} of {self._name} does not become available")

    # -- requests

    def _identify(self, versions):
        version, built = self.reset()
        known = []
        for word, found in versions:
            known.append(f"{found[0]} {word:08x}")
            if word == version:
                break
        else:
            raise BoardError(
                f"{self._name} has a bitstream of version {version:08x}, and this tree makes {', '.join(known)}: "
                "build and load its own, make bitstream BOARD=..."
            )
        self.version = version
        self.name, self.config = found
        expected = sum(1 << UNITS.index(name) for name in self.units)
        expected |= (self.config.machine is not None) << MACHINE_BIT
        if built != expected:
            raise BoardError(f"{self._name} says it is {self.name} and has other units than that")

    def _request(self, command, payload, size):
        """Send a request until it is answered. Returns the ``size`` bytes of the answer."""
        self._tag = self._tag % 255 + 1
        data = link.encode(Frame(self._tag, command, payload))
        heard = None
        for attempt in range(ATTEMPTS):
            self.repeated += attempt > 0
            self._write(data)
            answer = self._answer()
            if answer is None:
                continue
            heard = answer.code - ANSWER
            if heard in _TRANSIENT:
                continue
            if heard != link.OK:
                raise BoardError(f"{self._name} refuses command {command}: {link.STATUS.get(heard, heard)}")
            if len(answer.payload) != size:
                raise BoardError(f"{self._name} answers {len(answer.payload)} bytes to command {command}, not {size}")
            return answer.payload
        if heard is None:
            raise BoardError(
                f"no answer from {self._name} to {ATTEMPTS} requests: "
                "is the demonstrator loaded, and is this its port and baud rate?"
            )
        raise BoardError(f"the line to {self._name} is too bad: {ATTEMPTS} requests failed, {link.STATUS[heard]}")

    def _write(self, data):
        try:
            self._port.reset_input_buffer()
            self._port.write(data)
        except _GONE as error:
            raise BoardError(f"{self._name} is gone: {error}") from None
        self.sent += len(data)

    def _answer(self):
        """The answer to the current request, or one that says it was not understood; None if there is none in time."""
        heard = b""
        while True:
            try:
                got = self._port.read(_missing(heard))
            except _GONE as error:
                raise BoardError(f"{self._name} is gone: {error}") from None
            if not got:
                return None
            heard += got
            self.received += len(got)
            for frame, _ in link.frames(heard):
                if frame.code > ANSWER or (frame.code == ANSWER and frame.tag == self._tag):
                    return frame


def is_simcore(config):
    """Whether the machine of a demonstrator of ``config`` is a SIMCORE."""
    return config.machine is not None and config.machine.component is Simcore


class _Registers:
    """The registers of a board's machine."""

    def __init__(self, board):
        self._board = board

    def read(self, address):
        return int.from_bytes(self._board._bus(READ_REGISTERS, address, (4).to_bytes(2, "little")), "little")

    def write(self, address, value):
        self._board._bus(WRITE_REGISTERS, address, value.to_bytes(4, "little"))


class _Memory:
    """The memory of a board's machine, in requests as long as there is room for."""

    def __init__(self, board):
        self._board = board

    def read(self, address, count):
        most = self._board.config.max_answer
        starts = range(address, address + count, most)
        sizes = [min(most, address + count - start).to_bytes(2, "little") for start in starts]
        return b"".join(self._board._bus(READ_MEMORY, start, size) for start, size in zip(starts, sizes))

    def write(self, address, data):
        most = self._board.config.max_payload - 4
        for first in range(0, len(data), most):
            self._board._bus(WRITE_MEMORY, address + first, data[first : first + most])


def _missing(heard):
    """Bytes until the frame that ``heard`` begins with is whole, at least one."""
    start = heard.find(SYNC)
    if start < 0:
        return 1 if heard else OVERHEAD
    frame = heard[start:]
    length = int.from_bytes(frame[4:6], "little") if len(frame) >= 6 else 0
    return max(1, OVERHEAD + length - len(frame))


def _operand_records(x, words, per_operand):
    """Records of a PE from x (tiles, K) and w (tiles, K, outputs), and the words of results that each gives."""
    tiles, k = x.shape
    records = np.zeros((tiles, k, 3 + words.shape[2]), np.uint8)
    records[:, :, 0] = x & 255
    records[:, :, 1] = x >> 8
    records[:, -1, 2] = 1
    records[:, :, 3:] = words
    results = np.zeros((tiles, k), int)
    results[:, -1] = per_operand
    return records.reshape(tiles * k, -1), results.ravel()
