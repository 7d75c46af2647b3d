"""Bytes as levels of a serial line, sampled by the receiver's clock."""

import numpy as np


def sampled(values, divisor, phase=0.0):
    """The levels of ``values`` sent back to back, 8N1, in each clock cycle. ``divisor``, cycles a bit, may be any number.

    ``phase``, 0 to 1, is where within a cycle they begin. A list of 0 and 1 that ends when the last stop bit does.
    """
    values = np.asarray(values, np.uint8)
    bits = np.ones((len(values), 10), np.uint8)
    bits[:, 0] = 0
    bits[:, 1:9] = np.unpackbits(values[:, None], axis=1, bitorder="little")
    cycles = np.arange(int(np.ceil(bits.size * divisor + phase)))
    at = np.floor((cycles - phase) / divisor).astype(int)
    return np.where(at < 0, 1, bits.ravel()[np.clip(at, 0, bits.size - 1)]).tolist()


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
            at = begin + np.floor(self._divisor * (np.arange(10) + 0.5)).astype(int)
            if at[-1] >= len(levels):
                start = begin
                break
            bits = levels[at]
            if bits[9]:
                found.append(int(np.packbits(bits[1:9], bitorder="little")[0]))
            start = int(at[-1])
            if not bits[9]:
                start += int(np.argmax(np.append(levels[start:], 1)))
        self._levels = levels[start:]
        return bytes(found)
