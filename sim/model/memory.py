# SPDX-License-Identifier: Apache-2.0
"""Cycles of memories that change the order of what they hold."""


def transpose_cycles(load, read, matrices, latency):
    """Of ``matrices`` equal ones through a transposing operand buffer, from the first word in to the last word out.

    ``load``, ``read``: words in and out of a matrix; ``latency``: cycles from its last word in to its first word out.
    Nothing waits outside. A matrix loads while the one before is read, in the other half of the memory (SIMPICKER IV-C), so
    that in the long run it is ``max(load + 1, read)`` cycles a matrix; the one is that of the command.
    """
    loaded, free, released = 0, [0, 0], 0
    for k in range(matrices):
        start = max(loaded + 1, free[k % 2]) if k else 0  # one cycle for the command
        loaded = start + load
        released = max(loaded + latency - 2, released) + read
        free[k % 2] = released + 1
    return released
