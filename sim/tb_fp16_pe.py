"""Bench of the FP16 PE and its arrays: the plain PE's, with FP16 weights."""

from golden.fp16_pe import fp16_pe
from sim.bench import bench_test
from sim.outer_product import check_tiles, clip_tiles, corner_tiles, random_tiles, seeded_tensors


@bench_test(operands=[1, 5, 24])
async def sums(bench, operands):
    await check_tiles(bench, *random_tiles(bench.rng, bench.config, operands), fp16_pe)


@bench_test()
async def corners(bench):
    await check_tiles(bench, *corner_tiles(bench.rng, bench.config), fp16_pe)


@bench_test(stalls=("none",))
async def clip(bench):
    """Tiles of Q K^T of the clip; without a clip, of seeded tensors."""
    tensors = bench.tensors or seeded_tensors(bench.rng)
    await check_tiles(bench, *clip_tiles(tensors, bench.config), fp16_pe)
