# SPDX-License-Identifier: Apache-2.0
"""What an AXI4 master reads of a memory."""

import numpy as np

from zoetrope.golden.axi.axi_bursts import OKAY, refusal, word_count


def read(memory, address, length, *, word_bytes=16, granularity=2, address_bits=32, base=0):
    """The words of ``length`` elements of ``granularity`` bytes from ``address`` on.

    Parameters
    ----------
    memory : ``uint8`` array, the bytes from address ``base`` on
    address, length, word_bytes, granularity, address_bits : as of ``golden.axi.axi_bursts.refusal``

    Returns
    -------
    words : ``uint8`` of shape (words, word_bytes), 0 behind the length; of none for a refused command
    cause : why it is refused, or ``OKAY``
    """
    cause = refusal(address, length, word_bytes=word_bytes, granularity=granularity, address_bits=address_bits)
    if cause != OKAY:
        return np.zeros((0, word_bytes), np.uint8), cause
    words = np.zeros(word_count(length, word_bytes, granularity) * word_bytes, np.uint8)
    size = length * granularity
    words[:size] = np.asarray(memory, np.uint8)[address - base : address - base + size]
    return words.reshape(-1, word_bytes), OKAY
