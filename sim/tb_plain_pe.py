"""Bench of the plain PE: the LUT PE's, with no table to wait for."""

import numpy as np

from sim.bench import bench_test
from sim.outer_product import CORNERS, check_tiles, clip_tile, random_tile, seeded_tensors, tile_shape


@bench_test(operands=[1, 5, 24])
async def sums(bench, operands):
    c = bench.config
    x, w = random_tile(bench.rng, *tile_shape(c, operands), c.words * c.lanes)
    await check_tiles(bench, x, w)


@bench_test()
async def corners(bench):
    c = bench.config
    x = np.array(list(CORNERS.values()), np.uint16)[:, None]
    w = bench.rng.integers(0, 256, (len(x), 1, c.words * c.lanes), dtype=np.uint8)
    w[:, :, 0] = 0x80
    w[:, :, -1] = 0
    await check_tiles(bench, x, w)


@bench_test(stalls=("none",))
async def clip(bench):
    c = bench.config
    x, w = clip_tile(bench.tensors or seeded_tensors(bench.rng), 64, c.words * c.lanes)
    await check_tiles(bench, x, w)
