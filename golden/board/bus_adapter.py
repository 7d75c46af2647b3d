# SPDX-License-Identifier: Apache-2.0
"""What a host's request makes of a machine's registers and memory: accesses in order, and the answer.

A request is bytes. The first four are an address, low byte first; behind it a write has what is written, a read has how many
bytes are read, in two bytes. Registers are words of four bytes, low byte first; memory is bytes.
"""

from collections.abc import Callable
from typing import NamedTuple

from zoetrope.golden.board.link import MALFORMED, OK, REFUSED

#: Kinds of requests.
WRITE_REGISTERS, READ_REGISTERS, WRITE_MEMORY, READ_MEMORY = range(4)

_ADDRESS_BYTES, _LENGTH_BYTES, _WORD_BYTES = 4, 2, 4


class Access(NamedTuple):
    """Of a register (``kind`` 0, 1) or a byte of memory (2, 3). ``value`` is what is written, 0 of a read."""

    kind: int
    address: int
    value: int


def obey(
    kind: int,
    request: bytes,
    respond: Callable[[Access], tuple[int, bool]],
    *,
    register_bits: int = 12,
    memory_bits: int = 32,
) -> tuple[list[Access], bytes, int]:
    """(accesses, answer, how it ended).

    Parameters
    ----------
    kind : of the request
    request : its bytes, at least one
    respond : what is read by an access (0 of a write), and whether the bus answered an error
    register_bits, memory_bits : of the two address spaces; an access beyond is an error without being made

    A request is ``MALFORMED`` if it has no whole address, no length or one of zero, a byte behind the length, nothing to
    write, or of registers an address or a length that is no multiple of 4; of a write to registers that ends within a word
    the words before are written. It is ``REFUSED`` at the first error, and nothing behind it is accessed.
    """
    reads, memory = kind & 1, kind >> 1
    step = 1 if memory else _WORD_BYTES
    size = 1 << (memory_bits if memory else register_bits)
    address, rest = int.from_bytes(request[:_ADDRESS_BYTES], "little"), request[_ADDRESS_BYTES:]
    accesses, answer = [], b""
    if len(request) <= _ADDRESS_BYTES or address % step:
        return accesses, answer, MALFORMED
    count = len(rest)
    if reads:
        count = int.from_bytes(rest, "little")
        if len(rest) != _LENGTH_BYTES or count == 0 or count % step:
            return accesses, answer, MALFORMED
    for start in range(0, count - step + 1, step):
        written = 0 if reads else int.from_bytes(rest[start : start + step], "little")
        access = Access(kind, address + start, written)
        if access.address >= size:
            return accesses, answer, REFUSED
        accesses.append(access)
        value, error = respond(access)
        if error:
            return accesses, answer, REFUSED
        answer += value.to_bytes(step, "little") if reads else b""
    return accesses, answer, OK if count % step == 0 else MALFORMED
