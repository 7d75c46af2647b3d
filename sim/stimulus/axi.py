# SPDX-License-Identifier: Apache-2.0
"""Traffic of the AXI masters: commands of every awkward kind, and what they must make of them by the goldens.

A bench and the native driver send all of it at once and compare every stream: commands, words and responses are known
before the first burst is, since the goldens say what the bursts are.
"""

import numpy as np

from zoetrope.golden.axi import axi_bursts, axi_reader, axi_writer
from zoetrope.golden.axi.axi_bursts import DECERR, OKAY, SLVERR, first_error
from zoetrope.sim.packing import pack

#: Bytes of memory that the commands of one traffic use.
ARENA = 1 << 15

_BOUNDARY = 4096


def arguments(c):
    """Of the goldens, beside address and length."""
    return {"word_bytes": c.word_bytes, "granularity": c.granularity, "address_bits": c.address_bits}


def labelled_commands(c, base):
    """(name, address, length) of the corners. ``base`` is a multiple of 4 KiB with an arena of memory behind it."""
    word, burst = c.elements, c.elements * c.burst
    middle = base + 2 * _BOUNDARY
    page = _BOUNDARY // c.granularity
    cases = [
        ("one element", base, 1),
        ("one word", base, word),
        ("one word and an element", middle, word + 1),
        ("all but an element of a burst", middle, burst - 1),
        ("a burst", middle, burst),
        ("a burst and an element", middle, burst + 1),
        ("a burst from its second word on", middle + c.word_bytes * (c.burst > 1), burst),
        ("the last word before 4 KiB", middle - c.word_bytes, word),
        ("across 4 KiB", middle - c.word_bytes, 2 * word),
        ("across 4 KiB, an element", middle - c.word_bytes, word + 1),
        ("from 4 KiB to 4 KiB", middle, page),
        ("across two of 4 KiB", middle - c.word_bytes, page + 2 * word),
        ("length of zero", base, 0),
        ("length of zero, misaligned", base + 1, 0),
        ("misaligned by a byte", base + 1, word),
        ("misaligned by the top of a word", base + c.word_bytes // 2, burst),
        ("the last word of the address space, and an element", (1 << c.address_bits) - c.word_bytes, word + 1),
        ("beyond the address space", (1 << c.address_bits) - c.word_bytes * 3, (1 << c.length_bits) - 1),
    ]
    top = (1 << c.address_bits) - ARENA
    if base == top:
        cases += [("the last words of the address space", (1 << c.address_bits) - 3 * c.word_bytes, 3 * word)]
    return [case for case in cases if case[2] < 1 << c.length_bits]


def random_commands(rng, c, base, count, longest=None):
    """The same at random: short and long, up to ``longest`` words, around 4 KiB, one in eight refused."""
    longest = longest or 3 * c.burst + 2
    cases = []
    for _ in range(count):
        words = int(rng.integers(1, rng.choice([2, 3, c.burst + 2, longest + 1])))
        length = words * c.elements - int(rng.integers(c.elements) * rng.integers(2))
        span = ARENA // c.word_bytes - words + 1
        word = int(rng.integers(span))
        if rng.random() < 0.4:  # to end near 4 KiB, or to begin there
            page = int(rng.integers(1, ARENA // _BOUNDARY)) * _BOUNDARY // c.word_bytes
            word = page - int(rng.integers(-1, words + 2))
        address = base + c.word_bytes * min(max(word, 0), span - 1)
        kind = rng.random()
        if kind < 0.05:
            length = 0
        elif kind < 0.1:
            address += int(rng.integers(1, c.word_bytes))
        elif kind < 0.125:
            address = (1 << c.address_bits) - c.word_bytes * int(rng.integers(1, 3))
            length = 2 * c.elements + int(rng.integers(1, c.elements + 1))
        cases.append((f"{length} elements from {address:#x}", address, length))
    return cases


class Read:
    """What goes in and out of an ``AxiReader``, as rows of bytes of each stream.

    ``failing`` is the share of beats that come with an error. ``i_command`` and ``i_r`` are sent, ``o_ar``, ``o_data`` and
    ``o_status`` expected; ``names`` has a description for each row of these.
    """

    def __init__(self, c, rng, cases, base, failing=0.0):
        self.memory = rng.integers(0, 256, ARENA, dtype=np.uint8)
        self.i_command = command_rows(c, cases)
        self.names = {"o_ar": [], "o_data": [], "o_status": []}
        ar, words, last, beats, responses, ends, statuses = [], [], [], [], [], [], []
        for name, address, length in cases:
            found = axi_bursts.bursts(address, length, burst=c.burst, **arguments(c))
            data, cause = axi_reader.read(self.memory, address, length, base=base, **arguments(c))
            count = len(data)
            error = np.where(rng.random(count) < failing, rng.integers(SLVERR, DECERR + 1, count), OKAY)
            ar.append(found)
            words.append(data)
            last.append(np.arange(count) == count - 1)
            start = address - base
            beats.append(self.memory[start : start + count * c.word_bytes].reshape(-1, c.word_bytes))
            responses.append(response(rng, error))
            ends.append(np.isin(np.arange(count), last_beats(found)))
            statuses.append(cause if cause != OKAY else first_error(error))
            self._name(name, o_ar=len(found), o_data=count, o_status=1)
        self.bursts, self.statuses = np.concatenate(ar), np.array(statuses, np.uint8)
        self.words = np.concatenate(words)
        self.o_ar = address_rows(c, self.bursts)
        self.o_data = data_rows(self.words, np.concatenate(last))
        self.o_status = self.statuses
        flags = np.concatenate(responses) | np.concatenate(ends) << 2
        self.i_r = np.concatenate([np.concatenate(beats), flags.astype(np.uint8)[:, None]], axis=1)

    def _name(self, name, **counts):
        for stream, count in counts.items():
            self.names[stream] += [name] * count


class Write:
    """The same of an ``AxiWriter``; ``misframed`` is the share of packets that are too short or too long.

    ``i_command``, ``i_data`` and ``i_b`` are sent, ``o_aw``, ``o_w`` and ``o_status`` expected. ``memory`` is what was
    there, ``after`` what must be there in the end.
    """

    def __init__(self, c, rng, cases, base, failing=0.0, misframed=0.0):
        self.memory = self.after = rng.integers(0, 256, ARENA, dtype=np.uint8)
        self.i_command = command_rows(c, cases)
        self.names = {"o_aw": [], "o_w": [], "o_status": []}
        aw, packets, last, w, responses, statuses = [], [], [], [], [], []
        for name, address, length in cases:
            found = axi_bursts.bursts(address, length, burst=c.burst, **arguments(c))
            words = axi_bursts.word_count(length, c.word_bytes, c.granularity)
            packet = self._packet(c, rng, words, length, misframed)
            self.after, cause = axi_writer.write(self.after, address, length, packet, base=base, **arguments(c))
            error = np.where(rng.random(len(found)) < failing, rng.integers(SLVERR, DECERR + 1, len(found)), OKAY)
            aw.append(found)
            packets.append(packet)
            last.append(np.arange(len(packet)) == len(packet) - 1)
            w.append(self._beats(c, found, packet, length))
            responses.append(response(rng, error))
            statuses.append(cause if cause != OKAY else first_error(error))
            for stream, count in (("o_aw", len(found)), ("o_w", int(found[:, 1].sum())), ("o_status", 1)):
                self.names[stream] += [name] * count
        self.bursts, self.statuses = np.concatenate(aw), np.array(statuses, np.uint8)
        self.o_aw = address_rows(c, self.bursts)
        self.o_w = np.concatenate(w)
        self.o_status = self.statuses
        self.i_data = data_rows(np.concatenate(packets), np.concatenate(last))
        self.i_b = np.concatenate(responses).astype(np.uint8)

    @staticmethod
    def _packet(c, rng, words, length, misframed):
        """A command of no length has none; one that is refused for its end or its address has one, of a few words."""
        count = min(words, 4 * c.burst + _BOUNDARY // c.word_bytes + 4) if length else 0
        if count and rng.random() < misframed:
            count = int(rng.integers(1, count + 2 * c.burst + 1))
        return rng.integers(0, 256, (count, c.word_bytes), dtype=np.uint8)

    @staticmethod
    def _beats(c, bursts, packet, length):
        """The W of each beat: the packet as far as it goes, then nothing, each byte with its strobe."""
        count = int(bursts[:, 1].sum())
        there = min(count, len(packet))
        data = np.zeros((count, c.word_bytes), np.uint8)
        data[:there] = packet[:there]
        index = np.arange(count * c.word_bytes).reshape(count, c.word_bytes)
        strobes = (index < length * c.granularity) & (index < there * c.word_bytes)
        ends = np.isin(np.arange(count), last_beats(bursts))
        return w_rows(data * strobes, strobes, ends)


def last_beats(bursts):
    """The number of the last beat of each burst."""
    return np.cumsum(bursts[:, 1].astype(np.int64)) - 1


def response(rng, causes):
    """xRESP of each error; where there is none OKAY, and sometimes EXOKAY, which must be as good."""
    good = rng.random(len(causes)) < 0.1
    return np.where(causes == OKAY, good, np.asarray(causes) - SLVERR + 2)


def command_rows(c, cases):
    address = np.array([case[1] for case in cases], np.uint64)
    length = np.array([case[2] for case in cases], np.uint64)
    return pack(address, length, widths=[c.address_bits, c.length_bits])


def address_rows(c, bursts):
    return pack(bursts[:, 0], bursts[:, 1] - 1, widths=[c.address_bits, 8])


def data_rows(words, last):
    return np.concatenate([words, np.asarray(last, np.uint8)[:, None]], axis=1)


def w_rows(data, strobes, last):
    flags = np.concatenate([strobes, np.asarray(last, bool)[:, None]], axis=1)
    return np.concatenate([data, np.packbits(flags, axis=1, bitorder="little")], axis=1).astype(np.uint8)


def split_w(c, rows):
    """Rows of W as they came: data with 0 where there is no strobe, strobes, last."""
    data, flags = rows[:, : c.word_bytes], np.unpackbits(rows[:, c.word_bytes :], axis=1, bitorder="little")
    strobes = flags[:, : c.word_bytes].astype(bool)
    return data * strobes, strobes, flags[:, c.word_bytes]


def apply(c, memory, base, aw, w):
    """The memory after the bursts ``aw``, (n, 2), and the rows ``w`` that came, by the rules of AXI: beat by beat.

    ``AssertionError`` for what AXI does not allow.
    """
    data, strobes, last = split_w(c, w)
    memory = memory.copy()
    beat = 0
    for address, words in aw.tolist():
        if address // _BOUNDARY != (address + words * c.word_bytes - 1) // _BOUNDARY:
            raise AssertionError(f"a burst at {address:#x} crosses a boundary of {_BOUNDARY} bytes")
        for k in range(words):
            if beat == len(w) or last[beat] != (k == words - 1):
                raise AssertionError(f"the burst at {address:#x} has its last beat elsewhere")
            place = address - base + k * c.word_bytes
            window = memory[place : place + c.word_bytes]
            window[strobes[beat]] = data[beat][strobes[beat]]
            beat += 1
    if beat != len(w):
        raise AssertionError(f"{len(w)} beats of data for bursts of {beat}")
    return memory


def pauses(rng):
    """Spells of up to 16 cycles with and without a pause, for ever."""
    paused = True
    while True:
        for _ in range(int(rng.integers(1, 17))):
            yield paused
        paused = not paused


def throughput_cases(c):
    """(address, words) of commands that begin and end at bursts, and that do not."""
    return [(0, 8 * c.burst), (4096 - c.word_bytes, 3 * c.burst + 2), (0, 1)]
