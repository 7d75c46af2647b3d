# SPDX-License-Identifier: Apache-2.0
"""The register file: golden by hand, benches on streams and on pins, its documentation, the driver."""

import json

import pytest
from benches import vectors

from zoetrope.golden.axi.registers import OKAY, SLVERR, RegisterFile
from zoetrope.hw.axi.registers import (
    EXAMPLE,
    Field,
    Register,
    RegistersConfig,
    RegistersPins,
    describe,
    markdown,
    register,
)
from zoetrope.hw.catalogue import Block, find
from zoetrope.sim.host.driver import Driver, RegisterError
from zoetrope.sim.run.harness import simulate

REGISTERS = EXAMPLE


@pytest.mark.parametrize("preset", find("registers").presets)
def test_rtl(preset):
    assert vectors("registers", preset) > 200


def test_rtl_on_pins():
    block = Block("registers_pins", RegistersPins, configs={"default": find("registers").config()})
    bench = "zoetrope.sim.benches.axi.tb_registers_pins"
    assert simulate(block, bench=bench).vectors > 10


def test_golden_by_hand():
    file = RegisterFile(describe(REGISTERS))
    assert file.read(0x00) == (0x3C00 << 12 | 1 << 4, OKAY)
    assert file.write(0x00, 0xFFFFFFFF, 0b0001) == OKAY
    assert file.read(0x02) == (0x3C00 << 12 | 3 << 4, OKAY)
    assert file.pulses == {("control", "start"): 1, ("control", "abort"): 1}
    assert file.write(0x01, 0xFF, 0b0000) == OKAY and file.pulses == {("control", "start"): 0, ("control", "abort"): 0}
    file.values["status", "busy"], file.values["status", "cause"] = 1, 5
    assert file.write(0x04, 0) == OKAY and file.read(0x04) == (0x501, OKAY)
    file.set("interrupt", "done", 1)
    assert file.read(0x08) == (3, OKAY)
    assert file.write(0x08, 2) == OKAY and file.read(0x08) == (1, OKAY)
    assert file.write(0x3C, 0xFFFFFFFF) == OKAY and file.read(0x3C) == (0x7FFFFFFF, OKAY)
    assert file.write(0x14, 1) == SLVERR and file.read(0x14) == (0, SLVERR)


def test_description_is_json_and_positions_follow():
    description = json.loads(json.dumps(describe(REGISTERS)))
    assert description == describe(REGISTERS)
    fields = description["control"]["fields"]
    assert {name: f["bit"] for name, f in fields.items()} == {"start": 0, "abort": 1, "mode": 4, "threshold": 12}


def test_markdown_has_a_line_a_field():
    text = markdown((*REGISTERS, register("bar", 0x40, doc="a | b")))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + sum(len(r.fields) for r in REGISTERS) + 1
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "| `0x000` | `control` | 0 | `start` | pulse |  | begins a run |" in lines
    assert "|  |  | 27:12 | `threshold` | rw | 0x3c00 | FP16 |" in lines


class Memory:
    """A transport over the golden."""

    def __init__(self):
        self.file = RegisterFile(describe(REGISTERS))

    def read(self, address):
        data, response = self.file.read(address - 0x1000)
        assert response == OKAY
        return data

    def write(self, address, value):
        assert self.file.write(address - 0x1000, value) == OKAY


def test_driver():
    memory = Memory()
    driver = Driver(describe(REGISTERS), memory, base=0x1000)
    driver.write("control.mode", 2)
    assert driver.fields("control") == {"start": 0, "abort": 0, "mode": 2, "threshold": 0x3C00}
    assert memory.file.pulses == {("control", "start"): 0, ("control", "abort"): 0}
    driver.write("control.start", 1)
    assert memory.file.pulses == {("control", "start"): 1, ("control", "abort"): 0}
    assert driver.read("control.threshold") == 0x3C00 and driver.read("control.mode") == 2
    memory.file.set("interrupt", "done", 1)
    driver.write("interrupt.error", 1)
    assert driver.fields("interrupt") == {"done": 1, "error": 0}
    driver.write("address", 0xFFFFFFFF)
    assert driver.read("address") == 0xFFFFFFFF


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("contro", 0, "there is no register 'contro'; there is: control, status"),
        ("control.go", 0, "register control has no field 'go'; it has: start, abort"),
        ("control.mode", 4, "control.mode has 2 bits, which 4 does not fit"),
        ("address", -1, "address has 32 bits, which -1 does not fit"),
        ("interrupt", 4, "interrupt has 2 bits, which 4 does not fit"),
        ("status.busy", 1, "status.busy can only be read"),
        ("cycles", 1, "cycles can only be read"),
    ],
)
def test_driver_refuses(name, value, message):
    memory = Memory()
    with pytest.raises(RegisterError, match=message):
        Driver(describe(REGISTERS), memory, base=0x1000).write(name, value)
    assert memory.file.values == RegisterFile(describe(REGISTERS)).values


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Field("a b"), "a field's name must be an identifier, not 'a b'"),
        (lambda: Field("a", 33), "width of field a must be 1 to 32, not 33"),
        (lambda: Field("a", 0), "width of field a must be 1 to 32, not 0"),
        (lambda: Field("a", access="wo"), "access of field a must be one of rw, ro, w1c, pulse, not 'wo'"),
        (lambda: Field("a", 2, reset=4), "reset of field a must fit 2 bits, not 4"),
        (lambda: Field("a", access="ro", reset=1), "field a is ro and has no reset, but 1 is given"),
        (lambda: Register("1", 0, (Field("a"),)), "a register's name must be an identifier, not '1'"),
        (lambda: register("r", 2), "offset of register r must be a multiple of 4, not 2"),
        (lambda: register("r", -4), "offset of register r must be a multiple of 4, not -4"),
        (lambda: Register("r", 0, ()), "register r must have fields"),
        (
            lambda: Register("r", 0, (Field("a"), Field("a"))),
            "fields of register r must have different names, not a, a",
        ),
        (
            lambda: Register("r", 0, (Field("a", 4), Field("b", bit=3))),
            "field b of register r must begin at bit 4 or above",
        ),
        (lambda: Register("r", 0, (Field("a", 31), Field("b", 2))), "fields of register r must fit 32 bits, not 33"),
        (lambda: RegistersConfig(()), "registers must have at least one register"),
        (lambda: RegistersConfig((register("r", 0),), 2), "address_bits must be 3 to 64, not 2"),
        (
            lambda: RegistersConfig((register("r", 0), register("r", 4))),
            "registers r and r must differ in name and offset: 'r'",
        ),
        (
            lambda: RegistersConfig((register("r", 4), register("s", 4))),
            "registers r and s must differ in name and offset: 4",
        ),
        (lambda: RegistersConfig((register("r", 8),), 3), "offset of register r must fit 3 bits, not 0x8"),
        (
            lambda: RegistersConfig((Register("a", 0, (Field("b_c"),)), Register("a_b", 4, (Field("c"),)))),
            "fields must have different ports, not a_b_c twice",
        ),
        (
            lambda: RegistersConfig((register("latency", 0),)),
            "no field may have the port latency: the register file has it",
        ),
        (
            lambda: RegistersConfig((Register("s_axil", 0, (Field("awaddr"),)),)),
            "no field may have the port s_axil_awaddr: the register file has it",
        ),
        (
            lambda: RegistersConfig((Register("s", 0, (Field("axil_rready", access="ro"), Field("ok"))),)),
            "no field may have the port s_axil_rready: the register file has it",
        ),
        (
            lambda: RegistersConfig((Register("i", 0, (Field("ar", access="w1c"),)),)),
            "no field may have the port i_ar: the register file has it",
        ),
    ],
)
def test_impossible_descriptions_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()
