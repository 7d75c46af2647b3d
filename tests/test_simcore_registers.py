"""SIMCORE's registers: the RTL made of the description, the page rendered from it, what must never move."""

from pathlib import Path

from hw.axi.registers import Registers, RegistersConfig
from hw.registry import Block
from hw.simcore.simcore_registers import COUNTERS, REGISTERS, Cause, document
from sim.harness import simulate

ROOT = Path(__file__).resolve().parent.parent


def test_rtl():
    block = Block("registers", Registers, {"simcore": RegistersConfig(REGISTERS)}, "no paper")
    assert simulate(block).vectors > 200


def test_the_page_is_as_rendered():
    assert (ROOT / "docs" / "registers.md").read_text() == document(), "python -m hw.simcore.simcore_registers"


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
