# SPDX-License-Identifier: Apache-2.0
"""The FP16 PE and arrays of it (SIMPICKER IV-B): 8 FP16 multipliers that share one FP16 operand, FP32 sums over k.

``o[r][d * outputs + j] = sum over k of x[k][r] * w[k][d * outputs + j]``: the ports and the engine of the LUT PE, with FP16
weights and exact products.
"""

from dataclasses import dataclass, field

from amaranth import Module

from zoetrope.hw.arith.float_multiply import FloatMultiply, FloatMultiplyConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP29
from zoetrope.hw.pe.outer_product import OuterProduct, OuterProductCell, OuterProductConfig, RowOperands
from zoetrope.hw.stream import register


@dataclass(frozen=True)
class FP16PEConfig(OuterProductConfig):
    product_stages: int = field(default=1, metadata={"doc": "register stages of the multipliers, 1 to 3"})
    ragged: bool = field(default=False, metadata={"doc": "an operand says how many of the D words it meets"})

    def __post_init__(self):
        super().__post_init__()
        if self.fixed:
            raise ValueError(
                "accumulator must be fp32: exact sums of FP16 products would take 97 bits a sum, not 'fixed'"
            )

    #: Multipliers have up to this many stages.
    product_stages_max = 3

    weight = FP16.layout
    product = FP29

    @property
    def lane(self):
        return FloatMultiplyConfig(operand=FP16, product=FP29, stages=self.product_stages)


class FP16RowOperands(RowOperands):
    """Operands of the rows: a register, refilled in the cycle in which it is released."""

    def __init__(self, *, config):
        super().__init__(config=config, row=FP16.layout)

    def elaborate(self, platform):
        m = Module()
        i = self.i_x
        held = register(m, self.config.x_layout, i.payload, i.valid, i.ready, "operands")
        m.d.comb += [
            held.ready.eq(self.release),
            self.loaded.eq(held.valid),
            self.last.eq(held.payload.last),
            *(getattr(self, name).eq(held.payload[name]) for name in self.config.count_layout),
        ]
        m.d.comb += [self.row[r].eq(held.payload["values"][r]) for r in range(self.config.rows)]
        return m


class FP16Cell(OuterProductCell):
    """The datapath of an FP16 PE: exact multipliers, FP32 sums."""

    def __init__(self, *, config):
        super().__init__(config=config, row=FP16.layout)

    def products(self, m):
        lanes = [FloatMultiply(config=self.config.lane) for _ in range(self.config.lanes)]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.d.comb += [lane.en.eq(self.en), lane.i.a.eq(self.row), lane.i.b.eq(self.w[k])]
        return [lane.o for lane in lanes]


class FP16PE(OuterProduct):
    """Outer products of FP16 and FP16: SIMPICKER's FP16 PE, or an array of them.

    Products are exact (22 bits), each sum is rounded to FP32 at every step, in the order of k. A dot-product PE, whose 8
    multipliers feed one sum through a tree, has as many adders (7 in the tree, 1 behind it) and needs 8 operands of x a
    cycle; its sums would be an eighth of the memory. The outer product is built because both engines of the machine then
    take the same operands in the same layout, and a tile may go to either.

    Parameters
    ----------
    config : FP16PEConfig

    Stalls of K operands back to back: ``(K - 1) * (max(D, A) - D)``, with A the accumulator's turnaround.
    Golden: ``golden.pe.fp16_pe.fp16_pe``.
    """

    row_operands = FP16RowOperands
    cell = FP16Cell


#: Config of each preset; the first is the default.
PRESETS = {
    "default": FP16PEConfig(),
    "deep": FP16PEConfig(product_stages=3, add_stages=6),
    "combinational": FP16PEConfig(add_stages=0),
    "array": FP16PEConfig(rows=2, columns=2, lanes=4, words=8),
    "paper": FP16PEConfig(rows=8, columns=8, words=32),
}

#: The ways to multiply that `zoetrope lanes` sets side by side, by their printed names.
WAYS = {
    "FP16 multiplier": FP16PEConfig(),
}
