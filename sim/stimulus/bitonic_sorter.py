# SPDX-License-Identifier: Apache-2.0
"""Rows for a bitonic sorter: of every kind, random, of the clip, and bitonic ones."""

import numpy as np

from zoetrope.golden.formats import FP16, order_key
from zoetrope.sim.packing import pack


def special_rows(c):
    """(keys, names) of rows of a kind."""
    top = (1 << c.key_bits) - 1
    ramp = np.array([top * k // max(1, c.lanes - 1) for k in range(c.lanes)], np.uint64)  # float64 has 53 bits
    rows = {
        "all zero": np.zeros(c.lanes, np.uint64),
        "all of the greatest": np.full(c.lanes, top, np.uint64),
        "in order": ramp,
        "in reverse": ramp[::-1],
        "two keys in turn": np.where(np.arange(c.lanes) % 2, np.uint64(0), np.uint64(top)),
        "least key last": np.where(np.arange(c.lanes) == c.lanes - 1, np.uint64(0), np.uint64(top)),
        "greatest key first": np.where(np.arange(c.lanes) == 0, np.uint64(top), np.uint64(0)),
        "neighbours of a half": np.arange(c.lanes, dtype=np.uint64) % np.uint64(2) + np.uint64(top >> 1),
    }
    return np.array(list(rows.values())), list(rows)


def random_rows(rng, c, count):
    """Half of the rows have few distinct keys, so that indices decide."""
    keys = rng.integers(0, (1 << c.key_bits) - 1, (count, c.lanes), dtype=np.uint64, endpoint=True)
    few = np.uint64(c.key_bits - min(2, c.key_bits))
    return np.where(np.arange(count)[:, None] % 2, keys, keys >> few << few)


def clip_rows(tensors, c):
    """Order keys of the clip's values, as many as fit into the keys."""
    if tensors is None or c.key_bits < FP16.width:
        return np.zeros((0, c.lanes), np.uint64)
    codes = np.resize(tensors["q"].view(np.uint16)[0], (100, c.lanes))
    return (order_key(codes, FP16) + (1 << 15)).astype(np.uint64)


def indices(rng, c, count):
    """In half of the rows the lanes' numbers, in the others an arrangement of them; as wide as the index."""
    lanes = np.arange(c.lanes, dtype=np.uint64) & np.uint64((1 << c.index_bits) - 1)
    rows = np.broadcast_to(lanes, (count, c.lanes)).copy()
    rows[count // 2 :] = rng.permuted(rows[count // 2 :], axis=1)
    return rows


def as_bitonic(rng, keys, index, descending):
    """The rows' first halves sorted, the second halves sorted the other way, each row rotated."""
    half = keys.shape[1] // 2
    turn = rng.integers(0, keys.shape[1], len(keys))
    order = np.array([stable_order(k, i, descending) for k, i in zip(keys, index)])
    pick = np.concatenate(
        [np.arange(0, 2 * half, 2), np.arange(keys.shape[1] - 2 * half), np.arange(1, 2 * half, 2)[::-1]]
    )
    order = np.array([np.roll(row[pick], t) for row, t in zip(order, turn)])
    return np.take_along_axis(keys, order, 1), np.take_along_axis(index, order, 1)


def stable_order(keys, index, descending):
    """Positions by key, of equal keys by index, by Python's sort."""
    sign = -1 if descending else 1
    return sorted(range(len(keys)), key=lambda k: (sign * int(keys[k]), int(index[k])))


def packed(c, keys, index, payload):
    """Rows of bytes of the streams. Where entries have no payload, what is given as one is left out."""
    payload = payload if c.payload_bits else np.zeros_like(index)
    fields = [x for lane in zip(payload.T, index.T, keys.T) for x in lane]
    return pack(*fields, widths=[c.payload_bits, c.index_bits, c.key_bits] * c.lanes)
