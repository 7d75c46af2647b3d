# SPDX-License-Identifier: Apache-2.0
"""How far a dot product on each multiplier is from float64: on seeded normal data, and on Q K^T of the clip.

``zoetrope study accuracy [--clip PATH] [--tensors FILE]`` prints the table. Quantization of K to INT8 is in
every row; the row
"INT8 alone" has exact products and sums, so that what a reading of the product table adds can be told apart from it.
"""

import math

import numpy as np
from rich.console import Console
from rich.table import Table

from zoetrope.golden.formats import FP16, FP32, fp16, to_float64
from zoetrope.golden.pe.lut_multiplier import READINGS
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales
from zoetrope.golden.simcore.quantization_engine.quantization_unit import dequantize, quantize
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import command_line
from zoetrope.sim.input import clips
from zoetrope.sim.studies.shares import share, shown

#: Rows of Q that each figure is taken over, and keys that each meets.
QUERIES, KEYS = 64, 64


def errors(q, k):
    """rms error over rms result of Q K^T, against float64, for each way: q (rows, d), k (keys, d), ``float16``.

    Not finite where Q times K's scales is beyond FP16; 0 where all results are 0, and right.
    """
    ideal = q.astype(np.float64) @ k.astype(np.float64).T
    codes, scales = quantize(k)
    folded = fold_key_scales(q, scales).view(np.uint16)
    weights = np.broadcast_to(codes.T, (len(q), *codes.T.shape))
    ways = {"INT8 alone": q.astype(np.float64) @ dequantize(codes, scales).astype(np.float64).T}
    for reading in READINGS:
        ways[reading] = to_float64(lut_pe(folded, weights, reading), FP32)
    rms = np.sqrt((ideal**2).mean())
    with np.errstate(invalid="ignore"):
        return {name: share(np.sqrt(((way - ideal) ** 2).mean()), rms) for name, way in ways.items()}


def table(tensors):
    """``errors`` for normal data of 64 and of 1,350 terms and for the clip: a dict of dicts, by the data's name."""
    normal = {}
    for terms in (64, 1350):
        q, k = (to_float64(fp16(_normal(seed, rows, terms)), FP16) for seed, rows in ((1, QUERIES), (2, KEYS)))
        normal[f"normal, {terms:,} terms"] = errors(q.astype(np.float16), k.astype(np.float16))
    k = tensors.k.reshape(-1, tensors.k.shape[-1])[:KEYS]
    return normal | {f"clip, {k.shape[-1]} terms": errors(tensors.q[-1][:QUERIES], k)}


def _normal(seed, rows, terms):
    return np.random.default_rng(seed).standard_normal((rows, terms))


@command_line
def main(argv=None):
    parser = Parser(
        "study accuracy",
        "How far a dot product on each multiplier is from float64: on seeded normal data, and on Q K^T of the clip.",
        "zoetrope study accuracy",
        "zoetrope study accuracy --tensors qkv.npz --json",
    )
    clips.add_options(parser)
    parser.json()
    options = parser.parse_args(argv)
    with answer(options) as tell:
        tensors = clips.chosen(options)
        print(f"input: {tensors.source}{'; text tokens are left out' if tensors.text else ''}")
        rows = table(tensors)
        tell({"input": tensors.source, "errors": rows})
        ways = list(next(iter(rows.values())))
        page = Table("data", *ways, title="rms error of dot products over their rms, against float64")
        for name, figures in rows.items():
            page.add_row(name, *(shown(figures[way], ".5f") for way in ways))
        Console().print(page)
        if not all(math.isfinite(figure) for figures in rows.values() for figure in figures.values()):
            print("-: Q times the scales of K is beyond FP16")
