# SPDX-License-Identifier: Apache-2.0
"""What an on-chip memory answers as an AXI4 slave: bursts to words, strobes to bytes, addresses that it does not have.

A memory is a ``uint8`` array of whole words, byte 0 at address 0.
"""

import numpy as np

#: xRESP; the numbers are those of the bus.
OKAY, SLVERR, DECERR = 0, 2, 3

_BOUNDARY = 4096


def beats(size, address, count, word_bytes=16):
    """(place of the first byte, response) of each beat of a burst to a memory of ``size`` bytes, as integer arrays.

    ``address`` is that of the first beat; its bits below a word are not looked at. A burst across 4 KiB is ``SLVERR`` as a
    whole, else a beat that the memory does not have is ``DECERR``.
    """
    start = address - address % word_bytes
    crosses = start // _BOUNDARY != (start + (count - 1) * word_bytes) // _BOUNDARY
    places = [start + k * word_bytes for k in range(count)]
    responses = [SLVERR if crosses else OKAY if place < size else DECERR for place in places]
    return np.array(places, np.uint64), np.array(responses, np.uint8)


def read(memory, address, count, word_bytes=16):
    """(words, ``uint8`` of shape (count, word_bytes); response of each). A word that was refused is 0."""
    places, responses = beats(len(memory), address, count, word_bytes)
    words = np.zeros((count, word_bytes), np.uint8)
    for k in np.flatnonzero(responses == OKAY):
        words[k] = memory[int(places[k]) : int(places[k]) + word_bytes]
    return words, responses


def write(memory, address, words, strobes, word_bytes=16):
    """(memory after a burst of ``words``, (n, word_bytes), response). ``strobes``: which bytes of each word are written.

    The response is the greatest of its beats': ``DECERR`` if one was beyond the memory; those within are written.
    """
    places, responses = beats(len(memory), address, len(words), word_bytes)
    after = memory.copy()
    for k in np.flatnonzero(responses == OKAY):
        window = after[int(places[k]) : int(places[k]) + word_bytes]
        chosen = np.asarray(strobes[k], bool)
        window[chosen] = words[k][chosen]
    return after, int(responses.max())


def read_byte(memory, address):
    """(value, response) of one byte."""
    return (int(memory[address]), OKAY) if address < len(memory) else (0, DECERR)


def write_byte(memory, address, value):
    """(memory after, response) of one byte."""
    after = memory.copy()
    if address >= len(memory):
        return after, DECERR
    after[address] = value
    return after, OKAY
