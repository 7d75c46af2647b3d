# SPDX-License-Identifier: Apache-2.0
"""Patches to latents and back: the principal components of 8 x 8 pixels in RGB, fitted once."""

import numpy as np

PATCH = 8


def patches(video):
    """(..., frames, height, width, 3) to (..., frames, rows, columns, 192)."""
    *lead, height, width, _ = video.shape
    cut = video.reshape(*lead, height // PATCH, PATCH, width // PATCH, PATCH, 3)
    return np.moveaxis(cut, -4, -3).reshape(*lead, height // PATCH, width // PATCH, PATCH * PATCH * 3)


def fit(rows, components):
    """``mean`` (192), ``basis`` (192, components) and ``scale`` (components) of patches (n, 192)."""
    mean = rows.mean(0)
    variances, basis = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    variances, basis = variances[::-1][:components], basis[:, ::-1][:, :components]
    # Halfway between as they are, where noise drowns all but the first, and whitened, where it treats all alike.
    std = np.sqrt(variances)
    scale = np.sqrt(std * std.mean())
    return mean, basis, scale


def encode(video, codec):
    mean, basis, scale = codec
    return ((patches(video) - mean) @ basis) / scale
