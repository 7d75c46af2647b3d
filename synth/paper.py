"""What SIMPICKER publishes in Table II (32 nm), as data, and which of our blocks each row is set beside.

Areas become gate equivalents by the NAND2 of the library, 1.525 um2 (NAND2X0 of the 32 nm educational library that the
FP16 lane of the table agrees with). Square micrometres of different libraries are never compared, GE and ratios are.
"""

from dataclasses import dataclass

from synth.sram import NAND2_UM2


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
    """

    component: str
    area_mm2: float
    power_mw: float
    units: int
    unit: str
    blocks: tuple = ()

    @property
    def ge(self):
        """GE of one unit."""
        return self.area_mm2 * 1e6 / self.units / NAND2_UM2

    @property
    def power_uw(self):
        """Microwatts of one unit."""
        return self.power_mw * 1e3 / self.units


TABLE_II = (
    Row("16 x 8 LUT PEs", 1.23, 47.10, 1024, "lane", ("lut_pe", "plain_pe", "lut_multiplier")),
    Row("8 x 8 FP16 PEs", 2.71, 323.07, 512, "lane", ("fp16_pe",)),
    Row("4 x 8 EWUs", 0.04, 3.58, 32, "lane", ("ewu",)),
    Row("Prediction Unit", 0.02, 1.40, 1, "unit", ("prediction_unit", "column_importance")),
    Row("Quantization Unit", 0.03, 1.89, 1, "unit", ("quantization_unit",)),
    Row("Sparsification Unit", 0.14, 16.36, 1, "unit", ("sparsification_unit",)),
    Row("Reorder and Recovery Unit", 0.06, 2.69, 1, "unit", ("reorder_recover_unit",)),
    Row("Special Function Unit", 0.23, 11.02, 1, "unit", ("sfu",)),
    Row("628KB On-chip buffer", 1.47, 61.67, 628 * 8192, "bit"),
)


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
