# SPDX-License-Identifier: Apache-2.0
"""What a paper publishes of a part: areas, powers and shares, as data without names of our blocks.

Which block stands beside a figure is in the block's entry of the catalogue (``beside``): ``figures`` reads it.

Areas become gate equivalents by the NAND2 of the library, 1.525 um2 (NAND2X0 of the 32 nm educational library that the
FP16 lane of SIMPICKER's table agrees with). Square micrometres of different libraries are never compared, GE and ratios are.
"""

from dataclasses import dataclass

from zoetrope.synth.technologies.sram import NAND2_UM2


@dataclass(frozen=True)
class Row:
    """A row of a paper's table of areas.

    Parameters
    ----------
    component : as printed
    area_mm2, power_mw : as printed
    units : how many units the row holds
    unit : what a unit is; a ``lane`` is one multiplier of a PE or one element of a vector unit
    reason : why ours is another size
    """

    component: str
    area_mm2: float
    power_mw: float
    units: int
    unit: str
    reason: str = ""

    @property
    def ge(self):
        """GE of one unit."""
        return self.area_mm2 * 1e6 / self.units / NAND2_UM2

    @property
    def power_uw(self):
        """Microwatts of one unit."""
        return self.power_mw * 1e3 / self.units


@dataclass(frozen=True)
class Total:
    """The area of a whole machine, or of several rows: ``mm2``; ``memories`` says whether they are in it."""

    what: str
    mm2: float
    memories: bool

    @property
    def ge(self):
        return self.mm2 * 1e6 / NAND2_UM2


@dataclass(frozen=True)
class Share:
    """The share of an instance's area that a part of it takes."""

    what: str
    share: float
