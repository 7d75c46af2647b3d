# SPDX-License-Identifier: Apache-2.0
"""Write ``tests/video/torch.npz``: what PyTorch gives for the shipped weights, for the test that NumPy gives the same."""

from pathlib import Path

import numpy as np
import torch
from model import VideoDiT

from zoetrope.golden import video_dit

GRID, LEVELS, LABELS = (3, 4, 5), (1.0, 0.6, 0.2, 0.02), (0, 4)


def main():
    with np.load(video_dit.WEIGHTS) as file:
        arrays = {name: file[name] for name in file.files}
    model = VideoDiT(len(arrays["classes"]))
    model.load_state_dict({name: torch.from_numpy(arrays[name].astype(np.float32)) for name in model.state_dict()})
    z = np.random.default_rng(0).standard_normal((len(LEVELS), np.prod(GRID), 64)).astype(np.float32)
    clean = []
    with torch.no_grad():
        for each, level in zip(z, LEVELS):
            pair = torch.from_numpy(np.stack([each] * len(LABELS)))
            clean.append(model(pair, torch.full((len(LABELS),), level), torch.tensor(LABELS), GRID).numpy())
    path = Path(__file__).resolve().parents[2] / "tests" / "video" / "torch.npz"
    given = {"z": z, "levels": LEVELS, "labels": LABELS, "grid": GRID, "digest": arrays["digest"]}
    np.savez_compressed(path, **given, clean=np.array(clean))


if __name__ == "__main__":
    main()
