# SPDX-License-Identifier: Apache-2.0
"""Commands all over the address space, and the bursts that the golden makes of them."""

import numpy as np

from zoetrope.golden.axi.axi_bursts import OKAY, bursts, refusal
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.axi import ARENA, arguments, random_commands


def anywhere(rng, c, count):
    """Random commands in several places of the address space."""
    cases = []
    pages = rng.integers(0, ((1 << c.address_bits) - ARENA) // 4096, 3).tolist()
    for page in [0, ((1 << c.address_bits) - ARENA) // 4096, *pages]:
        cases += random_commands(rng, c, 4096 * page, count // 5)
    return [case for case in cases if case[2] < 1 << c.length_bits]


def widths(c):
    return [c.address_bits, max(1, c.burst_bits), 1, max(1, c.element_bits), 3]


def expected_rows(c, cases):
    """Rows of ``o``, of a refused command all but ``last`` and ``cause`` 0, and the name of the command of each."""
    fields, names = [], []
    for name, address, length in cases:
        found = bursts(address, length, burst=c.burst, **arguments(c))
        for k, (start, words) in enumerate(found.tolist()):
            fields.append((start, words - 1, k == len(found) - 1, length % c.elements, OKAY))
        if not len(found):
            fields.append((0, 0, 1, 0, refusal(address, length, **arguments(c))))
        names += [name] * max(1, len(found))
    columns = [np.array(column, np.uint64) for column in zip(*fields)]
    return pack(*columns, widths=widths(c)), names


def without_refused(c, rows):
    """The rows as they came, but 0 where a refused command has nothing to say."""
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    start = sum(widths(c)[:-1])
    refused = bits[:, start : start + 3].any(axis=1)
    kept = np.zeros(bits.shape[1], bool)
    kept[sum(widths(c)[:2])] = True
    kept[start : start + 3] = True
    bits[np.ix_(refused, ~kept)] = 0
    return np.packbits(bits, axis=1, bitorder="little")
