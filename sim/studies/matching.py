# SPDX-License-Identifier: Apache-2.0
"""How good token pairs are on the clip: DATM against Bipartite Soft Matching, output-guided against input-guided.

``zoetrope study matching [--clip PATH] [--tensors FILE] [--frames N] [--ratio R] [--noise S]`` prints the
table. Every row has
the same number of dst tokens and reduces the same share of all tokens. Time grows with the square of their number.

*Guides*, the tensor by whose rows tokens are matched: Q, which turns with position; V, a linear map of the layer's input;
the attention output of the step before (ORBIS 3.1); and the output itself, which nobody has in time.

*Pair loss*: squared distance of a src token to its dst token in the guide, in float64 whatever the matching saw, as a share
of the mean squared distance of all tokens to their mean; over all pairs, which matching minimises, and over the pairs kept.
*Output error*: attention of the reduced tokens, restored, minus attention of all, rms over the latter's rms; with Q, K and V
reduced, and with Q alone. *Similarity*: cosine between the cosines of pairs of tokens in the guide and in the output.

**The limit of this measure.** A clip has one step, not fifty. The step before is stood in for by Q, K and V with seeded
normal noise, by default a tenth of their rms, which attention averages away: the similarity is 1.000, where the paper
measures 0.953 between real steps. Noise that brings it to 0.96 (``--noise 1``) is independent from token to token, as the
change of a denoised video is not, and spoils the pairs: the input is then the better guide.
"""

import math
from typing import NamedTuple

import numpy as np
from rich.table import Table

from zoetrope.golden import reference
from zoetrope.golden.baselines import bsm
from zoetrope.golden.orbis.matching import datm
from zoetrope.golden.orbis.matching.dst_chooser import choose
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.golden.orbis.matching.reduction import reduce, restore
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import UserError, command_line, finite
from zoetrope.sim.input import clips
from zoetrope.sim.run.console import console_of
from zoetrope.sim.studies.shares import share, shown

#: rms of what stands in for the change from one step to the next, as a share of the rms of Q, K and V.
NOISE = 0.1

#: One dst token of so many frames, rows and columns; of their product where a clip is smaller than that.
BLOCK = (2, 2, 2)

#: Share of the tokens that is reduced.
RATIO = 0.6

#: Pairings at most.
CAP = 16

SEED = 1

#: What the engine takes an infinity of FP16 for: a guide is made of more than one FP16 number, and may be beyond them.
LARGEST = 65504.0

#: Tokens among which similarities are compared.
SAMPLE = 500


class Pairs(NamedTuple):
    """All pairs (``src``, ``slot``), and positions in ``src`` of those that are reduced, closest first."""

    dst: np.ndarray
    src: np.ndarray
    slot: np.ndarray
    reduced: np.ndarray


class Quality(NamedTuple):
    """Pair loss of all pairs and of those kept; output error with Q, K and V reduced, and with Q alone."""

    loss: float
    kept_loss: float
    error: float
    query_error: float


def step_before(qkv, noise):
    """Q, K, V with noise: what stands in for the step before."""
    rng = np.random.default_rng(SEED)
    return [x + noise * np.sqrt((x * x).mean()) * rng.standard_normal(x.shape) for x in qkv]


class Attention(NamedTuple):
    """Of video tokens, to whose keys and values those of the text are added: text is never reduced."""

    k: np.ndarray
    v: np.ndarray

    def __call__(self, q, k, v):
        return reference.attention(q, np.concatenate([k, self.k]), np.concatenate([v, self.v]))


def guides(qkv, out, noise, attention=reference.attention):
    """The tensor that tokens are matched by, by name."""
    before = attention(*step_before(qkv, noise))
    return {"Q": qkv[0], "V": qkv[2], "output before": before, "output": out}


def initial_dst(tokens, grid):
    """One dst token a block, drawn; in frames smaller than a block, evenly spaced."""
    if all(size >= step for size, step in zip(grid, BLOCK)):
        return bsm.one_a_block(grid, BLOCK, np.random.default_rng(SEED))
    return bsm.spaced(tokens, max(1, tokens // int(np.prod(BLOCK))))


def matchings(guide, blocks, reduced):
    """``Pairs`` by the matching's name: all with as many dst tokens as ``blocks``, ``reduced`` pairs kept."""
    drawn = choose(len(guide), len(blocks), SEED)
    found = {}
    for name, dst in (("BSM, drawn dst", drawn), ("BSM, a dst a block", blocks)):
        pairs = bsm.match(guide, dst, reduced)
        found[name] = Pairs(pairs.dst, pairs.src, pairs.slot, pairs.reduced)
    codes, amax = quantize(np.clip(guide, -LARGEST, LARGEST).astype(np.float16))
    pairs = datm.match(codes, drawn, k=reduced, weights=datm.weights(amax), cap=CAP)
    found["DATM, 4 bits"] = Pairs(pairs.dst, pairs.all_src, pairs.all_slot, np.searchsorted(pairs.all_src, pairs.src))
    dst, *_ = reference.match(guide, drawn, reduced, cap=CAP)
    pairs = bsm.match(guide, dst, reduced)
    found["DATM, float64"] = Pairs(pairs.dst, pairs.src, pairs.slot, pairs.reduced)
    return found


def quality(pairs, guide, qkv, out, attention=reference.attention):
    """``Quality`` of pairs: losses in ``guide``, errors against the output ``out`` of ``attention`` of ``qkv``.

    Tokens that are all alike have a loss of 0, and an output of zeros an error of 0 where it is right.
    """
    spread = ((guide - guide.mean(axis=0)) ** 2).sum(axis=1).mean()
    loss = ((guide[pairs.src] - guide[pairs.dst[pairs.slot]]) ** 2).sum(axis=1)
    arguments = pairs.dst, pairs.src[pairs.reduced], pairs.slot[pairs.reduced]
    q, k, v = (reduce(x, *arguments) for x in qkv)
    rms = np.sqrt((out * out).mean())
    errors = []
    for keys, values in ((k, v), qkv[1:]):
        restored = restore(attention(q, keys, values), len(out), *arguments)
        errors.append(share(np.sqrt(((restored - out) ** 2).mean()), rms))
    kept = loss[pairs.reduced].mean() if len(pairs.reduced) else 0.0
    return Quality(share(loss.mean(), spread), share(kept, spread), *errors)


def similarity(guide, out):
    """Cosine between the similarity maps of two tensors, over a sample of tokens; 0 where a tensor is all zeros."""
    rows = np.linspace(0, len(out) - 1, min(SAMPLE, len(out))).astype(int)
    maps = []
    for x in (guide[rows], out[rows]):
        unit = x / np.maximum(np.sqrt((x * x).sum(axis=1, keepdims=True)), np.finfo(float).tiny)
        maps.append((unit @ unit.T).ravel())
    a, b = maps
    return share(a @ b, np.sqrt((a @ a) * (b @ b)))


def table(tensors, ratio=RATIO, frames=None, noise=NOISE):
    """(qualities, similarities, dst tokens): ``Quality`` by guide and matching, similarity by guide.

    ``frames``: only the first so many. ``UserError`` for a ratio that leaves fewer tokens than there are dst.
    """
    qkv = [x[:frames].reshape(-1, x.shape[-1]).astype(np.float64) for _, x in tensors.items()]
    grid = min(frames or tensors.grid[0], tensors.grid[0]), *tensors.grid[1:]
    tokens = len(qkv[0])
    if tokens < 2:
        raise UserError("matching needs at least 2 tokens")
    blocks = initial_dst(tokens, grid)
    if not 0 <= ratio <= 1 or datm.reduced(tokens, ratio) > tokens - len(blocks):
        raise UserError(f"ratio must be 0 to {1 - len(blocks) / tokens:.3f} with {len(blocks)} dst tokens, not {ratio}")
    reduced = datm.reduced(tokens, ratio)
    attention = reference.attention
    if tensors.text:
        attention = Attention(*(x.astype(np.float64) for x in tensors.text[1:]))
    out = attention(*qkv)
    found, alike = {}, {}
    for name, guide in guides(qkv, out, noise, attention).items():
        alike[name] = similarity(guide, out)
        for matching, pairs in matchings(guide, blocks, reduced).items():
            found[name, matching] = quality(pairs, guide, qkv, out, attention)
    return found, alike, len(blocks)


@command_line
def main(argv=None):
    parser = Parser(
        "study matching",
        "How good token pairs are: DATM against Bipartite Soft Matching, output-guided against input-guided.",
        "zoetrope study matching --frames 8",
        "zoetrope study matching --frames 8 --ratio 0.5 --noise 1 --json",
    )
    clips.add_options(parser)
    parser.add_argument(
        "--ratio", metavar="R", type=finite(0), default=RATIO, help="share of tokens to reduce (default: %(default)s)"
    )
    parser.add_argument(
        "--noise", metavar="S", type=finite(0), default=NOISE, help="of the step before (default: %(default)s)"
    )
    parser.json()
    options = parser.parse_args(argv)
    if options.noise > 1e6:
        raise UserError(f"--noise must be at most 1e6, a million times what it is added to, not {options.noise:g}")
    with answer(options) as tell:
        tensors = clips.chosen(options)
        found, alike, slots = table(tensors, options.ratio, noise=options.noise)
        rows = [{"guide": guide, "matching": matching, **q._asdict()} for (guide, matching), q in found.items()]
        tell({"input": tensors.source, "dst": slots, "similarity": alike, "pairs": rows})
        _print(found, alike, slots, tensors, options.ratio)


def _print(found, alike, slots, tensors, ratio):
    console = console_of(110)
    heads = ("matched by", "similarity", "matching", "pair loss", "of pairs kept", "output error", "with Q alone")
    page = Table(*heads, title=f"{ratio:.0%} of tokens reduced, {slots} dst tokens")
    for (guide, matching), q in found.items():
        page.add_row(guide, f"{alike[guide]:.3f}", matching, *(shown(figure, ".4f") for figure in q))
    console.print(page)
    console.print(f"input: {tensors.source}", markup=False, highlight=False, soft_wrap=True)
    if tensors.text:
        console.print("text: never matched nor reduced; every token sees its keys", highlight=False)
    for line in conclusions(found):
        console.print(line, highlight=False)


def conclusions(found):
    """The table in sentences."""
    guide = "output before"
    ours = found[guide, "DATM, 4 bits"]
    for name in ("BSM, drawn dst", "BSM, a dst a block"):
        yield f"DATM of 4 bits against {name}, matched by {guide}: {', '.join(_changes(ours, found[guide, name]))}"
    for name in ("Q", "V"):
        changes = _changes(ours, found[name, "DATM, 4 bits"])[2:]  # losses in different tensors cannot be compared
        yield f"{guide} against {name} as guide, DATM of 4 bits: {', '.join(changes)}"


def _changes(ours, other):
    names = ("pair loss", "of pairs kept", "output error", "with Q alone")
    return [f"{name} {shown(a / b - 1 if b else math.nan, '+.0%')}" for name, a, b in zip(names, ours, other)]
