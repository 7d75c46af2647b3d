# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "sparsification_unit",
        "SparsificationUnit",
        Source("SIMPICKER", "III-C, IV-C", "Fig. 4(d)"),
        "similar tokens in time and space: distances, comparison trees, index buffer",
        golden="simcore.sparsification_engine.sparsification_unit.sparsify",
        netlist=True,
        beside="simpicker.sparsification_unit",
    ),
    Block(
        "recovery",
        "Recovery",
        Source("SIMPICKER", "IV-C, V-A", "Fig. 4(d)"),
        "rows of A of similar tokens copied in memory from the row of each token's root",
        netlist=True,
    ),
    Block(
        "reorder_recover_unit",
        "ReorderRecoverUnit",
        Source("SIMPICKER", "IV-C", "Fig. 4(d)"),
        "rows compacted, recovered and permuted by index tables",
        golden="simcore.sparsification_engine.reorder_recover_unit.moves",
        beside="simpicker.reorder_and_recovery_unit",
    ),
)
