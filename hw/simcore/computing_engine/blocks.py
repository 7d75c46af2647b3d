# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "scale_unit",
        "ScaleUnit",
        Source("SIMPICKER", "III-B", "Fig. 4(c)"),
        "scales of K into Q, scales of V to the sums",
        netlist=True,
    ),
    Block(
        "column_merge",
        "ColumnMerge",
        Source("SIMPICKER", "V-A", "Fig. 4(c)"),
        "columns of a row of A from both arrays side by side, V's scales on those of the LUT array",
        netlist=True,
    ),
    Block(
        "row_fetcher",
        "RowFetcher",
        Source("SIMPICKER", "V-A", "Fig. 4(c)"),
        "kept rows of Q in blocks on chip, as they are and folded with K's scales",
    ),
    Block(
        "value_buffer",
        "ValueBuffer",
        Source("SIMPICKER", "V-A", "Fig. 4(c)"),
        "V of the key tiles in flight on chip, in FP16 and as codes",
        golden="memory.words.words",
    ),
    Block(
        "key_stream",
        "KeyStream",
        Source("SIMPICKER", "V-A", "Fig. 4(c)"),
        "K from memory in words of an array, in FP16 or as codes, a key tile ahead",
        golden="memory.words.words",
    ),
    Block(
        "array_feeder",
        "ArrayFeeder",
        Source("SIMPICKER", "V-A", "Fig. 4(c)"),
        "jobs of an array by slices and key tiles, and their operands from memory and buffers",
    ),
    Block(
        "computing_engine",
        "ComputingEngine",
        Source("SIMPICKER", "IV-A, IV-B, V-A", "Fig. 4(c)"),
        "the FP16 and the LUT array at work on different tiles, with operand memories and job queues",
        composed=("paper",),
        checked=("tiny",),
        beside="simpicker.pes",
    ),
)
