# SPDX-License-Identifier: Apache-2.0
"""Bench of the element-wise unit: every pair of corner codes under every opcode, named or not, then random vectors."""

from zoetrope.golden.pe.ewu import OPERATIONS, ewu
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.ewu import corner_vectors, packed, random_vectors


@bench_test(stalls=("none",))
async def corner_operands(bench):
    await _check(bench, corner_vectors(bench.config.lanes))


@bench_test()
async def random_operands(bench):
    """The opcode changes from one transfer to the next."""
    await _check(bench, random_vectors(bench.rng, bench.config.lanes, 500))


async def _check(bench, operands):
    op, *_, scalar = operands
    bench.send("i", packed(*operands))
    got = await bench.collect("o", len(op))
    bench.compare(got, ewu(*operands), describe=lambda i: f"{named(op[i])}, scalar {scalar[i]:#06x}")
    bench.measure(latency=("i", 0, "o", 0), interval="o")


def named(op):
    return OPERATIONS[op] if op < len(OPERATIONS) else f"opcode {op}"
