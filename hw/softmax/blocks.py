# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "sfu",
        "Sfu",
        Source("SIMPICKER", "IV-A, V-A"),
        "softmax of rows: max, exp(x - max), sum, 1 / sum",
        netlist=True,
        checked=("default",),
        beside="simpicker.special_function_unit",
    ),
    Block(
        "tile_merge_unit",
        "TileMergeUnit",
        Source("SIMPICKER", "V-A"),
        "softmax over key tiles: running maximum, sum and output rescaled, then divided",
        netlist=True,
    ),
)
