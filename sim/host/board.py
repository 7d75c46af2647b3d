"""A board with the demonstrator, from Python or from the command line.

::

    zoetrope board --port /dev/ttyUSB0 selftest
    zoetrope board --simulate default selftest

    board = Board("/dev/ttyUSB0")
    sums = board.lut_pe(x, w).view(np.float32)

    driver = Driver(description, board.registers)    # of a board with a machine; see ``sim.host.driver``
    board.memory.write(0, tokens.tobytes())

    run = board.simcore.run(q, k, v, Geometry(4, 4, 4), settings_of(board.simcore_config))    # see ``sim.host.simcore``

``selftest`` sends what the benches of the units send, compares every answer with the goldens, and tells how fast it came.
Nothing here knows what the port is: anything with the ``read``, ``write``, ``reset_input_buffer`` and ``close`` of
``serial.Serial`` will do, and the benches put the pins of a simulated board in its place.
"""

import contextlib
import errno
import functools
import struct
import sys
import time
from dataclasses import dataclass, replace

import numpy as np

from zoetrope.golden.board import link
from zoetrope.golden.board.bus_adapter import READ_MEMORY, READ_REGISTERS, WRITE_MEMORY, WRITE_REGISTERS
from zoetrope.golden.board.link import ANSWER, HELLO, OVERHEAD, SYNC, Frame
from zoetrope.golden.formats import int8_encode
from zoetrope.golden.pe.lut_pe import check_operands
from zoetrope.golden.simcore.chip.simcore import Geometry, simcore
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_distance
from zoetrope.golden.tree.min_tree import min_tree
from zoetrope.hw import catalogue
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.board.demonstrator import FIRST_MACHINE, FIRST_UNIT, MACHINE_BIT, STATE, UNITS, version_of
from zoetrope.hw.errors import ArgumentParser, UserError, command_line, whole
from zoetrope.hw.simcore.chip import simcore_registers
from zoetrope.hw.simcore.chip.simcore import Simcore
from zoetrope.sim.host.driver import Driver
from zoetrope.sim.host.simcore import Simcore as SimcoreDriver
from zoetrope.sim.host.simcore import settings_of
from zoetrope.sim.input import clips
from zoetrope.sim.packing import pack, unpack
from zoetrope.sim.stimulus.min_tree import corner_keys
from zoetrope.sim.stimulus.outer_product import clip_tiles, corner_tiles, golden_of, random_tiles

BAUD = 1_000_000

#: Seconds without a byte after which an answer is given up.
SILENCE = 0.5

#: Times that a request is sent before the board counts as gone.
ATTEMPTS = 5

#: Questions whether a unit is available, a fraction of a millisecond each at least. A LUT buffer is filled in a few.
_PATIENCE = 2000

#: Faults of the line, against which a request is sent again; all others are the request's own.
_TRANSIENT = (link.CHECKSUM, link.TIMEOUT, link.LENGTH)


#: What the selftest calls the memory of a machine, beside the names of the units.
MEMORY = "memory"

#: And a machine that is a SIMCORE.
SIMCORE = "simcore"

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
        yield _version(name), (name, config)


@functools.cache
def _version(preset):
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
        if not _is_simcore(self.config):
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


def _is_simcore(config):
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


# -- the selftest ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """One line of the selftest: ``seconds`` are those of the board and the line."""

    unit: str
    test: str
    vectors: int
    mismatches: int
    bytes: int
    seconds: float


def selftest(board, tensors, *, seed=1, queries=8, units=None, tests=None):
    """Yield a ``Result`` for each test of each unit of ``board``, or for those named in ``units`` and ``tests``.

    ``tensors`` are those of the benches (``sim.input.clips``); ``queries`` the tokens of the last frame whose scores
    are computed.
    """
    vectors = dict.fromkeys(UNITS, _tiles) | {"min_tree": _keys, MEMORY: _bytes, SIMCORE: _heads}
    machine = [*[MEMORY] * (board.config.machine is not None), *[SIMCORE] * _is_simcore(board.config)]
    for unit in units or [*board.units, *machine]:
        rng = np.random.default_rng(seed)
        for test, run, expected in vectors[unit](board, unit, tensors, rng, queries):
            if tests and test not in tests:
                continue
            before, start = board.sent + board.received, time.perf_counter()
            got = run()
            seconds = time.perf_counter() - start
            wrong = int(np.count_nonzero(got != expected))
            yield Result(unit, test, expected.size, wrong, board.sent + board.received - before, seconds)


def _tiles(board, unit, tensors, rng, queries):
    """The tiles of the PEs' benches: x (tiles, 1, K), w (tiles, K, outputs)."""
    c = getattr(board.config, unit)
    tests = {f"sums of {k}": random_tiles(rng, c, k) for k in (1, 5, 24)}
    tests |= {"corners": corner_tiles(rng, c), "clip": clip_tiles(tensors, c, queries)}
    for test, (x, w) in tests.items():
        yield test, functools.partial(getattr(board, unit), x[:, 0], w), golden_of(c)(x[:, 0], w)


def _keys(board, unit, tensors, rng, queries):
    """The keys of the min tree's bench."""
    c = board.config.min_tree
    few = rng.integers(0, 3, (200, c.leaves), np.uint64)
    many = rng.integers(0, 1 << min(c.width, 63), (200, c.leaves), np.uint64)
    q = tensors["q"]
    distances = squared_distance(q[-1, : 5 * queries, None], q[0, np.arange(c.leaves) % q.shape[1]])
    clip = distances.astype(np.uint64) >> np.uint64(max(0, 32 - c.width))
    tests = {"corners": corner_keys(c.leaves, c.width), "few values": few, "many values": many, "clip": clip}
    for test, keys in tests.items():
        expected = np.stack([part.astype(np.uint64) for part in min_tree(keys)])

        def run(keys=keys):
            return np.stack([part.astype(np.uint64) for part in board.min_tree(keys)])

        yield test, run, expected


def _bytes(board, unit, tensors, rng, queries):
    """Bytes at random to the whole memory of a machine, then to a few places in it, and all of them back."""
    content = rng.integers(0, 256, board.config.machine.memory.size, dtype=np.uint8)
    parts = [(0, content.copy())]
    for _ in range(8):
        address, count = int(rng.integers(len(content))), int(rng.integers(1, 40))
        part = rng.integers(0, 256, len(content[address : address + count]), dtype=np.uint8)
        content[address : address + count] = part
        parts.append((address, part))

    def run():
        for address, part in parts:
            board.memory.write(address, part.tobytes())
        return np.frombuffer(board.memory.read(0, len(content)), np.uint8)

    yield "bytes", run, content


def _heads(board, unit, tensors, rng, queries):
    """Heads through SIMCORE, as large as it takes: one at random with text, one of the clip's first tokens and channels.

    The elements of A are the vectors.
    """
    c = board.simcore_config
    height, width = c.max_height, c.max_width
    frames = max(1, min(c.max_frames, c.max_tokens // (height * width)))
    geometry = Geometry(frames, height, width, c.max_text)
    tests = {"head at random": (geometry, rng.standard_normal((3, geometry.tokens, c.max_channels)))}
    there, tokens, _ = tensors["q"].shape
    width = min(width, tokens)
    geometry = Geometry(min(frames, there), min(height, tokens // width), width)
    clip = [tensors[name][: geometry.frames, : geometry.rows, : c.max_channels] for name in "qkv"]
    tests["clip"] = (geometry, [x.reshape(geometry.tokens, -1) for x in clip])
    for test, (geometry, matrices) in tests.items():
        q, k, v = (np.asarray(x, np.float16) for x in matrices)
        settings = settings_of(c)
        expected = simcore(q, k, v, geometry, settings).a.view(np.uint16)

        def run(arguments=(q, k, v, geometry, settings)):
            return board.simcore.run(*arguments).a.view(np.uint16)

        yield test, run, expected


def table(results):
    """The results as text, a line each, and the rate of the line over all of them."""
    header = ("unit", "test", "vectors", "mismatches", "bytes", "time", "rate", "")
    rows = [
        (
            r.unit,
            r.test,
            f"{r.vectors:,}",
            f"{r.mismatches:,}",
            f"{r.bytes:,}",
            f"{r.seconds:.2f} s",
            f"{r.bytes / max(r.seconds, 1e-9) / 1000:.1f} kB/s",
            "FAIL" if r.mismatches else "pass",
        )
        for r in results
    ]
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = [
        "  ".join(cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in (header, tuple("-" * w for w in widths), *rows)
    ]
    return "\n".join(lines)


@command_line
def main(arguments=None):
    parser = ArgumentParser(prog="zoetrope board", description="Check a board against the goldens.")
    parser.add_argument("command", choices=("selftest", "version"), help="what to do")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", help="the board's serial port, such as /dev/ttyUSB0")
    where.add_argument("--simulate", metavar="PRESET", help="no board: the pins of a simulated demonstrator instead")
    parser.add_argument("--baud", type=int, default=BAUD, help="of the bitstream (default: %(default)s)")
    parser.add_argument("--unit", choices=(*UNITS, MEMORY, SIMCORE), help="one unit instead of all that the board has")
    parser.add_argument("--seed", type=whole(0), default=1, help="of the random vectors (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=8, help="tokens of the clip's last frame (default: %(default)s)")
    clips.add_options(parser)
    options = parser.parse_args(arguments)
    if options.baud < 1 or options.queries < 1:
        raise UserError(f"--baud and --queries must be at least 1, not {options.baud} and {options.queries}")
    port = _simulated(options.simulate) if options.simulate else options.port
    with Board(port, baud=options.baud) as board:
        place, units = (
            options.port or "simulated",
            ", ".join([*board.units, *["a machine"] * bool(board.config.machine)]),
        )
        print(f"{place}: demonstrator {board.name}, version {board.version:08x}, {units}")
        if options.command == "version":
            return 0
        given = clips.chosen(options)
        print(f"input: {given.source}")
        tensors = dict(given.items())
        units = [options.unit] if options.unit else None
        results = list(selftest(board, tensors, seed=options.seed, queries=options.queries, units=units))
        print(table(results))
        failed = sum(r.mismatches for r in results)
        print(f"{sum(r.vectors for r in results):,} vectors, {failed:,} mismatches, {board.repeated} requests repeated")
    return 1 if failed else 0


def _simulated(preset):
    from zoetrope.sim.host.pins import Pins

    config = catalogue.find("demonstrator").config(preset)
    return Pins(replace(config, version=_version(preset)))


if __name__ == "__main__":
    sys.exit(main())
