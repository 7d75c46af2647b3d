# SPDX-License-Identifier: Apache-2.0
"""The selftest of a board: it gets what the benches of its units send, and every answer is compared with the goldens."""

import functools
import time
from dataclasses import dataclass

import numpy as np

from zoetrope.golden.simcore.chip.simcore import simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_distance
from zoetrope.golden.tree.min_tree import min_tree
from zoetrope.hw.board.demonstrator import UNITS
from zoetrope.sim.host.board import is_simcore
from zoetrope.sim.host.simcore import settings_of
from zoetrope.sim.stimulus.min_tree import corner_keys
from zoetrope.sim.stimulus.outer_product import clip_tiles, corner_tiles, golden_of, random_tiles

#: What the selftest calls the memory of a machine, beside the names of the units.
MEMORY = "memory"

#: And a machine that is a SIMCORE.
SIMCORE = "simcore"


@dataclass(frozen=True)
class Result:
    """One line of the selftest: ``seconds`` are those of the board and the line."""

    unit: str
    test: str
    vectors: int
    mismatches: int
    bytes: int
    seconds: float


def selftest(board, tensors, *, seed=1, queries=8, units=None, tests=None):
    """Yield a ``Result`` for each test of each unit of ``board``, or for those named in ``units`` and ``tests``.

    ``tensors`` are those of the benches (``sim.input.clips``); ``queries`` the tokens of the last frame whose scores
    are computed.
    """
    vectors = dict.fromkeys(UNITS, _tiles) | {"min_tree": _keys, MEMORY: _bytes, SIMCORE: _heads}
    machine = [*[MEMORY] * (board.config.machine is not None), *[SIMCORE] * is_simcore(board.config)]
    for unit in units or [*board.units, *machine]:
        rng = np.random.default_rng(seed)
        for test, run, expected in vectors[unit](board, unit, tensors, rng, queries):
            if tests and test not in tests:
                continue
            before, start = board.sent + board.received, time.perf_counter()
            got = run()
            seconds = time.perf_counter() - start
            wrong = int(np.count_nonzero(got != expected))
            yield Result(unit, test, expected.size, wrong, board.sent + board.received - before, seconds)


def _tiles(board, unit, tensors, rng, queries):
    """The tiles of the PEs' benches: x (tiles, 1, K), w (tiles, K, outputs)."""
    c = getattr(board.config, unit)
    tests = {f"sums of {k}": random_tiles(rng, c, k) for k in (1, 5, 24)}
    tests |= {"corners": corner_tiles(rng, c), "clip": clip_tiles(tensors, c, queries)}
    for test, (x, w) in tests.items():
        yield test, functools.partial(getattr(board, unit), x[:, 0], w), golden_of(c)(x[:, 0], w)


def _keys(board, unit, tensors, rng, queries):
    """The keys of the min tree's bench."""
    c = board.config.min_tree
    few = rng.integers(0, 3, (200, c.leaves), np.uint64)
    many = rng.integers(0, 1 << min(c.width, 63), (200, c.leaves), np.uint64)
    q = tensors["q"]
    distances = squared_distance(q[-1, : 5 * queries, None], q[0, np.arange(c.leaves) % q.shape[1]])
    clip = distances.astype(np.uint64) >> np.uint64(max(0, 32 - c.width))
    tests = {"corners": corner_keys(c.leaves, c.width), "few values": few, "many values": many, "clip": clip}
    for test, keys in tests.items():
        expected = np.stack([part.astype(np.uint64) for part in min_tree(keys)])

        def run(keys=keys):
            return np.stack([part.astype(np.uint64) for part in board.min_tree(keys)])

        yield test, run, expected


def _bytes(board, unit, tensors, rng, queries):
    """Bytes at random to the whole memory of a machine, then to a few places in it, and all of them back."""
    content = rng.integers(0, 256, board.config.machine.memory.size, dtype=np.uint8)
    parts = [(0, content.copy())]
    for _ in range(8):
        address, count = int(rng.integers(len(content))), int(rng.integers(1, 40))
        part = rng.integers(0, 256, len(content[address : address + count]), dtype=np.uint8)
        content[address : address + count] = part
        parts.append((address, part))

    def run():
        for address, part in parts:
            board.memory.write(address, part.tobytes())
        return np.frombuffer(board.memory.read(0, len(content)), np.uint8)

    yield "bytes", run, content


def _heads(board, unit, tensors, rng, queries):
    """Heads through SIMCORE, as large as it takes: one at random with text, one of the clip's first tokens and channels.

    The elements of A are the vectors.
    """
    c = board.simcore_config
    height, width = c.max_height, c.max_width
    frames = max(1, min(c.max_frames, c.max_tokens // (height * width)))
    geometry = Geometry(frames, height, width, c.max_text)
    tests = {"head at random": (geometry, rng.standard_normal((3, geometry.tokens, c.max_channels)))}
    there, tokens, _ = tensors["q"].shape
    width = min(width, tokens)
    geometry = Geometry(min(frames, there), min(height, tokens // width), width)
    clip = [tensors[name][: geometry.frames, : geometry.rows, : c.max_channels] for name in "qkv"]
    tests["clip"] = (geometry, [x.reshape(geometry.tokens, -1) for x in clip])
    for test, (geometry, matrices) in tests.items():
        q, k, v = (np.asarray(x, np.float16) for x in matrices)
        settings = settings_of(c)
        expected = simcore(q, k, v, geometry, settings).a.view(np.uint16)

        def run(arguments=(q, k, v, geometry, settings)):
            return board.simcore.run(*arguments).a.view(np.uint16)

        yield test, run, expected


def table(results):
    """The results as text, a line each, and the rate of the line over all of them."""
    header = ("unit", "test", "vectors", "mismatches", "bytes", "time", "rate", "")
    rows = [
        (
            r.unit,
            r.test,
            f"{r.vectors:,}",
            f"{r.mismatches:,}",
            f"{r.bytes:,}",
            f"{r.seconds:.2f} s",
            f"{r.bytes / max(r.seconds, 1e-9) / 1000:.1f} kB/s",
            "FAIL" if r.mismatches else "pass",
        )
        for r in results
    ]
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = [
        "  ".join(cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in (header, tuple("-" * w for w in widths), *rows)
    ]
    return "\n".join(lines)
