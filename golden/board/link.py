# SPDX-License-Identifier: Apache-2.0
"""The link's frames: a command and its payload over a line that may lose, add and change bytes.

====================  =====  =====================================================
field                 bytes  content
====================  =====  =====================================================
sync                  2      0x5A, 0xA5
tag                   1      of the request; the answer has the same
code                  1      of a request the command; of an answer 0x80 + status
length                2      of the payload in bytes, low byte first
payload               n
CRC                   2      of tag to payload, CRC-16/IBM-3740, high byte first
====================  =====  =====================================================

Hardware: ``hw.board.link``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SYNC = bytes([0x5A, 0xA5])
HEADER = 4  # tag, code, length
OVERHEAD = len(SYNC) + HEADER + 2

#: Code of an answer, less ``ANSWER``, and what it means.
ANSWER = 0x80
STATUS = {
    0: "ok",
    1: "checksum wrong",
    2: "bytes missing",
    3: "payload longer than the buffer",
    4: "not ready yet",
    5: "no such command",
    6: "payload is no whole number of records",
    7: "answer longer than the buffer",
    8: "no such address, or the bus answered an error",
}
OK, CHECKSUM, TIMEOUT, LENGTH, BUSY, UNKNOWN, MALFORMED, OVERFLOW, REFUSED = STATUS

#: The command that is obeyed whatever its tag. Any other that has the tag of the last one obeyed is not obeyed twice: its
#: answer is sent again.
HELLO = 0


@dataclass(frozen=True)
class Frame:
    tag: int
    code: int
    payload: bytes


def crc16(data: bytes) -> int:
    """CRC-16/IBM-3740: polynomial 0x1021, from 0xFFFF, highest bit first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
            crc &= 0xFFFF
    return crc


def encode(frame: Frame) -> bytes:
    """The bytes of ``frame``. ``ValueError`` for a tag or code that is no byte, or a payload of more than 65,535 bytes."""
    if not (0 <= frame.tag < 256 and 0 <= frame.code < 256 and len(frame.payload) < 65536):
        raise ValueError(
            f"tag and code must be bytes and the payload shorter than 65536, "
            f"not {frame.tag}, {frame.code} and {len(frame.payload)}"
        )
    body = bytes([frame.tag, frame.code, len(frame.payload) & 255, len(frame.payload) >> 8]) + bytes(frame.payload)
    return SYNC + body + crc16(body).to_bytes(2, "big")


def frames(line: bytes) -> Iterator[tuple[Frame, int]]:
    """(frame, place behind it) of each whole frame on ``line``, wherever it begins; what is between them is passed over."""
    start = line.find(SYNC)
    while start >= 0:
        body = line[start + len(SYNC) :]
        length = int.from_bytes(body[2:4], "little")
        end = HEADER + length + 2
        if len(body) >= end and crc16(body[:end]) == 0:
            yield Frame(body[0], body[1], body[HEADER : HEADER + length]), start + len(SYNC) + end
            start = line.find(SYNC, start + len(SYNC) + end)
        else:
            start = line.find(SYNC, start + 1)


def receive(burst: bytes, max_payload: int) -> tuple[int, Frame] | None:
    """What the hardware makes of a burst of bytes with silence behind it, while it waits for a request.

    Returns None where no sync is in it; else the status and the request. A request that is not ``OK`` has the tag and the
    code that were received, 0 where they were not, and no payload. What follows a whole request is not looked at.
    """
    start = burst.find(SYNC)
    if start < 0:
        return None
    body = burst[start + len(SYNC) :]
    tag, code = (body[k] if len(body) > k else 0 for k in range(2))
    length = int.from_bytes(body[2:4], "little")
    if len(body) >= HEADER and length > max_payload:
        return LENGTH, Frame(tag, code, b"")
    end = HEADER + length + 2
    if len(body) < HEADER or len(body) < end:
        return TIMEOUT, Frame(tag, code, b"")
    if crc16(body[:end]):
        return CHECKSUM, Frame(tag, code, b"")
    return OK, Frame(tag, code, body[HEADER : HEADER + length])
