# SPDX-License-Identifier: Apache-2.0
"""The queue between two streams: order and room, under every pattern of gaps and stalls."""

import numpy as np
import pytest

from zoetrope.hw.memory.word_fifo import StreamFifo, WordFifoConfig
from zoetrope.sim.run.native import Native, NativeError


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_words_come_out_in_their_order(depth):
    rng = np.random.default_rng(depth)
    native = Native.build(StreamFifo(config=WordFifoConfig(depth=depth, width=11)), "stream_fifo")
    for gaps, stalls in ((0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3), (0, 0.9)):
        native.reset()
        words = rng.integers(1 << 11, size=300).tolist()
        slow = {"gaps": {"i": rng.random(97) < gaps}, "stalls": {"o": rng.random(101) < stalls}}
        got, cycles, _ = native.streams({"i": words}, {"o": len(words)}, **slow)
        assert [int.from_bytes(row.tobytes(), "little") for row in got["o"]] == words
        if not gaps and not stalls and depth > 1:
            assert cycles["i"][-1] - cycles["i"][0] == len(words) - 1 and cycles["o"][0] - cycles["i"][0] == 2


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_it_holds_its_depth_and_the_word_that_is_shown(depth):
    native = Native.build(StreamFifo(config=WordFifoConfig(depth=depth, width=11)), "stream_fifo")
    native.streams({"i": range(depth + 1)}, {})
    with pytest.raises(NativeError):
        native.streams({"i": [7]}, {}, max_cycles=100)
