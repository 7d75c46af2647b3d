# SPDX-License-Identifier: Apache-2.0
"""Read ports of memories in a bench: those of the block are read, and those that it reads are served."""

import contextlib

import cocotb
from cocotb.triggers import RisingEdge


async def read(bench, port, addresses):
    """The words at ``addresses`` of the block's read port ``port``, an address a cycle, as integers."""
    found = []
    bench.set(f"{port}__en", 1)
    for address in [*addresses, 0]:
        bench.set(f"{port}__addr", address)
        await bench.cycles(1)
        found.append(bench.get(f"{port}__data"))
    bench.set(f"{port}__en", 0)
    return found[1:]


@contextlib.contextmanager
def served(bench, **memories):
    """Memories behind the read ports of the block that are called so: functions of an address, or sequences of words.

    A word is there in the cycle after the block has read it, and held; before, the port has rubbish.
    """
    task = cocotb.start_soon(_serve(bench.dut, memories))
    try:
        yield
    finally:
        task.cancel()


async def _serve(dut, memories):
    ports = []
    for name, memory in memories.items():
        word = memory if callable(memory) else memory.__getitem__
        ports.append((getattr(dut, f"{name}__en"), getattr(dut, f"{name}__addr"), getattr(dut, f"{name}__data"), word))
    edge = RisingEdge(dut.clk)
    while True:
        await edge
        for enable, address, data, word in ports:
            if int(enable.value):
                data.value = int(word(int(address.value)))
