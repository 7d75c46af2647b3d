# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "dst_chooser",
        "DstChooser",
        Source("ORBIS", "3.2", "Fig. 6"),
        "K distinct tokens of M, drawn from a seed, or a given list checked",
        golden="orbis.matching.dst_chooser.choose_and_count",
    ),
    Block(
        "quantization_engine",
        "QuantizationEngine",
        Source("ORBIS", "3.2, 3.3", "Fig. 6"),
        "FP16 tokens to 4-bit codes, channel-wise, with scales and weights",
        golden="orbis.matching.quantization_engine.engine",
        netlist=True,
    ),
    Block(
        "top_k",
        "TopK",
        Source("ORBIS", "3.2, 3.3", "Fig. 6"),
        "the k least of n entries in order, by chunks and merge passes",
        netlist=True,
    ),
    Block(
        "distance_accumulation_unit",
        "DistanceAccumulationUnit",
        Source("ORBIS", "3.3", "Fig. 6"),
        "weighted squared distances of 4-bit tokens, exact",
        golden="orbis.matching.datm.distances",
        checked=("default",),
    ),
    Block(
        "datm",
        "Datm",
        Source("ORBIS", "3.2, 3.3", "Fig. 6"),
        "token matching: pair, check, update until converged, top-k; tokens in memory to index pairs",
        golden="orbis.matching.datm.match",
        composed=("paper",),
        checked=("small",),
        beside="orbis.matching",
    ),
    Block(
        "matching_engine",
        "MatchingEngine",
        Source("ORBIS", "3.2, 3.3", "Fig. 6"),
        "an SDPA output in memory to index pairs in memory: quantization, codes kept, matching",
        composed=("default",),
        checked=("default",),
    ),
)
