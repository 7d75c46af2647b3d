# SPDX-License-Identifier: Apache-2.0
"""What an AXI4 master makes of a command: why it is refused, its bursts, its words."""

import numpy as np

#: How a command ended; the numbers are those of the hardware.
OKAY, LENGTH, ALIGNMENT, RANGE, SLVERR, DECERR, FRAME = range(7)


def refusal(address, length, *, word_bytes=16, granularity=2, address_bits=32):
    """The cause for which the command is refused, or ``OKAY``.

    Parameters
    ----------
    address : of the first byte
    length : in elements of ``granularity`` bytes
    word_bytes : of the data bus
    address_bits : the address space is of 2 ** address_bits bytes
    """
    if length == 0:
        return LENGTH
    if address % word_bytes:
        return ALIGNMENT
    words = word_count(length, word_bytes, granularity)
    return RANGE if address + words * word_bytes > 1 << address_bits else OKAY


def word_count(length, word_bytes=16, granularity=2):
    """Words that ``length`` elements fill, the last perhaps in part."""
    return -(-length * granularity // word_bytes)


def bursts(address, length, *, word_bytes=16, granularity=2, burst=16, address_bits=32):
    """The bursts of a command as ``uint64`` of shape (n, 2): address of the first byte, and words.

    Each but the last ends at a multiple of ``burst`` words. A refused command has none.
    """
    if refusal(address, length, word_bytes=word_bytes, granularity=granularity, address_bits=address_bits) != OKAY:
        return np.zeros((0, 2), np.uint64)
    size = burst * word_bytes
    end = address + word_count(length, word_bytes, granularity) * word_bytes  # may be 2 ** 64: no NumPy integer
    starts = [address, *range(address - address % size + size, end, size)]
    ends = [*starts[1:], end]
    return np.array([(start, (stop - start) // word_bytes) for start, stop in zip(starts, ends)], np.uint64)


def first_error(causes):
    """The first of ``causes`` that is not ``OKAY``, else ``OKAY``."""
    wrong = np.flatnonzero(np.asarray(causes))
    return int(np.asarray(causes)[wrong[0]]) if len(wrong) else OKAY
