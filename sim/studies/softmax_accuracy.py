# SPDX-License-Identifier: Apache-2.0
"""How far the special function unit's softmax is from float64: on seeded normal scores, and on rows of Q K^T of the clip.

``zoetrope study softmax [--clip PATH] [--tensors FILE]`` prints the table. Errors are in units in the
last place of
FP16 at the ideal value, 2**-24 where that is subnormal; half a unit is what any result rounded to FP16 may be off.
"""

import numpy as np
from rich.console import Console
from rich.table import Table

from zoetrope.golden import reference
from zoetrope.golden.formats import FP16, FP32, fp32, to_float64
from zoetrope.golden.softmax.sfu import sfu
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import command_line
from zoetrope.sim.input import clips

#: Elements and number of the rows of seeded scores: tokens of a frame's column, of a frame, and of thirteen frames.
ROWS = {26: 200, 1350: 40, 17550: 8}

#: Standard deviation of seeded scores, as they are exponentiated.
SPREAD = 3.0

#: Rows of Q K^T of the clip.
QUERIES = 32


def ulp(values, fmt=FP16):
    """The unit in the last place of ``fmt`` at positive ``values``; below the least normal number that number's."""
    exponent = np.frexp(values)[1] - 1
    return np.ldexp(1.0, np.maximum(exponent, 1 - fmt.bias) - fmt.fraction_bits)


def errors(scores, scale=None, **order):
    """Of rows of FP32 codes (rows, n), and an FP32 ``scale``: a dict of the figures of the table.

    ``max``, ``mean`` : ulp of FP16, normalised results; ``e max``, ``e mean`` : of the exponentials that are not
    ``reciprocal`` : largest relative error of 1 / s, in ulp of FP32
    ``small`` : share of normalised results that are subnormal or zero
    """
    p, e, s = reference.softmax(scores, scale)
    results, reciprocals = sfu(scores, scale, **order)
    exponentials, _ = sfu(scores, scale, normalise=False, **order)
    found = {}
    for name, codes, ideal in (("", results, p), ("e ", exponentials, e)):
        wrong = np.abs(to_float64(codes, FP16) - ideal) / ulp(ideal)
        found |= {f"{name}max": float(wrong.max()), f"{name}mean": float(wrong.mean())}
    inverse = np.abs(to_float64(reciprocals, FP32) - 1 / s) / ulp(1 / s, FP32)
    small = results < (1 << FP16.fraction_bits)
    return found | {"reciprocal": float(inverse.max()), "small": float(small.mean())}


def clip_scores(tensors, queries=QUERIES):
    """(Q K^T as FP32 codes, 1 / sqrt(d) as an FP32 code): ``queries`` rows spread over clip and text, all keys."""
    q, k = (x.astype(np.float64) for x in tensors.matrices()[:2])
    chosen = np.linspace(0, len(q) - 1, min(queries, len(q))).astype(int)
    return fp32(q[chosen] @ k.T), fp32(np.array([1 / np.sqrt(q.shape[-1])]))


def normal_scores(length, rows):
    """(rows, length) FP32 codes of seeded normal numbers."""
    return fp32(SPREAD * np.random.default_rng(length).standard_normal((rows, length)))


def table(tensors):
    """``errors`` by the data's name."""
    found = {f"normal, {length:,} elements": errors(normal_scores(length, rows)) for length, rows in ROWS.items()}
    scores, scale = clip_scores(tensors)
    return found | {f"clip, {scores.shape[1]:,} elements": errors(scores, scale)}


@command_line
def main(argv=None):
    parser = Parser(
        "study softmax",
        "How far the special function unit's softmax is from float64: on seeded scores, and on rows of Q K^T of the clip.",
        "zoetrope study softmax",
        "zoetrope study softmax --clip film.mp4 --json",
    )
    clips.add_options(parser)
    parser.json()
    options = parser.parse_args(argv)
    with answer(options) as tell:
        tensors = clips.chosen(options)
        print(f"input: {tensors.source}")
        rows = table(tensors)
        tell({"input": tensors.source, "errors": rows})
        heads = ("data", "p max", "p mean", "p subnormal or 0", "e max", "e mean", "1/s max, ulp of FP32")
        shown = Table(*heads, title="softmax against float64; p and e in ulp of FP16")
        for name, f in rows.items():
            figures = [f"{f[key]:.3f}" for key in ("max", "mean", "e max", "e mean", "reciprocal")]
            shown.add_row(name, *figures[:2], f"{f['small']:.1%}", *figures[2:])
        Console().print(shown)
