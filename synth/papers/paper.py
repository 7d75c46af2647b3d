"""What SIMPICKER publishes in Table II (32 nm), and ORBIS of its areas, as data; and which of our blocks a row is beside.

Areas become gate equivalents by the NAND2 of the library, 1.525 um2 (NAND2X0 of the 32 nm educational library that the
FP16 lane of the table agrees with). Square micrometres of different libraries are never compared, GE and ratios are.
"""

from dataclasses import dataclass

from zoetrope.synth.technologies.sram import NAND2_UM2


@dataclass(frozen=True)
class Row:
    """A row of Table II.

    Parameters
    ----------
    component : as printed
    area_mm2, power_mw : as printed
    units : how many units the row holds
    unit : what a unit is; a ``lane`` is one multiplier of a PE or one element of a vector unit
    blocks : names of our blocks that are set beside it
    counted : those of them that together do what the row does; the others are alternatives to them
    reason : why ours is another size
    """

    component: str
    area_mm2: float
    power_mw: float
    units: int
    unit: str
    blocks: tuple = ()
    counted: tuple = ()
    reason: str = ""

    @property
    def ge(self):
        """GE of one unit."""
        return self.area_mm2 * 1e6 / self.units / NAND2_UM2

    @property
    def power_uw(self):
        """Microwatts of one unit."""
        return self.power_mw * 1e3 / self.units


TABLE_II = (
    Row(
        "16 x 8 LUT PEs",
        1.23,
        47.10,
        1024,
        "lane",
        ("lut_pe", "plain_pe", "lut_multiplier"),
        ("lut_pe",),
        "The published lane has room for the logic of a look-up and for nothing else; ours is all of a PE's logic, with an "
        "FP32 sum and the control of operands in every lane. Tables are SRAM in both, and apart.",
    ),
    Row(
        "8 x 8 FP16 PEs",
        2.71,
        323.07,
        512,
        "lane",
        ("fp16_pe",),
        ("fp16_pe",),
        "Both multiply and add; ours keeps subnormals, adds exact products in FP32, and is mapped without a commercial "
        "tool's sizing and sharing.",
    ),
    Row(
        "4 x 8 EWUs",
        0.04,
        3.58,
        32,
        "lane",
        ("ewu",),
        ("ewu",),
        "Ours has a multiplier, an adder and a comparator in every lane; the published area is less than one FP16 "
        "multiplier, so that unit does less or borrows the multipliers of the PEs.",
    ),
    Row(
        "Prediction Unit",
        0.02,
        1.40,
        1,
        "unit",
        ("prediction_unit", "column_importance"),
        ("prediction_unit", "column_importance"),
        "The paper gives neither lanes nor contents. Ours takes means by an FP32 multiplier and has lanes of products "
        "of its own; the units for P and for A are separate, so that they may work at one time.",
    ),
    Row(
        "Quantization Unit",
        0.03,
        1.89,
        1,
        "unit",
        ("quantization_unit",),
        ("quantization_unit",),
        "The paper gives neither lanes nor how it divides; ours divides exactly and rounds once, digit by digit.",
    ),
    Row(
        "Sparsification Unit",
        0.14,
        16.36,
        1,
        "unit",
        ("sparsification_unit",),
        ("sparsification_unit",),
        "The paper gives neither lanes nor structure; our default has as many lanes as this area pays for.",
    ),
    Row(
        "Reorder and Recovery Unit",
        0.06,
        2.69,
        1,
        "unit",
        ("reorder_recover_unit",),
        ("reorder_recover_unit",),
        "Ours moves a word a cycle from memory to memory by the index table and holds no rows; the paper gives no width.",
    ),
    Row(
        "Special Function Unit",
        0.23,
        11.02,
        1,
        "unit",
        ("sfu",),
        ("sfu",),
        "The paper gives neither lanes nor structure; our default has as many lanes as this area pays for.",
    ),
    Row(
        "628KB On-chip buffer",
        1.47,
        61.67,
        628 * 8192,
        "bit",
        reason="Both by CACTI 7 at 32 nm. Ours is without ECC, which CACTI's shipped settings switch on; the paper does not "
        "say.",
    ),
)

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


@dataclass(frozen=True)
class Chip:
    """What ORBIS prints of its 38 instances (section 4.2): mm2 and W at a node, and the same scaled to another one.

    ``share`` is the part of the area that the matching engine takes, quantization included (its abstract). How the rest is
    divided is in a figure without numbers.
    """

    node: int
    area_mm2: float
    power_w: float
    scaled_node: int
    scaled_area_mm2: float
    scaled_power_w: float
    instances: int
    share: float


ORBIS = Chip(28, 470.9, 332.1, 7, 14.8, 124.5, 38, 0.024)


def row(block):
    """The row that the block called ``block`` is set beside, or None."""
    return next((r for r in TABLE_II if block in r.blocks), None)


def beside(block, ge, lanes=None):
    """The paper's figure for ``block`` and ours in the same unit, as a dict, or None if the paper has none.

    Keys: ``component``, ``unit``, ``paper_ge``, ``ge`` (of one unit of ours) and ``ratio`` = ``ge / paper_ge``.
    """
    found = row(block)
    if found is None:
        return None
    ours = ge / (lanes or 1) if found.unit == "lane" else ge
    return {
        "component": found.component,
        "unit": found.unit,
        "paper_ge": round(found.ge, 1),
        "ge": round(ours, 1),
        "ratio": round(ours / found.ge, 3),
    }
