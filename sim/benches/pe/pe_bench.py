"""The tests that the benches of all outer-product PEs consist of: every sum equal to the PE's golden, every stall foreseen.

A bench module imports them, and so makes them its own.
"""

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.outer_product import check_tiles, clip_tiles, corner_tiles, random_tiles, seeded_tensors


@bench_test(operands=[1, 5, 24])
async def sums(bench, operands):
    await check_tiles(bench, *random_tiles(bench.rng, bench.config, operands))


@bench_test()
async def corners(bench):
    await check_tiles(bench, *corner_tiles(bench.rng, bench.config))


@bench_test(stalls=("none",))
async def clip(bench):
    """Tiles of Q K^T of the clip; without a clip, of seeded tensors."""
    tensors = bench.tensors or seeded_tensors(bench.rng)
    await check_tiles(bench, *clip_tiles(tensors, bench.config))
