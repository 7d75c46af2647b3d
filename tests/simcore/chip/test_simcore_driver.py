# SPDX-License-Identifier: Apache-2.0
"""The driver of SIMCORE and its bench, on a machine of the same pins that copies Q to A: native and in cocotb."""

import numpy as np
import pytest
from simcore_parts import Copier, CopierConfig

from zoetrope.golden.simcore.chip.simcore import Settings
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.catalogue import Block
from zoetrope.hw.errors import UserError
from zoetrope.hw.simcore.chip.simcore_registers import REGISTERS, Cause
from zoetrope.sim.host.driver import Driver
from zoetrope.sim.host.simcore import (
    Addresses,
    Simcore,
    SimcoreError,
    addresses,
    on_native,
    pack,
    register_values,
    unpack,
)
from zoetrope.sim.run.harness import BenchFailed, simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.run.native_axi import AxiMemory, Lite

COPIER = Block("simcore_copier", Copier, configs={"default": CopierConfig()})
BASE = 0x2000


@pytest.fixture(scope="module")
def native():
    return Native.build(Copier(config=CopierConfig()), "copier")


def seeded(rng, geometry, channels):
    return [rng.standard_normal((geometry.tokens, channels)).astype(np.float16) for _ in "qkv"]


def test_tokens_in_memory_by_hand():
    x = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 65504.0]], np.float16)
    data = pack(x, 8, behind=0x7E00)
    assert data == bytes.fromhex("003c004000bc007e 00380000ff7b007e")
    np.testing.assert_array_equal(unpack(data, 3, 8), x)
    assert len(pack(x, 4)) == 16 and len(pack(x, 2)) == 12
    assert addresses(1, 2, 3, 8) == Addresses(8, 24, 40, 56)


def test_registers_by_hand():
    places = Addresses(0x1_0000_0040, 0x80, 0xC0, 0x100)
    settings = Settings(p_p=0.5, p_a=1.0, tau=2.5, window=2, group=5, speculate_a=False)
    values = register_values(Geometry(3, 2, 4, 1, False), 64, settings, places)
    assert values == {
        **{"frames": 3, "height": 2, "width": 4, "text": 1, "channels": 64, "window": 2, "group": 5},
        **{"q_low": 0x40, "q_high": 1, "k_low": 0x80, "k_high": 0, "v_low": 0xC0, "v_high": 0, "a_low": 0x100},
        **{"a_high": 0, "p_p": 2048, "p_a": 4096, "tau_squared": 0x40C80000},  # 6.25
        **{"frame_inverse": 0x3E000000, "score_scale": 0x3E000000},  # 1 / 8, both
        **{"control.sparsify": 1, "control.speculate_p": 1, "control.speculate_a": 0, "control.quantize": 1},
        **{"control.compact": 1, "control.text_first": 0},
    }


@pytest.mark.parametrize("options", [{}, {"seed": 1}, {"latency": 40, "seed": 2}, {"latency": 1, "bursts": 1}])
def test_heads_one_after_the_other(native, options):
    native.reset()
    machine = on_native(native, 1 << 16, base=BASE, behind=0x7C00, **options)
    rng = np.random.default_rng(3)
    for geometry, channels in ((Geometry(4, 4, 4, 8), 9), (Geometry(1, 1, 1), 1), (Geometry(2, 3, 1, 5, False), 8)):
        q, k, v = seeded(rng, geometry, channels)
        run = machine.run(q, k, v, geometry)
        np.testing.assert_array_equal(run.a.view(np.uint16), q.view(np.uint16))
        words = geometry.tokens * -(-channels // 4)
        assert (run.counters["words_read"], run.counters["words_written"]) == (3 * words, words)


def test_errors_have_their_cause_and_the_next_head_is_right(native):
    native.reset()
    machine = on_native(native, 1 << 16, base=BASE, seed=5)
    rng, geometry = np.random.default_rng(4), Geometry(2, 1, 3)
    q, k, v = seeded(rng, geometry, 3)
    bad = q.copy()
    bad[2, 1] = np.nan
    places = addresses(BASE, geometry.tokens, 3, 8)
    cases = [
        ((q, bad, v), {}, Cause.NOT_FINITE_K, "SIMCORE: NOT_FINITE_K: NaN or infinity in K"),
        ((q, k, v), {"changes": {"p_a": 5000}}, Cause.PROPORTION, "PROPORTION: p_p or p_a above 1"),
        ((q, k, v), {"changes": {"a_low": BASE - 64}}, Cause.WRITE, "WRITE: SLVERR or DECERR to a write"),
        ((q, k, v), {"changes": {"q_low": BASE - 64}}, Cause.READ, "READ: SLVERR or DECERR to a read"),
        ((q, k, v), {"places": places._replace(a=BASE + 4)}, Cause.ADDRESS, "ADDRESS: an address is no multiple"),
    ]
    for matrices, options, cause, message in cases:
        with pytest.raises(SimcoreError, match=message) as error:
            machine.run(*matrices, geometry, **options)
        assert error.value.cause is cause and error.value.counters["rows_kept"] == geometry.tokens
        np.testing.assert_array_equal(machine.run(q, k, v, geometry).a, q)


def test_polled_and_in_two_steps(native):
    native.reset()
    memory = AxiMemory(native, 1 << 12)
    machine = Simcore(Driver(describe(REGISTERS), Lite(native, memory)), memory)
    q, k, v = seeded(np.random.default_rng(6), Geometry(1, 2, 2), 9)
    started = machine.start(q, k, v, Geometry(1, 2, 2))
    assert machine.registers.read("status.busy") == 1
    np.testing.assert_array_equal(machine.finish(started).a, q)
    assert machine.machine().max_channels == 9


def test_what_the_driver_refuses(native):
    native.reset()
    machine = on_native(native, 1 << 12)
    geometry = Geometry(1, 2, 2)
    q, k, v = seeded(np.random.default_rng(7), geometry, 3)
    for arguments, message in (
        ((q[1:], k, v, geometry), "q, k and v must have 4 tokens and the same channels"),
        ((q[:, 1:], k, v, geometry), "q, k and v must have 4 tokens and the same channels"),
        ((q, k, v, geometry, Settings(rows=8, keys=8)), "rows of the settings must be 4, as the machine has it, not 8"),
        ((q, k, v, geometry, Settings(rows=4)), "keys of the settings must be 8, as the machine has it, not None"),
        ((q, k, v, geometry, Settings(rows=4, keys=8, p_bits=8)), "p_bits of the settings must be 12, not 8"),
    ):
        with pytest.raises(UserError, match=message):
            machine.run(*arguments)


def test_the_bench_on_this_machine(native):
    """And the native memory takes as many cycles as cocotbext-axi's."""
    report = simulate(COPIER, bench="tb_simcore_parts")
    assert report.vectors > 300
    native.reset()
    geometry = Geometry(4, 4, 4, 8)
    run = on_native(native, 1 << 16, base=BASE, latency=2).run(*seeded(np.random.default_rng(1), geometry, 9), geometry)
    assert run.counters["cycles"] == report.latency == 1225


def test_the_bench_finds_what_is_wrong():
    with pytest.raises(BenchFailed) as failed:
        simulate(COPIER, bench="tb_simcore_faults")
    errors = {row.test: row.error for row in failed.value.report.rows}
    assert {name: (text or "").splitlines()[0] for name, text in errors.items()} == {
        "a_bit": "rows of A, 2 frames of 1 x 3, 2 channels: 6 of 6 differ",
        "behind_a": "2 frames of 1 x 3, 2 channels: 12 bytes outside of A were written, the first at 0x2054",
        "no_cause": "2 frames of 1 x 3, 2 channels: ended well, and should have ended with NOT_FINITE_K",
        "not_refused": "{'p_p': 4097}: ended well, and should have ended with PROPORTION",
        "another_cause": "cause of {'frames': 0}: got GEOMETRY, expected PROPORTION",
        "a_counter": "2 frames of 1 x 3, 2 channels: counters: got {'rows_kept': 6}, expected {'rows_kept': 7}",
        "a_right_head": "2 frames of 1 x 3, 2 channels: SIMCORE: NOT_FINITE_Q: NaN or infinity in Q",
    }
