# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "min_tree",
        "MinTreeStream",
        Source("SIMPICKER", "IV-C, ORBIS 3.3"),
        "least key and its index: comparison tree, min tree",
        netlist=True,
    ),
    Block(
        "bitonic_sorter",
        "BitonicSorterStream",
        Source("SIMPICKER", "IV-C, ORBIS 3.3"),
        "a row of entries by (key, index), a row a cycle",
        golden="tree.bitonic_sorter.bitonic_sort",
    ),
)
