# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "quantization_unit",
        "QuantizationUnit",
        Source("SIMPICKER", "III-B, IV-C", "Fig. 4(b)"),
        "K and V to INT8, a scale a channel",
        netlist=True,
        beside="simpicker.quantization_unit",
    ),
    Block(
        "reduction_tree",
        "ReductionTree",
        Source("SIMPICKER", "III-B, IV-C", "Fig. 4(b)"),
        "exact column sums or means of every N rows of a matrix",
        netlist=True,
    ),
    Block(
        "sort_select",
        "SortSelect",
        Source("SIMPICKER", "III-B, IV-C", "Fig. 4(b)"),
        "the largest scores of a row until their sum exceeds p of its sum",
        netlist=True,
    ),
    Block(
        "score_buffer",
        "ScoreBuffer",
        Source("SIMPICKER", "IV-C, VI-A", "Fig. 4(b)"),
        "the importance map, a bit a tile, written by rows, read by tile or row",
        golden="simcore.quantization_engine.score_buffer.read",
    ),
    Block(
        "prediction_unit",
        "PredictionUnit",
        Source("SIMPICKER", "III-B, IV-C", "Fig. 4(b)"),
        "which tiles of P are important, before any is computed",
        golden="simcore.quantization_engine.prediction_unit.importance_of_p",
        netlist=True,
        beside="simpicker.prediction_unit",
    ),
    Block(
        "column_importance",
        "ColumnImportance",
        Source("SIMPICKER", "III-B, V-A, V-B", "Fig. 4(b)"),
        "which columns of A are important, from rows of P in flight",
        golden="simcore.quantization_engine.prediction_unit.importance_of_a",
        netlist=True,
        beside="simpicker.prediction_unit",
    ),
)
