# SPDX-License-Identifier: Apache-2.0
"""Bench of the demonstrator: ``sim.host.board.Board``, the host's own code, on the pins of the simulated board.

The host blocks, so it runs in a thread; what it writes is driven on ``rx`` bit by bit, and ``tx`` is read as a UART does.
"""

from itertools import groupby

import cocotb
import numpy as np
from cocotb.simtime import get_sim_time
from cocotb.task import bridge, resume
from cocotb.triggers import Event, FallingEdge, First, Timer

from zoetrope.golden.tree.min_tree import min_tree
from zoetrope.sim.host.board import Board
from zoetrope.sim.host.line import sampled
from zoetrope.sim.host.selftest import selftest
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.outer_product import seeded_tensors

_PERIOD = 10  # ns, that of the bench

#: In place of a level: a cycle of reset, the line idle.
_RESET = 2


class _Port:
    """What a board needs of a port, for a host in a thread of the simulator.

    ``drift``: by how much the host's bits are longer than the board's. ``disturb``: a function of the levels of the next
    write, one a cycle, which returns those that are driven; ``deaf``: bytes of the next answer that the host loses.
    """

    def __init__(self, dut, config, drift=0.0):
        self._dut, self._divisor = dut, config.divisor * (1 + drift)
        self._patience = (config.timeout + 2000 * config.divisor) * _PERIOD
        self._heard = bytearray()
        self._came = Event()
        self._listener = cocotb.start_soon(self._listen())
        self.disturb, self.deaf = None, 0
        self.write = resume(self._write)
        self.read = resume(self._read)

    async def _write(self, data):
        levels = sampled(np.frombuffer(bytes(data), np.uint8), self._divisor)
        if self.disturb:
            levels, self.disturb = self.disturb(levels), None
        for level, run in groupby(levels):
            self._dut.rst.value = level == _RESET
            self._dut.rx.value = int(level > 0)
            await Timer(len(list(run)) * _PERIOD, unit="ns")
        self._dut.rst.value = 0
        self._dut.rx.value = 1

    async def _read(self, size):
        while len(self._heard) < size:
            self._came.clear()
            silence = Timer(self._patience, unit="ns")
            if await First(self._came.wait(), silence) is silence:
                break
        taken, self._heard = bytes(self._heard[:size]), self._heard[size:]
        return taken

    async def _listen(self):
        bit = self._divisor * _PERIOD
        while True:
            await FallingEdge(self._dut.tx)
            byte = 0
            await Timer(round(bit * 1.5), unit="ns")
            for k in range(8):
                byte |= int(self._dut.tx.value) << k
                await Timer(round(bit), unit="ns")
            if int(self._dut.tx.value):
                if self.deaf:
                    self.deaf -= 1
                    continue
                self._heard.append(byte)
                self._came.set()

    def reset_input_buffer(self):
        self._heard.clear()

    def close(self):
        self._listener.cancel()


@bench_test(stalls=("none",))
async def a_tile_of_the_clip(bench):
    """The first channels of a tile of Q K^T through each PE, and rows of distances through the min tree."""
    tensors = bench.tensors or seeded_tensors(bench.rng)
    short = {name: array[..., :4] for name, array in tensors.items()}
    results = await _in_thread(bench, _run, _Port(bench.dut, bench.config), bench.config, short)
    for result in results:
        bench.compare(np.array([result.mismatches]), np.array([0]), unit=f"faults of {result.unit}, {result.test}")
        bench.row.vectors += result.vectors - 1


#: What happens on the line while a request of the min tree is sent, and how often it then is sent again; None where that
#: depends on which bits the receiver's majority of three samples saves.
FAULTS = {"lost byte": 1, "lost byte of the answer": 1, "break": 1, "reset": 1}
FAULTS |= {"noise": None, "2 % fast": 0, "2 % slow": 0}


@bench_test(stalls=("none",), fault=list(FAULTS))
async def faults(bench, fault):
    """A request and its answer by a bad line: what the host gets is right, after as many requests as it takes."""
    rng, bits = bench.rng, bench.config.divisor
    frame = 10 * bits
    at = frame * int(rng.integers(8, 40)) + int(rng.integers(frame))
    port = _Port(bench.dut, bench.config, {"2 % fast": -0.02, "2 % slow": 0.02}.get(fault, 0.0))
    disturb = {
        "lost byte": lambda levels: levels[: at // frame * frame] + levels[at // frame * frame + frame :],
        "noise": lambda levels: (np.array(levels) ^ (rng.random(len(levels)) < 0.02)).tolist(),
        "break": lambda levels: levels[:at] + [0] * 4 * frame + [1] * frame + levels[at:],
        "reset": lambda levels: levels[:at] + [_RESET] * 3 + levels[at:],
    }
    keys = rng.integers(0, 1 << 32, (2, bench.config.min_tree.leaves), np.uint64)
    deaf = int(fault == "lost byte of the answer")
    got, repeated = await _in_thread(bench, _request, port, bench.config, keys, disturb.get(fault), deaf)
    bench.compare(np.stack(got).astype(np.uint64), np.stack(min_tree(keys)).astype(np.uint64), unit="keys and indices")
    if FAULTS[fault] is not None:
        bench.equal("requests that were sent again", repeated, FAULTS[fault])


async def _in_thread(bench, function, *arguments):
    bench.dut.rx.value = 1
    start = get_sim_time("ns")
    result = await bridge(function)(*arguments)
    bench.cycle += round((get_sim_time("ns") - start) / _PERIOD)
    return result


def _run(port, config, tensors):
    """In the host's thread. The version is the one that this simulation was built with."""
    with Board(port, versions={config.version: ("simulated", config)}) as board:
        return list(selftest(board, tensors, queries=1, tests=("clip",)))


def _request(port, config, keys, disturb, deaf):
    with Board(port, versions={config.version: ("simulated", config)}) as board:
        board.min_tree(keys[:1])  # the question whether it is available is past
        port.disturb, port.deaf = disturb, deaf
        return board.min_tree(keys), board.repeated
