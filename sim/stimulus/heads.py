# SPDX-License-Identifier: Apache-2.0
"""Geometries of heads, at the edges of a machine's sizes and between them."""

from zoetrope.golden.simcore.geometry import Geometry


def geometries(rng, most, count):
    """The smallest and the largest, with text before and behind, and ``count`` random ones, at most as ``most`` has it:
    a mapping of ``frames``, ``height``, ``width`` and ``text``."""
    sizes = ("frames", "height", "width")
    largest = [most[name] for name in sizes]
    found = [Geometry(1, 1, 1), Geometry(1, 1, 1, 1), Geometry(*largest, most["text"])]
    found.append(Geometry(*largest, most["text"], False))
    for _ in range(count):
        text = int(rng.integers(0, most["text"] + 1)) * int(rng.integers(2))
        found.append(Geometry(*(int(rng.integers(1, n + 1)) for n in largest), text, bool(rng.integers(2))))
    return found
