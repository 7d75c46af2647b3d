# SPDX-License-Identifier: Apache-2.0
"""Matrices for ORBIS's quantization engine, and what comes of each, by the golden."""

import numpy as np

from zoetrope.golden.formats import FP16, fp16
from zoetrope.golden.orbis.matching.quantization_engine import engine
from zoetrope.sim.model.matching import quantization_cycles, quantization_of
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes


class Job:
    """A matrix as codes, what comes in the second pass if not the same, and what the engine makes of it."""

    def __init__(self, x, second=None, name="", claimed=None):
        self.x = np.asarray(x, np.uint16)
        self.second = self.x if second is None else np.asarray(second, np.uint16)
        self.shape = claimed or self.x.shape
        self.name = name or f"{self.shape[0]} x {self.shape[1]}"

    def refusal(self, c):
        tokens, channels = self.shape
        return (not tokens or not channels) | (tokens > c.max_tokens) << 1 | (channels > c.max_channels) << 2

    def command(self, c):
        return self.shape[0] | self.shape[1] << c.command["tokens"].width

    def sent(self, c):
        """Rows of bytes of the stream ``i``, both passes. What does not count is NaN."""
        return np.concatenate([self._words(x, c, 0x7E00).astype("<u2").view(np.uint8) for x in (self.x, self.second)])

    def _words(self, x, c, pad):
        tokens, channels = x.shape
        padded = np.full((tokens, -(-channels // c.lanes) * c.lanes), pad, np.uint16)
        padded[:, :channels] = x
        return padded.reshape(-1, c.lanes)

    def expected(self, c):
        """Rows of bytes of ``o`` and ``o_channels``, and the status."""
        if refusal := self.refusal(c):
            return (
                pack(*[[]] * c.lanes, widths=[4] * c.lanes),
                pack([], [], [], widths=[16, 32, c.weight_bits]),
                refusal,
            )
        made = engine(self.x, self.second, c.weight_bits)
        codes = self._words(made.codes.astype(np.uint16) & 15, c, 0)
        figures = made.amax.view(np.uint16), made.scales.view(np.uint32), made.weights
        status = made.not_finite << 3 | made.beyond << 4
        return pack(*codes.T, widths=[4] * c.lanes), pack(*figures, widths=[16, 32, c.weight_bits]), status

    def cycles(self, c):
        """From command to status, without stalls."""
        return quantization_cycles(*self.shape, quantization_of(c))

    def send(self, bench):
        bench.send("i_command", [self.command(bench.config)])
        if not self.refusal(bench.config):
            bench.send("i", self.sent(bench.config))


def normal(rng, tokens, channels):
    """Normal numbers as codes, channels of different magnitude."""
    return fp16(rng.standard_normal((tokens, channels)) * np.exp2(rng.integers(-6, 3, channels)))


def special_jobs(rng, c):
    d = min(c.max_channels, 2 * c.lanes + 1)
    x = normal(rng, 6, d)
    ties = tie_matrix(rng, d)
    tiny = (x & 0x8000) | rng.integers(0, 40, x.shape).astype(np.uint16)
    nan = x.copy()
    nan[2, d // 2] = 0xFE01
    infinite = x.copy()
    infinite[0, 0], infinite[5, d - 1] = 0x7C00, 0xFC00
    dead = x.copy()
    dead[:, : (d + 1) // 2] = rng.choice(np.array([0, 0x8000], np.uint16), (6, (d + 1) // 2))
    louder = x.copy()
    louder[4] ^= 0x4000
    edge = np.array([k for k in corners_of_finite()], np.uint16)
    edges = np.resize(rng.permuted(np.tile(edge, (d, 1)), axis=1).T, (len(edge), d))
    return [
        Job(ties, name="ties"),
        Job(tiny, name="subnormal"),
        Job(np.zeros((3, d), np.uint16), name="all dead"),
        Job(np.full((3, d), 0x8000, np.uint16), name="all -0"),
        Job(dead, name="some dead"),
        Job(np.full((2, d), 0x7BFF, np.uint16), name="all greatest"),
        Job(nan, name="a NaN"),
        Job(x, nan, name="a NaN in the second pass"),
        Job(infinite, name="infinities"),
        Job(x, louder, name="passes that differ"),
        Job(edges, name="edges of the format"),
        Job(random_codes(rng, FP16, 9 * d).reshape(9, d), name="random codes"),
    ]


def corners_of_finite():
    return [code for code in corners(FP16).values() if code & 0x7C00 != 0x7C00]


def tie_matrix(rng, d):
    """In each channel amax and all odd multiples of a fourteenth of it, which lie between two codes; and neighbours."""
    amax = 14 * rng.integers(1, 140, d)
    rows = [amax] + [amax // 14 * odd for odd in range(1, 15, 2)]
    codes = fp16(np.array(rows) * 2.0**-7)
    return np.concatenate([codes, codes[1:] | 0x8000, codes[1:] + 1, codes[1:] - 1])


def clip_jobs(tensors, c):
    """Attention heads' V, the nearest that a clip has to what is matched: some tokens of the first frame."""
    if tensors is None:
        return []
    v = tensors["v"].view(np.uint16)[0]
    return [Job(v[:20, : c.max_channels], name="clip")]
