# SPDX-License-Identifier: Apache-2.0
"""SIMCORE's bench on the machine that copies Q to A, and does something wrong: each of these tests must fail."""

from simcore_parts import FAULTS
from tb_simcore_parts import copied

from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.simcore.chip.simcore_registers import Cause
from zoetrope.sim.benches.simcore.chip.tb_simcore import Head, check, fails, machine_of
from zoetrope.sim.inside.bench import bench_test

BIT, BEHIND, BLIND, CARELESS = FAULTS


def head(bench, fault=4):
    return Head(bench, copied, Geometry(2, 1, 3), 2, group=fault)


@bench_test(stalls=("none",))
async def a_bit(bench):
    await check(bench, machine_of(bench), head(bench, BIT))


@bench_test(stalls=("none",))
async def behind_a(bench):
    await check(bench, machine_of(bench), head(bench, BEHIND))


@bench_test(stalls=("none",))
async def no_cause(bench):
    wrong = head(bench, BLIND)
    wrong.k[0, 1] = float("nan")
    await fails(bench, machine_of(bench), wrong, Cause.NOT_FINITE_K)


@bench_test(stalls=("none",))
async def not_refused(bench):
    await fails(bench, machine_of(bench), head(bench, CARELESS), Cause.PROPORTION, changes={"p_p": 0x1001})


@bench_test(stalls=("none",))
async def another_cause(bench):
    await fails(bench, machine_of(bench), head(bench), Cause.PROPORTION, changes={"frames": 0})


@bench_test(stalls=("none",))
async def a_counter(bench):
    wrong = head(bench)
    wrong._expected = lambda *arguments: (copied(*arguments)[0], {"rows_kept": 7})
    await check(bench, machine_of(bench), wrong)


@bench_test(stalls=("none",))
async def a_right_head(bench):
    wrong = head(bench)
    wrong.q[1, 1] = float("inf")
    await check(bench, machine_of(bench), wrong)
