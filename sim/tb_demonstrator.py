"""Bench of the demonstrator: ``sim.board.Board``, the host's own code, on the pins of the simulated board.

The host blocks, so it runs in a thread; what it writes is driven on ``rx`` bit by bit, and ``tx`` is read as a UART does.
"""

import cocotb
import numpy as np
from cocotb.simtime import get_sim_time
from cocotb.task import bridge, resume
from cocotb.triggers import Event, FallingEdge, First, Timer

from sim.bench import bench_test
from sim.board import Board, selftest
from sim.outer_product import seeded_tensors

_PERIOD = 10  # ns, that of the bench


class _Port:
    """What a board needs of a port, for a host in a thread of the simulator."""

    def __init__(self, dut, config):
        self._dut, self._bit = dut, config.divisor * _PERIOD
        self._patience = (config.timeout + 2000 * config.divisor) * _PERIOD
        self._heard = bytearray()
        self._came = Event()
        self._listener = cocotb.start_soon(self._listen())
        self.write = resume(self._write)
        self.read = resume(self._read)

    async def _write(self, data):
        for byte in data:
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                self._dut.rx.value = bit
                await Timer(self._bit, unit="ns")

    async def _read(self, size):
        while len(self._heard) < size:
            self._came.clear()
            silence = Timer(self._patience, unit="ns")
            if await First(self._came.wait(), silence) is silence:
                break
        taken, self._heard = bytes(self._heard[:size]), self._heard[size:]
        return taken

    async def _listen(self):
        while True:
            await FallingEdge(self._dut.tx)
            byte = 0
            await Timer(self._bit * 3 // 2, unit="ns")
            for k in range(8):
                byte |= int(self._dut.tx.value) << k
                await Timer(self._bit, unit="ns")
            if int(self._dut.tx.value):
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
    bench.dut.rx.value = 1
    start = get_sim_time("ns")
    results = await bridge(_run)(_Port(bench.dut, bench.config), bench.config, short)
    bench.cycle += round((get_sim_time("ns") - start) / _PERIOD)
    for result in results:
        bench.compare(np.array([result.mismatches]), np.array([0]), unit=f"faults of {result.unit}, {result.test}")
        bench.row.vectors += result.vectors - 1


def _run(port, config, tensors):
    """In the host's thread. The version is the one that this simulation was built with."""
    with Board(port, versions={config.version: ("simulated", config)}) as board:
        return list(selftest(board, tensors, queries=1, tests=("clip",)))
