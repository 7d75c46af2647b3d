# SPDX-License-Identifier: Apache-2.0
"""The control: the outer-product PE on plain 11 x 7 multipliers. Same ports, same golden as the LUT PE, no table."""

from dataclasses import dataclass

from zoetrope.hw.pe.outer_product import OuterProduct
from zoetrope.hw.pe.significand_product import (
    SignificandCell,
    SignificandPEConfig,
    SignificandProduct,
    SignificandRowOperands,
)


class PlainProduct(SignificandProduct):
    """An 11 x 7 multiplier, and what follows it in every ``SignificandProduct``."""

    def multiply(self, m):
        return self.multiplicand * self.w.magnitude


@dataclass(frozen=True)
class PlainPEConfig(SignificandPEConfig):
    pass


class PlainCell(SignificandCell):
    """The datapath of a plain PE: 11 x 7 multipliers, sums."""

    lane = PlainProduct


class PlainPE(OuterProduct):
    """Outer products on 11 x 7 multipliers: what SIMPICKER's LUT PE is compared with.

    With rounded products it is bit for bit the LUT PE (``odd16``), because both round the same product to the same 11 bits.
    With ``exact`` the product keeps its 18 bits.

    Parameters
    ----------
    config : PlainPEConfig

    Stalls of K operands back to back: ``(K - 1) * (max(D, A) - D)``, with A the accumulator's turnaround.
    Golden: ``golden.pe.lut_pe.lut_pe``, reading ``odd16`` or ``exact``.
    """

    row_operands = SignificandRowOperands
    cell = PlainCell


#: Config of each preset; the first is the default.
PRESETS = {
    "default": PlainPEConfig(),
    "deep": PlainPEConfig(product_stages=2, add_stages=6),
    "combinational": PlainPEConfig(add_stages=0),
    "exact": PlainPEConfig(exact=True),
    "fixed": PlainPEConfig(exact=True, accumulator="fixed"),
}

#: The ways to multiply that `zoetrope lanes` sets side by side, by their printed names.
WAYS = {
    "11 x 7 multiplier": PlainPEConfig(),
    "11 x 7 multiplier, exact": PlainPEConfig(exact=True),
    "11 x 7 multiplier, exact, fixed sums": PlainPEConfig(exact=True, accumulator="fixed"),
}
