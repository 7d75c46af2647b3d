# SPDX-License-Identifier: Apache-2.0
"""The bus adapter: its golden by hand, its benches."""

import re

import pytest
from benches import vectors

from zoetrope.golden.board.bus_adapter import READ_MEMORY, READ_REGISTERS, WRITE_MEMORY, WRITE_REGISTERS, Access, obey
from zoetrope.golden.board.link import MALFORMED, OK, REFUSED
from zoetrope.hw.board.bus_adapter import BusAdapterConfig
from zoetrope.hw.catalogue import find


@pytest.mark.parametrize("preset", find("bus_adapter").presets)
def test_rtl(preset):
    assert vectors("bus_adapter", preset) > 100


def test_golden_by_hand():
    """Registers that count their reads, and a memory that ends."""
    seen = []

    def respond(access):
        seen.append(access)
        return (len(seen) if access.kind & 1 else 0), access.address >= 0x40

    def run(kind, text):
        seen.clear()
        accesses, answer, status = obey(kind, bytes.fromhex(text), respond, register_bits=7, memory_bits=32)
        assert accesses == seen
        return [access[1:] for access in accesses], answer.hex(), status

    assert run(WRITE_REGISTERS, "04000000 78563412 00000080") == ([(4, 0x12345678), (8, 1 << 31)], "", OK)
    assert run(READ_REGISTERS, "08000000 0800") == ([(8, 0), (12, 0)], "0100000002000000", OK)
    assert run(WRITE_MEMORY, "3f000000 aabbcc") == ([(63, 0xAA), (64, 0xBB)], "", REFUSED)
    assert run(READ_MEMORY, "3e000000 0200") == ([(62, 0), (63, 0)], "0102", OK)
    assert run(WRITE_REGISTERS, "04000000 00000000 0000") == ([(4, 0)], "", MALFORMED)
    assert run(WRITE_REGISTERS, "80000000 00000000") == ([], "", REFUSED)  # beyond 7 bits
    for kind, text in [
        (WRITE_REGISTERS, "04000000"),
        (WRITE_REGISTERS, "05000000 00000000"),
        (READ_REGISTERS, "04000000 0600"),
        (READ_REGISTERS, "04000000 0000"),
        (READ_MEMORY, "04000000 01"),
        (READ_MEMORY, "04000000 010000"),
        (WRITE_MEMORY, "040000"),
    ]:
        assert run(kind, text) == ([], "", MALFORMED)
    assert Access(READ_MEMORY, 1, 0).kind == 3


@pytest.mark.parametrize(
    "config, message",
    [
        ({"register_bits": 2}, "register_bits must be 3 to 32, not 2"),
        ({"memory_bits": 65}, "memory_bits must be 1 to 64, not 65"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BusAdapterConfig(**config)
