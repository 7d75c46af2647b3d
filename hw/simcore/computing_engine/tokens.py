# SPDX-License-Identifier: Apache-2.0
"""Tokens of Q, K and V on their way from memory: asked for by tile, masked behind their last channel, and to be coded."""

from types import SimpleNamespace

from amaranth import Mux, Signal
from amaranth.utils import exact_log2

from zoetrope.hw.arith.tail import mask_tail, tail_of


def ask_for_tile(m, command, base, tile, words, lanes):
    """The tokens of a key tile, from a matrix at ``base``, as a reader's command. Tokens times their words: a product."""
    m.d.comb += [
        command.payload.address.eq(base + (tile.offset << exact_log2(2 * lanes))),
        command.payload.length.eq((tile.tokens * words) << exact_log2(lanes)),
    ]


def token_words(m, i, head, not_finite, *, lanes, words, name):
    """Words of tokens of ``head.channels`` channels in ``head.words`` words, at most ``words``, as they come on ``i``.

    Returns ``values``, +0 behind the last channel; ``last``, of a token; ``taken``. ``not_finite`` is set where a NaN or an
    infinity came, until reset.
    """
    word = Signal(range(max(2, words)), name=f"{name}_word")
    last = Signal(name=f"{name}_last")
    taken = Signal(name=f"{name}_taken")
    values, wrong = mask_tail(m, i.payload.data, tail_of(head.channels, lanes), last, lanes, name)
    m.d.comb += [last.eq(word + 1 == head.words), taken.eq(i.valid & i.ready)]
    with m.If(taken):
        m.d.sync += [word.eq(Mux(last, 0, word + 1)), not_finite.eq(not_finite | wrong)]
    return SimpleNamespace(values=values, last=last, taken=taken)


def encode(m, payload, token, channels, lanes):
    """A word of a token for the quantization unit's second pass."""
    tail = Signal(range(lanes + 1), name="encode_tail")
    m.d.comb += [
        tail.eq(tail_of(channels, lanes)),
        payload.x.eq(token.values),
        payload.count.eq(Mux(token.last & tail.any(), tail, lanes)),
        payload.last.eq(token.last),
        payload.end.eq(0),
        payload.encode.eq(1),
    ]
