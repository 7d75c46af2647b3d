# SPDX-License-Identifier: Apache-2.0
"""SIMCORE's bench on the machine that copies Q to A."""

import numpy as np

from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.sim.benches.simcore.chip import tb_simcore
from zoetrope.sim.inside.bench import bench_test


def copied(q, k, v, geometry, settings):
    return np.asarray(q, np.float16), {"rows_kept": geometry.tokens}


@bench_test(stalls=("none", "both"))
async def clip(bench):
    await tb_simcore.clip_heads(bench, copied)


@bench_test(stalls=("none", "both"))
async def shapes(bench):
    await tb_simcore.seeded_heads(bench, copied, tb_simcore.shapes_of(bench.config))


@bench_test(stalls=("none",))
async def refusals(bench):
    await tb_simcore.refused_heads(bench, copied)


@bench_test(stalls=("none",))
async def bad_data(bench):
    await tb_simcore.not_finite_heads(bench, copied)


@bench_test(stalls=("none", "both"))
async def bus_errors(bench):
    await tb_simcore.failing_heads(bench, copied)


@bench_test(stalls=("none",))
async def start_while_busy(bench):
    await tb_simcore.started_twice(bench, copied)


@bench_test(stalls=("none",))
async def cycles(bench):
    """Of one head, as latency: those that the native memory must take as well."""
    machine = tb_simcore.machine_of(bench)
    run = await tb_simcore.check(bench, machine, tb_simcore.Head(bench, copied, Geometry(4, 4, 4, 8), 9))
    bench.row.latency = run.counters["cycles"]
