# SPDX-License-Identifier: Apache-2.0
"""A video by the trained model, its attention by a method; what it took, and how far it is from another one."""

import itertools
import os
import time
from dataclasses import dataclass

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zoetrope.golden import video_dit
from zoetrope.sim.run.workers import workers
from zoetrope.sim.video.method import Method, Plan, Work


@dataclass(frozen=True)
class Request:
    """What is asked for: seed of the noise, steps, index of the class, frames, rows and columns of tokens, ``shift`` of the
    noise levels, and ``guidance``: 1 for none, else what the class changes is taken that many times (two passes a step)."""

    seed: int
    steps: int
    label: int
    grid: tuple[int, int, int]
    shift: float
    guidance: float = 1.0


@dataclass(frozen=True)
class Made:
    """A video, (frames, height, width, 3) in 0 .. 1, its latent, and the ``work`` of each (step, layer, head): with guidance
    the heads of the second pass follow those of the first."""

    method: str
    thresholds: dict
    video: np.ndarray
    latent: np.ndarray
    work: dict[tuple[int, int, int], Work]
    seconds: float

    def _sum(self, name):
        return sum(getattr(work, name) for work in self.work.values())

    def left(self, plan: Plan) -> float:
        """Products multiplied, as a share of dense attention's."""
        return self._sum("products") / (plan.dense * len(self.work))

    @property
    def mixed(self) -> float:
        """Share of them that are FP16 by INT8."""
        return self._sum("mixed") / self._sum("products")

    @property
    def cycles(self) -> tuple[int, int]:
        """Of the machine for all attention, and with nothing skipped or mixed."""
        return self._sum("cycles"), self._sum("dense_cycles")

    def skipped(self) -> np.ndarray:
        """Share of the (step, layer, head) in which each token was skipped, (tokens,)."""
        return np.mean([work.skipped for work in self.work.values()], axis=0)


def plan_of(model, request: Request) -> Plan:
    passes = 2 if request.guidance != 1 else 1
    return Plan(request.grid, request.steps, model.layers, passes * model.heads, model.dim // model.heads)


def make(
    model: video_dit.VideoDiT, method: Method, request: Request, jobs=None, told=lambda step: None, seen=None
) -> Made:
    """The video. ``told`` is called with each step that is done; ``seen`` with (step, layer, q, k, v, out) of all heads."""
    begun, plan, work = time.perf_counter(), plan_of(model, request), {}
    levels = video_dit.levels(request.steps, request.shift)
    z = video_dit.noise(request.seed, plan.tokens, model.components)
    labels = [request.label] if request.guidance == 1 else [request.label, len(model.classes)]
    with workers(jobs or os.cpu_count() or 1, f"{method.name}: a process") as pool:
        method.begin(plan, pool)
        for step, (level, lower) in enumerate(itertools.pairwise(levels)):

            def attend(layer, q, k, v, step=step):
                out, took = method.attend(step, layer, q, k, v)
                work.update({(step, layer, head): each for head, each in enumerate(took)})
                if seen:
                    seen(step, layer, q, k, v, out)
                return out

            first, *other = model.clean(z, level, labels, request.grid, attend)
            x = other[0] + np.float32(request.guidance) * (first - other[0]) if other else first
            z = z + np.float32((lower - level) / level) * (z - x)
            told(step + 1)
    video = model.decode(z, request.grid)
    return Made(method.name, method.thresholds, video, z, work, time.perf_counter() - begun)


def fidelity(video: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and mean SSIM over the frames of ``video`` against ``other``; PSNR is infinite where they are equal."""
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(other, video, data_range=1)
    ssim = [structural_similarity(a, b, channel_axis=2, data_range=1) for a, b in zip(other, video)]
    return float(psnr), float(np.mean(ssim))
