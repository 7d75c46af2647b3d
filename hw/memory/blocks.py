# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "index_buffer",
        "IndexBuffer",
        Source("SIMPICKER", "IV-C"),
        "one entry a token: kept, or the root of what it repeats",
        golden="memory.index_buffer.resolve",
    ),
    Block(
        "transpose_buffer",
        "TransposeBuffer",
        Source("SIMPICKER", "IV, V-A"),
        "operands of an array, read by k from matrices that arrive by rows or columns, ping-pong",
    ),
)
