# SPDX-License-Identifier: Apache-2.0
"""Cycles of SIMCORE's quantization engine (SIMPICKER III-B, IV-C, Fig. 4(b)), where nothing waits outside of its units."""

from typing import NamedTuple

#: Cycles of the quantization unit from the last maximum to the first code of the second pass, both included.
_SCALE = 2

#: Cycles of a tree of means from a word of the last row of a sum to the mean: 5, and its multiplier and its conversion.
_TREE = 5 + 3 + 1


def quantization_cycles(tokens, words, channels):
    """Cycles of the quantization unit from the first word of a matrix to the last of its second pass (III-B)::

        2 T W + d + 2

    T ``tokens`` of W ``words`` pass twice, for the maxima and for the codes; between the passes a scale is made a cycle,
    for each of d ``channels``.
    """
    return 2 * tokens * words + channels + _SCALE


def reduction_cycles(rows, channels, n, *, lanes, outputs):
    """Cycles of the reduction tree for a matrix of ``rows`` rows of ``channels``, in sums of ``n`` rows (III-B, IV-C).

    From the end of another matrix to its own: a cycle for each word of ``lanes`` channels, and where ``outputs`` sums
    leave a cycle, those of a row that ends a sum take their own words in place of the row's.
    """
    words, out = -(-channels // lanes), -(-channels // outputs)
    return rows * words + -(-rows // n) * (out - words)


def product_interval(words, *, add_stages):
    """Cycles of an x[k] in the reduced product: max(D, A), for D ``words`` of weights and A = ``add_stages`` + 2, in which
    a sum comes back from the adder (III-B)."""
    return max(words, add_stages + 2)


def sort_cycles(scores, taken, *, p_bits, at_once=False):
    """Cycles of the serial sort-and-select from the first word of a row to that of the next (III-B, IV-C)::

        n + p_bits + 2 + k (n + 2)

    n ``scores`` are loaded one by one, the limit is made in a cycle for each bit of p, and each of k ``taken`` scores is
    searched among all. ``at_once``: it is known without a search which are taken (p = 1, all zero, an error that takes all).
    """
    if at_once or not scores:
        return max(1, scores) + 2
    return scores + p_bits + 2 + taken * (scores + 2)


class Prediction(NamedTuple):
    """What the cycles of a prediction unit depend on: channels of Q a cycle, stages of its adder, fraction bits of p,
    lanes of the SFU, and whether sort-and-select is the ``serial`` build."""

    lanes: int
    add_stages: int
    p_bits: int
    sfu_lanes: int
    serial: bool = True

    @classmethod
    def of(cls, config):
        """Those of a ``hw.simcore.quantization_engine.prediction_unit.PredictionUnitConfig``."""
        return cls(config.lanes, config.add_stages, config.p_bits, config.sfu.lanes, config.select == "serial")


def frame_cycles(rows, channels, frames, taken, unit: Prediction):
    """Cycles of a frame of Q in the prediction unit: (its words, its products, its sort), the three side by side (III-B).

    The frame has ``rows`` tokens, K has ``frames`` frames, of which ``taken`` are important. The greatest of the three is
    the frame's time when nothing else waits.
    """
    tree = reduction_cycles(rows, channels, rows, lanes=unit.lanes, outputs=1)
    product = channels * product_interval(frames, add_stages=unit.add_stages)
    sort = sort_cycles(frames, taken, p_bits=unit.p_bits) if unit.serial else -(-frames // unit.sfu_lanes)
    return tree, product, sort


def tile_cycles(rows, columns, channels, *, lanes, v_lanes, add_stages):
    """Cycles of a tile of P in the unit that finds A's important columns (III-B, V-A).

    From the last word of V of a tile to that of the next of the same slice. All ``rows`` of the tile but the last are
    summed after the last sum of the tile before has gone to the product; then a product follows the other, one for each of
    the ``columns``, with ``channels`` of V in words of ``v_lanes``.
    """
    words, v_words = -(-columns // lanes), -(-channels // v_lanes)
    interval = product_interval(v_words, add_stages=add_stages)
    first = (rows - 1) * words + _TREE + 3 - (interval - v_words)
    return max(interval, first) + (columns - 1) * interval
