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
