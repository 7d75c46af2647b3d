# SPDX-License-Identifier: Apache-2.0
"""What ORBIS publishes of its areas and powers (28 nm), as data."""

from dataclasses import dataclass

from zoetrope.synth.papers.printed import Share


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


CHIP = Chip(28, 470.9, 332.1, 7, 14.8, 124.5, 38, 0.024)

#: What a block of the catalogue can stand beside, by name.
FIGURES = {"matching": Share("ORBIS, share of area", CHIP.share)}
