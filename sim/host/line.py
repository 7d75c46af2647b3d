# SPDX-License-Identifier: Apache-2.0
"""Bytes as levels of a serial line, sampled by the receiver's clock."""

import numpy as np

from zoetrope.golden.board.uart import FRAME_BITS, bits, received


def sampled(values, divisor, phase=0.0):
    """The levels of ``values`` sent back to back, 8N1, in each clock cycle. ``divisor``, cycles a bit, may be any number.

    ``phase``, 0 to 1, is where within a cycle they begin. A list of 0 and 1 that ends when the last stop bit does.
    """
    line = bits(values).ravel()
    cycles = np.arange(int(np.ceil(line.size * divisor + phase)))
    at = np.floor((cycles - phase) / divisor).astype(int)
    return np.where(at < 0, 1, line[np.clip(at, 0, line.size - 1)]).tolist()


class Decoder:
    """The bytes in levels that come piece by piece. ``divisor``, cycles a bit, may be any number."""

    def __init__(self, divisor):
        self._divisor = divisor
        self._levels = np.ones(0, np.uint8)

    def feed(self, levels):
        """The bytes whose stop bit has been seen by now; one without a stop bit is dropped."""
        levels = np.concatenate([self._levels, levels])
        found, start = bytearray(), 0
        while True:
            low = np.flatnonzero(levels[start:] == 0)[:1]
            if not len(low):
                start = len(levels)
                break
            begin = start + int(low[0])
            at = begin + np.floor(self._divisor * (np.arange(FRAME_BITS) + 0.5)).astype(int)
            if at[-1] >= len(levels):
                start = begin
                break
            value, whole = received(levels[at])
            if whole:
                found.append(int(value))
            start = int(at[-1])
            if not whole:
                start += int(np.argmax(np.append(levels[start:], 1)))
        self._levels = levels[start:]
        return bytes(found)
