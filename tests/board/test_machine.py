# SPDX-License-Identifier: Apache-2.0
"""A machine behind the link, from the host's own code: its registers by name, its memory, its work, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
from machine_parts import REGISTERS, Copier, CopierConfig

from zoetrope.golden.simcore.chip.simcore import simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.axi.registers import Registers, RegistersConfig, describe, register
from zoetrope.hw.board.demonstrator import DemonstratorConfig, version_of
from zoetrope.hw.board.machine import MachineConfig
from zoetrope.hw.catalogue import find
from zoetrope.sim.host import selftest
from zoetrope.sim.host.board import Board, BoardError
from zoetrope.sim.host.driver import Driver
from zoetrope.sim.host.pins import Pins
from zoetrope.sim.host.simcore import SimcoreError, settings_of

CONFIG = DemonstratorConfig(
    units=(),
    machine=MachineConfig(Copier, CopierConfig(AxiConfig(data_bits=64, granularity=1, burst=4)), depth=700),
    max_payload=300,
    max_answer=200,
    divisor=8,
    timeout=4000,
)


@pytest.fixture
def board():
    return Board(Pins(CONFIG), versions={0: ("copier", CONFIG)})


def test_a_machine_copies_within_its_memory(board):
    """Its memory by bytes at any address, in more requests than one; its registers by name; its work; its errors."""
    rng = np.random.default_rng(1)
    size = CONFIG.machine.memory.size
    content = rng.integers(0, 256, size, dtype=np.uint8)
    board.memory.write(0, content.tobytes())
    for address, count in ((0, size), (1, 7), (size - 1, 1), (99, 0)):
        assert board.memory.read(address, count) == content[address : address + count].tobytes()
    values = rng.standard_normal((3, 5)).astype(np.float16)
    board.memory.write(1001, values.tobytes())
    content[1001:1031] = values.view(np.uint8).ravel()

    driver = Driver(describe(REGISTERS), board.registers)

    def copy(source, destination, length):
        for name, value in (("source", source), ("destination", destination), ("length", length)):
            driver.write(name, value)
        driver.write("control.start", 1)
        while driver.read("status.busy"):
            pass
        return driver.read("status.read"), driver.read("status.write")

    assert copy(1000, 3000, 333) == (0, 0)
    content[3000:3333] = content[1000:1333]
    assert board.memory.read(0, size) == content.tobytes()
    assert copy(size - 8, 0, 16) == (5, 0)  # DECERR
    assert copy(0, 1, 8)[1] == 2  # misaligned: nothing was begun
    assert board.repeated == 0

    # A reset ends what the machine did and leaves its memory.
    board.reset()
    assert driver.read("source") == 0
    content[:16] = [*content[-8:], *bytes(8)]
    assert board.memory.read(0, size) == content.tobytes()


def test_addresses_that_are_not_there(board):
    size = CONFIG.machine.memory.size
    registers = board.registers
    for refused in (
        lambda: registers.read(20),
        lambda: registers.write(20, 0),
        lambda: registers.read(4096),
        lambda: board.memory.read(size, 1),
        lambda: board.memory.write(size - 1, bytes(2)),
    ):
        with pytest.raises(BoardError, match=r"refuses command 3\d: no such address, or the bus answered an error"):
            refused()
    for command, payload in ((32, b""), (32, bytes(7)), (33, bytes(6)), (34, bytes(3)), (35, bytes(4))):
        with pytest.raises(BoardError, match=f"refuses command {command}: payload is no whole number of records"):
            board._request(command, payload, 0)
    with pytest.raises(BoardError, match="refuses command 36: no such command"):
        board._request(36, bytes(8), 0)
    with pytest.raises(BoardError, match="refuses command 35: answer longer than the buffer"):
        board._request(35, bytes(4) + (201).to_bytes(2, "little"), 0)
    with pytest.raises(ValueError, match="an address must have 32 bits"):
        board.memory.read(1 << 32, 1)
    registers.write(8, 7)
    assert registers.read(8) == 7


def test_lost_bytes_do_not_write_twice(board):
    """A request that is damaged is sent again, one whose answer is lost is not obeyed again."""
    port = board._port
    data = np.random.default_rng(2).integers(0, 256, 50, dtype=np.uint8)
    port.disturb = lambda levels: (setattr(port, "disturb", None), levels[:1000] + levels[1080:])[1]
    board.memory.write(5, data.tobytes())
    heard = port.read
    port.read = lambda size: (setattr(port, "read", heard), heard(size))[1][1:]
    assert board.memory.read(5, 50) == data.tobytes()
    assert board.repeated == 2


def test_the_selftest_has_the_memory(board):
    tensors = {name: np.ones((1, 4, 8), np.float16) for name in "qkv"}
    results = list(selftest.selftest(board, tensors))
    assert [(r.unit, r.test, r.mismatches) for r in results] == [("memory", "bytes", 0)]
    assert results[0].vectors > 1000
    assert re.search(r"^memory +bytes +[\d,]+ +0 ", selftest.table(results), re.M)


@pytest.fixture(scope="module")
def simcore_board():
    """SIMCORE as on a board; the simulator is that of ``zoetrope board --simulate simcore``."""
    config = find("demonstrator").config("simcore")
    config = replace(config, version=version_of(config))
    return Board(Pins(config), versions={config.version: ("simcore", config)})


@pytest.mark.campaign
def test_a_head_through_simcore(simcore_board):
    """From Python: A and counters are the golden's, by the registers and the memory behind the link."""
    board = simcore_board
    c = board.simcore_config
    geometry, settings = Geometry(2, 2, 3, 2, False), settings_of(c, p_p=0.5, tau=1.5)
    q, k, v = np.random.default_rng(6).standard_normal((3, geometry.tokens, 5)).astype(np.float16)
    run = board.simcore.run(q, k, v, geometry, settings)
    expected = simcore(q, k, v, geometry, settings)
    np.testing.assert_array_equal(run.a.view(np.uint16), expected.a.view(np.uint16))
    assert run.counters["slices"] == expected.statistics.slices
    assert run.counters["tiles_fp16"] == expected.statistics.important
    assert 0 < run.counters["words_written"] <= geometry.tokens * 3 and board.repeated == 0

    # What a head ends with is told, and the next one is right.
    bad = k.copy()
    bad[3, 1] = np.inf
    with pytest.raises(SimcoreError, match="NOT_FINITE_K"):
        board.simcore.run(q, bad, v, geometry, settings)
    with pytest.raises(SimcoreError, match="READ: SLVERR or DECERR"):
        board.simcore.run(q, k, v, geometry, settings, changes={"q_low": behind(board)})
    again = board.simcore.run(q, k, v, geometry, settings)
    np.testing.assert_array_equal(again.a.view(np.uint16), expected.a.view(np.uint16))


def behind(board):
    """The first address behind the machine's memory."""
    return board.config.machine.memory.size


@pytest.mark.campaign
def test_the_selftest_has_heads(simcore_board):
    tensors = {name: np.random.default_rng(7).standard_normal((3, 9, 6)).astype(np.float16) for name in "qkv"}
    results = list(selftest.selftest(simcore_board, tensors, units=["simcore"]))
    assert [(r.test, r.mismatches) for r in results] == [("head at random", 0), ("clip", 0)]
    assert [r.vectors for r in results] == [72 * 8, 3 * 8 * 6]


def test_a_machine_that_is_no_simcore(board):
    with pytest.raises(BoardError, match="the board has no SIMCORE: its machine is a Copier"):
        _ = board.simcore


def test_a_board_without_a_machine():
    config = find("demonstrator").config("smallest")
    board = Board(Pins(config), versions={0: ("smallest", config)})
    for use in (lambda: board.registers, lambda: board.memory):
        with pytest.raises(BoardError, match="the board has no machine: its demonstrator, smallest, has min_tree"):
            use()


def test_what_is_no_machine():
    with pytest.raises(ValueError, match="Registers must be an AXI4-Lite slave with pins s_axi_awaddr and so on"):
        MachineConfig(Registers, RegistersConfig((register("value", 0),)))
    with pytest.raises(ValueError, match="depth must be 1 to"):
        replace(CONFIG.machine, depth=0)
    with pytest.raises(ValueError, match="units must be different ones"):
        DemonstratorConfig(units=())
