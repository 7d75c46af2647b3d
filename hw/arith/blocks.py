# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "float_add",
        "FloatAddStream",
        Source("SIMPICKER", "IV-B"),
        "a + b, IEEE, rounded once",
        netlist=True,
    ),
    Block(
        "float_multiply",
        "FloatMultiplyStream",
        Source("SIMPICKER", "IV-B"),
        "a x b, exact or rounded once, IEEE",
        netlist=True,
    ),
    Block(
        "float_convert",
        "FloatConvertStream",
        Source("SIMPICKER", "IV-B"),
        "FP32, FP16 or integer to FP16 or FP32",
        netlist=True,
    ),
    Block(
        "float_compare",
        "FloatCompareStream",
        Source("SIMPICKER", "IV-C"),
        "less, equal, min and max in a total order",
        netlist=True,
    ),
    Block(
        "reciprocal",
        "ReciprocalStream",
        Source("SIMPICKER", "IV, V-A"),
        "1 / x, correctly rounded",
        netlist=True,
    ),
    Block(
        "exp",
        "ExpStream",
        Source("SIMPICKER", "IV, V-A"),
        "e to the x, monotone, within 0.6 ulp of FP16",
        netlist=True,
    ),
)
