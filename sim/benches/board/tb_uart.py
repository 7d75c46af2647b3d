# SPDX-License-Identifier: Apache-2.0
"""Bench of the UART: bytes through ``tx`` into ``rx``, then ``rx`` driven by another clock, with noise and breaks."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from zoetrope.sim.host.line import sampled
from zoetrope.sim.inside.bench import bench_test

_BYTES = np.uint8([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7F, 0xFE])


async def _follow(dut):
    """``rx`` joined to ``tx``."""
    while True:
        await dut.tx.value_change
        dut.rx.value = dut.tx.value


async def _drive(dut, levels):
    for level in levels:
        dut.rx.value = int(level)
        await RisingEdge(dut.clk)


@bench_test()
async def loopback(bench):
    bench.set("rx", 1)
    follower = cocotb.start_soon(_follow(bench.dut))
    values = np.concatenate([_BYTES, bench.rng.integers(0, 256, 16, dtype=np.uint8)])
    await bench.cycles(4)
    bench.send("i", values)
    bench.compare(await bench.collect("o", len(values)), values, unit="bytes")
    bench.measure(latency=("i", 0, "o", 0), interval="i")
    bench.equal("framing and overrun", (bench.get("framing"), bench.get("overrun")), (0, 0))
    follower.cancel()


@bench_test(stalls=("none",), error=[-0.02, 0.0, 0.02])
async def other_clock(bench, error):
    """Back to back, from a transmitter whose bits are longer or shorter, begun anywhere within a cycle."""
    values = np.concatenate([_BYTES, bench.rng.integers(0, 256, 24, dtype=np.uint8)])
    await _receive(bench, sampled(values, bench.config.divisor * (1 + error), bench.rng.random()), values)
    bench.equal("framing", bench.get("framing"), 0)


@bench_test(stalls=("none",))
async def noise_and_breaks(bench):
    """Glitches before a byte and within bits are not seen, a byte without stop bit and a break are dropped."""
    divisor, glitch = bench.config.divisor, max(1, bench.config.spread)
    good = np.array(sampled(_BYTES, divisor))
    disturbed = good.copy()
    for start in range(divisor // 2, len(good), divisor):  # every bit, the start's and the stop's too
        disturbed[start : start + glitch] ^= 1
    idle = [1] * (2 * divisor)
    spike = [0] * glitch + [1] * (2 * divisor)
    broken = np.array(sampled(np.uint8([0x3C]), divisor))
    broken[9 * divisor : 10 * divisor] = 0
    line = [*idle, *spike, *disturbed, *idle, *spike, *broken, *idle, *good, *[0] * (30 * divisor), *idle, *good]
    await _receive(bench, line, np.tile(_BYTES, 3))
    bench.equal("framing", bench.get("framing"), 1)


@bench_test(stalls=("none",))
async def overrun(bench):
    """The first byte stays when nobody takes it."""
    bench.set("rx", 1)
    bench.abandon("o")
    line = sampled(np.uint8([1, 2, 3]), bench.config.divisor)
    await _drive(bench.dut, line)
    bench.equal("overrun", bench.get("overrun"), 1)
    bench.compare(await bench.collect("o", 1), np.uint8([1]), unit="bytes")


async def _receive(bench, levels, values):
    bench.set("rx", 1)
    await bench.cycles(4)
    driver = cocotb.start_soon(_drive(bench.dut, levels))
    bench.compare(await bench.collect("o", len(values), timeout=len(levels) + 1000), values, unit="bytes")
    await driver
