"""Heads of seeded tensors for the tests of SIMCORE's flow."""

import numpy as np


def head(geometry, d, seed=0, spread=1.0):
    """q, k, v ``float16`` whose frames differ, with tokens that repeat those of the frame before."""
    rng = np.random.default_rng((seed, d, geometry.tokens))
    made = []
    for n in range(3):
        x = rng.standard_normal((geometry.frames, geometry.rows, d))
        x += spread * rng.standard_normal((geometry.frames, 1, d)) * (n < 2)
        for f in range(1, geometry.frames):
            same = rng.random(geometry.rows) < 0.4
            x[f, same] = x[f - 1, same] + 0.05 * rng.standard_normal((same.sum(), d))
        text = rng.standard_normal((geometry.text, d))
        parts = [text, x.reshape(-1, d)]
        made.append(np.concatenate(parts if geometry.text_first else parts[::-1]).astype(np.float16))
    return made


def codes(x):
    return np.ascontiguousarray(x).view(np.uint16)
