# SPDX-License-Identifier: Apache-2.0
"""The tail of a row: every number of channels, and what is no number in each element."""

from dataclasses import dataclass

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.arith.tail import mask_tail, tail_of
from zoetrope.sim.run.native import Native


@dataclass(frozen=True)
class TailConfig:
    lanes: int


class Tail(wiring.Component):
    def __init__(self, *, config):
        self.config = config
        bits = 16 * config.lanes
        super().__init__({"word": In(bits), "channels": In(8), "last": In(1), "kept": Out(bits), "wrong": Out(1)})

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        kept, wrong = mask_tail(m, self.word, tail_of(self.channels, lanes), self.last, lanes, "x")
        m.d.comb += [self.kept.eq(kept), self.wrong.eq(wrong)]
        return m


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_elements_behind_the_last_do_not_count(lanes):
    rng = np.random.default_rng(lanes)
    native = Native.build(Tail(config=TailConfig(lanes)), "tail")
    cases = [(d, last, k) for d in range(1, 2 * lanes + 1) for last in (0, 1) for k in range(-1, lanes)]
    words = rng.integers(0x7C00, size=(len(cases), lanes)).astype(np.uint16)
    for word, (_, _, k) in zip(words, cases):
        if k >= 0:
            word[k] = rng.choice([0x7C00, 0xFC00, 0x7E00, 0xFFFF])
    shown = native.play(
        {"word": words, "channels": [d for d, _, _ in cases], "last": [last for _, last, _ in cases]}, ["kept", "wrong"]
    )
    for kept, wrong, word, (d, last, k) in zip(shown["kept"], shown["wrong"], words, cases):
        counting = (d - 1) % lanes + 1 if last else lanes
        want = np.where(np.arange(lanes) < counting, word, 0).astype(np.uint16)
        np.testing.assert_array_equal(np.ascontiguousarray(kept).view("<u2"), want)
        assert bool(wrong[0]) == (0 <= k < counting)
