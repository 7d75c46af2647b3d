"""Bench of the LUT PE: every sum equal to ``golden.lut_pe``, every stall where the formula says."""

import numpy as np

from sim.bench import bench_test
from sim.outer_product import CORNERS, check_tiles, clip_tile, random_tile, seeded_tensors, tile_shape


@bench_test(operands=[1, 5, 24])
async def sums(bench, operands):
    c = bench.config
    x, w = random_tile(bench.rng, *tile_shape(c, operands), c.words * c.lanes)
    await bench.until("filled")
    await check_tiles(bench, x, w, c.reading)


@bench_test()
async def corners(bench):
    """Each corner operand against random weights, -0 and zero among them; one product a sum, then all in one sum."""
    c = bench.config
    x = np.array(list(CORNERS.values()), np.uint16)[:, None]
    w = bench.rng.integers(0, 256, (len(x), 1, c.words * c.lanes), dtype=np.uint8)
    w[:, :, 0] = 0x80
    w[:, :, -1] = 0
    await bench.until("filled")
    await check_tiles(bench, x, w, c.reading)


@bench_test(stalls=("none",))
async def clip(bench):
    """A tile of Q K^T of the clip; without a clip, of seeded tensors of the same shape."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    x, w = clip_tile(tensors, 64, c.words * c.lanes)
    await bench.until("filled")
    await check_tiles(bench, x, w, c.reading)
