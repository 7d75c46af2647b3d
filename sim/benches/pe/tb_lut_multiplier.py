# SPDX-License-Identifier: Apache-2.0
"""Bench of the LUT multiplier: products of one operand while the slice of the next is copied in.

The block has no streams; its latency is the shift, in advances, by which products follow their weights.
"""

import numpy as np

from zoetrope.golden.formats import FP16, FP17, fields, is_nan, normalised
from zoetrope.golden.pe.lut_multiplier import lut_multiplier, product_table
from zoetrope.sim.inside.bench import bench_test, to_integers
from zoetrope.sim.stimulus.outer_product import CORNERS

OPERANDS = 40


@bench_test(stalls=("none",))
async def products(bench):
    """Every INT8 code times corner and random operands, the pipeline halting now and then."""
    c, rng = bench.config, bench.rng
    table = product_table(c.reading)
    x = np.concatenate([list(CORNERS.values()), rng.integers(0, 1 << 16, OPERANDS)]).astype(np.uint16)
    operands, fractions = operand_codes(x), normalised(x, FP16)[1]
    bits = c.table.copy_width * table.itemsize * 8
    sent, advanced, got = [], [], []
    current = 0  # the operand of the weight taken last
    for turn in range(len(x) + 1):
        rows = []
        if turn < len(x):
            rows = to_integers(table[fractions[turn]].reshape(c.table.beats, -1), bits, "copy_data")
        weights = rng.permutation(256) if turn else np.zeros(c.table.beats, int)
        step = 0
        while step < max(len(weights), len(rows)):
            advance = turn == 0 or rng.random() < 0.9
            bench.set("copy_en", step < len(rows))
            if step < len(rows):
                bench.set("copy_bank", turn & 1)
                bench.set("copy_beat", step)
                bench.set("copy_data", rows[step])
            bench.set("en", advance)
            bench.set("bank", (turn - 1) & 1)
            bench.set("w", int(weights[min(step, len(weights) - 1)]))
            bench.set("operand", int(operands[current]))
            await bench.cycles(1)
            if advance:
                got.append(bench.get("product"))
                advanced.append(turn > 0)
                sent.append((x[max(turn - 1, 0)], weights[min(step, len(weights) - 1)]))
                current = max(turn - 1, 0)
                step += 1
    # A product leaves some advances after its weight; the last ones are still inside.
    got, products_sent = np.array(got, np.uint32), lut_multiplier(*np.array(sent).T, c.reading)
    advanced = np.array(advanced)
    fits = [n for n in range(8) if (got[n:] == products_sent[: len(got) - n])[advanced[: len(got) - n]].all()]
    latency = fits[0] if fits else bench.component.latency
    valid = np.flatnonzero(advanced[: len(got) - latency])
    bench.compare(
        got[latency:][valid],
        products_sent[valid],
        unit="products",
        describe=lambda i: "x={:#06x} w={:#04x}".format(*sent[valid[i]]),
    )
    bench.equal("latency", latency, bench.component.latency)
    bench.row.latency, bench.row.interval = latency, 1


def operand_codes(x):
    """FP16 codes as packed ``OPERAND``: exponent (6), sign, zero, infinity, NaN."""
    sign = fields(x, FP16)[0]
    zero, infinite, nan = (x & 0x7FFF) == 0, (x & 0x7FFF) == FP16.inf, is_nan(x, FP16)
    exponent = (normalised(x, FP16)[0] + FP17.bias) & 63
    return (
        exponent | sign << 6 | zero.astype(np.int64) << 7 | infinite.astype(np.int64) << 8 | nan.astype(np.int64) << 9
    )
