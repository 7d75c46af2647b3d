# SPDX-License-Identifier: Apache-2.0
"""The blocks of this room: its part of the catalogue (``hw.catalogue``)."""

from zoetrope.hw.catalogue import Block, Source

BLOCKS = (
    Block(
        "ewu",
        "Ewu",
        Source("SIMPICKER", "IV-B"),
        "a + b, a - b, a * b, a * scalar, max and magnitude of FP16 vectors",
        netlist=True,
        beside="simpicker.ewus",
    ),
    Block(
        "local_table",
        "LocalTable",
        Source("SIMPICKER", "IV-B", "Fig. 5"),
        "one slice read while the next is copied in",
        golden="pe.lut_multiplier.product_table",
    ),
    Block(
        "lut_buffer",
        "LutBuffer",
        Source("SIMPICKER", "IV-B"),
        "the 128 KiB product table, written after reset, read by slices",
        golden="pe.lut_multiplier.product_table",
    ),
    Block(
        "slice_generator",
        "SliceGenerator",
        Source("SIMPICKER", "IV-B, an alternative"),
        "the same slices from W adders, without the table",
        golden="pe.lut_multiplier.product_table",
    ),
    Block(
        "lut_multiplier",
        "LutMultiplier",
        Source("SIMPICKER", "IV-B", "Fig. 5"),
        "FP16 x INT8 by one look-up and one exponent add",
        netlist=True,
        beside="simpicker.lut_pes",
        counted=False,
    ),
    Block(
        "lut_pe",
        "LutPE",
        Source("SIMPICKER", "IV-B", "Fig. 5"),
        "outer products on LUT multipliers, FP32 sums; arrays of rows x columns",
        netlist=True,
        beside="simpicker.lut_pes",
    ),
    Block(
        "fp16_pe",
        "FP16PE",
        Source("SIMPICKER", "IV-B"),
        "outer products of FP16 and FP16, exact products, FP32 sums; arrays of rows x columns",
        netlist=True,
        beside="simpicker.fp16_pes",
    ),
    Block(
        "plain_pe",
        "PlainPE",
        Source("SIMPICKER", "IV-B, the control"),
        "the same on 11 x 7 multipliers",
        golden="pe.lut_pe.lut_pe",
        netlist=True,
        beside="simpicker.lut_pes",
        counted=False,
    ),
    Block(
        "aligned_pe",
        "AlignedPE",
        Source("SIMPICKER", "IV-B, an alternative"),
        "the same on integers aligned to a row's largest exponent, bounded error",
    ),
    Block(
        "split_pe",
        "SplitPE",
        Source("SIMPICKER", "IV-B, an alternative"),
        "the same on multiples picked by digits of the weight",
        golden="pe.lut_pe.lut_pe",
    ),
)
