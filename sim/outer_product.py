"""What the benches of the outer-product PEs share: tiles of operands in, sums out, and the stalls between."""

import numpy as np

from golden.formats import FP16
from golden.lut_pe import lut_pe
from golden.quantization import fold_key_scales, quantize

#: FP16 codes that a multiplier may get wrong, by name.
CORNERS = {
    "+0": 0x0000,
    "-0": 0x8000,
    "smallest subnormal": 0x0001,
    "largest subnormal": 0x03FF,
    "negative subnormal": 0x8155,
    "smallest normal": 0x0400,
    "one": 0x3C00,
    "just under two": 0x3FFF,
    "largest": 0x7BFF,
    "negative largest": 0xFBFF,
    "+infinity": FP16.inf,
    "-infinity": 0x8000 | FP16.inf,
    "quiet NaN": FP16.nan,
    "signalling NaN": 0x7D01,
    "negative NaN": 0xFE00,
}


def random_tile(rng, tiles, operands, outputs):
    """Random x (tiles, operands), of every finite class, and w (tiles, operands, outputs), of every code."""
    x = rng.integers(0, 1 << 16, (tiles, operands), dtype=np.uint16)
    x[(x & FP16.inf) == FP16.inf] ^= 0x4000
    return x, rng.integers(0, 256, (tiles, operands, outputs), dtype=np.uint8)


def clip_tile(tensors, queries, outputs):
    """A tile of Q K^T of the clip: x (queries, d), w (queries, d, outputs).

    K of the first tokens, quantized per channel; Q of the last frame, with K's scales folded in. Where the clip has fewer
    keys than outputs, the rest are zero.
    """
    q, k = tensors["q"], tensors["k"]
    codes, scales = quantize(k.reshape(-1, k.shape[-1]))
    keys = np.zeros((outputs, k.shape[-1]), np.uint8)
    keys[: min(outputs, len(codes))] = codes[:outputs]
    x = fold_key_scales(q[-1][:queries], scales).view(np.uint16)
    return x, np.broadcast_to(keys.T, (len(x), *keys.T.shape))


async def check_tiles(bench, x, w, reading="odd16"):
    """Send tiles x (tiles, K) and w (tiles, K, outputs), compare every sum, and every stall with the formula."""
    c = bench.config
    tiles, operands = x.shape
    last = np.zeros(x.shape, np.uint32)
    last[:, -1] = 1
    words = w.reshape(-1, c.lanes)
    bench.send("i_x", (x | last << 16).ravel())
    bench.send("i_w", words)
    got = await bench.collect("o", tiles * c.words)
    expected = lut_pe(x, w, reading)
    bench.compare(got.reshape(-1, 4), expected.reshape(-1, 1), unit="FP32 sums")

    latency = ("i_w", len(words) - c.words, "o", (tiles - 1) * c.words)
    bench.measure(latency=latency, interval=("o", 0, c.words - 1) if c.words > 1 else None, busy=len(words))
    if bench.stall == "none":
        moves = bench.transfers("i_w")
        span = (tiles * operands - 1) * c.operand_interval + c.words
        bench.equal("cycles of the words", moves[-1] - moves[0] + 1, span)
        bench.equal("stalls", bench.get("stalls"), bench.component.expected_stalls(tiles * operands))


def tile_shape(config, operands):
    """(tiles, K) of a random test: few tiles where they are long."""
    return max(2, 24 // operands), operands


def seeded_tensors(rng):
    """What stands for a clip where none is given: one small frame of normal numbers."""
    return {name: rng.standard_normal((1, 9, 16)).astype(np.float16) for name in ("q", "k", "v")}
