# SPDX-License-Identifier: Apache-2.0
"""Tokens of Q, K and V as they travel between memory, the quantization unit and what is on chip."""

import numpy as np

from zoetrope.golden.formats import FP16
from zoetrope.golden.memory.words import words
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import random_codes


def finite(rng, tokens, channels):
    """FP16 codes (tokens, channels) of any finite numbers."""
    codes = random_codes(rng, FP16, tokens * channels).astype(np.uint16).reshape(tokens, channels)
    return np.where(codes & 0x7C00 == 0x7C00, codes & 0x83FF, codes).astype(np.uint16)


def of_memory(tokens, lanes, behind=0):
    """What a reader of the bus gives: words of ``lanes``, with FP16 code ``behind`` after the last channel of each token."""
    per_token = words(tokens, lanes)
    count, each = per_token.shape[:2]
    padded = per_token.reshape(count, -1)
    padded[:, tokens.shape[1] :] = behind
    last = np.arange(count * each) == count * each - 1
    return pack(*padded.reshape(-1, lanes).T, last, widths=[16] * lanes + [1])


def to_encode(tokens, lanes):
    """The same to the quantization unit, for its second pass."""
    per_token = words(tokens, lanes)
    count, each = per_token.shape[:2]
    last = np.tile(np.arange(each) == each - 1, count)
    counts = np.where(last, tokens.shape[1] - (each - 1) * lanes, lanes)
    no, yes = np.zeros(len(last), int), np.ones(len(last), int)
    widths = [16] * lanes + [lanes.bit_length(), 1, 1, 1]
    return pack(*per_token.reshape(-1, lanes).T, counts, last, no, yes, widths=widths)


def sent_codes(codes, lanes):
    """INT8 codes (tokens, channels) as the quantization unit sends them."""
    per_token = words(codes.astype(np.uint8), lanes)
    count, each = per_token.shape[:2]
    last = np.tile(np.arange(each) == each - 1, count)
    counts = np.where(last, codes.shape[1] - (each - 1) * lanes, lanes)
    widths = [8] * lanes + [lanes.bit_length(), 1, 1]
    return pack(*per_token.reshape(-1, lanes).T, counts, last, np.zeros(len(last), int), widths=widths)
