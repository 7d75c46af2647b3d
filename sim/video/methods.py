# SPDX-License-Identifier: Apache-2.0
"""The methods by name: dense attention, SIMCORE (SIMPICKER) and ORBIS."""

import math
from dataclasses import replace

import numpy as np

from zoetrope.golden import video_dit
from zoetrope.golden.orbis.matching import datm
from zoetrope.golden.orbis.matching.dst_chooser import choose
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.golden.orbis.matching.reduction import reduce, restore
from zoetrope.golden.simcore.chip.simcore import FP16_ONLY, simcore
from zoetrope.golden.simcore.geometry import Geometry, key_tiles
from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.sim.host.simcore import settings_of
from zoetrope.sim.model import cycles
from zoetrope.sim.video.method import Method, Work

#: Thresholds as shipped: chosen by ``zoetrope study thresholds`` on the trained model (``docs/findings.md``).
P, TAU, RATIO, EVERY = 0.65, 2.5, 0.6, 4

#: ORBIS's array: 64 x 64 multipliers (ORBIS 4.1).
_MULTIPLIERS = 64 * 64


class Dense(Method):
    """All products, in FP32: what the others are compared with."""

    name = "dense"

    def __init__(self):
        self.thresholds = {}

    def attend(self, step, layer, q, k, v):
        plan = self.plan
        one = math.ceil(plan.dense / _MULTIPLIERS)
        work = Work(plan.dense, 0, one, one, np.zeros(plan.tokens, bool))
        return video_dit.dense(layer, q, k, v), [work] * plan.heads


class Simcore(Method):
    """SIMPICKER: similar tokens of Q are computed once, unimportant tiles and columns are FP16 by INT8.

    Each head is that of ``golden.simcore.chip.simcore``, bit for bit what the RTL of ``preset`` computes. Nothing is kept
    from step to step. ``cycles`` are those of the fitted model of the preset's two arrays (``sim.model.cycles``), and
    ``dense_cycles`` those of its FP16 array alone.
    """

    name = "simcore"

    def __init__(self, preset="small", p=P, tau=TAU):
        self.thresholds = {"preset": preset, "p": p, "tau": tau}
        self.config = catalogue.find("simcore").config(preset)
        try:
            self.settings = settings_of(self.config, p_p=p, p_a=p, tau=tau)
        except ValueError as error:
            raise UserError(str(error)) from None

    def attend(self, step, layer, q, k, v):
        machine = cycles.machine(self.config.engine)
        asked = [
            self.pool.submit(_simcore_head, *(_fp16(x) for x in qkv), self.plan.grid, self.settings, machine)
            for qkv in zip(q, k, v)
        ]
        try:
            found = [future.result() for future in asked]
        except ValueError as error:  # of values that are beyond FP16
            raise UserError(f"simcore: step {step}, layer {layer}: {error}") from None
        return np.stack([a for a, _ in found]).astype(np.float32), [work for _, work in found]


def _fp16(x):
    with np.errstate(over="ignore"):  # an infinity is refused by the golden
        return x.astype(np.float16)


def _simcore_head(q, k, v, grid, settings, machine):
    geometry = Geometry(*grid)
    result = simcore(q, k, v, geometry, settings)
    counted = result.statistics
    fitted = cycles.fitted(cycles.work(result, geometry, settings.keys), machine, settings.p_bits)
    alone = cycles.fitted(_everything(geometry, q.shape[1], settings), machine)
    work = Work(counted.fp16 + counted.lut, counted.lut, fitted.total, alone.total, result.kind != 0)
    return result.a, work


def _everything(geometry, d, settings):
    """``cycles.Work`` of the FP16-only machine: every row in slices of ``rows``, every tile and column important."""
    settings = replace(FP16_ONLY, rows=settings.rows, keys=settings.keys)
    tokens = np.array([place.stop - place.start for place, _ in key_tiles(geometry, settings.keys)])
    rows = np.concatenate([_cut(place.stop - place.start, settings.rows) for place in geometry.tiles])
    shape = len(rows), len(tokens)
    return cycles.Work(rows, tokens, d, np.ones(shape, bool), np.full(shape, d))


def _cut(tokens, rows):
    """``tokens`` in slices of ``rows``."""
    return np.array([min(rows, tokens - at) for at in range(0, tokens, rows)])


class Orbis(Method):
    """ORBIS: every fourth step is dense, and its outputs say which tokens are alike; the steps between leave those out.

    Pairs are those of ``golden.orbis.matching.datm`` on 4-bit codes of each head's output, and kept until the next full
    step. Attention itself is in FP32: ORBIS's array is not built yet. ``cycles`` are products over the multipliers of one
    64 x 64 array; matching is hidden behind a full step (``zoetrope matching-budget``).
    ``reduced``: "q", rows of Q only, or "qkv", which leaves a source token out as a key, too.
    """

    name = "orbis"

    #: Of the tokens, those that may stand for others, and the pairings at most.
    DESTINATIONS, CAP, SEED = 1 / 8, 16, 1

    def __init__(self, ratio=RATIO, every=EVERY, reduced="qkv"):
        if not 0 <= ratio <= 1 - self.DESTINATIONS:
            raise UserError(f"ratio must be 0 to {1 - self.DESTINATIONS}, what is no destination, not {ratio}")
        self.thresholds = {"ratio": ratio, "every": every, "reduced": reduced}
        self.ratio, self.every, self.reduced = ratio, every, reduced

    def begin(self, plan, pool):
        super().begin(plan, pool)
        self._pairs = {}

    def attend(self, step, layer, q, k, v):
        full = step % self.every == 0
        heads = [self._full(layer, *x) if full else self._reduced(layer, *x) for x in zip(range(len(q)), q, k, v)]
        return np.stack([out for out, _ in heads]), [work for _, work in heads]

    def _full(self, layer, head, q, k, v):
        out = video_dit.dense(layer, q[None], k[None], v[None])[0]
        codes, amax = quantize(np.clip(out, -65504, 65504).astype(np.float16))
        dst = choose(len(q), max(1, int(len(q) * self.DESTINATIONS)), self.SEED)
        pairs = datm.match(codes, dst, k=datm.reduced(len(q), self.ratio), weights=datm.weights(amax), cap=self.CAP)
        self._pairs[layer, head] = pairs.dst, pairs.src, pairs.slot
        return out, self._work(len(q), len(k), np.zeros(len(q), bool))

    def _reduced(self, layer, head, q, k, v):
        pairs = self._pairs[layer, head]
        short = reduce(q, *pairs)
        keys, values = (reduce(x, *pairs) if self.reduced == "qkv" else x for x in (k, v))
        out = video_dit.dense(layer, short[None], keys[None], values[None])[0]
        skipped = np.zeros(len(q), bool)
        skipped[pairs[1]] = True
        return restore(out, len(q), *pairs), self._work(len(short), len(keys), skipped)

    def _work(self, rows, keys, skipped):
        products = 2 * rows * keys * self.plan.d
        return Work(products, 0, *(math.ceil(n / _MULTIPLIERS) for n in (products, self.plan.dense)), skipped)


METHODS = {method.name: method for method in (Dense, Simcore, Orbis)}
