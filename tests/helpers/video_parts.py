# SPDX-License-Identifier: Apache-2.0
"""A video diffusion transformer that is small and has learned nothing."""

import numpy as np

from zoetrope.golden import video_dit


def weights(layers=2, heads=2, components=8, classes=("day", "night"), seed=0):
    """The arrays of a model of random weights that ``video_dit.VideoDiT`` takes."""
    rng = np.random.default_rng((0xD17, seed))
    d, pixels = 64 * heads, 3 * video_dit.PATCH**2
    basis = np.linalg.qr(rng.standard_normal((pixels, components)))[0]
    found = {"codec.mean": np.full(pixels, 0.5), "codec.basis": basis, "codec.scale": np.full(components, 0.5)}
    shapes = {
        "inp": (d, components),
        "out": (components, d),
        "time1": (d, 256),
        "time2": (d, d),
        "modulate": (6 * d, d),
    }
    for layer in range(layers):
        name = f"blocks.{layer}"
        found |= {f"{name}.{part}.weight": rng.standard_normal((d, d)) / np.sqrt(d) for part in "qkvo"}
        found |= {f"{name}.{part}_gain": rng.uniform(0.5, 1.5, 64) for part in "qk"}
        found[f"{name}.table"] = rng.standard_normal((6, d)) * 0.1
        shapes |= {f"{name}.up": (2 * d, d), f"{name}.down": (d, 2 * d)}
    for name, (rows, columns) in shapes.items():
        found[f"{name}.weight"] = rng.standard_normal((rows, columns)) / np.sqrt(columns)
        found[f"{name}.bias"] = rng.standard_normal(rows) * 0.1
    found["table"] = rng.standard_normal((2, d)) * 0.1
    found["label.weight"] = rng.standard_normal((len(classes) + 1, d))
    return {name: part.astype(np.float32) for name, part in found.items()} | {"classes": np.array(classes)}


def save(path, arrays):
    """The file that ``video_dit.load`` reads."""
    np.savez(path, **arrays, digest=np.array(video_dit.digest(arrays)))
    return path
