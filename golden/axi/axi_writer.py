# SPDX-License-Identifier: Apache-2.0
"""What an AXI4 master leaves in a memory."""

import numpy as np

from zoetrope.golden.axi.axi_bursts import FRAME, OKAY, refusal, word_count


def write(memory, address, length, packet, *, word_bytes=16, granularity=2, address_bits=32, base=0):
    """The memory after a command and its packet of words.

    Parameters
    ----------
    memory : ``uint8`` array, the bytes from address ``base`` on; it is not changed
    packet : ``uint8`` of shape (words, word_bytes); too few words or too many are a ``FRAME`` error, of too few those that
        there are, of too many those that fit are written
    address, length, word_bytes, granularity, address_bits : as of ``golden.axi.axi_bursts.refusal``

    Returns
    -------
    memory : ``uint8`` array
    cause : why it is refused, ``FRAME``, or ``OKAY``
    """
    after = np.array(memory, np.uint8)
    cause = refusal(address, length, word_bytes=word_bytes, granularity=granularity, address_bits=address_bits)
    if cause != OKAY:
        return after, cause
    data = np.asarray(packet, np.uint8).reshape(-1)[: length * granularity]
    after[address - base : address - base + len(data)] = data
    exact = len(packet) == word_count(length, word_bytes, granularity)
    return after, OKAY if exact else FRAME
