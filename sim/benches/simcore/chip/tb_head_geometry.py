# SPDX-License-Identifier: Apache-2.0
"""Bench of the head's geometry: the smallest and the largest heads and random ones, and the cycles that they take."""

import numpy as np

from zoetrope.golden.simcore.chip.head_geometry import head_geometry
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.simcore import geometry_cycles
from zoetrope.sim.packing import integer
from zoetrope.sim.stimulus.heads import geometries


@bench_test(stalls=("none",))
async def heads(bench):
    """Every size that follows, and when it is there; it stays until the next start."""
    c, rng = bench.config, bench.rng
    most = {"frames": c.max_frames, "height": c.max_height, "width": c.max_width, "text": c.max_text}
    for geometry in geometries(rng, most, 30):
        for channels in {1, c.max_channels, int(rng.integers(1, c.max_channels + 1))}:
            await check(bench, geometry, channels)


@bench_test(stalls=("none",))
async def every_width(bench):
    """Every number of channels, and of text tokens around a key tile."""
    c = bench.config
    for channels in range(1, c.max_channels + 1):
        geometry = geometries(bench.rng, {"frames": 1, "height": 1, "width": 1, "text": c.max_text}, 1)[-1]
        await check(bench, geometry, channels)


@bench_test(stalls=("none",))
async def reset_within(bench):
    """A reset while sizes are computed leaves nothing of them."""
    c = bench.config
    most = {"frames": c.max_frames, "height": c.max_height, "width": c.max_width, "text": c.max_text}
    for geometry in geometries(bench.rng, most, 6):
        for cycles in (1, 5, 20):
            drive(bench, geometry, c.max_channels)
            bench.set("start", 1)
            await bench.cycles(1)
            bench.set("start", 0)
            await bench.cycles(cycles)
            await bench.reset()
        await check(bench, geometry, c.max_channels)


async def check(bench, geometry, channels):
    c = bench.config
    drive(bench, geometry, channels)
    bench.set("start", 1)
    await bench.cycles(1)
    bench.set("start", 0)
    want = head_geometry(geometry, channels, c.lanes, c.keys)
    taken = geometry_cycles(geometry, channels, lanes=c.lanes, keys=c.keys)
    await bench.cycles(taken - 1)
    bench.equal(f"done before {taken} cycles, {geometry}", bench.get("done"), 0)
    await bench.cycles(1)
    bench.equal(f"done after {taken} cycles, {geometry}", bench.get("done"), 1)
    await bench.cycles(3)
    bench.equal("done afterwards", bench.get("done"), 0)
    expected = integer(c.o_layout, **want._asdict())
    size = (c.o_layout.size + 7) // 8
    rows = [np.frombuffer(value.to_bytes(size, "little"), np.uint8) for value in (bench.get("o"), expected)]
    bench.compare(rows[0][None], rows[1][None], unit="sizes", describe=lambda _: f"{geometry}, {channels} channels")


def drive(bench, geometry, channels):
    sizes = {name: getattr(geometry, name) for name in ("frames", "height", "width", "text")}
    bench.set("i", integer(bench.config.i_layout, channels=channels, **sizes))
