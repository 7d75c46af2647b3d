# SPDX-License-Identifier: Apache-2.0
"""Train the video diffusion transformer: ``python tools/train/train.py -o build/train``; about two hours on 2 cores.

Rectified flow: z = (1 - sigma) x + sigma noise, and the model says x. Short videos first: their attention costs a quarter.
A run that was ended goes on from what it kept last. Writes ``loss.csv``, ``state.pt`` and ``weights.npz``.
"""

import argparse
import csv
import time
from pathlib import Path

import clips
import codec
import numpy as np
import torch
from model import COMPONENTS, VideoDiT
from optimizer import Muon

from zoetrope.golden import video_dit

SEED = 7
#: Steps, frames and videos of a step.
PHASES = ((2000, 4, 8), (1200, 8, 4))
STEPS = sum(steps for steps, *_ in PHASES)
RATES = (0.02, 1e-3)  # of Muon and of AdamW
WARM, KEEP_EVERY, EMA = 100, 100, 0.997
NO_CLASS = 0.1
NOISIEST = 0.05  # the loss is that of the velocity, (x - z) / sigma, with sigma no smaller than this


def phase(step):
    for steps, frames, batch in PHASES:
        if step < steps:
            return frames, batch
        step -= steps
    raise IndexError(step)


def rate(step):
    """The share of the full learning rate: up, level, and down to nothing over the last 60 %."""
    return min(1, (step + 1) / WARM, (STEPS - step) / (0.6 * STEPS))


def optimizers(model):
    matrices = [p for block in model.blocks for p in block.parameters() if p.ndim == 2 and p.shape[0] > 6]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return Muon(matrices, RATES[0]), torch.optim.AdamW(others, RATES[1], (0.9, 0.98), weight_decay=0.0)


def loss_of(model, samples, fitted, frames, batch, rng):
    videos, labels = samples.draw(batch, frames)
    latent = codec.encode(videos, fitted).astype(np.float32)
    grid = latent.shape[1:4]
    x = torch.from_numpy(latent.reshape(batch, -1, COMPONENTS))
    labels[rng.random(batch) < NO_CLASS] = len(clips.CLASSES)
    sigma = torch.from_numpy(1 / (1 + np.exp(-rng.normal(0.4, 1.2, batch)))).float()
    noise = torch.from_numpy(rng.standard_normal(x.shape, np.float32))
    s = sigma[:, None, None]
    said = model((1 - s) * x + s * noise, sigma, torch.from_numpy(labels), grid)
    return ((said - x) / s.clamp(min=NOISIEST)).square().mean(), (said - x).square().mean((1, 2))


def keep(path, model, mean, opts, step, rngs):
    state = {"model": model.state_dict(), "mean": mean, "step": step, "opts": [o.state_dict() for o in opts]}
    torch.save(state | {"rngs": [rng.bit_generator.state for rng in rngs]}, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def write(path, mean, fitted):
    """The weights as ``golden.video_dit.load`` reads them: FP16, the codec in FP32, with a checksum of all."""
    weights = {name: value.numpy().astype(np.float16) for name, value in mean.items()}
    weights |= {f"codec.{name}": part.astype(np.float32) for name, part in zip(("mean", "basis", "scale"), fitted)}
    weights["classes"] = np.array(clips.CLASSES)
    np.savez_compressed(path, **weights, digest=np.array(video_dit.digest(weights)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("build/train"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    rng, drawn = np.random.default_rng(SEED), np.random.default_rng(SEED + 1)
    samples = clips.Samples(clips.load(), drawn)
    first = codec.patches(samples.draw(64, 8)[0]).reshape(-1, 3 * codec.PATCH**2)
    fitted = codec.fit(first, COMPONENTS)
    model = VideoDiT(len(clips.CLASSES))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {STEPS} steps", flush=True)
    mean = {name: p.detach().clone() for name, p in model.state_dict().items()}
    opts, step = optimizers(model), 0
    kept = arguments.out / "state.pt"
    if kept.exists():
        state = torch.load(kept, weights_only=False)
        model.load_state_dict(state["model"])
        mean, step = state["mean"], state["step"]
        for opt, its in zip(opts, state["opts"]):
            opt.load_state_dict(its)
        for generator, its in zip((rng, drawn), state["rngs"]):
            generator.bit_generator.state = its
    begun, curve = time.time(), []
    while step < STEPS:
        frames, batch = phase(step)
        for opt, lr in zip(opts, RATES):
            opt.param_groups[0]["lr"] = lr * rate(step)
        loss, errors = loss_of(model, samples, fitted, frames, batch, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        step += 1
        with torch.no_grad():
            for name, value in model.state_dict().items():
                mean[name].lerp_(value, 1 - min(EMA, step / (step + 10)))
        curve.append((step, frames, loss.item(), errors.mean().item()))
        if step % 20 == 0:
            last = np.mean([row[2:] for row in curve[-20:]], 0)
            print(f"{step}/{STEPS} {time.time() - begun:.0f} s loss {last[0]:.4f} x {last[1]:.4f}", flush=True)
        if step % KEEP_EVERY == 0 or step == STEPS:
            keep(kept, model, mean, opts, step, (rng, drawn))
            with open(arguments.out / "loss.csv", "a", newline="") as file:
                csv.writer(file).writerows(curve)
            curve = []
            write(arguments.out / "weights.npz", mean, fitted)


if __name__ == "__main__":
    main()
