# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "uart",
        "Uart",
        Source(),
        "8N1 receiver and transmitter, bytes as streams",
        golden="board.uart.bits",
    ),
    Block(
        "link",
        "Link",
        Source(),
        "framed commands with checksum and time-out, each obeyed once and answered",
        golden="board.link.receive",
    ),
    Block(
        "bus_adapter",
        "BusAdapter",
        Source(),
        "a machine's registers and memory behind the link: bytes to AXI4-Lite",
        golden="board.bus_adapter.obey",
    ),
    Block(
        "demonstrator",
        "Demonstrator",
        Source(),
        "what goes on a board: a LUT PE, a plain PE and a min tree behind a UART",
        golden="board.link.receive",
    ),
)
