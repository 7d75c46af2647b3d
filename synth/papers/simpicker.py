# SPDX-License-Identifier: Apache-2.0
"""What SIMPICKER publishes of its chip, SIMCORE (32 nm): Table II, and what it adds up to."""

from zoetrope.synth.papers.printed import Row, Total

#: Table II, row by row.
TABLE_II = {
    "lut_pes": Row(
        "16 x 8 LUT PEs",
        1.23,
        47.10,
        1024,
        "lane",
        "The published lane has room for the logic of a look-up and for nothing else; ours is all of a PE's logic, with an "
        "FP32 sum and the control of operands in every lane. Tables are SRAM in both, and apart.",
    ),
    "fp16_pes": Row(
        "8 x 8 FP16 PEs",
        2.71,
        323.07,
        512,
        "lane",
        "Both multiply and add; ours keeps subnormals, adds exact products in FP32, and is mapped without a commercial "
        "tool's sizing and sharing.",
    ),
    "ewus": Row(
        "4 x 8 EWUs",
        0.04,
        3.58,
        32,
        "lane",
        "Ours has a multiplier, an adder and a comparator in every lane; the published area is less than one FP16 "
        "multiplier, so that unit does less or borrows the multipliers of the PEs.",
    ),
    "prediction_unit": Row(
        "Prediction Unit",
        0.02,
        1.40,
        1,
        "unit",
        "The paper gives neither lanes nor contents. Ours takes means by an FP32 multiplier and has lanes of products "
        "of its own; the units for P and for A are separate, so that they may work at one time.",
    ),
    "quantization_unit": Row(
        "Quantization Unit",
        0.03,
        1.89,
        1,
        "unit",
        "The paper gives neither lanes nor how it divides; ours divides exactly and rounds once, digit by digit.",
    ),
    "sparsification_unit": Row(
        "Sparsification Unit",
        0.14,
        16.36,
        1,
        "unit",
        "The paper gives neither lanes nor structure; our default has as many lanes as this area pays for.",
    ),
    "reorder_and_recovery_unit": Row(
        "Reorder and Recovery Unit",
        0.06,
        2.69,
        1,
        "unit",
        "Ours moves a word a cycle from memory to memory by the index table and holds no rows; the paper gives no width.",
    ),
    "special_function_unit": Row(
        "Special Function Unit",
        0.23,
        11.02,
        1,
        "unit",
        "The paper gives neither lanes nor structure; our default has as many lanes as this area pays for.",
    ),
    "buffers": Row(
        "628KB On-chip buffer",
        1.47,
        61.67,
        628 * 8192,
        "bit",
        reason="Both by CACTI 7 at 32 nm. Ours is without ECC, which CACTI's shipped settings switch on; the paper does not "
        "say.",
    ),
}

#: nm of Table II.
NODE = 32

#: What its last row consists of (SIMPICKER VI-A): name and KiB.
BUFFERS = (
    ("global buffer", 208),
    ("lookup table", 256),
    ("lookup table buffer", 128),
    ("index buffer", 16),
    ("quantization buffer", 16),
    ("score buffer", 4),
)

#: What its lines add up to, as printed.
TOTAL_MM2, TOTAL_MW = 5.93, 468.79

#: What a block of the catalogue can stand beside, by name: rows of Table II, and wholes.
FIGURES = {
    **TABLE_II,
    "chip": Total("Table II, all", TOTAL_MM2, memories=True),
    "pes": Total("Table II, PEs", TABLE_II["lut_pes"].area_mm2 + TABLE_II["fp16_pes"].area_mm2, memories=False),
}
