"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "scale_unit",
        "ScaleUnit",
        Source("SIMPICKER", "III-B"),
        "scales of K into Q, scales of V to the sums",
        netlist=True,
    ),
    Block(
        "column_merge",
        "ColumnMerge",
        Source("SIMPICKER", "V-A"),
        "columns of a row of A from both arrays side by side, V's scales on those of the LUT array",
        netlist=True,
    ),
    Block(
        "computing_engine",
        "ComputingEngine",
        Source("SIMPICKER", "IV-A, IV-B, V-A"),
        "the FP16 and the LUT array at work on different tiles, with operand memories and job queues",
        composed=("paper",),
        checked=("tiny",),
        beside="simpicker.pes",
    ),
)
