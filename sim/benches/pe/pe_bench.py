# SPDX-License-Identifier: Apache-2.0
"""The tests that the benches of all outer-product PEs consist of: every sum equal to the PE's golden, every stall foreseen.

A bench module imports them, and so makes them its own.
"""

from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.pe import schedule_of, stalls
from zoetrope.sim.stimulus.outer_product import (
    clip_tiles,
    corner_tiles,
    golden_of,
    operand_codes,
    operand_rows,
    random_tiles,
    seeded_tensors,
    weight_words,
)


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


async def check_tiles(bench, x, w):
    """Send tiles x (tiles, rows, K) and w (tiles, K, D * outputs), compare every sum, and every stall with the schedule."""
    c = bench.config
    if "filled" in bench.component.signature.members:
        await bench.until("filled")
    tiles, rows, operands = x.shape
    codes, last = operand_codes(x)
    words = weight_words(c, w)
    bench.send("i_x", operand_rows(codes, last))
    bench.send("i_w", words)
    got = await bench.collect("o", tiles * rows * c.words)
    expected = golden_of(c)(x, w[:, None])
    bench.compare(got.reshape(-1, 4), expected.reshape(-1, 1), unit="FP32 sums")

    # One PE shows a sum as soon as it is complete, an array when the tile is.
    needed = len(words) - (c.words if c.pes == 1 else 1)
    hidden = c.pes == 1 or operands > rows  # the results of a tile are out before those of the next
    latency = ("i_w", needed, "o", (tiles - 1) * rows * c.words) if hidden else None
    bench.measure(latency=latency, interval=("o", 0, c.words - 1) if c.words > 1 else None, busy=len(words))
    if bench.stall == "none" and hidden:
        moves = bench.transfers("i_w")
        starts, first = schedule_of(bench.component, codes, last)
        bench.equal("cycles of the words", moves[-1] - moves[0] + 1, starts[-1] + c.words)
        bench.equal("stalls", bench.get("stalls"), stalls(starts, c.words, first))
    bench.equal("overflow", bench.get("overflow"), c.fixed and operands > c.max_operands)
