"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "simcore",
        "Simcore",
        Source("SIMPICKER", "IV, V"),
        "one head of attention, from Q, K and V in memory to A in memory, behind AXI4 and AXI4-Lite",
        composed=("paper",),
        beside="simpicker.chip",
    ),
    Block(
        "prologue",
        "Prologue",
        Source("SIMPICKER", "V-A"),
        "channel maxima of K and V, map of P and index table of a head, read side by side",
    ),
    Block(
        "row_writer",
        "RowWriter",
        Source("SIMPICKER", "V-A"),
        "rows of A packed into words of a bus, each written by a command when it is whole",
    ),
)
