"""Bench of floating-point addition: every pair of corner codes, then random ones."""

import numpy as np

from golden import formats
from golden.float_add import float_add
from sim.bench import bench_test
from sim.packing import pack
from sim.stimulus import corner_pairs, random_codes


@bench_test()
async def pairs(bench):
    c = bench.config
    a, b = getattr(formats, c.a.name), getattr(formats, c.b.name)
    operands = corner_pairs(a, b)
    random = np.stack([random_codes(bench.rng, fmt, 2000) for fmt in (a, b)], axis=1)
    operands = np.concatenate([operands, random])
    if not c.subnormals:
        operands = running_sums(operands, a, b)
    x, w = operands.T
    bench.send("i", pack(x, w, widths=[a.width, b.width]))
    got = await bench.collect("o", len(operands))
    expected = float_add(x, w, a, b)
    bench.compare(got, expected, unit="sums", describe=lambda i: f"{x[i]:#x} + {w[i]:#x}")
    bench.measure(latency=("i", 0, "o", 0), interval="o")


def running_sums(operands, a, b):
    """Operands as an accumulator meets them: neither of them, nor their sum, is subnormal."""
    values = [formats.to_float64(codes, fmt) for codes, fmt in zip(operands.T, (a, b))]
    least = 2.0 ** (1 - a.bias)
    with np.errstate(invalid="ignore"):
        normal = [(np.abs(value) >= least) | (value == 0) | ~np.isfinite(value) for value in (*values, sum(values))]
    encodable = ~((formats.fields(operands[:, 1], b)[1] == 0) & (values[1] != 0))
    return operands[np.logical_and.reduce(normal) & encodable]
