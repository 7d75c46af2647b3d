# SPDX-License-Identifier: Apache-2.0
"""Commands of the dst chooser, and what comes of each, by the golden."""

import numpy as np

from zoetrope.golden.orbis.matching.dst_chooser import choose_and_count
from zoetrope.sim.model.matching import chooser_cycles, chooser_of


class Job:
    """A command, the list that is given, and what comes of it."""

    def __init__(self, tokens, count, seed=0, given=None):
        self.tokens, self.count, self.seed = tokens, count, seed
        self.given = None if given is None else [int(token) for token in given]

    @property
    def name(self):
        return f"{self.count} of {self.tokens} tokens, {'drawn' if self.given is None else 'given'}"

    def command(self, c):
        given = self.given is not None
        return self.tokens | self.count << c.count_bits | given << 2 * c.count_bits | self.seed << 2 * c.count_bits + 1

    def refusal(self, c):
        return (self.tokens > c.max_tokens) | (not 0 < self.count < self.tokens) << 1

    def expected(self, c):
        """(tokens, status, cycles)"""
        if refusal := self.refusal(c):
            return [], refusal, chooser_cycles(self.tokens, self.count, None, chooser_of(c))
        if self.given is None:
            chosen, draws = choose_and_count(self.tokens, self.count, self.seed)
            return chosen.tolist(), 0, chooser_cycles(self.tokens, self.count, draws, chooser_of(c))
        good, status = [], 0
        for k, token in enumerate(self.given):
            if token >= self.tokens:
                status |= 4
            elif token in self.given[:k]:
                status |= 8
            elif not status:
                good.append(token)
        return good, status, chooser_cycles(self.tokens, self.count, None, chooser_of(c))

    def send(self, bench):
        bench.send("i_command", [self.command(bench.config)])
        if self.given and not self.refusal(bench.config):
            bench.send("i", self.given)


def as_bytes(values, width):
    """Integers to rows of the bytes of a payload of ``width`` bits."""
    return np.asarray(values, "<u8").view(np.uint8).reshape(-1, 8)[:, : (width + 7) // 8]
