# SPDX-License-Identifier: Apache-2.0
"""Cycles of SIMCORE's geometry and prologue (SIMPICKER V-A): what a head takes before the first tile, if nothing waits."""

from typing import NamedTuple

from zoetrope.sim.model.quantization_engine import Prediction, frame_cycles
from zoetrope.sim.model.sparsification_engine import beats_of_frames


def geometry_cycles(geometry, channels, *, lanes, keys):
    """Cycles until the geometry of a head is there, ``golden.simcore.geometry.Geometry``, before anything else begins.

    One adder makes six products of sizes in turn, height x width, x frames, and four by the W = ceil(d / ``lanes``) words
    of a token; each takes a cycle and one for each bit of its second factor. Beside it the key tiles of at most ``keys``
    tokens are counted, of the text and then, once its tokens are known, of a frame, each a cycle, and 2.
    """
    words = -(-channels // lanes)
    factors = (geometry.width, geometry.frames, words, words, words, words)
    products = [1 + factor.bit_length() for factor in factors]
    text, frame = (-(-tokens // keys) for tokens in (geometry.text, geometry.rows))
    return max(1 + sum(products), max(1 + products[0], text + 2) + frame + 2)


def measure_cycles(tokens, channels, *, lanes):
    """Cycles from V's command until the prologue is done, where nothing but V's maxima is asked for: a word a cycle."""
    return tokens * -(-channels // lanes) + 1


def key_cycles(frames, rows, text, channels, *, lanes):
    """Cycles from K's command until Q is taken, within 2 ``lanes``.

    A cycle for each word of ``frames`` frames of ``rows`` tokens and of ``text`` tokens; and where a frame ends, its means
    leave the prediction unit a channel a cycle, in place of a word a cycle.
    """
    words = -(-channels // lanes)
    return (frames * rows + text) * words + frames * (channels - words)


class Queries(NamedTuple):
    """What the cycles of Q depend on: the prediction unit, and candidates a beat and banks of the sparsification unit."""

    prediction: Prediction
    candidates: int
    banks: int

    @classmethod
    def of(cls, config):
        """Those of a ``hw.simcore.chip.prologue.PrologueConfig``."""
        return cls(Prediction.of(config.prediction), config.sparsification.candidates, config.sparsification.banks)


def query_cycles(grid, channels, window, group, unit: Queries, *, sparsify=True, predict=True):
    """Cycles from then until Q has been taken and compared: of each frame, those of the slower unit.

    ``grid``: (frames, height, width) of the head in tokens; ``window`` and ``group`` as in ``beats_of_frames``;
    ``sparsify`` and ``predict``: what the job asks for. Until all is done it is up to the ``tail_cycles`` more.
    """
    frames, height, width = grid
    rows = height * width
    each = max(frame_cycles(rows, channels, frames, frames, unit.prediction)) if predict else 0
    if not sparsify:
        return frames * each
    words = -(-channels // unit.prediction.lanes)
    beats = beats_of_frames(grid, window, group, candidates=unit.candidates, banks=unit.banks)
    return max(rows * words, each) + sum(max(count * words, each) for count in beats[1:])


def tail_cycles(rows, channels, frames, unit: Queries):
    """Cycles at most from the last word of Q until the prologue is done: the last frame's way through the prediction unit,
    with every tile important, and the latencies of the units."""
    return sum(frame_cycles(rows, channels, frames, frames, unit.prediction)) + 64
