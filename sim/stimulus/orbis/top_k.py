# SPDX-License-Identifier: Apache-2.0
"""Selections for the top-k unit, and what comes of each, by the golden."""

import numpy as np

from zoetrope.golden.orbis.matching.top_k import top_k
from zoetrope.sim.model.matching import top_k_cycles, top_k_of
from zoetrope.sim.packing import pack


class Job:
    """A command, its entries, and what comes of it."""

    def __init__(self, c, keys, index, k, claimed=None):
        self.config, self.k = c, k
        self.keys, self.index = np.asarray(keys, np.uint64), np.asarray(index, np.uint64)
        self.payload = (self.index * np.uint64(7) + np.uint64(3)) & np.uint64((1 << c.payload_bits) - 1)
        self.count = len(self.keys) if claimed is None else claimed

    @property
    def name(self):
        return f"{self.count} entries, k = {self.k}"

    @property
    def status(self):
        return (self.count > self.config.max_entries) | (self.k > self.count) << 1

    @property
    def cycles(self):
        """From command to status, without stalls."""
        return top_k_cycles(self.count, self.k, top_k_of(self.config))

    def command(self):
        return self.count | self.k << self.config.count_bits

    def packed(self, picked=slice(None)):
        """Rows of bytes of the streams of entries."""
        c = self.config
        fields = [part[picked] for part in (self.payload, self.index, self.keys)]
        return pack(*fields, widths=[c.payload_bits, c.index_bits, c.key_bits])

    def expected(self):
        return self.packed(slice(0) if self.status else top_k(self.keys, self.index, self.k))

    def send(self, bench):
        bench.send("i_command", [self.command()])
        bench.send("i", self.packed())


def entries(rng, c, n, k):
    """A job of ``n`` random entries, one in two with a key that others have too."""
    keys = rng.integers(0, (1 << c.key_bits) - 1, n, dtype=np.uint64, endpoint=True)
    few = np.uint64(c.key_bits - min(2, c.key_bits))
    keys = np.where(rng.random(n) < 0.5, keys, keys >> few << few)
    return Job(c, keys, rng.permutation(n), k)


def kinds_of(c, n):
    top = (1 << c.key_bits) - 1
    ramp = np.arange(n, dtype=np.uint64) % (top + 1)
    return {
        "all zero": np.zeros(n),
        "all of the greatest": np.full(n, top, np.uint64),
        "in order": np.sort(ramp),
        "in reverse": np.sort(ramp)[::-1],
        "two in turn": np.where(np.arange(n) % 2, 0, top).astype(np.uint64),
        "least last": np.where(np.arange(n) == n - 1, 0, top).astype(np.uint64),
    }


def index_of(rng, c, n, name):
    """Tokens in ascending order as a matching gives them; in one kind the greatest index there is, as padding has."""
    if name == "all of the greatest":
        return np.uint64((1 << c.index_bits) - 1) - np.arange(n, dtype=np.uint64)
    return np.arange(n) if name != "two in turn" else rng.permutation(n)


def clip_keys(tensors, c):
    """Magnitudes of differences of neighbouring tokens of the clip, as keys: smooth data has many ties."""
    if tensors is None:
        return []
    x = tensors["v"].reshape(-1, tensors["v"].shape[-1])[: min(c.max_entries, 600) + 1].astype(np.float64)
    far = ((x[1:] - x[:-1]) ** 2).sum(axis=1)
    return [np.minimum(far * 4, (1 << c.key_bits) - 1).astype(np.uint64)]
