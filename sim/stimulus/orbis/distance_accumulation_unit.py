# SPDX-License-Identifier: Apache-2.0
"""Sets of 4-bit tokens for the distance accumulation unit."""

import numpy as np

from zoetrope.sim.packing import pack


def random_tokens(rng, c, channels):
    """(src, dst, weights) of one set of tokens; weights of a word are equal where the form needs that."""
    weights = rng.integers(0, 1 << c.weight_bits, channels)
    if c.form == "word":
        weights = weights[np.arange(channels) // c.channel_lanes * c.channel_lanes]
    return rng.integers(-7, 8, (c.src_lanes, channels)), rng.integers(-7, 8, (c.dst_lanes, channels)), weights


def rows(c, src, dst, weights):
    """The words of one set of tokens. Where a channel's weight can be 0 the unused ones have codes that would count."""
    channels = src.shape[1]
    words = -(-channels // c.channel_lanes)
    pad = ((0, 0), (0, words * c.channel_lanes - channels))
    fill = 0 if c.form == "word" else 7
    src, dst = np.pad(src, pad, constant_values=fill), np.pad(dst, pad, constant_values=-fill)
    weights = np.pad(weights, pad[1])
    fields = [
        *(src.reshape(-1, words, c.channel_lanes).transpose(0, 2, 1).reshape(-1, words) & 15),
        *(dst.reshape(-1, words, c.channel_lanes).transpose(0, 2, 1).reshape(-1, words) & 15),
        *weights.reshape(words, c.channel_lanes).T,
        np.arange(words) == words - 1,
    ]
    widths = [4] * (c.src_lanes + c.dst_lanes) * c.channel_lanes + [c.weight_bits] * c.channel_lanes + [1]
    return pack(*fields, widths=widths)
