# SPDX-License-Identifier: Apache-2.0
"""SIMCORE's registers: the RTL made of the description, the page rendered from it, what must never move."""

from pathlib import Path

from zoetrope.hw.axi.registers import Registers, RegistersConfig
from zoetrope.hw.catalogue import Block
from zoetrope.hw.simcore.chip.simcore_registers import COUNTERS, REGISTERS, Cause, document
from zoetrope.sim.run.harness import simulate

ROOT = Path(__file__).resolve().parents[3]


def test_rtl():
    block = Block("registers", Registers, configs={"simcore": RegistersConfig(REGISTERS)})
    assert simulate(block, bench="zoetrope.sim.benches.axi.tb_registers").vectors > 200


def test_the_page_is_as_rendered():
    assert (ROOT / "docs" / "registers.md").read_text() == document(), "zoetrope registers"


def test_offsets_stay():
    offsets = {r.name: r.offset for r in REGISTERS}
    assert [
        offsets[name] for name in ("control", "status", "build", "frames", "q_low", "p_p", "watchdog", "cycles")
    ] == [
        0x000,
        0x004,
        0x010,
        0x020,
        0x040,
        0x060,
        0x074,
        0x080,
    ]
    assert [offsets[name] for name in COUNTERS] == list(range(0x080, 0x080 + 4 * len(COUNTERS), 4))
    control = REGISTERS[0]
    assert dict(zip((f.name for f in control.fields), control.bits)) == {
        "start": 0,
        "abort": 1,
        "sparsify": 8,
        "speculate_p": 9,
        "speculate_a": 10,
        "quantize": 11,
        "text_first": 12,
        "compact": 13,
        "interrupt_enable": 16,
    }


def test_causes_fit_their_field_and_have_a_meaning():
    assert [cause.value for cause in Cause] == list(range(15))
    assert all(cause.doc for cause in Cause) and Cause(8) is Cause.NOT_FINITE_Q
