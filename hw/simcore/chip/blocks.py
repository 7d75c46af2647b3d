# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "simcore",
        "Simcore",
        Source("SIMPICKER", "IV, V", "Fig. 4(a)"),
        "one head of attention, from Q, K and V in memory to A in memory, behind AXI4 and AXI4-Lite",
        composed=("paper",),
        beside="simpicker.chip",
    ),
    Block(
        "head_geometry",
        "HeadGeometry",
        Source("SIMPICKER", "V-A", "Fig. 4(a)"),
        "tokens, words and key tiles of a head, from its sizes, once",
    ),
    Block(
        "tile_schedule",
        "TileSchedule",
        Source("SIMPICKER", "V-A", "Fig. 4(a)"),
        "which key tile meets which block of rows when, so that both arrays have work",
    ),
    Block(
        "score_path",
        "ScorePath",
        Source("SIMPICKER", "V-A", "Fig. 4(a)"),
        "from scores to e, row maxima and sums, and masks of the columns of A",
    ),
    Block(
        "simcore_core",
        "SimcoreCore",
        Source("SIMPICKER", "IV, V-A", "Fig. 4(a)"),
        "one head of attention, from commands to the memory of Q, K and V to rows of A",
        golden="simcore.chip.simcore.simcore",
    ),
    Block(
        "prologue",
        "Prologue",
        Source("SIMPICKER", "V-A", "Fig. 4(a)"),
        "channel maxima of K and V, map of P and index table of a head, read side by side",
    ),
    Block(
        "row_writer",
        "RowWriter",
        Source("SIMPICKER", "V-A", "Fig. 4(a)"),
        "rows of A packed into words of a bus, each written by a command when it is whole",
    ),
)
